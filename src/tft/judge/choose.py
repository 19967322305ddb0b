"""Choose the judge: rules or language models."""

from collections.abc import Callable, Sequence
from datetime import date
from functools import partial

from tft.core.conversation import Turn, Verdict
from tft.core.task import Task
from tft.judge import llm
from tft.judge.config import JudgeConfig
from tft.llm import Connection
from tft.standins.judge import verdict as rules

Judge = Callable[[Sequence[Turn], Task], list[Verdict]]


def choose(
    config: JudgeConfig, chat: Connection, stage: str, today: date | None
) -> tuple[Judge, str]:
    """The judge, and its name and version as shown beside every score.

    `stage` names its requests in ledger and progress bar. `today` is the date on which the
    conversations take place, or None if it differs between them.
    """
    match config.role:
        case "rules":
            judge = partial(rules.judge, today=today)
            return judge, f"rules judge v{rules.JUDGE_VERSION}"
        case "llm":
            judge = partial(
                llm.judge,
                chat=chat,
                models=config.models,
                max_tokens=config.max_tokens,
                stage=stage,
            )
            models = ", ".join(chat.model_of(name) for name in config.models)
            return judge, f"LLM judge v{llm.VERSION} ({models})"
