"""The benchmark's table and its flat metrics, from the metrics of the single cells."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from tft.errors import InputError

BASELINES = {
    "always_respond": "(always respond)",
    "most_frequent_call": "(most frequent call)",
    "copy_last_call": "(copy last call)",
    "base": "(untuned student)",
}
"""Cells of no scenario and pipeline, and how their rows are called: what a score is worth."""
UNTRAINED = "(no training)"
"""In place of the baselines' scenario."""

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
PUBLISHED_BY = "Qwen3-1.7B, judged by an LLM on 359 turns"
INTERVALS = (
    "In brackets: 95 % intervals over conversations, whose turns may err together; none where "
    f"all score the same. Published: {PUBLISHED_BY}."
)

COLUMNS = (
    "judge",
    "staged tool call",
    "name accuracy",
    "service call exact",
    "n",
    "parse failures",
)

Cells = Mapping[str, Mapping[str, Any]]
"""Metrics of each cell (`evaluation.summary`), by its name: of BASELINES or SCENARIO-PIPELINE."""
Comparison = Mapping[str, Mapping[str, Any]]
"""What `evaluation.summary.compare_pipelines` says, by scenario."""
Sheet = tuple[list[str], list[list[str]]]
"""Head and rows of a table, as they are read."""


def cell_places(scenarios: Sequence[str], pipelines: Sequence[str]) -> dict[str, dict[str, str]]:
    """{cell: {scenario, pipeline}}: the baselines, then the trained, in the order of params."""
    trained = {
        f"{scenario}-{pipeline}": {"scenario": scenario, "pipeline": pipeline}
        for scenario in scenarios
        for pipeline in pipelines
    }
    untrained = {
        name: {"scenario": UNTRAINED, "pipeline": label} for name, label in BASELINES.items()
    }
    return untrained | trained


def cell_names(scenarios: Sequence[str], pipelines: Sequence[str]) -> list[str]:
    """The baselines' cells, then one per scenario and pipeline, in the order of params."""
    return list(cell_places(scenarios, pipelines))


