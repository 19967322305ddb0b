"""Choose who scores traces: rules or a language model."""

from collections.abc import Callable, Sequence
from functools import partial

from tft.core.conversation import Conversation
from tft.core.records import Relevance
from tft.core.task import Task
from tft.filter import llm
from tft.filter.config import FilterConfig
from tft.llm.chat import Chat
from tft.standins import filter as rules

ScoreRelevance = Callable[[Sequence[Conversation], Task], list[Relevance]]


def choose(config: FilterConfig, chat: Chat, stage: str) -> ScoreRelevance:
    """The function that scores traces; `stage` names its requests in ledger and progress bar."""
    match config.role:
        case "rules":
            return rules.score_relevance
        case "llm":
            return partial(
                llm.score_relevance,
                chat=chat,
                model=config.model,
                max_tokens=config.max_tokens,
                stage=stage,
            )
