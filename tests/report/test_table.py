"""From predictions to the table, by the stages' own commands, and results that stay."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from fixtures.repository import ROOT, run_stage
from fixtures.tea import (
    CELLS,
    SCENARIOS,
    TRACE,
    prediction,
    run_to_table,
)
from ruamel.yaml import YAML

from tft.core.tables import (
    PREDICTIONS,
    SCORES,
    VERDICTS,
    read_rows,
    write_conversations,
    write_json,
    write_rows,
)
from tft.core.task import RESPOND
from tft.report import result
from tft.report.table import BASELINES, deltas, judge_scores, render, render_robustness


def test_the_stages_go_from_predictions_to_the_table(tea_shop):
    printed = run_to_table()
    assert printed.strip() == Path("reports/benchmark.md").read_text().strip()

    verdicts = read_rows(Path("data/verdicts/base.parquet"), VERDICTS)
    assert [(row["good"], row["judge"]) for row in verdicts] == [
        (True, "rules judge v2"),
        (False, "rules judge v2"),
    ]
    scores = read_rows(Path("data/scores/low_data-direct-123.parquet"), SCORES)
    assert [row["staged_tool_call"] for row in scores] == [0.75, 0.25]
    cell = json.loads(Path("metrics/cells/base.json").read_text())
    expected = {"judged_by": "rules judge v2", "n": 2, "judge": 0.5}
    assert expected.items() <= cell.items()
    assert (cell["parse_failures"], cell["tools"]["OrderTea"]["judge"]) == (1, 1.0)

    flat = dict.fromkeys(SCENARIOS, 0.5)
    for name in ("pipelines/direct", "headline"):
        assert json.loads(Path(f"metrics/{name}.json").read_text()) == flat
    assert not Path("metrics/pipelines/delta.json").exists()


def test_running_again_gives_the_same_bytes(tea_shop):
    run_to_table()
    written = [
        path for place in ("data", "metrics", "reports") for path in Path(place).rglob("*.*")
    ]
    before = {path: path.read_bytes() for path in written}
    run_to_table()
    assert before == {path: path.read_bytes() for path in before}


def test_the_table_names_judge_student_and_corpus(tea_shop):
    lines = run_to_table().splitlines()
    assert lines[0] == "# Benchmark: corpus builtin, student tiny, rules judge v2"
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(CELLS)
    assert "judge, published" in rows[0]
    assert "Published: Qwen3-1.7B, judged by an LLM" in lines[2]
    talk, _, copy, base, baseline = rows[2:7]
    assert "untuned" in base
    # The test conversation has a service call and a message: talking hits one by its name, though
    # not by what it says; the policy that has no last call to copy starts with a message and then
    # repeats the call of before.
    # Of the judge's rate of 0.5 the measured sensitivity of 111/113 and specificity of 37/42 leave
    # (0.5 + 37/42 - 1) / (111/113 + 37/42 - 1) = 0.441; one conversation has no interval.
    assert cells_in(talk)[:6] == ["(always respond)", "", "0.000", "0.000", "0.500", "0.500"]
    assert cells_in(copy)[:6] == ["(copy last call)", "", "0.000", "0.000", "0.250", "0.000"]
    assert cells_in(baseline) == [
        "baseline", "direct", "0.500", "0.441", "0.500", "0.500", "0.000", "2", "0", "0.864",
    ]  # fmt: skip


def test_the_table_says_what_corrected_scores_rest_on_or_why_there_are_none(tea_shop):
    printed = run_to_table()
    assert "against 155 published verdicts on students (sensitivity 0.982, specificity 0.881)" in (
        printed
    )
    measured = json.loads(Path("metrics/judge.json").read_text())
    for change, told in (
        ({"judged_by": "LLM judge v1 (m)"}, "metrics/judge.json measured LLM judge v1 (m); `make"),
        ({"both_bad": 0}, "it errs by chance"),
    ):
        Path("metrics/judge.json").write_text(json.dumps(measured | change))
        assert run_stage("score").exit_code == 0
        cell = json.loads(Path("metrics/cells/base.json").read_text())
        assert (cell["judge"], cell["judge_corrected"]) == (0.5, None)
        printed = run_stage("report").output
        assert told in printed
        assert "judge, corrected" not in printed
        (head, *_, row) = [line for line in printed.splitlines() if line.startswith("|")]
        assert len(cells_in(head)) == len(cells_in(row)) == 9
    Path("metrics/judge.json").unlink()
    assert "metrics/judge.json: not what `make calibrate` writes" in run_stage("score").output


def test_labels_of_a_machine_are_told_of_above_the_table(tea_shop):
    assert "labelled by" not in run_to_table()
    told = {"labelled_by": "machine: rules filter, llm relabel"}
    write_json(Path("metrics/references.json"), told)
    head, _, _ = run_stage("report").output.partition("## Every cell")
    assert "labelled by machine: rules filter, llm relabel. Scores are against these" in head


def cells_in(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_scenario_without_metrics_gives_no_table(tea_shop):
    run_to_table()
    for path in Path("metrics/pipelines").iterdir():
        path.unlink()
    for missing, stage in (
        ("metrics/cells/low_data-direct.json", "score"),
        ("metrics/cells/copy_last_call.json", "score"),
        ("metrics/contamination/direct.json", "contamination"),
    ):
        content = Path(missing).read_text()
        Path(missing).unlink()
        done = run_stage("report")
        assert done.exit_code == 1
        assert f"{missing}: no such file; `dvc repro {stage}` makes it" in done.output
        assert not list(Path("metrics/pipelines").iterdir())
        Path(missing).write_text(content)
    overlaps = json.loads(content)
    del overlaps["low_data"]
    Path(missing).write_text(json.dumps(overlaps))
    done = run_stage("report")
    assert f"{missing}: lacks scenario 'low_data'; `dvc repro contamination`" in done.output
    assert not list(Path("metrics/pipelines").iterdir())


def test_missing_inputs_name_the_cell_and_the_command(tea_shop):
    Path("data/predictions/low_data-direct-123.parquet").unlink()
    run_stage("judge")
    done = run_stage("score")
    assert done.exit_code == 1
    assert "data/predictions: no low_data-direct-123.parquet to score" in done.output
    assert not Path("metrics/cells").exists()

    for path in Path("data/predictions").iterdir():
        path.unlink()
    for stage in ("judge", "score"):
        done = run_stage(stage)
        assert done.exit_code == 1
        assert "dvc repro predict" in done.output


def test_verdicts_of_other_turns_are_refused(tea_shop):
    run_stage("judge")
    path = Path("data/verdicts/base.parquet")
    write_rows(path, VERDICTS, read_rows(path, VERDICTS)[:1])
    done = run_stage("score")
    assert done.exit_code == 1
    assert "data/verdicts/base.parquet" in done.output


def cells_of_both() -> dict:
    metrics = {
        "intervals": {"judge": [0.1, 0.9], "judge_corrected": None, "name_accuracy": None,
                      "staged_tool_call": [0.4, 0.6]},
        "judge_corrected": 0.2,
        "judge_measured": {"judged_by": "rules judge v1", "n": 9, "sensitivity": 1.0,
                           "specificity": 0.9},
        "staged_tool_call": 0.5, "name_accuracy": 0.9, "n": 10,
        "parse_failures": 1, "service_call_exact": None, "judged_by": "rules judge v1",
    }  # fmt: skip
    cells = {name: {**metrics, "judge": 0.1} for name in BASELINES}
    for name, direct, tft in (("baseline", 0.8, 0.85), ("low_data", 0.7, 0.65), ("own", 0.7, 0.65)):
        cells |= {f"{name}-direct": {**metrics, "judge": direct}}
        cells |= {f"{name}-tft": {**metrics, "judge": tft}}
    return cells


def overlap(whole: float, said: float) -> dict:
    return {"closest": {"similarity": whole}, "closest_without_calls": {"similarity": said}}


OVERLAPS = {
    "direct": {
        "baseline": overlap(0.5, 0.9415),
        "low_data": overlap(0.25, 0.75),
        "own": overlap(0, 0),
    },
    "tft": {"baseline": overlap(0.894, 0.5), "low_data": overlap(0.5, 0.5), "own": overlap(0, 0)},
}


def table_of(comparison: dict, scenarios: list[str], corpus: str = "teas") -> str:
    both = ["direct", "tft"]
    return render(
        cells_of_both(), comparison, OVERLAPS, "the corpus", scenarios, both, corpus, student="tiny"
    )


def test_two_pipelines_are_compared():
    cells = cells_of_both()
    assert judge_scores(cells, ["baseline", "low_data"], "tft") == {
        "baseline": 0.85,
        "low_data": 0.65,
    }
    assert deltas(cells, ["baseline", "low_data"]) == {"baseline": 0.05, "low_data": -0.05}
    scenarios = ["baseline", "low_data"]
    line = {"tft": 0.65, "direct": 0.7, "difference": -0.05, "p": 0.01, "p_holm": 0.02}
    comparison = {
        "baseline": {**line, "interval": None},
        "low_data": {**line, "interval": [-0.09, -0.01]},
    }
    page = table_of(comparison, scenarios)
    assert "corrected for 2 comparisons (Holm).\nIt and the brackets are of these students;" in page
    assert "more than 0.894 like a test conversation, or, calls left out of both, more" in page
    assert "both, more than 0.942." in page
    table, beside, heading, _, cells_table = page.split("\n\n")[3:8]
    assert beside == (
        "Beside them: always respond 0.100, most frequent call 0.100, copy last call 0.100, "
        "untuned student 0.100."
    )
    assert heading == "## Every cell"
    assert cells_in(table.splitlines()[3]) == [
        "low_data", "0.650", "0.700", "-0.050 [-0.090, -0.010]", "0.020",
        "0.852", "0.649", "+0.203",
    ]  # fmt: skip
    assert len(cells_table.splitlines()) == 2 + len(BASELINES) + 4
    assert max(map(len, page.splitlines())) <= 200


def test_own_traces_have_no_published_scores_beside_them():
    scenarios = ["baseline", "own"]
    line = {"tft": 0.65, "direct": 0.7, "difference": -0.05, "interval": None, "p_holm": 1.0}
    comparison = {"baseline": line, "own": line}
    page = table_of(comparison, scenarios, "traces")
    (row,) = [line for line in page.splitlines() if cells_in(line)[:2] == ["own", "0.650"]]
    assert cells_in(row) == ["own", "0.650", "0.700", "-0.050", "1.000", "", "", ""]
    del scenarios[0]
    page = table_of(comparison, scenarios, "traces")
    assert "ublished" not in page.replace("published verdicts", "")
    (row,) = [line for line in page.splitlines() if cells_in(line)[:2] == ["own", "0.650"]]
    assert cells_in(row) == ["own", "0.650", "0.700", "-0.050", "1.000"]


def test_scores_under_other_names_stand_beside_the_original_ones():
    measured = {"judge": 0.5, "name_accuracy": 1.0, "service_call_exact": None,
                "staged_tool_call": 0.75}  # fmt: skip
    cell = {
        "original": measured | {"judge": 0.75},
        "variants": {"v1": measured, "v4": measured},
        "reworded": measured,
        "deviation": measured | {"judge": 0.0625},
        "sensitivity": {"judge": 0.25},
    }
    cells = {"base": cell, "baseline-tft": cell, "baseline-direct": cell}
    line = {"tft": 0.5, "direct": 0.5, "difference": 0.0, "interval": None, "p_holm": 1.0}
    found = {"seed": 7, "cells": cells, "comparison": {"baseline": line}}
    text = render_robustness(found, ["baseline"], ["direct", "tft"])
    assert "students (of seed 7) and turns" in text
    assert "(v1, v4)" in text
    compared, of_cells = (part.splitlines() for part in text.split("\n\n")[2:])
    assert cells_in(compared[2]) == ["baseline", "0.500", "0.500", "+0.000", "1.000"]
    assert cells_in(of_cells[-1]) == [
        "baseline", "tft", "0.750", "0.500 ± 0.062", "1.000", "1.000 ± 1.000", "", "", "0.750",
        "0.750 ± 0.750", "0.250",
    ]  # fmt: skip
    assert render_robustness({}, ["baseline"], ["direct", "tft"]) == ""


def test_scores_of_different_judges_are_not_set_side_by_side():
    cells = cells_of_both()
    cells["low_data-tft"]["judged_by"] = "rules judge v2"
    scenarios = ["baseline", "low_data"]
    with pytest.raises(result.InputError, match="different judges"):
        render(cells, {}, OVERLAPS, "the corpus", scenarios, ["direct", "tft"], "teas", "tiny")


# --- several training seeds -----------------------------------------------------------------------
@pytest.fixture
def two_seeds(tea_shop):
    """TFT's students answer all well from both seeds, Direct's from one."""
    content = YAML(typ="safe").load(Path("params.yaml"))
    content |= {"run": ["low_data"], "pipelines": ["direct", "tft"], "seeds": [1, 2]}
    YAML().dump(content, Path("params.yaml"))
    write_conversations(Path("data/tft/low_data/train.parquet"), [TRACE])
    order = prediction(1, "OrderTea", kind="assam")
    silent, kind = prediction(3, None), prediction(3, RESPOND, message="Done. Anything else?")
    for name, answer in (
        ("direct-1", silent),
        ("direct-2", kind),
        ("tft-1", kind),
        ("tft-2", kind),
    ):
        path = Path(f"data/predictions/low_data-{name}.parquet")
        write_rows(path, PREDICTIONS, [order, answer])
    assert run_stage("contamination", "tft").exit_code == 0


def test_a_cells_score_is_the_mean_over_seeds_and_their_spread_stands_apart(two_seeds):
    lines = run_to_table().splitlines()
    cell = json.loads(Path("metrics/cells/low_data-direct.json").read_text())
    assert (cell["judge"], cell["n"], cell["parse_failures"]) == (0.75, 2, 0.5)
    students = {name: one["judge"] for name, one in cell["students"].items()}
    assert students == {"low_data-direct-1": 0.5, "low_data-direct-2": 1.0}
    assert cell["spread"]["judge"] == 0.353553  # of 0.5 and 1: sqrt(2 * 0.25 ** 2 / 1)
    assert cell["intervals"]["judge"] is None  # of one conversation, whatever the seeds
    comparison = json.loads(Path("metrics/comparison.json").read_text())["low_data"]
    assert (comparison["tft"], comparison["direct"], comparison["difference"]) == (1.0, 0.75, 0.25)
    assert (comparison["differences"], comparison["spread"]) == ([0.5, 0.0], 0.353553)
    assert json.loads(Path("metrics/headline.json").read_text()) == {"low_data": 0.75}

    assert "means over 2 students" in lines[3]
    assert "another training seed" not in "".join(lines)  # there are more of them
    compared, cells = (
        [cells_in(line) for line in part.splitlines()]
        for part in "\n".join(lines).split("\n\n")
        if part.startswith("|")
    )
    assert compared[0][3:5] == ["difference", "between 2 seeds"]
    assert compared[2][1:5] == ["1.000", "0.750", "+0.250", "0.354"]
    assert cells[0][2:4] == ["judge", "between 2 seeds"]
    told = {tuple(row[:2]): row[2:4] for row in cells[2:]}
    assert told["low_data", "direct"] == ["0.750", "0.354"]
    assert told["low_data", "tft"] == ["1.000", "0.000"]
    assert told["(untuned student)", ""] == ["0.500", ""]


def test_every_seed_is_scored(two_seeds):
    Path("data/predictions/low_data-tft-2.parquet").unlink()
    run_stage("judge")
    done = run_stage("score")
    assert (
        "data/predictions: no low_data-tft-2.parquet to score; `dvc repro predict`" in done.output
    )
    assert not Path("metrics/cells").exists()


# --- results that stay ------------------------------------------------------------------------
@pytest.fixture
def finished(tea_shop):
    """The project after a run, in git and known to DVC."""
    run_to_table()
    for other_stages in ("times", "robustness", "sweep"):
        Path(f"metrics/{other_stages}.json").write_text("{}")
    for step in result.CURATION:
        for scenario in [*SCENARIOS, "of_another_run"]:
            write_json(Path(f"metrics/{step}/{scenario}.json"), {"step": step})
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "core.hooksPath="]
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    # One stage that is up to date, and goes out of date when params change.
    stage = "stages:\n  report:\n    cmd: 'true'\n    params: [student]\n"
    Path("dvc.yaml").write_text(stage)
    subprocess.run([sys.executable, "-m", "dvc", "commit", "--force", "--quiet"], check=True)
    subprocess.run(["git", "add", "params.yaml", "dvc.yaml"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "run"], check=True)
    return tea_shop


def test_a_result_holds_metrics_table_params_and_where_they_came_from(finished):
    Path("metrics/pipelines/tft.json").write_text("{}")  # left over from a run with other pipelines
    kept = result.keep_result("sgd-tiny", finished)
    assert kept == finished / "results" / "sgd-tiny"
    assert {path.name for path in kept.iterdir()} == {
        "cells", "direct.json", "comparison.json", "benchmark.md", "params.yaml",
        "provenance.json", "robustness.json", "times.json", *result.CURATION,
    }  # fmt: skip
    assert {path.stem for path in (kept / "cells").iterdir()} == set(CELLS)
    for step in result.CURATION:
        assert {path.stem for path in (kept / step).iterdir()} == set(SCENARIOS)
        assert json.loads((kept / step / "low_data.json").read_text()) == {"step": step}
    stamp = json.loads((kept / "provenance.json").read_text())
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert stamp["commit"] == head.stdout.strip()
    assert (stamp["dirty"], stamp["uncommitted"]) == (False, [])
    assert stamp["packages"]["torch"]

    # Kept again under the same name: replaced whole, nothing left beside.
    (kept / "stray").touch()
    Path("pyproject.toml").touch()
    result.keep_result("sgd-tiny", finished)
    assert not (kept / "stray").exists()
    assert [path.name for path in kept.parent.iterdir()] == ["sgd-tiny"]
    stamp = json.loads((kept / "provenance.json").read_text())
    assert (stamp["dirty"], stamp["uncommitted"]) == (True, ["pyproject.toml"])


def test_a_result_holds_the_sweep_of_its_corpus_and_student_alone(finished):
    run = {"corpus": "builtin", "student": "tiny"}
    swept = {"low_data": run, "noisy_labels": run | {"corpus": "sgd"}}
    write_json(Path("metrics/sweep.json"), swept)
    kept = result.keep_result("mine", finished)
    assert json.loads((kept / "sweep.json").read_text()) == {"low_data": run}


def test_a_result_is_refused_when_it_would_lie(finished):
    runner = CliRunner()
    for name in ("../up", "", ".", "Caps"):
        done = runner.invoke(result.main, ["--", name])
        assert (done.exit_code, "result name" in done.output) == (1, True)

    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace("student: tiny", "student: qwen3-1.7b"))
    done = runner.invoke(result.main, ["sgd-tiny"])
    assert (done.exit_code, "out of date: report" in done.output) == (1, True)

    Path("params.yaml").write_text(params)
    Path("metrics/pipelines/direct.json").unlink()
    done = runner.invoke(result.main, ["sgd-tiny"])
    assert "metrics/pipelines/direct.json: no such file; `make run` first" in done.output
    assert not Path("results").exists()


def test_without_git_there_is_no_result(tea_shop):
    run_to_table()
    with pytest.raises(result.InputError):
        result.keep_result("sgd-tiny", tea_shop)
    assert not Path("results").exists()


def test_the_readme_shows_the_tables_of_the_results_that_it_names():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names = re.findall("<!-- table: results/(.+)/benchmark.md -->", readme)
    assert names
    for name in names:
        table = (ROOT / "results" / name / "benchmark.md").read_text(encoding="utf-8")
        shown = result.with_table(readme, name, table)
        assert shown == readme, f"`make result NAME={name}` mends it"


def test_a_kept_result_sets_the_readmes_table_anew(finished):
    readme = "# Teas\n<!-- table: results/sgd-tiny/benchmark.md -->\nold\n<!-- /table -->\nEnd.\n"
    Path("README.md").write_text(readme)
    for name in ("other", "sgd-tiny"):
        assert Path("README.md").read_text() == readme
        done = CliRunner().invoke(result.main, [name])
        assert (done.exit_code, done.output) == (0, f"kept as results/{name}; commit it with git\n")
    table = Path("results/sgd-tiny/benchmark.md").read_text()
    shown = table.split("\n", 1)[1].split("## Every cell")[0].strip()
    assert shown and "| scenario" not in shown
    assert Path("README.md").read_text() == readme.replace("old", shown)

    with pytest.raises(result.InputError, match="no line <!-- /table --> ends it"):
        result.with_table(readme.replace("/table", "table"), "sgd-tiny", table)
