"""The records that all other code passes around: tool calls, messages, conversations, tools."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from tft.core.errors import InputError

Role = Literal["user", "assistant"]


def canonical_json(value: Any) -> str:
    """The unique spelling of a JSON value: sorted keys, no NaN, non-ASCII characters unescaped.

    Raises:
        InputError: the value would not survive a round trip (NaN, tuples, keys that are not
            strings), or it holds a lone surrogate, which UTF-8 and therefore Parquet cannot
            represent.
    """
    try:
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"not representable as JSON: {value!r} ({error})") from error
    if json.loads(text) != value:
        raise InputError(
            f"does not survive JSON: {value!r}; use only dicts with string keys, lists, strings, "
            "numbers, booleans and None"
        )
    return text


@dataclass(frozen=True)
class ToolCall:
    """The name of a function and its arguments, a JSON object.

    Example: ToolCall("FindRestaurants", {"city": "Oakland", "cuisine": "Thai"}).
    """

    name: str
    arguments: dict[str, Any]

    def __post_init__(self) -> None:
        """Reject values that Parquet or JSON would silently change."""
        if not isinstance(self.name, str) or not self.name:
            raise InputError(f"a tool call needs a name, got {self.name!r}")
        if not isinstance(self.arguments, dict):
            raise InputError(
                f"arguments of {self.name!r} must be a JSON object, got {self.arguments!r}"
            )
        canonical_json([self.name, self.arguments])

    @property
    def arguments_json(self) -> str:
        """The arguments as canonical JSON."""
        return canonical_json(self.arguments)


@dataclass(frozen=True)
class Message:
    """A user message or an assistant message, which is always exactly one tool call.

    Exactly one of `content` (user) and `tool_call` (assistant) is set. The result of a service call
    is the next user message, as JSON.
    """

    role: Role
    content: str | None = None
    tool_call: ToolCall | None = None

    def __post_init__(self) -> None:
        """Enforce the contract: every assistant message is exactly one tool call."""
        match self.role:
            case "assistant":
                if self.tool_call is None or self.content is not None:
                    raise InputError(
                        "an assistant message is exactly one tool call, "
                        f"got content={self.content!r}, tool_call={self.tool_call!r}"
                    )
            case "user":
                if self.tool_call is not None or not isinstance(self.content, str):
                    raise InputError(
                        "a user message is text and nothing else, "
                        f"got content={self.content!r}, tool_call={self.tool_call!r}"
                    )
                canonical_json(self.content)
            case _:
                raise InputError(f"unknown role {self.role!r}; known: user, assistant")


def user(content: str) -> Message:
    """A user message."""
    return Message("user", content=content)


def assistant(name: str, arguments: dict[str, Any]) -> Message:
    """An assistant message, which is one tool call."""
    return Message("assistant", tool_call=ToolCall(name, arguments))


@dataclass(frozen=True)
class Conversation:
    """A dialogue with an id that is unique within its table.

    `source` names where it came from, such as the service "Restaurants_1". `provenance` is
    free-form JSON that records what was done to it, for people and for evaluation: nothing that
    trains, labels, or generates may read it.
    """

    id: str
    source: str
    messages: tuple[Message, ...]
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Reject conversations that a table cannot hold."""
        if not self.id:
            raise InputError("a conversation needs an id")
        if not self.messages:
            raise InputError(f"conversation {self.id!r} has no messages")
        canonical_json([self.id, self.source, self.provenance])

    def turns(self) -> Iterator[tuple[int, ToolCall]]:
        """Yield (index, call) of every assistant message: what is predicted, judged, and scored."""
        for index, message in enumerate(self.messages):
            if message.tool_call is not None:
                yield index, message.tool_call

    def with_calls(self, calls: Mapping[int, ToolCall]) -> Conversation:
        """The same conversation with the calls at the given message indices replaced."""
        messages = [
            Message("assistant", tool_call=calls[index]) if index in calls else message
            for index, message in enumerate(self.messages)
        ]
        return replace(self, messages=tuple(messages))


