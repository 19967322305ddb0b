"""Choose whether a teacher answers the held-out turns, and which one."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tft.core.conversation import Conversation
from tft.core.task import Task
from tft.llm.chat import Chat
from tft.predict.config import TeacherConfig
from tft.predict.teacher import answer_turns

AnswerTurns = Callable[[Sequence[Conversation], Task], list[dict[str, Any]]]


def choose_teacher(config: TeacherConfig, chat: Chat, stage: str) -> AnswerTurns | None:
    """The teacher's answer function, or None without a teacher; `stage` names its requests."""
    match config.role:
        case "none":
            return None
        case "llm":
            return partial(
                answer_turns,
                chat=chat,
                model=config.model,
                max_tokens=config.max_tokens,
                stage=stage,
            )
