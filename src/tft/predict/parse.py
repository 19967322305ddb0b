"""Parse a student's output: exactly one Hermes tool call, or a ParseError that says what is wrong.

Parsing is strict on purpose: where a server's parser would drop or guess something, the student
failed.
"""

import json
from typing import Any, NoReturn

from tft.core.conversation import ParseError, ToolCall
from tft.core.errors import InputError

OPEN, CLOSE = "<tool_call>", "</tool_call>"
NAME = "name"
SPELLINGS = frozenset({"arguments", "parameters"})


def parse(text: str) -> ToolCall | ParseError:
    """The tool call in `text`, or why there is none. Never raises.

    Accepts `<tool_call>`, a JSON object with `name` and either `arguments` or `parameters` (an
    object), and `</tool_call>`, with any white space between and around them. Callers strip
    end-of-turn tokens.
    """
    try:
        return _to_call(_read_json(text.strip()))
    except InputError as error:
        return ParseError(error.message[:200])
    except RecursionError:
        return ParseError("JSON nested too deeply")


def _read_json(text: str) -> Any:
    if not text:
        raise InputError("empty text")
    before, tag, body = text.partition(OPEN)
    if not tag:
        raise InputError(f"no tool call: {text[:60]!r}")
    if before:
        raise InputError(f"text before the tool call: {before[:60]!r}")
    body = body.lstrip()
    try:
        # Decode before looking for the end tag, because a message may contain the tags as text.
        value, end = _DECODER.raw_decode(body)
    except ValueError as error:  # from the decoder, the hooks below, or integers beyond the limit
        if CLOSE not in body:
            raise InputError(f"truncated: no {CLOSE} ({error})") from error
        raise InputError(f"invalid JSON: {error}") from error
    remaining = body[end:].lstrip()
    if not remaining:
        raise InputError(f"truncated: no {CLOSE}")
    if not remaining.startswith(CLOSE):
        raise InputError(f"text between the JSON and {CLOSE}: {remaining[:60]!r}")
    after = remaining.removeprefix(CLOSE).strip()
    if OPEN in after:
        raise InputError("more than one tool call")
    if after:
        raise InputError(f"text after the tool call: {after[:60]!r}")
    return value


def _to_call(value: Any) -> ToolCall:
    if not isinstance(value, dict):
        raise InputError(f"the tool call is not a JSON object: {value!r:.60}")
    if NAME not in value:
        raise InputError("no name")
    spellings = value.keys() & SPELLINGS
    if len(spellings) != 1:
        which = "both" if spellings else "neither"
        raise InputError(f"{which} of arguments and parameters given")
    if unknown := sorted(value.keys() - {NAME, *spellings}):
        raise InputError(f"unknown keys: {unknown!r:.60}")
    return ToolCall(value[NAME], value[spellings.pop()])


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"repeated keys: {sorted({k for k in keys if keys.count(k) > 1})}")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant)
