"""Parser for vLLM's OpenAI server: what the agent says to its user is text, all else a tool call.

The model's card has the command of a server with it. Every answer of the model is one Hermes tool
call. A call of `respond_to_user` becomes the reply's `content`, unless the client declares that
tool itself. This file goes with the model: it imports nothing of the project that made it.
"""

import json
from typing import Any

from pydantic_core import from_json
from vllm.entrypoints.generate.base.protocol import DeltaMessage, ExtractedToolCallInformation
from vllm.tool_parsers.abstract_tool_parser import ToolParserManager
from vllm.tool_parsers.hermes_tool_parser import Hermes2ProToolParser

RESPOND = "respond_to_user"
OPEN, CLOSE = "<tool_call>", "</tool_call>"


def said(answer: str) -> str | None:
    """What an answer says to the user; None: it is something else than a call of the tool for that.

    The beginning of an answer gives the beginning of what it says; an empty one may still become
    None. What stands behind the call, which should be nothing, is shown too.
    """
    answer = answer.lstrip()
    if not answer.startswith(OPEN):
        return "" if OPEN.startswith(answer) else None
    call = answer.removeprefix(OPEN).lstrip()
    try:
        value = from_json(call or "{", allow_partial="trailing-strings")
    except ValueError:
        return None
    behind, whole = _behind(call)
    match value:
        case {"name": name, "arguments": {"message": str(message)}} if name == RESPOND:
            return message + behind
        case {**keys} if not whole and RESPOND.startswith(str(keys.get("name", ""))):
            return ""
    return None


def _behind(call: str) -> tuple[str, bool]:
    """What stands behind a call's JSON and its end tag, and whether the JSON is whole."""
    try:
        # Where the JSON ends, not the first end tag, which a message may hold as text.
        _, end = json.JSONDecoder().raw_decode(call)
    except (ValueError, RecursionError):
        return "", False
    rest = call[end:].lstrip()
    return "" if CLOSE.startswith(rest) else rest.removeprefix(CLOSE).lstrip(), True


@ToolParserManager.register_module("plain_text")
class PlainTextParser(Hermes2ProToolParser):
    """vLLM's parser of Hermes calls, but for what is said; one for each reply."""

    _sent = ""
    """What the stream has shown as text so far."""

    def extract_tool_calls(self, model_output: str, request: Any) -> ExtractedToolCallInformation:
        """The reply to a request that is not streamed."""
        text = self._said(model_output, request)
        if text is None:
            return super().extract_tool_calls(model_output, request)
        # Where no tool is called vLLM shows the model's output instead of `content`; with an empty
        # list it shows `content` alone, and the reply ends with `stop`.
        return ExtractedToolCallInformation(tools_called=True, tool_calls=[], content=text)

    def extract_tool_calls_streaming(
        self,
        previous_text: str,
        current_text: str,
        delta_text: str,
        previous_token_ids: Any,
        current_token_ids: Any,
        delta_token_ids: Any,
        request: Any,
    ) -> DeltaMessage | None:
        """What a stream has to add once `delta_text` is there."""
        text = self._said(current_text, request)
        if text is None and not self._sent:
            return super().extract_tool_calls_streaming(
                previous_text,
                current_text,
                delta_text,
                previous_token_ids,
                current_token_ids,
                delta_token_ids,
                request,
            )
        # An answer that goes on as nothing readable ends with what it said: no call follows.
        new = (text or "").removeprefix(self._sent)
        self._sent += new
        return DeltaMessage(content=new) if new else None

    def _said(self, answer: str, request: Any) -> str | None:
        tools = [getattr(tool, "function", tool) for tool in request.tools or []]
        return None if any(tool.name == RESPOND for tool in tools) else said(answer)