@dataclass(frozen=True)
class Tool:
    """A function that the agent may call; `parameters` is its JSON Schema."""

    name: str
    description: str
    parameters: dict[str, Any]

    def to_openai(self) -> dict[str, Any]:
        """The tool as an entry of OpenAI's `tools` list."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        }

    @staticmethod
    def from_openai(entry: Mapping[str, Any]) -> Tool:
        """Read an entry of OpenAI's `tools` list.

        Raises:
            InputError: the entry has no function name or no schema.
        """
        match entry:
            case {"function": {"name": str(name), "parameters": dict(parameters)} as function} if (
                name
            ):
                return Tool(name, function.get("description", ""), parameters)
        raise InputError(
            f"a tool needs function.name and function.parameters (a JSON Schema), got {entry!r}"
        )


@dataclass(frozen=True)
class ParseError:
    """Why a model output could not be parsed as a tool call."""

    reason: str


@dataclass(frozen=True)
class Turn:
    """One assistant turn and what was predicted for it: the unit that is judged and scored.

    `conversation` is the conversation's id, `index` the position of the assistant message in it,
    and `prefix` all messages before it. `raw` is the predicted text that `prediction` was parsed
    from.
    """

    conversation: str
    index: int
    prefix: tuple[Message, ...]
    reference: ToolCall
    prediction: ToolCall | ParseError
    raw: str


@dataclass(frozen=True)
class Verdict:
    """A judge's verdict on a turn.

    `good` is None where no judge gave a verdict: such a turn is counted, never scored. `reason` is
    a label, a colon, and an explanation, such as "equal: the same call as the reference".
    `evidence` is the fact that the verdict rests on. `votes` are the verdicts of a panel, by judge.
    """

    good: bool | None
    reason: str
    evidence: str | None = None
    votes: dict[str, bool] = field(default_factory=dict)


def to_openai(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages in OpenAI's chat format, with arguments as objects, as chat templates expect them.

    Call ids are made from message indices, so that equal conversations give equal output.
    """
    result: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        if message.tool_call is None:
            result.append({"role": "user", "content": message.content})
        else:
            function = {"name": message.tool_call.name, "arguments": message.tool_call.arguments}
            call = {"id": f"call_{index}", "type": "function", "function": function}
            result.append({"role": "assistant", "content": None, "tool_calls": [call]})
    return result


def from_openai(messages: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Read messages in OpenAI's chat format; `arguments` may be an object or a JSON string.

    Raises:
        InputError: names the position of the message and what is wrong with it.
    """
    result = []
    for index, message in enumerate(messages):
        try:
            result.append(_message_from_openai(message))
        except InputError as error:
            raise InputError(f"message {index}: {error.message}") from error
    return tuple(result)


def _message_from_openai(message: Mapping[str, Any]) -> Message:
    if not isinstance(message, Mapping):
        raise InputError(f"a message is an object with role and content, got {message!r}")
    if message.get("role") != "assistant":
        return Message(message.get("role"), content=message.get("content"))  # type: ignore[arg-type]
    if message.get("content"):
        raise InputError(
            f"an assistant message is exactly one tool call, got content {message['content']!r}"
        )
    match message.get("tool_calls"):
        case [{"function": {"name": name, "arguments": arguments}}]:
            return Message("assistant", tool_call=parse_call(name, arguments))
        case calls:
            raise InputError(
                f"an assistant message is exactly one tool call with a function's name and "
                f"arguments, got tool_calls {calls!r:.200}"
            )


def render_call(call: ToolCall) -> str:
    """The call as a model writes it: in Hermes format, as Qwen3 does, without the end of turn."""
    body = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def parse_call(name: Any, arguments: Any) -> ToolCall:
    """A tool call from a name and arguments, which may be an object or a JSON string."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except json.JSONDecodeError as error:
            raise InputError(
                f"arguments of {name!r} are not JSON ({error}): {arguments!r}"
            ) from error
    return ToolCall(name, arguments)


@lru_cache(maxsize=100_000)
def result_items(text: str) -> list[dict[str, Any]] | None:
    """The items of a tool result, or None if the text is none: a JSON object or a list of objects.

    Callers must not change the list, because equal texts share one.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    items = value if isinstance(value, list) else [value]
    return items if all(isinstance(item, dict) for item in items) else None


def result_of(message: Message) -> list[dict[str, Any]] | None:
    """The items of a tool result, or None if the message is not a tool result."""
    return None if message.content is None else result_items(message.content)


def text_of(conversation: Conversation) -> str:
    """A conversation as text for similarity: messages, calls, and results, one after the other.

    Arguments are sorted by name, so that a copy is found whatever the order of its arguments.
    """
    return "\n".join(
        str(message.content) if message.tool_call is None else _rendered(message.tool_call)
        for message in conversation.messages
    )


def _rendered(call: ToolCall) -> str:
    return render_call(ToolCall(call.name, json.loads(call.arguments_json)))
