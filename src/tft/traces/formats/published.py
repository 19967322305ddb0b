"""The published benchmark's lines: {"context": JSON of messages}, {"question": ..., "answer": ...}.

A tool's result is a user's message there and calls have no ids; see `tft.corpus.published`. The
messages inside may be any OpenAI chat messages.
"""

import json
from collections.abc import Mapping
from typing import Any

from tft.core.errors import InputError
from tft.traces.formats import openai_chat
from tft.traces.formats.events import Logged, read_call
from tft.traces.formats.unread import unread


def parse(record: Mapping[str, Any]) -> Logged:
    """One line: a trace, or a test conversation, whose answer is its last call.

    Raises:
        InputError: naming what is wrong.
    """
    if isinstance(record.get("context"), str):
        context = _json("context", record["context"])
        is_bare = isinstance(context, list)
        logged = openai_chat.parse({"messages": context} if is_bare else context)
        read = openai_chat.MESSAGES if is_bare else openai_chat.READ
        more = unread({**record, "context": context}, {"context": read})
        return logged._replace(more=dict(more))
    messages = _json("question", record.get("question"))
    answer = _json("answer", record.get("answer"))
    logged = openai_chat.parse({"messages": messages})
    if not isinstance(answer, dict):
        raise InputError(f"no tool call: answer: {answer!r:.80}")
    key = "parameters" if "parameters" in answer else "arguments"
    logged.events.append(read_call(len(messages), answer.get("name"), answer.get(key)))
    more = unread(
        {**record, "question": messages, "answer": answer},
        {"question": openai_chat.MESSAGES, "answer": {"name": True, key: True}},
    )
    return logged._replace(more=dict(more))


def _json(key: str, text: Any) -> Any:
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {key} ({error})") from error
    if not isinstance(value, dict | list):
        raise InputError(f"no list of objects: {key}: {value!r:.80}")
    return value
