"""The teacher in its student's place: a language model answers the turns that students answer.

What it scores there is what its students can hope for, and says whether to train them at all.
"""

from collections.abc import Sequence
from typing import Any

from tft.core.conversation import Conversation, Message, render_call
from tft.core.task import Task
from tft.llm.chat import Chat, Outcome, Refusal
from tft.llm.prompts import CALL, ask, block, plain, read, read_call, record, why, with_calls

INSTRUCTIONS = """\
You are the agent. Give the one call with which it answers the last message of the conversation: \
to the service where that is what the user needs next and all that is required is known, else to \
the user. Arguments are what the conversation holds, in its spelling; invent nothing. What you say \
must follow from the messages before.

Answer with a JSON object: {"call": {"name": ..., "arguments": {...}}}"""


def answer_turns(
    conversations: Sequence[Conversation],
    task: Task,
    chat: Chat,
    model: str,
    max_tokens: int,
    stage: str,
) -> list[dict[str, Any]]:
    """Rows of the predictions table for every assistant turn, in order.

    Args:
        conversations: a turn is asked with the messages before it and nothing else of them.
        task: description and tools are shown, as to students.
        chat: who is asked.
        model: a name in params.llm.models.
        max_tokens: of an answer.
        stage: the requests' name in ledger and progress bar.

    Returns:
        What is no call that the tools allow, whatever the reason, is an answer without a call, as
        it is for students.
    """
    schema = with_calls(record(call=CALL), task)
    turns = [(one, index) for one in conversations for index, _ in one.turns()]
    requests = [
        ask(
            model, INSTRUCTIONS, task, question(one.messages[:index]), schema, max_tokens=max_tokens
        )
        for one, index in turns
    ]
    return [
        {"conversation": one.id, "turn": index, **parse(outcome, schema)}
        for (one, index), outcome in zip(turns, chat(requests, stage), strict=True)
    ]


def question(prefix: Sequence[Message]) -> str:
    """The messages before a turn, as data."""
    return f"{block('conversation', map(plain, prefix))}\n\nGive the agent's call."


def parse(outcome: Outcome, schema: dict[str, Any]) -> dict[str, Any]:
    """The call in an answer, or why there is none, in the columns of the predictions table."""
    answer = read(outcome, schema)
    if isinstance(answer, Refusal):
        raw = answer.detail.encode(errors="replace").decode()  # as Parquet can hold it
        row = {"raw": raw, "name": None, "arguments": None, "error": why(answer)}
    else:
        call = read_call(answer["call"])
        row = {"raw": render_call(call), "name": call.name, "arguments": call.arguments_json}
        row["error"] = None
    return row | {"finish_reason": "stop"}