def read_metrics(path: Path, stage: str, holds: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON object that a stage before this one wrote; `holds` are scenarios it must have.

    Raises:
        InputError: no such file, or it lacks one; names the stage that makes it.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dvc repro {stage}` makes it")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if missing := [name for name in holds if name not in content]:
        raise InputError(f"{path}: lacks scenario {missing[0]!r}; `dvc repro {stage}` adds it")
    return content


def judge_scores(cells: Cells, scenarios: Sequence[str], pipeline: str) -> dict[str, float]:
    """{scenario: judge score} of a pipeline: the flat form that `dvc metrics diff` lines up."""
    return {scenario: cells[f"{scenario}-{pipeline}"]["judge"] for scenario in scenarios}


def deltas(cells: Cells, scenarios: Sequence[str]) -> dict[str, float]:
    """{scenario: judge score of tft less that of direct}."""
    tft, direct = (judge_scores(cells, scenarios, name) for name in ("tft", "direct"))
    return {scenario: round(tft[scenario] - direct[scenario], 6) for scenario in scenarios}


def render(
    cells: Cells,
    comparison: Comparison,
    closest: float,
    kinds: Mapping[str, str],
    pipelines: Sequence[str],
    corpus: str,
    student: str,
) -> str:
    """The page reports/benchmark.md, in GitHub's markdown.

    `kinds` is {scenario: kind}, in the order of the rows, `closest` how alike a training and a test
    conversation are at most.

    Raises:
        InputError: the cells were judged by different judges, so their scores do not compare.
    """
    lines = [
        f"# {title(cells, corpus, student)}",
        "",
        INTERVALS,
        *about_seeds(cells),
        f"No training conversation is more than {closest:.3f} like a test conversation.",
        "",
    ]
    if both(pipelines):
        lines += [about_p(len(kinds)), "", _markdown(*comparison_sheet(comparison, kinds)), ""]
    lines.append(_markdown(*cells_sheet(cells, kinds, pipelines)))
    return "\n".join(lines) + "\n"


def title(cells: Cells, corpus: str, student: str) -> str:
    """What was run, and who judged.

    Raises:
        InputError: the cells were judged by different judges, so their scores do not compare.
    """
    judges = {cell["judged_by"] for cell in cells.values()}
    if len(judges) > 1:
        raise InputError(
            f"cells judged by different judges: {sorted(judges)}; `dvc repro -f judge` judges all"
        )
    return f"Benchmark: corpus {corpus}, student {student}, {judges.pop()}"


def both(pipelines: Sequence[str]) -> bool:
    """Whether there is a comparison: the two published pipelines were run."""
    return {"tft", "direct"} <= set(pipelines)


def about_p(comparisons: int) -> str:
    """What the comparison's p says."""
    return (
        "p: how likely chance alone sets TFT and Direct this far apart; paired over "
        f"conversations, corrected for {comparisons} comparisons (Holm)."
    )


def about_seeds(cells: Cells) -> list[str]:
    """What the columns of deviations say; nothing where all students have the same seed."""
    if (seeds := _seeds(cells)) == 1:
        return []
    return [
        f"Scores are means over {seeds} students that differ in the training seed alone. Between "
        "seeds: the standard deviation from one to another, which brackets and p leave out."
    ]


def _seeds(cells: Cells) -> int:
    return max(len(cell.get("students", [cell])) for cell in cells.values())


def _with_spreads(sheet: Sheet, beside: str, spreads: Sequence[float | None], seeds: int) -> Sheet:
    """The sheet with a column after the one whose spreads between seeds these are."""
    head, rows = sheet
    after = head.index(beside) + 1
    for row, spread in zip(rows, spreads, strict=True):
        row.insert(after, _score(spread))
    return [*head[:after], f"between {seeds} seeds", *head[after:]], rows


def comparison_sheet(comparison: Comparison, kinds: Mapping[str, str]) -> Sheet:
    """TFT against Direct, a row a scenario, in the order of `kinds`."""
    head = ["judge", "TFT", "Direct", "difference", "p"]
    head += [f"{column}, published" for column in head[1:4]]
    rows = []
    for scenario, kind in kinds.items():
        ours, published = comparison[scenario], PUBLISHED.get(kind)
        theirs = ["", "", ""]
        if published:
            theirs = [_score(published["tft"]), _score(published["direct"])]
            theirs.append(f"{published['tft'] - published['direct']:+.3f}")
        rows.append(
            [
                scenario,
                _score(ours["tft"]),
                _score(ours["direct"]),
                f"{ours['difference']:+.3f}{_interval(ours['interval'], '+.3f')}",
                _score(ours["p_holm"]),
                *theirs,
            ]
        )
    lines = [comparison[scenario] for scenario in kinds]
    if (seeds := len(lines[0].get("differences", [0]))) == 1:
        return head, rows
    return _with_spreads((head, rows), "difference", [line["spread"] for line in lines], seeds)


def cells_sheet(cells: Cells, kinds: Mapping[str, str], pipelines: Sequence[str]) -> Sheet:
    """A row a cell, in the order of `cell_names`."""
    head = ["scenario", "pipeline", *COLUMNS, "judge, published"]
    rows = [[label, "", *_numbers(cells[name]), ""] for name, label in BASELINES.items()]
    for scenario, kind in kinds.items():
        for pipeline in pipelines:
            published = _score(PUBLISHED.get(kind, {}).get(pipeline))
            rows.append([scenario, pipeline, *_numbers(cells[f"{scenario}-{pipeline}"]), published])
    if (seeds := _seeds(cells)) == 1:
        return head, rows
    names = cell_names(list(kinds), pipelines)
    spreads = [cells[name].get("spread", {}).get("judge") for name in names]
    return _with_spreads((head, rows), "judge", spreads, seeds)


def _numbers(cell: Mapping[str, Any]) -> list[str]:
    """In the order of COLUMNS."""
    intervals = cell["intervals"]
    return [
        _score(cell["judge"]) + _interval(intervals["judge"]),
        _score(cell["staged_tool_call"]),
        _score(cell["name_accuracy"]),
        _score(cell["service_call_exact"]) + _interval(intervals.get("service_call_exact")),
        str(cell["n"]),
        str(cell["parse_failures"]),
    ]


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(bounds: Sequence[float] | None, form: str = ".3f") -> str:
    return "" if bounds is None else f" [{', '.join(format(bound, form) for bound in bounds)}]"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)
