"""The teacher answers the held-out turns itself, as students do.

Its score is what its students can hope for, and decides whether they are trained at all.
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
    """Rows of `tables.PREDICTIONS` for every assistant turn, in order.

    An answer that is not a call that the tools allow counts as unparseable, as it does for
    students.

    Args:
        conversations: The test conversations. A request shows only the messages before its turn.
        task: The task, whose description and tools are shown, as they are to students.
        chat: Sends the requests.
        model: A name in `llm.models` of params.yaml.
        max_tokens: Upper bound on the length of an answer, in tokens.
        stage: Name of the requests in ledger and progress bar.
    """
    schema = with_calls(record(call=CALL), task)
    turns = [
        (conversation, index) for conversation in conversations for index, _ in conversation.turns()
    ]
    requests = [
        ask(
            model,
            INSTRUCTIONS,
            task,
            question(conversation.messages[:index]),
            schema,
            max_tokens=max_tokens,
        )
        for conversation, index in turns
    ]
    return [
        {"conversation": conversation.id, "turn": index, **parse(outcome, schema)}
        for (conversation, index), outcome in zip(turns, chat(requests, stage), strict=True)
    ]


def question(prefix: Sequence[Message]) -> str:
    """The user message of a request: the messages before a turn, as data."""
    return f"{block('conversation', map(plain, prefix))}\n\nGive the agent's call."


def parse(outcome: Outcome, schema: dict[str, Any]) -> dict[str, Any]:
    """The call in an answer, or why there is none, as columns of `tables.PREDICTIONS`."""
    answer = read(outcome, schema)
    if isinstance(answer, Refusal):
        raw = answer.detail.encode(errors="replace").decode()  # Parquet cannot hold surrogates
        row = {"raw": raw, "name": None, "arguments": None, "error": why(answer)}
    else:
        call = read_call(answer["call"])
        row = {"raw": render_call(call), "name": call.name, "arguments": call.arguments_json}
        row["error"] = None
    return row | {"finish_reason": "stop"}
