"""The committee played by language models, and its arbiter."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from fixtures.boat_roles import FIND, OFFER, RENT, TASK, FakeChat, calls_of, opened, trace

from tft.core.conversation import Conversation, ToolCall, user
from tft.core.records import Label
from tft.core.task import RESPOND
from tft.llm.chat import Refusal, Reply, Request
from tft.relabel.llm import drawn, parse_choice, relabel


def ask_committee(say: Callable[[Request], Any], *members: str) -> tuple[Any, FakeChat]:
    chat = FakeChat(say)
    [result] = relabel([trace()], TASK, chat, members, "arbiter", 0.5, 99, "relabel@s")
    return result, chat


def test_equal_candidates_need_no_arbiter() -> None:
    result, chat = ask_committee(lambda _: calls_of(FIND, RENT), "a", "b")
    assert chat.stages == ["relabel@s committee"]
    assert [request.model for request in chat.requests] == ["a", "b"]
    assert {(one.temperature, one.max_tokens) for one in chat.requests} == {(0.5, 99)}
    assert dict(result.conversation.turns()) == {1: FIND, 3: RENT}
    assert result.conversation.messages[2] == trace().messages[2]
    assert [one.reason for one in result.decisions] == ["unanimous", "unanimous"]
    label = Label("RentBoat", RENT.arguments)
    assert result.decisions[1].votes == {"a": label, "b": label}
    assert result.rejection is None


def disagree(choose: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """Member a gives RENT where b gives OFFER; the arbiter does what is said."""

    def say(request: Request) -> Any:
        if request.model == "arbiter":
            return choose(request)
        return calls_of(FIND, RENT if request.model == "a" else OFFER)

    return say


def letter_of(request: Request, call: ToolCall) -> str:
    """Which candidate ends with this call."""
    [letter] = [
        tag[-1]
        for tag, rows in opened(request.messages[-1]["content"])
        if tag.startswith("candidate") and rows[-1]["tool_call"]["name"] == call.name
    ]
    return letter


@pytest.mark.parametrize(("call", "member"), [(RENT, "a"), (OFFER, "b")])
def test_the_arbiter_chooses_where_candidates_differ(call: ToolCall, member: str) -> None:
    def choose(request: Request) -> Any:
        return {"reason": "It fits: well.", "choice": letter_of(request, call)}

    result, chat = ask_committee(disagree(choose), "a", "b")
    assert chat.stages == ["relabel@s committee", "relabel@s arbiter"]
    assert dict(result.conversation.turns()) == {1: FIND, 3: call}
    first, second = result.decisions
    assert first.reason == "unanimous"
    assert second.reason == f"arbiter chose {member}: It fits: well."
    assert {name: label.tool for name, label in second.votes.items()} == {
        "a": "RentBoat", "b": RESPOND,
    }  # fmt: skip
    assert list(chat.requests[-1].schema["properties"]) == ["reason", "choice"]
    assert chat.requests[-1].schema["properties"]["choice"]["enum"] == ["A", "B", "none"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"reason": "All wrong.", "choice": "none"}, "arbiter chose none: All wrong."),
        ({"reason": "?", "choice": "C"}, "arbiter gave no answer: against its schema"),
        (Refusal("no content"), "arbiter gave no answer: no content"),
    ],
)
def test_a_trace_is_rejected_when_the_arbiter_chooses_nothing(said: Any, reason: str) -> None:
    result, _ = ask_committee(disagree(lambda _: said), "a", "b")
    assert result.conversation is None
    assert result.rejection.startswith(reason)
    assert [(one.turn, one.call) for one in result.decisions] == [(1, FIND), (3, None)]
    assert result.decisions[1].reason == result.rejection


def test_invalid_candidates_are_left_out() -> None:
    undeclared = ToolCall("FindBoats", {"harbour": "Old Lock", "size": "2"})

    def say(request: Request) -> Any:
        return calls_of(FIND, {"a": RENT, "b": undeclared}.get(request.model, OFFER))

    result, chat = ask_committee(say, "a", "b")
    assert chat.stages == ["relabel@s committee"]
    assert dict(result.conversation.turns())[3] == RENT
    assert result.decisions[1].votes == {"a": Label("RentBoat", RENT.arguments), "b": None}
    reason = result.decisions[1].reason
    assert reason.startswith("only candidate: without b (against its schema")

    result, _ = ask_committee(say, "b")
    assert result.conversation is None
    assert result.rejection.startswith("no candidate: b (against its schema")
    assert [(one.call, one.reason) for one in result.decisions] == [(None, result.rejection)] * 2

    result, chat = ask_committee(say, "b", "c", "d")
    assert len(chat.requests) == 3
    assert result.decisions[0].reason.startswith("unanimous: without b (against its schema")


def test_no_model_is_asked_about_a_trace_without_agent_messages() -> None:
    silent = Conversation("boat/silent", "boats", (user("Ahoy?"),))
    chat = FakeChat(lambda _: calls_of(FIND, OFFER))
    results = relabel([silent, trace()], TASK, chat, ["a"], "arbiter", 0, 9, "s")
    assert results[0] == (silent, [], None)
    assert results[1].conversation is not None
    assert len(chat.requests) == 1


def test_equal_candidates_become_one_option_in_random_order() -> None:
    found: Any = {"a": (FIND, RENT), "b": (FIND, OFFER), "c": (FIND, RENT)}
    firsts = Counter(drawn(trace(number), found)["A"] == (FIND, RENT) for number in range(200))
    assert 70 < firsts[True] < 130
    ballot = drawn(trace(), found)
    assert set(ballot) == {"A", "B"}
    assert drawn(trace(), dict(reversed(found.items()))).keys() == ballot.keys()
    [letter] = [letter for letter, calls in ballot.items() if calls == (FIND, RENT)]
    reply = Reply(json.dumps({"reason": "Yes.", "choice": letter}), 1, 1)
    assert parse_choice(reply, ballot, found) == ((FIND, RENT), "arbiter chose a and c: Yes.")
