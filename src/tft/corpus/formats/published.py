"""The published benchmark's lines: {"context": JSON of messages}, {"question": ..., "answer": ...}.

A tool's result is a user's message there and calls have no ids; see `tft.corpus.published`. The
messages inside may be any OpenAI chat messages.
"""

import json
from collections.abc import Mapping
from typing import Any

from tft.corpus.formats import openai_chat
from tft.corpus.formats.events import Logged, read_call
from tft.errors import InputError


def parse(record: Mapping[str, Any]) -> Logged:
    """One line: a trace, or a test conversation, whose answer is its last call.

    Raises:
        InputError: naming what is wrong.
    """
    if isinstance(record.get("context"), str):
        context = _json("context", record["context"])
        if isinstance(context, list):
            context = {"messages": context}
        return _with(record, ("context",), openai_chat.parse(context))
    messages = _json("question", record.get("question"))
    logged = openai_chat.parse({"messages": messages})
    answer = _json("answer", record.get("answer"))
    if not isinstance(answer, dict):
        raise InputError(f"no tool call: answer: {answer!r:.80}")
    arguments = answer.get("parameters", answer.get("arguments"))
    logged.events.append(read_call(len(messages), answer.get("name"), arguments))
    return _with(record, ("question", "answer", "context"), logged)


def _with(record: Mapping[str, Any], read: tuple[str, ...], logged: Logged) -> Logged:
    more = {key: value for key, value in record.items() if key not in read}
    return logged._replace(more={**logged.more, **more})


def _json(key: str, text: Any) -> Any:
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {key} ({error})") from error
    if not isinstance(value, dict | list):
        raise InputError(f"no list of objects: {key}: {value!r:.80}")
    return value
