"""Choose who generates conversations: rules or a language model."""

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
"""(seed conversations, context, task) -> a function that turns plans into drafts."""


def choose(config: SynthesizeConfig, chat: Chat, stage: str) -> Synthesizer:
    """The synthesizer; `stage` names its requests in ledger and progress bar."""
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
            # A language model sees only those traces that are in the plans.
            return lambda seeds, context, task: partial(generate, task=task)
