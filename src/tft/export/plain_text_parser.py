"""Parser for vLLM's OpenAI server: messages to the user become text, other calls stay tool calls.

The model card has the command that starts a server with this parser. Every answer of the model is
one Hermes tool call. A call of `respond_to_user` becomes the reply's `content`, unless the client
declares that tool itself. This file ships with the model and imports nothing from the project that
trained it.
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
    """The message to the user in an answer, or None if it is not a call of `respond_to_user`.

    The beginning of an answer gives the beginning of the message; an empty beginning may still
    become None. Text after the call, of which there should be none, is appended.
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
    """The text after a call's JSON and end tag, and whether the JSON is complete."""
    try:
        # The end of the JSON, not the first end tag, which a message may contain as text.
        _, end = json.JSONDecoder().raw_decode(call)
    except (ValueError, RecursionError):
        return "", False
    after = call[end:].lstrip()
    return "" if CLOSE.startswith(after) else after.removeprefix(CLOSE).lstrip(), True


@ToolParserManager.register_module("plain_text")
class PlainTextParser(Hermes2ProToolParser):
    """vLLM's parser of Hermes calls, except for messages to the user; one instance per reply."""

    _sent = ""
    """The text that the stream has sent so far."""

    def extract_tool_calls(self, model_output: str, request: Any) -> ExtractedToolCallInformation:
        """Parse the reply to a request that is not streamed."""
        text = self._said(model_output, request)
        if text is None:
            return super().extract_tool_calls(model_output, request)
        # If no tool is called, vLLM returns the model's output instead of `content`. With an empty
        # list it returns `content` alone, and the reply ends with `stop`.
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
        """What a stream sends after `delta_text` has arrived."""
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
        # If an answer becomes unreadable, it ends with the text sent so far; no call follows.
        new = (text or "").removeprefix(self._sent)
        self._sent += new
        return DeltaMessage(content=new) if new else None

    def _said(self, answer: str, request: Any) -> str | None:
        tools = [getattr(tool, "function", tool) for tool in request.tools or []]
        return None if any(tool.name == RESPOND for tool in tools) else said(answer)
