"""Tool-call metrics equal the published ones, row for row."""

import pytest

from experiments.judge_agreement.judged import read_call
from tft.core.conversation import (
    Conversation,
    ParseError,
    Tool,
    ToolCall,
    Turn,
    assistant,
    render_call,
    user,
)
from tft.core.errors import InputError
from tft.core.tables import PREDICTIONS, read_turns, write_rows
from tft.core.task import Task
from tft.evaluation.metrics import (
    binary_tool_call,
    score,
    staged_tool_call,
    tool_call_equivalence,
)
from tft.evaluation.summary import summarize

TASK = Task(
    "book trips",
    (
        Tool(
            "BookTrip",
            "Book a trip",
            {"type": "object", "properties": {"seat": {"type": "string", "default": "aisle"}}},
        ),
    ),
    "be kind",
)
REFERENCE = ToolCall("BookTrip", {"to": "Ghent", "seat": "aisle"})


@pytest.mark.parametrize(
    ("prediction", "staged"),
    [
        (ParseError("empty text"), 0.0),
        (ToolCall("FindTrip", REFERENCE.arguments), 0.25),
        (ToolCall("BookTrip", {"to": "Ghent"}), 0.5),
        (ToolCall("BookTrip", {"to": "Bruges", "seat": "aisle"}), 0.75),
        (ToolCall("BookTrip", {"seat": "aisle", "to": "Ghent"}), 1.0),
    ],
)
def test_the_staged_score_rises_from_unparseable_to_equal(prediction, staged):
    assert staged_tool_call(REFERENCE, prediction) == staged
    assert binary_tool_call(REFERENCE, prediction) == (staged == 1)


def test_a_number_is_not_a_boolean():
    assert binary_tool_call(ToolCall("f", {"a": 1}), ToolCall("f", {"a": True})) == 0


def test_declared_defaults_may_be_left_out_but_not_changed():
    assert tool_call_equivalence(REFERENCE, ToolCall("BookTrip", {"to": "Ghent"}), TASK) == 1
    other = ToolCall("BookTrip", {"to": "Ghent", "seat": "window"})
    assert tool_call_equivalence(REFERENCE, other, TASK) == 0


def test_a_perfect_text_scores_one_everywhere():
    text = render_call(REFERENCE)
    assert read_call(text) == REFERENCE
    row = score(Turn("c", 1, (user("hi"),), REFERENCE, REFERENCE, text), TASK)
    assert {row[key] for key in ("staged_tool_call", "rouge", "name_accuracy")} == {1.0}
    assert row["parse_failure"] is False


def prediction_row(conversation: str, turn: int, call: ToolCall | None, raw: str = "") -> dict:
    return {
        "conversation": conversation,
        "turn": turn,
        "raw": raw,
        "name": call and call.name,
        "arguments": call and call.arguments_json,
        "error": None if call else "empty text",
        "finish_reason": "stop",
    }


def test_turns_and_predictions_must_match_one_to_one(tmp_path):
    conversation = Conversation("c", "s", (user("hi"), assistant("f", {})))
    path = tmp_path / "base.parquet"
    write_rows(path, PREDICTIONS, [])
    with pytest.raises(InputError, match=r"base\.parquet: no prediction for turn 1 of .*'c'"):
        read_turns(path, [conversation])
    rows = [prediction_row("c", 1, None), prediction_row("d", 3, None)]
    write_rows(path, PREDICTIONS, rows)
    # Whichever stage wrote it: DVC knows that it is out of date.
    with pytest.raises(InputError, match=r"turn 3 of conversation 'd' .*; `dvc repro` makes it"):
        read_turns(path, [conversation])


def test_predictions_come_back_as_calls_and_parse_errors(tmp_path):
    conversation = Conversation("c", "s", (user("hi"), assistant("f", {}), assistant("g", {})))
    path = tmp_path / "base.parquet"
    call = ToolCall("f", {"a": ["é", None]})
    write_rows(path, PREDICTIONS, [prediction_row("c", 1, call), prediction_row("c", 2, None)])
    first, second = read_turns(path, [conversation])
    assert (first.prediction, first.prefix) == (call, conversation.messages[:1])
    assert second.prediction == ParseError("empty text")


def test_a_summary_has_means_overall_and_per_tool():
    # Judge 1, 1, 0, 0: mean 0.5. A conversation a turn: sample deviation sqrt(1/3), standard error
    # sqrt(1/3)/2 = 0.288675. Two turns a conversation: its means are 1 and 0, sqrt(1/2)/sqrt(2).
    row = {"staged_tool_call": 0.5, "tool_call_equivalence": 0.0, "rouge": 0.25, "name_accuracy": 1}
    scores = [
        {
            **row,
            "conversation": conversation,
            "tool": tool,
            "judge": judge,
            "binary_tool_call": binary,
            "parse_failure": failed,
        }
        for conversation, tool, judge, binary, failed in [
            ("a", "respond_to_user", 1, 0.0, False),
            ("b", "respond_to_user", 1, 1.0, False),
            ("c", "BookTrip", 0, 1.0, False),
            ("d", "BookTrip", 0, 0.0, True),
        ]
    ]
    summary = summarize(scores)
    assert (summary["n"], summary["judge"]) == (4, 0.5)
    assert summary["standard_errors"]["judge"] == pytest.approx(0.288675, rel=0.03)  # resampled
    low, high = summary["intervals"]["judge"]
    assert 0 < low < 0.5 < high < 1
    paired = [{**score, "conversation": score["tool"]} for score in scores]
    assert summarize(paired)["standard_errors"]["judge"] == pytest.approx(0.5, rel=0.03)
    single = summarize(scores[:1])
    assert single["standard_errors"]["judge"] is single["intervals"]["judge"] is None
    assert (summary["parse_failures"], summary["service_call_exact"]) == (1, 0.5)
    assert summary["tools"]["respond_to_user"]["judge"] == 1
    assert summary["tools"]["BookTrip"]["n"] == 2
    with pytest.raises(InputError, match="no scores"):
        summarize([])
