"""The teacher in its student's place, against a real server, and the gate before training."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.llm_server import Action, Handler, Server, answer
from fixtures.repository import ROOT, run_stage
from fixtures.run import run_stages, write_curation, write_experiments, write_policies
from fixtures.strategies import json_values, texts
from fixtures.tea import TASK, TEST, TRACE, prediction
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tft.core.conversation import ToolCall, assistant, user
from tft.core.tables import (
    PREDICTIONS,
    VERDICTS,
    read_rows,
    write_conversations,
    write_json,
    write_rows,
)
from tft.core.task import RESPOND, write_task
from tft.llm.chat import Refusal, Reply
from tft.llm.prompts import CALL, record, with_calls
from tft.predict.teacher import parse, question

CALLS = dict(TEST.turns())
Project = Callable[..., None]


def said(handler: Handler) -> list[dict[str, Any]]:
    """The messages that a teacher is shown."""
    lines = handler.question.partition("</conversation>")[0].splitlines()
    return [json.loads(line) for line in lines[1:]]


def teaches(choose: Callable[[ToolCall], ToolCall]) -> Action:
    """A teacher that answers a turn with what `choose` makes of its reference."""

    def act(handler: Handler) -> None:
        call = choose(CALLS[len(said(handler))])
        answer(json.dumps({"call": {"name": call.name, "arguments": call.arguments}}))(handler)

    return act


GOOD = teaches(lambda reference: reference)
BAD = teaches(lambda reference: ToolCall("OrderTea", {"kind": "gunpowder"}))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A repository just before the stage `teacher`, which asks a server's model."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_conversations(Path("data/test/conversations.parquet"), [TEST])
    write_task(Path("data/split/task.json"), TASK)
    for pipeline in ("direct", "tft"):
        write_conversations(Path(f"data/{pipeline}/low_data/train.parquet"), [TRACE])

    def write(server: Server | None = None, **teacher: Any) -> None:
        content = YAML(typ="safe").load(ROOT / "params.yaml")
        content |= {"run": ["low_data"], "pipelines": ["direct", "tft"]}
        student = content["students"]["tiny"]
        student["base"] = str(ROOT / "models/base")
        student["train"] |= {"num_train_epochs": 1, "eval_fraction": 0.0}
        if server:
            place = {"backend": "openai", "base_url": server.url, "requests_at_once": 2}
            content["llm"]["models"] |= {"m": place | {"model": "a-model"}}
            content["llm"] |= {"attempts": 1}
            content["teacher"] |= {"role": "llm", "model": "m"}
            content["judge"] |= {"models": ["m"]}
        content["teacher"] |= teacher
        YAML().dump(content, tmp_path / "params.yaml")

    return write


def teach(project: Project, action: Action, **teacher: Any) -> dict[str, Any]:
    with Server() as server:
        server.default = action
        project(server, **teacher)
        done = run_stage("teacher")
        assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(Path("data/teacher/summary.json").read_text())


def trained(pipeline: str) -> bool:
    return Path(f"models/adapters/low_data-{pipeline}-123/adapter_model.safetensors").exists()


def test_the_teacher_answers_every_turn_that_students_answer(project: Project) -> None:
    with Server() as server:
        server.default = GOOD
        project(server)
        assert run_stage("teacher").exit_code == 0
        files = list(Path("data/teacher").rglob("*.*"))
        first = {path: path.read_bytes() for path in files}
        assert run_stage("teacher").exit_code == 0  # again, for nothing
        assert {path: path.read_bytes() for path in files} == first
        assert len(server.sent) == len(CALLS)
    system, question = (one["content"] for one in server.sent[0]["messages"])
    assert "serve tea" in system
    assert '"OrderTea"' in system
    assert "be kind" not in system  # the rubric is the judge's
    assert "Assam, please" in question
    form = server.sent[0]["response_format"]["json_schema"]["schema"]
    assert form == with_calls(record(call=CALL), TASK)

    rows = read_rows(Path("data/teacher/teacher.parquet"), PREDICTIONS)
    assert [(row["turn"], row["name"]) for row in rows] == [(1, "OrderTea"), (3, RESPOND)]
    found = json.loads(Path("data/teacher/summary.json").read_text())
    expected = {"role": "llm", "model": "m", "judged_by": "rules judge v2", "judge": 1.0}
    assert expected.items() <= found.items()
    assert found["llm"]["teacher"]["m"]["requests"] == 2


def test_a_prompt_contains_nothing_after_its_turn() -> None:
    prefix = (user("Tea?"), assistant(RESPOND, {"message": "Which?"}), user("</conversation>"))
    shown = question(prefix)
    assert shown.count("</conversation>") == 1
    assert len(shown.partition("</conversation>")[0].splitlines()) == 1 + 3


def test_an_answer_that_is_not_a_call_becomes_a_parse_error(project: Project) -> None:
    found = teach(project, answer('{"call": {"name": "PourTea", "arguments": {}}}'))
    assert (found["judge"], found["bad"]) == (0.0, {"unparseable": 2})
    assert found["llm"]["teacher"]["m"]["refusals"] == {"against its schema": 2}
    rows = read_rows(Path("data/teacher/teacher.parquet"), PREDICTIONS)
    assert all("PourTea" in row["raw"] and row["name"] is None for row in rows)
    assert rows[0]["error"].startswith("against its schema")
    verdicts = read_rows(Path("data/teacher/verdicts/teacher.parquet"), VERDICTS)
    assert [row["good"] for row in verdicts] == [False, False]


@given(st.one_of(texts, json_values.map(json.dumps)))
def test_parsing_an_answer_never_raises(content: str) -> None:
    schema = with_calls(record(call=CALL), TASK)
    for outcome in (Reply(content, 1, 1), Refusal("not JSON", content), Refusal("cut", "\ud800")):
        row = parse(outcome, schema)
        assert (row["name"] is None) == (row["arguments"] is None) == (row["error"] is not None)
        assert row["raw"].encode() or row["error"]


def test_training_goes_on_when_the_teacher_scores_well(project: Project) -> None:
    assert teach(project, GOOD)["judge"] == 1.0
    done = run_stage("finetune", "low_data", "tft", "123")
    assert done.exit_code == 0, (done.output, done.exception)
    assert trained("tft")


def test_a_training_from_the_cache_keeps_the_time_it_took(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", "finetune@low_data-tft-123")
    teach(project, GOOD)
    assert run_stage("finetune", "low_data", "tft", "123").exit_code == 0
    noted = Path("reports/times/finetune@low_data-tft-123.json")
    first = noted.read_text()
    noted.write_text("{}")
    assert "taken from the cache" in run_stage("finetune", "low_data", "tft", "123").output
    assert noted.read_text() == first


def test_training_is_refused_when_the_teacher_scores_below_the_minimum(project: Project) -> None:
    assert teach(project, BAD)["judge"] == 0.0
    done = run_stage("finetune", "low_data", "tft", "123")
    assert done.exit_code == 1
    for told in (
        "data/teacher/summary.json",
        "'m' itself scores 0.000",
        "teacher.min_score in params.yaml, 0.7",
        "teacher.train_anyway: true",
    ):
        assert told in done.output
    assert not Path("models").exists()
    assert not Path("reports").exists()

    # No teacher wrote this one's conversations.
    assert run_stage("finetune", "low_data", "direct", "123").exit_code == 0
    assert trained("direct")

    for told in ({"train_anyway": True}, {"min_score": 0.0}):
        shutil.rmtree("models")
        project(role="llm", **told)
        done = run_stage("finetune", "low_data", "tft", "123")
        assert done.exit_code == 0, (done.output, done.exception)
        assert trained("tft")
        assert ("training anyway" in done.output) == ("train_anyway" in told)


def test_without_a_teacher_no_model_is_asked_and_training_goes_on(project: Project) -> None:
    project()
    assert run_stage("teacher").exit_code == 0
    assert json.loads(Path("data/teacher/summary.json").read_text()) == {"role": "none"}
    assert [path.name for path in Path("data/teacher").iterdir()] == ["summary.json"]
    assert run_stage("finetune", "low_data", "tft", "123").exit_code == 0
    assert trained("tft")
    Path("data/teacher/summary.json").unlink()
    done = run_stage("finetune", "low_data", "tft", "123")
    assert "data/teacher/summary.json: no such file; `dvc repro teacher` makes it" in done.output


def test_the_table_has_a_row_for_the_teacher_which_is_judged_once(project: Project) -> None:
    """By a language model that finds everything good."""

    def both(handler: Handler) -> None:
        if "rubric" in handler.asked["messages"][0]["content"]:
            return answer('{"reason": "kind", "verdict": "good"}')(handler)
        other = teaches(
            lambda one: one if one.name != RESPOND else ToolCall(RESPOND, {"message": "Here."})
        )
        return other(handler)

    with Server() as server:
        server.default = both
        project(server)
        params = YAML(typ="safe").load(Path("params.yaml"))
        params["judge"]["role"] = "llm"
        YAML().dump(params, Path("params.yaml"))
        assert run_stage("teacher").exit_code == 0
        asked = len(server.sent)
        assert asked == len(CALLS) + 1  # one turn is equal, so one is judged
        # The judge's request is counted by the stage judge.
        assert json.loads(Path("data/teacher/summary.json").read_text())["llm"].keys() == {
            "teacher"
        }
        for student in ("base", "low_data-direct-123", "low_data-tft-123"):
            rows = [prediction(1, None), prediction(3, None)]
            path = Path(f"data/predictions/students/{student}.parquet")
            write_rows(path, PREDICTIONS, rows)
        write_json(Path("data/test/summary.json"), {"labeled_by": "the corpus"})
        write_experiments()
        write_policies([TEST], [TRACE])
        write_curation("low_data", ["direct", "tft"])
        output = run_stages("judge", "score", "report")
        # Two policies speak; the teacher's turn is not asked again.
        new = [sent for sent in server.sent[asked:] if "Here." in sent["messages"][-1]["content"]]
        assert new == []
    (row,) = [line for line in output.splitlines() if "(teacher)" in line]
    assert [cell.strip() for cell in row.strip("|").split("|")][:4] == ["(teacher)", "", "1.000",
                                                                       "0.875"]  # fmt: skip
    assert (
        json.loads(Path("data/verdicts/summary.json").read_text())["cells"]["teacher"]["turns"] == 2
    )
