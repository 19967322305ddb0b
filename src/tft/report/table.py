"""The benchmark's table and its flat metrics, from the metrics of the single cells."""

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from tft.errors import InputError

BASE = "base"
"""The cell of the student as it is before any fine-tuning."""

# Judge scores of the published benchmark by scenario kind: Qwen3-1.7B, judged by an LLM
# (openai.gpt-oss-120b) on 359 turns. Source: README of distil-labs/distil-tft-benchmarking, commit
# 95990a6. Another student and another judge: a direction to compare with, not a target to hit.
PUBLISHED = {
    "baseline": {"tft": 0.866, "direct": 0.864},
    "noisy_labels": {"tft": 0.844, "direct": 0.721},
    "schema_drift": {"tft": 0.844, "direct": 0.585},
    "low_data": {"tft": 0.852, "direct": 0.649},
    "trace_mixing": {"tft": 0.858, "direct": 0.694},
}
PUBLISHED_BY = "published (Qwen3-1.7B, LLM judge)"

Cells = Mapping[str, Mapping[str, Any]]
"""Metrics of each cell (`evaluation.summary`), by the cell's name: "base" or SCENARIO-PIPELINE."""


def cell_names(scenarios: Sequence[str], pipelines: Sequence[str]) -> list[str]:
    """The untuned student's cell, then one per scenario and pipeline, in the order of params."""
    return [BASE, *(f"{scenario}-{pipeline}" for scenario in scenarios for pipeline in pipelines)]


def judge_scores(cells: Cells, scenarios: Sequence[str], pipeline: str) -> dict[str, float]:
    """{scenario: judge score} of a pipeline: the flat form that `dvc metrics diff` lines up."""
    return {scenario: cells[f"{scenario}-{pipeline}"]["judge"] for scenario in scenarios}


def deltas(cells: Cells, scenarios: Sequence[str]) -> dict[str, float]:
    """{scenario: judge score of tft less that of direct}."""
    tft, direct = (judge_scores(cells, scenarios, name) for name in ("tft", "direct"))
    return {scenario: round(tft[scenario] - direct[scenario], 6) for scenario in scenarios}


def render(
    cells: Cells, kinds: Mapping[str, str], pipelines: Sequence[str], corpus: str, student: str
) -> str:
    """The page reports/benchmark.md, in GitHub's markdown.

    `kinds` is {scenario: kind}, in the order of the rows.

    Raises:
        InputError: the cells were judged by different judges, so their scores do not compare.
    """
    judges = {cells[name]["judged_by"] for name in cell_names(list(kinds), pipelines)}
    if len(judges) > 1:
        raise InputError(
            f"cells judged by different judges: {sorted(judges)}; `dvc repro -f judge` judges all"
        )
    lines = [
        f"# Benchmark: corpus {corpus}, student {student}, {judges.pop()}",
        "",
        "± is the standard error over conversations: turns of one may err together.",
        "",
    ]
    if {"tft", "direct"} <= set(pipelines):
        lines += [_comparison(cells, kinds), ""]
    rows = [["(untuned student)", "", *_numbers(cells[BASE]), ""]]
    for scenario, kind in kinds.items():
        for pipeline in pipelines:
            published = PUBLISHED.get(kind, {}).get(pipeline)
            numbers = _numbers(cells[f"{scenario}-{pipeline}"])
            rows.append([scenario, pipeline, *numbers, _score(published)])
    head = ["scenario", "pipeline", "judge", "staged tool call", "name accuracy"]
    head += ["service call exact", "n", "parse failures", f"judge, {PUBLISHED_BY}"]
    lines.append(_markdown(rows, head))
    return "\n".join(lines) + "\n"


def _comparison(cells: Cells, kinds: Mapping[str, str]) -> str:
    rows = []
    for scenario, kind in kinds.items():
        tft, direct = (cells[f"{scenario}-{name}"]["judge"] for name in ("tft", "direct"))
        ours = [_score(tft), _score(direct), f"{tft - direct:+.3f}"]
        theirs = ["", "", ""]
        if published := PUBLISHED.get(kind):
            theirs = [_score(published["tft"]), _score(published["direct"])]
            theirs.append(f"{published['tft'] - published['direct']:+.3f}")
        rows.append([scenario, *ours, *theirs])
    columns = ["TFT", "Direct", "delta"]
    return _markdown(rows, ["judge", *columns, *(f"{c}, {PUBLISHED_BY}" for c in columns)])


def _numbers(cell: Mapping[str, Any]) -> list[str]:
    return [
        f"{_score(cell['judge'])} ± {_score(cell['standard_errors']['judge']) or '?'}",
        _score(cell["staged_tool_call"]),
        _score(cell["name_accuracy"]),
        _score(cell["service_call_exact"]),
        str(cell["n"]),
        str(cell["parse_failures"]),
    ]


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _markdown(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)
