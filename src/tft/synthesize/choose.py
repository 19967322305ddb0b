"""Who generates conversations."""

from collections.abc import Callable, Sequence
from functools import partial

from tft.core.conversation import Conversation
from tft.core.records import Draft, Plan
from tft.core.task import Task
from tft.llm.chat import Chat
from tft.standins.synthesize.generate import synthesizer
from tft.synthesize import llm
from tft.synthesize.config import SynthesizeConfig

Generate = Callable[[Sequence[Plan]], list[Draft]]
Synthesizer = Callable[[Sequence[Conversation], Sequence[Conversation], Task], Generate]
"""(seed conversations, context, task) -> what turns plans into drafts."""


def choose(config: SynthesizeConfig, chat: Chat, stage: str) -> Synthesizer:
    """Who generates conversations; `stage` names the requests in ledger and progress."""
    match config.role:
        case "rules":
            return synthesizer
        case "llm":
            generate = partial(
                llm.synthesize,
                chat=chat,
                model=config.model,
                temperature=config.temperature,
                max_tokens=config.max_tokens,
                stage=stage,
            )
            # A language model sees what is in the plans and nothing else of the traces.
            return lambda seeds, context, task: partial(generate, task=task)
