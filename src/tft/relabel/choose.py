"""Choose who relabels traces: rules or a committee of language models."""

from collections.abc import Callable, Sequence
from functools import partial

from tft.core.conversation import Conversation
from tft.core.records import Relabeled
from tft.core.task import Task
from tft.llm.chat import Chat
from tft.relabel import llm
from tft.relabel.config import RelabelConfig
from tft.standins import relabel as rules

RelabelTraces = Callable[[Sequence[Conversation], Task], list[Relabeled]]


def choose(config: RelabelConfig, chat: Chat, stage: str) -> RelabelTraces:
    """The function that relabels traces; `stage` names its requests in ledger and progress bar."""
    match config.role:
        case "rules":
            return rules.relabel
        case "llm":
            return partial(
                llm.relabel,
                chat=chat,
                committee=config.committee,
                arbiter=config.arbiter,
                temperature=config.temperature,
                max_tokens=config.max_tokens,
                stage=stage,
            )
