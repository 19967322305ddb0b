import json
import math
from typing import Any

import pytest
from fixtures.strategies import calls, conversations, json_values, names, texts
from hypothesis import given
from hypothesis import strategies as st

from tft.core.conversation import (
    Conversation,
    Message,
    Tool,
    ToolCall,
    assistant,
    canonical_json,
    from_openai,
    to_openai,
    user,
)
from tft.core.errors import InputError


@given(conversations())
def test_any_conversation_survives_the_openai_form(conversation: Conversation) -> None:
    sent = json.dumps(to_openai(conversation.messages))
    assert from_openai(json.loads(sent)) == conversation.messages


@given(conversations())
def test_arguments_may_come_as_json_strings(conversation: Conversation) -> None:
    sent = to_openai(conversation.messages)
    for message in sent:
        for call in message.get("tool_calls", []):
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    assert from_openai(sent) == conversation.messages


@given(st.lists(json_values, max_size=3) | st.lists(st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool"]) | json_values},
    optional={
        "content": json_values,
        "tool_calls": json_values | st.lists(st.fixed_dictionaries({"function": json_values})),
    },
)))  # fmt: skip
def test_any_json_gives_messages_or_an_error_that_names_the_position(rows: list[Any]) -> None:
    try:
        messages = from_openai(rows)
    except InputError as error:
        assert error.message.startswith("message ")
    else:
        assert len(messages) == len(rows)


@given(json_values)
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    def backwards(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: backwards(value[key]) for key in reversed(value)}
        return [backwards(item) for item in value] if isinstance(value, list) else value

    assert canonical_json(value) == canonical_json(backwards(value))
    assert json.loads(canonical_json(value)) == value


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, (1, 2), {1: 2}, {None: 1}, {"a": {1}}, "\ud800", {"\udfff": 1}]
)
def test_values_that_json_or_utf8_would_change_are_refused(value: Any) -> None:
    with pytest.raises(InputError):
        ToolCall("f", {"x": value})


@pytest.mark.parametrize(
    ("role", "content", "call"),
    [
        ("assistant", None, None),
        ("assistant", "text", ToolCall("f", {})),
        ("assistant", "text", None),
        ("user", None, None),
        ("user", "text", ToolCall("f", {})),
        ("tool", "text", None),
    ],
)
def test_a_message_is_text_of_the_user_or_one_call_of_the_assistant(
    role: Any, content: str | None, call: ToolCall | None
) -> None:
    with pytest.raises(InputError):
        Message(role, content, call)


def test_two_calls_in_one_message_are_refused() -> None:
    [message] = to_openai([assistant("f", {})])
    message["tool_calls"] *= 2
    with pytest.raises(InputError, match=r"message 0: .*exactly one tool call"):
        from_openai([message])


@pytest.mark.parametrize("arguments", ["{", "[]", "null", None, 3])
def test_arguments_must_be_an_object(arguments: Any) -> None:
    call = {"function": {"name": "f", "arguments": arguments}}
    with pytest.raises(InputError, match="message 1: arguments of 'f'"):
        from_openai([{"role": "user", "content": ""}, {"role": "assistant", "tool_calls": [call]}])


@given(conversations(), calls)
def test_with_calls_replaces_only_the_given_calls(
    conversation: Conversation, call: ToolCall
) -> None:
    turns = dict(conversation.turns())
    changed = conversation.with_calls(dict.fromkeys(list(turns)[:1], call))
    for index, (before, after) in enumerate(
        zip(conversation.messages, changed.messages, strict=True)
    ):
        assert after == (Message("assistant", None, call) if index in list(turns)[:1] else before)


def test_turns_are_the_indices_of_assistant_messages() -> None:
    messages = (user("a"), assistant("f", {}), user("b"), assistant("g", {}))
    turns = [(index, call.name) for index, call in Conversation("1", "s", messages).turns()]
    assert turns == [(1, "f"), (3, "g")]


@given(names, texts, st.dictionaries(texts, json_values, max_size=3))
def test_tools_survive_the_openai_form(name: str, description: str, schema: dict[str, Any]) -> None:
    tool = Tool(name, description, schema)
    assert Tool.from_openai(tool.to_openai()) == tool


@pytest.mark.parametrize(
    "entry", [{}, 3, {"function": 1}, {"function": {"name": "", "parameters": {}}},
              {"function": {"name": "f"}}]
)  # fmt: skip
def test_a_tool_without_name_or_schema_is_refused(entry: Any) -> None:
    with pytest.raises(InputError, match=r"function\.name"):
        Tool.from_openai(entry)
