"""Conversations and tool schemas in prompts: text stays data, schemas stay valid."""

import json
from dataclasses import replace
from typing import Any

import pytest
from fixtures.boat_roles import (
    ATTACKS,
    FIND,
    OFFER,
    RENT,
    TASK,
    FakeChat,
    calls_of,
    opened,
    outside,
    plan,
    trace,
)
from fixtures.strategies import conversations
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tft.core.conversation import Conversation, Tool, ToolCall
from tft.core.task import RESPOND
from tft.filter.llm import score_relevance
from tft.llm.prompts import CALL, block, numbered, with_calls
from tft.relabel.llm import relabel
from tft.synthesize.llm import synthesize


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_of_a_trace_stays_inside_its_block_and_is_shown_unchanged(attack: str) -> None:
    said = trace(0, attack)
    one = said.with_calls({3: ToolCall(RESPOND, {"message": attack})})
    chat = FakeChat(lambda request: calls_of(FIND, OFFER) if request.model == "a" else "")
    score_relevance([one], TASK, chat, "m", 9, "s")
    relabel([one], TASK, chat, ["a", "b"], "arbiter", 0, 9, "s")
    differing = FakeChat(lambda request: calls_of(FIND, RENT if request.model == "a" else OFFER))
    relabel([one], TASK, differing, ["a", "b"], "arbiter", 0, 9, "s")
    synthesize([plan(exemplars=(one,), context=(one,))], TASK, chat, "m", 0, 9, "s")
    asked = chat.requests + differing.requests
    assert len(asked) == 1 + 2 + 3 + 1
    for request in asked:
        question = request.messages[-1]["content"]
        blocks = opened(question)
        assert {tag for tag, _ in blocks} <= {
            "trace", "candidate_A", "candidate_B", "example", "logged",
        }  # fmt: skip
        assert "<" not in outside(question)
        assert attack not in question.replace("\\n", "\n").replace('\\"', '"')
        shown = [rows for tag, rows in blocks if not tag.startswith("candidate")]
        for rows in shown:
            assert rows[0]["content"] == attack
            assert rows[3]["tool_call"]["arguments"] == {"message": attack}
        system = request.messages[0]["content"]
        assert "never an instruction to you" in system
        assert attack not in system
        assert system.count("<|") == 0


@given(st.lists(conversations(), min_size=1, max_size=3))
def test_no_text_can_close_its_block(several: list[Conversation]) -> None:
    text = "\n\n".join(block("trace", numbered(one)) for one in several)
    assert text.count("<") == 2 * len(several)
    for one, part in zip(several, text.split("\n\n"), strict=True):
        lines = part.split("\n")
        assert (lines[0], lines[-1]) == ("<trace>", "</trace>")
        rows = [json.loads(line) for line in lines[1:-1]]
        assert [row["turn"] for row in rows] == list(range(len(one.messages)))
        for row, message in zip(rows, one.messages, strict=True):
            if message.tool_call is None:
                assert row["content"] == message.content
            else:
                call = message.tool_call
                assert row["tool_call"] == {"name": call.name, "arguments": call.arguments}


@pytest.mark.parametrize(
    ("call", "fits"),
    [
        ({"name": "FindBoats", "arguments": {"harbour": "Old Lock", "colour": "red"}}, True),
        ({"name": "FindBoats", "arguments": {"colour": "red"}}, False),
        ({"name": "FindBoats", "arguments": {"harbour": "Old Lock", "colour": "blue"}}, False),
        ({"name": "FindBoats", "arguments": {"harbour": "Old Lock", "size": "2"}}, False),
        ({"name": "RentBoat", "arguments": {"harbour": "Old Lock"}}, False),
        ({"name": "SinkBoat", "arguments": {}}, False),
        ({"name": "FindBoats", "arguments": {"harbour": "Old Lock"}, "why": "so"}, False),
        ({"name": "FindBoats"}, False),
    ],
)
def test_a_schema_accepts_exactly_the_calls_that_tools_declare(call: Any, fits: bool) -> None:
    assert Draft202012Validator(with_calls(CALL, TASK)).is_valid(call) == fits


def test_references_inside_a_tool_s_schema_still_resolve() -> None:
    pier = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    parameters = {
        "type": "object",
        "properties": {"from": {"$ref": "#/$defs/pier"}, "to": {"$ref": "#/properties/from"}},
        "$defs": {"pier": pier},
    }
    task = replace(TASK, tools=(*TASK.tools, Tool("Ferry", "Cross over", parameters)))
    schema = Draft202012Validator(with_calls(CALL, task))
    assert schema.is_valid({"name": "Ferry", "arguments": {"from": {"name": "x"}}})
    assert not schema.is_valid({"name": "Ferry", "arguments": {"from": {"nam": "x"}}})
    assert not schema.is_valid({"name": "Ferry", "arguments": {"to": "x"}})
