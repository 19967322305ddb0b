"""Where a cell goes wrong, on turns few enough to count by hand."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from tft.core.conversation import ParseError, ToolCall, Turn
from tft.core.task import RESPOND
from tft.evaluation.breakdown import NO_CALL, arguments_csv, breakdown, confusion_csv, curves_csv

TALK = ToolCall(RESPOND, {"message": "hello"})


def turn(
    reference: ToolCall, prediction: ToolCall | ParseError, conversation: str = "a", index: int = 1
) -> Turn:
    return Turn(conversation, index, (), reference, prediction, "")


def rows_of(turns: list[Turn]) -> list[dict]:
    return [
        {
            "tool": one.reference.name,
            "predicted_tool": None
            if isinstance(one.prediction, ParseError)
            else one.prediction.name,
            "judge": float(one.prediction == one.reference),
            "staged_tool_call": 0.5,
            "name_accuracy": 1.0,
        }
        for one in turns
    ]


def of(turns: list[Turn]) -> dict:
    return breakdown(turns, rows_of(turns))


def test_confusion_counts_answers_without_a_call_and_calls_of_unknown_tools():
    find = ToolCall("Find", {})
    turns = [
        turn(find, find),
        turn(find, TALK),
        turn(find, TALK),
        turn(find, ParseError("empty text")),
        turn(TALK, ToolCall("Sing", {})),
    ]
    assert of(turns)["confusion"] == {
        "Find": {RESPOND: 2, NO_CALL: 1, "Find": 1},
        RESPOND: {"Sing": 1},
    }
    drawn = list(csv.DictReader(io.StringIO(confusion_csv(rows_of(turns)))))
    assert [line["predicted"] for line in drawn] == ["Find", RESPOND, RESPOND, NO_CALL, "Sing"]


def test_arguments_are_right_wrong_missing_or_invented():
    reference = ToolCall("Find", {"city": "Dax", "open": True, "size": 2})
    turns = [
        turn(reference, ToolCall("Find", {"city": "Dax", "open": 1, "food": "soup"})),
        turn(reference, reference),
        # Another tool, no call, and messages tell nothing about arguments.
        turn(reference, ToolCall("Book", {"city": "Dax"})),
        turn(reference, ParseError("empty text")),
        turn(TALK, TALK),
    ]
    zero = {"right": 0, "wrong": 0, "missing": 0, "invented": 0}
    assert of(turns)["arguments"] == {
        "Find": {
            "city": zero | {"right": 2},
            "food": zero | {"invented": 1},
            "open": zero | {"right": 1, "wrong": 1},  # 1 is not true
            "size": zero | {"right": 1, "missing": 1},
        }
    }
    drawn = list(csv.DictReader(io.StringIO(arguments_csv(of(turns)))))
    assert [tuple(line.values()) for line in drawn] == [
        ("Find", "city", "right", "2"),
        ("Find", "food", "invented", "1"),
        ("Find", "open", "right", "1"),
        ("Find", "open", "wrong", "1"),
        ("Find", "size", "right", "1"),
        ("Find", "size", "missing", "1"),
    ]


def test_turns_are_counted_from_the_first_of_their_conversation_and_binned_by_three():
    # Four assistant turns in a, two in b; only a's last is right.
    turns = [turn(TALK, ParseError(""), "a", index) for index in (1, 3, 4)]
    turns += [turn(TALK, TALK, "a", 6)]
    turns += [turn(TALK, ParseError(""), "b", index) for index in (1, 3)]
    found = of(turns)
    bins = [(line["first"], line["last"], line["n"], line["judge"]) for line in found["by_turn"]]
    assert bins == [(1, 3, 5, 0), (4, 6, 1, 1)]
    bins = [(line["first"], line["last"], line["n"], line["judge"]) for line in found["by_length"]]
    assert bins == [(1, 3, 2, 0), (4, 6, 4, 0.25)]
    drawn = list(csv.DictReader(io.StringIO(curves_csv(found))))
    assert [(line["split"], line["last"], line["judge"]) for line in drawn] == [
        ("by_turn", "3", "0.0"), ("by_turn", "6", "1.0"),
        ("by_length", "3", "0.0"), ("by_length", "6", "0.25"),
    ]  # fmt: skip


calls = st.builds(
    ToolCall,
    st.sampled_from([RESPOND, "Find", "Book"]),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 1)),
)


@given(
    st.lists(
        st.tuples(calls, calls | st.builds(ParseError, st.just("no")), st.sampled_from("xyz")),
        min_size=1,
    )
)
def test_every_turn_is_counted_once(drawn):
    turns = [turn(reference, answer, name, i) for i, (reference, answer, name) in enumerate(drawn)]
    found = of(turns)
    assert sum(sum(row.values()) for row in found["confusion"].values()) == len(turns)
    for key in ("by_turn", "by_length"):
        assert sum(line["n"] for line in found[key]) == len(turns)
    of_reference = sum(
        len(one.reference.arguments)
        for one in turns
        if isinstance(one.prediction, ToolCall)
        and one.reference.name == one.prediction.name != RESPOND
    )
    counted = [names for tool in found["arguments"].values() for names in tool.values()]
    assert sum(sum(one.values()) - one["invented"] for one in counted) == of_reference
