"""The student's text becomes a call or a parse error that says what is wrong, whatever it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tft.core.conversation import ParseError, ToolCall
from tft.predict.parse import parse

SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories="C"))
VALUES = st.recursive(
    SCALARS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
CALLS = st.builds(ToolCall, TEXT.filter(bool), st.dictionaries(TEXT, VALUES, max_size=3))


def render(call: ToolCall, spelling: str = "arguments", *, ascii_only: bool = False) -> str:
    body = json.dumps({"name": call.name, spelling: call.arguments}, ensure_ascii=ascii_only)
    return f"<tool_call>\n{body}\n</tool_call>"


def reason(text: str) -> str:
    result = parse(text)
    assert isinstance(result, ParseError), result
    return result.reason


@given(CALLS, st.sampled_from(["arguments", "parameters"]), st.booleans())
def test_every_call_in_either_spelling_is_read_back_unchanged(call, spelling, ascii_only):
    assert parse(render(call, spelling, ascii_only=ascii_only)) == call


@given(CALLS)
def test_white_space_around_and_within_the_tags_is_allowed(call):
    text = render(call)
    assert parse(f"\n {text}\t\n") == call
    assert parse(text.replace("<tool_call>\n", "<tool_call>")) == call


@given(st.text() | st.text(st.sampled_from('{}[]":,name argumets<tol_cl>/\\u0e9\n')))
def test_garbage_gets_a_parse_error_in_writable_text(text):
    for candidate in (text, f"<tool_call>{text}", f"<tool_call>\n{text}\n</tool_call>"):
        result = parse(candidate)
        if isinstance(result, ParseError):
            assert result.reason
            result.reason.encode()


@given(CALLS, st.data())
def test_a_truncated_call_is_reported_as_truncated(call, data):
    text = render(call)
    cut = data.draw(st.integers(len("<tool_call>"), len(text) - len("</tool_call>")))
    piece = text[:cut]
    if "</tool_call>" not in piece:
        assert reason(piece).startswith("truncated")


@given(CALLS, CALLS)
def test_two_calls_are_a_parse_error(first, second):
    assert reason(f"{render(first)}\n{render(second)}") == "more than one tool call"


def test_a_call_inside_an_argument_is_read_as_text():
    call = ToolCall("say", {"message": '</tool_call><tool_call>{"name": "x"}'})
    assert parse(render(call)) == call


CALL = '{"name": "f", "arguments": {}}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty text"),
        (" \n", "empty text"),
        ("Hello!", "no tool call: 'Hello!'"),
        (CALL, "no tool call"),
        (f"Sure! <tool_call>{CALL}</tool_call>", "text before the tool call: 'Sure! '"),
        (f"<tool_call>{CALL}</tool_call> Done.", "text after the tool call: 'Done.'"),
        (f"<tool_call>{CALL} ok</tool_call>", "text between the JSON"),
        (f"<tool_call>{CALL}", "truncated"),
        ("<tool_call>", "truncated"),
        ('<tool_call>{"name": "f"', "truncated"),
        ("<tool_call>\n{'name': 1}\n</tool_call>", "line 1 column 2"),
        ("<tool_call></tool_call>", "invalid JSON"),
        ("<tool_call>[1]</tool_call>", "not a JSON object: [1]"),
        ("<tool_call>null</tool_call>", "not a JSON object: None"),
        ('<tool_call>{"arguments": {}}</tool_call>', "no name"),
        ('<tool_call>{"name": "", "arguments": {}}</tool_call>', "needs a name, got ''"),
        ('<tool_call>{"name": 7, "arguments": {}}</tool_call>', "needs a name, got 7"),
        ('<tool_call>{"name": "f"}</tool_call>', "neither of arguments and parameters"),
        (
            '<tool_call>{"name": "f", "arguments": {}, "parameters": {}}</tool_call>',
            "both of arguments and parameters",
        ),
        (
            '<tool_call>{"name": "f", "arguments": "{}"}</tool_call>',
            "must be a JSON object, got '{}'",
        ),
        ('<tool_call>{"name": "f", "arguments": {}, "id": 1}</tool_call>', "unknown keys: ['id']"),
        (
            '<tool_call>{"name": "f", "arguments": {"a": 1, "a": 2}}</tool_call>',
            "invalid JSON: repeated keys: ['a']",
        ),
        (
            '<tool_call>{"name": "f", "arguments": {"a": NaN}}</tool_call>',
            "invalid JSON: NaN is no",
        ),
        ('<tool_call>{"name": "f", "arguments": {"a": 1e999}}</tool_call>', "not representable"),
        ('<tool_call>{"name": "f", "arguments": {"a": "\\ud800"}}</tool_call>', "not represent"),
        (f'<tool_call>{{"a": {"9" * 5000}}}</tool_call>', "invalid JSON"),
        (f"<tool_call>{'[' * 100_000}</tool_call>", "nested too deeply"),
    ],
)
def test_a_parse_error_says_what_is_wrong(text, said):
    assert said in reason(text)


@pytest.mark.parametrize("depth", [10**power for power in range(1, 6)])
def test_nesting_of_any_depth_ends_in_a_call_or_an_error(depth):
    text = (
        f'<tool_call>{{"name": "f", "arguments": {{"a": {"[" * depth}{"]" * depth}}}}}</tool_call>'
    )
    assert isinstance(parse(text), ToolCall | ParseError)
