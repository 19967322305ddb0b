"""From predictions to the table, by the stages' own commands, and results that stay."""

import json
from pathlib import Path

import pytest
from fixtures.repository import run_stage
from fixtures.run import write_curation
from fixtures.tea import (
    CELLS,
    SCENARIOS,
    TRACE,
    prediction,
    run_to_table,
)
from ruamel.yaml import YAML

from tft.core.errors import InputError
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
from tft.report.table import BASELINES, judge_scores, render, render_robustness


def test_the_stages_go_from_predictions_to_the_table(tea_shop):
    printed = run_to_table()
    assert printed.strip() == Path("reports/benchmark.md").read_text().strip()

    verdicts = read_rows(Path("data/verdicts/base.parquet"), VERDICTS)
    assert [(row["good"], row["judge"]) for row in verdicts] == [
        (True, "rules judge v2"),
        (False, "rules judge v2"),
    ]
    scores = read_rows(Path("data/scores/turns/low_data-direct-123.parquet"), SCORES)
    assert [row["staged_tool_call"] for row in scores] == [0.75, 0.25]
    cell = json.loads(Path("data/scores/cells/base.json").read_text())
    expected = {"judged_by": "rules judge v2", "n": 2, "judge": 0.5}
    assert expected.items() <= cell.items()
    assert (cell["parse_failures"], cell["tools"]["OrderTea"]["judge"]) == (1, 1.0)

    flat = dict.fromkeys(SCENARIOS, 0.5)
    assert json.loads(Path("metrics/headline.json").read_text()) == flat
    assert json.loads(Path("data/scores/comparison.json").read_text()) == {}


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


def test_the_table_explains_corrected_scores_or_their_absence(tea_shop):
    printed = run_to_table()
    assert (
        "error rates on 155 published verdicts on students (sensitivity 0.982, specificity 0.881)"
    ) in printed
    measured = json.loads(Path("experiments/judge_agreement/judge.json").read_text())
    for change, told in (
        (
            {"judged_by": "LLM judge v1 (m)"},
            "experiments/judge_agreement/judge.json measured LLM judge v1 (m); `make",
        ),
        ({"both_bad": 0}, "the judge is no better than chance"),
    ):
        Path("experiments/judge_agreement/judge.json").write_text(json.dumps(measured | change))
        assert run_stage("score").exit_code == 0
        cell = json.loads(Path("data/scores/cells/base.json").read_text())
        assert (cell["judge"], cell["judge_corrected"]) == (0.5, None)
        printed = run_stage("report").output
        assert told in printed
        assert "judge, corrected" not in printed
        (head, *_, row) = [line for line in printed.splitlines() if line.startswith("|")]
        assert len(cells_in(head)) == len(cells_in(row)) == 9
    Path("experiments/judge_agreement/judge.json").unlink()
    assert (
        "experiments/judge_agreement/judge.json: not what `make judge-agreement` writes"
        in run_stage("score").output
    )


def test_the_table_says_when_a_machine_labeled_the_tests(tea_shop):
    assert "labelled by" not in run_to_table()
    told = {"labeled_by": "machine: rules filter, llm relabel"}
    write_json(Path("data/test/summary.json"), told)
    head, _, _ = run_stage("report").output.partition("## Every cell")
    assert "labeled by machine: rules filter, llm relabel." in head


def cells_in(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_scenario_without_scores_or_audit_gives_no_table(tea_shop):
    run_to_table()
    written = [Path("metrics/headline.json"), Path("reports/benchmark.md")]
    for path in written:
        path.unlink()
    for missing, stage in (
        ("data/scores/cells/low_data-direct.json", "score"),
        ("data/scores/cells/copy_last_call.json", "score"),
        ("data/audit/low_data.json", "audit"),
    ):
        content = Path(missing).read_text()
        Path(missing).unlink()
        done = run_stage("report")
        assert done.exit_code == 1
        assert f"{missing}: no such file; `dvc repro {stage}` makes it" in done.output
        assert not any(path.exists() for path in written)
        Path(missing).write_text(content)


def test_errors_about_missing_inputs_name_the_cell_and_the_command(tea_shop):
    Path("data/predictions/students/low_data-direct-123.parquet").unlink()
    run_stage("judge")
    done = run_stage("score")
    assert done.exit_code == 1
    assert "data/predictions: no low_data-direct-123.parquet to score" in done.output
    assert not Path("data/scores/cells").exists()

    for path in Path("data/predictions/students").iterdir():
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
    scenarios = ["baseline", "low_data"]
    line = {"tft": 0.65, "direct": 0.7, "difference": -0.05, "p": 0.01, "p_holm": 0.02}
    comparison = {
        "baseline": {**line, "interval": None},
        "low_data": {**line, "interval": [-0.09, -0.01]},
    }
    page = table_of(comparison, scenarios)
    assert "corrected for 2 comparisons (Holm).\nNeither p nor the brackets include" in page
    assert "similarity of a training conversation to a test conversation is 0.894," in page
    assert "or 0.942 without the agent's calls." in page
    table, beside, heading, _, cells_table = page.split("\n\n")[3:8]
    assert beside == (
        "Judge scores of baselines: always respond 0.100, most frequent call 0.100, copy last call "
        "0.100, untuned student 0.100."
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


def test_scores_of_different_judges_are_not_compared():
    cells = cells_of_both()
    cells["low_data-tft"]["judged_by"] = "rules judge v2"
    scenarios = ["baseline", "low_data"]
    with pytest.raises(InputError, match="different judges"):
        render(cells, {}, OVERLAPS, "the corpus", scenarios, ["direct", "tft"], "teas", "tiny")


# --- several training seeds -----------------------------------------------------------------------
@pytest.fixture
def two_seeds(tea_shop):
    """TFT's students answer all well from both seeds, Direct's from one."""
    content = YAML(typ="safe").load(Path("params.yaml"))
    content |= {"run": ["low_data"], "pipelines": ["direct", "tft"], "training_seeds": [1, 2]}
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
        path = Path(f"data/predictions/students/low_data-{name}.parquet")
        write_rows(path, PREDICTIONS, [order, answer])
    write_curation("low_data", ["direct", "tft"], [1, 2])


def test_a_cell_s_score_is_the_mean_over_seeds_with_the_spread_beside_it(two_seeds):
    lines = run_to_table().splitlines()
    cell = json.loads(Path("data/scores/cells/low_data-direct.json").read_text())
    assert (cell["judge"], cell["n"], cell["parse_failures"]) == (0.75, 2, 0.5)
    students = {name: one["judge"] for name, one in cell["students"].items()}
    assert students == {"low_data-direct-1": 0.5, "low_data-direct-2": 1.0}
    assert cell["spread"]["judge"] == 0.353553  # of 0.5 and 1: sqrt(2 * 0.25 ** 2 / 1)
    assert cell["intervals"]["judge"] is None  # of one conversation, whatever the seeds
    comparison = json.loads(Path("data/scores/comparison.json").read_text())["low_data"]
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


def test_scoring_requires_the_answers_of_every_seed(two_seeds):
    Path("data/predictions/students/low_data-tft-2.parquet").unlink()
    run_stage("judge")
    done = run_stage("score")
    assert (
        "data/predictions: no low_data-tft-2.parquet to score; `dvc repro predict`" in done.output
    )
    assert not Path("data/scores/cells").exists()
