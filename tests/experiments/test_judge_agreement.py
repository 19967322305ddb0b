"""How often a judge agrees with published verdicts, and the published files themselves."""

import json
from pathlib import Path

import pytest
from fixtures.repository import ROOT

from experiments.judge_agreement.judged import (
    JUDGED_FILE,
    VERDICT,
    JudgedRow,
    measure,
    parse_judged,
    read_judged,
)
from tft.config import load_params
from tft.core.conversation import ToolCall, Turn, Verdict
from tft.core.errors import InputError
from tft.core.task import RESPOND, read_task
from tft.evaluation.metrics import (
    binary_tool_call,
    rouge_l,
    staged_tool_call,
    tool_call_equivalence,
)
from tft.judge.choose import choose
from tft.llm import connect


def judged(name: str, predicted: str, good: float) -> JudgedRow:
    turn = Turn("f", 0, (), ToolCall(name, {}), ToolCall(predicted, {}), "")
    return JudgedRow(turn, "", {VERDICT: good})


def test_agreement_is_counted_by_kind_and_without_turns_that_have_no_verdict():
    rows = [
        judged(RESPOND, RESPOND, 1.0),
        judged(RESPOND, RESPOND, 0.0),
        judged(RESPOND, "Book", 0.0),
        judged("Book", "Book", 1.0),
    ]
    verdicts = [Verdict(good, "") for good in (True, True, None, True)]
    result = measure(rows, verdicts)
    assert result == {
        "all": (2, 0, 1, 0),
        "messages": (1, 0, 1, 0),
        "service_calls": (1, 0, 0, 0),
        "name_alone": (2, 0, 1, 1),
    }
    assert measure(rows[:1], verdicts[:1]).keys() == {"all", "messages", "name_alone"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"answer": "no call"}, "answer"),
        ({"question": "[1]"}, "message 0"),
        ({"question": None}, "must be str"),
        ({"prediction": None}, "NoneType"),
        ({VERDICT: 0.5}, "expected 0.0 or 1.0, got 0.5"),
        ({VERDICT: "good"}, VERDICT),
    ],
)
def test_an_error_about_a_malformed_line_names_file_and_line(change, told):
    call = '{"name": "respond_to_user", "parameters": {"message": "Hi"}}'
    row = {"question": "[]", "answer": call, "prediction": "nonsense", VERDICT: 1.0}
    lines = "\n".join(json.dumps(one) for one in (row, row | change))
    with pytest.raises(InputError, match=rf"judged/x\.jsonl:2: .*{told}"):
        parse_judged("judged/x.jsonl", lines.encode())
    (first,) = parse_judged("judged/x.jsonl", json.dumps(row).encode())
    assert (first.good, first.tool, first.turn.conversation) == (True, RESPOND, "x")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("judged/any.jsonl", True),
        ("scenario-1/tft/model-predictions.jsonl", True),
        ("base-model-predictions-download.jsonl", True),
        ("test.jsonl", False),
        ("scenario-1/traces.jsonl.gz", False),
        ("judged/notes.txt", False),
    ],
)
def test_files_of_verdicts_are_recognized_by_their_names(name, is_one):
    assert bool(JUDGED_FILE.fullmatch(Path(name).as_posix())) == is_one


def test_an_error_about_a_broken_file_of_verdicts_names_the_line(tmp_path, published_folder):
    path = tmp_path / "judged.jsonl"
    judged = published_folder / "judged" / "original-model-predictions.jsonl"
    first = judged.read_text().splitlines()[0]
    path.write_text(first + "\n" + json.dumps({"question": "[]"}) + "\n")
    with pytest.raises(InputError, match=r"judged\.jsonl:2"):
        read_judged(path)


def test_the_shipped_agreement_was_measured_with_the_judge_that_params_name(published_folder):
    found = json.loads((ROOT / "experiments/judge_agreement/judge.json").read_text())
    params = load_params(ROOT / "params.yaml")
    judge_now, judged_by = choose(params.judge, connect(params.llm), "test", params.judge.today)
    assert found["judged_by"] == judged_by, "run `make judge-agreement`"
    judged = sorted((published_folder / "judged").glob("*.jsonl"))
    rows = [row for path in judged for row in read_judged(path)]
    task = read_task(published_folder / "job_description.json")
    verdicts = judge_now([row.turn for row in rows], task)
    assert measure(rows, verdicts)["all"].summary().items() <= found.items()


def test_metrics_reproduce_the_published_scores_of_the_published_rows(published_folder):
    task = read_task(published_folder / "job_description.json")
    judged = sorted((published_folder / "judged").glob("*.jsonl"))
    rows = [row for path in judged for row in read_judged(path)]
    assert len(rows) == 155
    for turn, answer, scores in rows:
        pair = (turn.reference, turn.prediction)
        assert staged_tool_call(*pair) == scores["staged_tool_call"]
        assert binary_tool_call(*pair) == scores["binary_tool_call"]
        assert tool_call_equivalence(*pair, task) == scores["tool_call_equivalence"]
        assert rouge_l(answer, turn.raw) == pytest.approx(scores["rouge"], abs=1e-6)
