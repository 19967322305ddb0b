"""The benchmark's table and its flat metrics, from the metrics of cells."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from tft.core.errors import InputError
from tft.core.metrics import CellMetrics, Comparison, Interval, Overlap

BASELINES = {
    "always_respond": "(always respond)",
    "most_frequent_call": "(most frequent call)",
    "copy_last_call": "(copy last call)",
    "base": "(untuned student)",
}
"""Cells without scenario and pipeline, beside which scores are read, and labels of their rows."""
TEACHER = "teacher"
LABELS = BASELINES | {TEACHER: "(teacher)"}
"""The baselines and the teacher, if `teacher.role` is not none."""
UNTRAINED = "(no training)"
"""Shown instead of a scenario for baselines."""

# Judge scores of the published benchmark, by the names of scenarios in params.yaml: Qwen3-1.7B,
# judged by an LLM (openai.gpt-oss-120b) on 359 turns. Source: README of
# distil-labs/distil-tft-benchmarking, commit 95990a6. Student and judge differ from ours, so
# compare directions, not values.
PUBLISHED = {
    "baseline": {"tft": 0.866, "direct": 0.864},
    "noisy_labels": {"tft": 0.844, "direct": 0.721},
    "schema_drift": {"tft": 0.844, "direct": 0.585},
    "low_data": {"tft": 0.852, "direct": 0.649},
    "trace_mixing": {"tft": 0.858, "direct": 0.694},
}
PUBLISHED_BY = "Qwen3-1.7B, judged by an LLM on 359 turns"
INTERVALS = (
    "Brackets: 95 % intervals over conversations, whose turns may err together; exact where all "
    "turns score 0 or all score 1."
)

EVERY_CELL = "## Every cell"
"""The heading at which details begin that README.md leaves to results/."""

MEASURES = {"judge": "judge", "service_call_exact": "service calls exact"}
"""The measures of sweeps and of the charts of experiments, and their labels."""
UNDER_OTHER_NAMES = "The same tools under other names"
CORRECTED = "judge, corrected"
COLUMNS = (
    "judge",
    CORRECTED,
    "staged tool call",
    "name accuracy",
    "service call exact",
    "n",
    "parse failures",
)

Cells = Mapping[str, CellMetrics]
"""Metrics of each cell (`evaluation.summary`), by name: SCENARIO-PIPELINE or a key of LABELS."""
Comparisons = Mapping[str, Comparison]
"""The result of `evaluation.summary.compare_pipelines`, by scenario."""
Robustness = Mapping[str, Any]
"""The result of the experiment `robustness`; empty if it was not run."""
Contamination = Mapping[str, Mapping[str, Overlap]]
"""The overlap that the stage `audit` found: {pipeline: {scenario: overlap with the tests}}."""
Sweep = Mapping[str, Mapping[str, Any]]
"""The result of the experiment `sweep`, by scenario; empty if it was not run."""
Sheet = tuple[list[str], list[list[str]]]
"""Header and rows of a table, formatted as text."""


def cell_places(
    scenarios: Sequence[str], pipelines: Sequence[str], teacher: bool = False
) -> dict[str, dict[str, str]]:
    """{cell: {scenario, pipeline}}: baselines, then trained cells, in the order of params."""
    trained = {
        f"{scenario}-{pipeline}": {"scenario": scenario, "pipeline": pipeline}
        for scenario in scenarios
        for pipeline in pipelines
    }
    untrained = {
        name: {"scenario": UNTRAINED, "pipeline": label}
        for name, label in (LABELS if teacher else BASELINES).items()
    }
    return untrained | trained


def cell_names(
    scenarios: Sequence[str], pipelines: Sequence[str], teacher: bool = False
) -> list[str]:
    """The names of the baselines, then one per scenario and pipeline, in the order of params."""
    return list(cell_places(scenarios, pipelines, teacher))


def read_metrics(path: Path, stage: str, holds: Sequence[str] = ()) -> Any:
    """Read the JSON object of an earlier stage; `holds` are scenarios that it must contain.

    Raises:
        InputError: the file does not exist or lacks a scenario; names the stage that makes it.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dvc repro {stage}` makes it")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if missing := [name for name in holds if name not in content]:
        raise InputError(f"{path}: lacks scenario {missing[0]!r}; `dvc repro {stage}` adds it")
    return content


def sweep_of(sweep: Sweep, corpus: str, student: str) -> Sweep:
    """The part of a sweep that is of this corpus and student, because the file outlives runs."""
    run = (corpus, student)
    return {
        name: swept for name, swept in sweep.items() if (swept["corpus"], swept["student"]) == run
    }


def of_student(cell: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The metrics of one student of a cell, CELL-SEED; with one seed they are the cell's."""
    metrics: Mapping[str, Any] = cell.get("students", {}).get(name, cell)
    return metrics


def judge_scores(cells: Cells, scenarios: Sequence[str], pipeline: str) -> dict[str, float]:
    """{scenario: judge score} of a pipeline, flat, as `dvc metrics diff` needs it."""
    return {scenario: cells[f"{scenario}-{pipeline}"]["judge"] for scenario in scenarios}


def render(
    cells: Cells,
    comparison: Comparisons,
    contamination: Contamination,
    labeled_by: str,
    scenarios: Sequence[str],
    pipelines: Sequence[str],
    corpus: str,
    student: str,
) -> str:
    """The content of reports/benchmark.md, in GitHub's Markdown.

    Rows are in the order of `scenarios`. `labeled_by` is that of data/test/summary.json.

    Raises:
        InputError: the cells were judged by different judges, so their scores do not compare.
    """
    lines = [
        f"# {title(cells, corpus, student)}",
        "",
        about_intervals(scenarios),
        *about_seeds(cells),
        *about_labels(labeled_by),
        about_contamination(contamination),
        "",
    ]
    if both(pipelines):
        lines += [about_p(len(scenarios), cells), ""]
        lines += [
            _markdown(*comparison_sheet(comparison, scenarios)),
            "",
            about_baselines(cells),
            "",
        ]
    lines += [EVERY_CELL, "", about_correction(cells), ""]
    lines.append(_markdown(*cells_sheet(cells, scenarios, pipelines)))
    return "\n".join(lines) + "\n"


def render_robustness(
    robustness: Robustness, scenarios: Sequence[str], pipelines: Sequence[str]
) -> str:
    """The end of reports/benchmark.md; empty if the experiment was not run."""
    if not robustness:
        return ""
    sheets = robustness_sheets(robustness, scenarios, pipelines)
    parts = [f"\n## {UNDER_OTHER_NAMES}", about_robustness(robustness)]
    return "\n\n".join([*parts, *(_markdown(*sheet) for sheet in sheets)]) + "\n"


def title(cells: Cells, corpus: str, student: str) -> str:
    """The title, with corpus, student, and judge.

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
    """Whether both pipelines of the comparison, tft and direct, were run."""
    return {"tft", "direct"} <= set(pipelines)


def about_intervals(scenarios: Sequence[str]) -> str:
    """A caption that explains brackets and, if there are any, the published columns."""
    return f"{INTERVALS} Published: {PUBLISHED_BY}." if _is_published(scenarios) else INTERVALS


def _is_published(scenarios: Sequence[str]) -> bool:
    """Whether there is a published scenario among them; your own traces are none."""
    return not PUBLISHED.keys().isdisjoint(scenarios)


def about_labels(labeled_by: str) -> list[str]:
    """A caption that says who labeled the test set, if a machine did."""
    if not labeled_by.startswith("machine"):
        return []
    return [
        f"The test conversations are held-out traces, labeled by {labeled_by}. Scores are against "
        "these labels, which nobody checked."
    ]


def about_contamination(contamination: Contamination) -> str:
    """A caption with the greatest similarity of a training and a test conversation."""
    overlaps = [overlap for scenarios in contamination.values() for overlap in scenarios.values()]
    whole, without_calls = (
        max(overlap[key]["similarity"] for overlap in overlaps)
        for key in ("closest", "closest_without_calls")
    )
    return (
        "The greatest similarity of a training conversation to a test conversation is "
        f"{whole:.3f}, or {without_calls:.3f} without the agent's calls."
    )


def about_p(comparisons: int, cells: Cells) -> str:
    """A caption that explains p; with several seeds `about_seeds` says what it leaves out."""
    corrected = f", corrected for {comparisons} comparisons (Holm)" if comparisons > 1 else ""
    meaning = (
        "p: the probability of a difference at least this large if TFT and Direct were equal; "
        f"paired over conversations{corrected}."
    )
    if _seeds(cells) > 1:
        return meaning
    return f"{meaning}\nNeither p nor the brackets include variance across training seeds."


def about_baselines(cells: Cells) -> str:
    """A caption with the judge scores of the baselines, beside which scores are read."""
    scores = [
        f"{label.strip('()')} {_score(cells[name]['judge'])}"
        for name, label in LABELS.items()
        if name in cells
    ]
    return f"Judge scores of baselines: {', '.join(scores)}."


def about_correction(cells: Cells) -> str:
    """A caption that explains the corrected scores, or why there are none."""
    cell = next(iter(cells.values()))
    measured = cell["judge_measured"]
    if measured["judged_by"] != cell["judged_by"]:
        return (
            "There are no scores corrected for the judge's errors, because "
            f"experiments/judge_agreement/judge.json measured {measured['judged_by']}; `make "
            "judge-agreement` measures the judge of this run."
        )
    if not _is_corrected(cells):
        return (
            "There are no scores corrected for the judge's errors, because by "
            "experiments/judge_agreement/judge.json the judge is no better than chance."
        )
    return (
        f"Corrected: the judge's score after correction for its error rates on {measured['n']} "
        f"published verdicts on students (sensitivity {_score(measured['sensitivity'])}, "
        f"specificity {_score(measured['specificity'])}); the interval includes the uncertainty of "
        "these rates."
    )


def _is_corrected(cells: Cells) -> bool:
    return any(cell["judge_corrected"] is not None for cell in cells.values())


def about_seeds(cells: Cells) -> list[str]:
    """A caption that explains the columns of deviations, if there are several seeds."""
    if (seeds := _seeds(cells)) == 1:
        return []
    return [
        f"Scores are means over {seeds} students that differ only in the training seed. Between "
        "seeds: the standard deviation across these students, which brackets and p do not include."
    ]


def _seeds(cells: Cells) -> int:
    return max(len(cell.get("students", [cell])) for cell in cells.values())


def _with_spreads(sheet: Sheet, beside: str, spreads: Sequence[float | None], seeds: int) -> Sheet:
    """The sheet with a column of standard deviations between seeds after column `beside`."""
    head, rows = sheet
    after = head.index(beside) + 1
    for row, spread in zip(rows, spreads, strict=True):
        row.insert(after, _score(spread))
    return [*head[:after], f"between {seeds} seeds", *head[after:]], rows


def _without(sheet: Sheet, columns: Collection[str]) -> Sheet:
    head, rows = sheet
    kept = [place for place, column in enumerate(head) if column not in columns]
    return [head[place] for place in kept], [[row[place] for place in kept] for row in rows]


def _unpublished(sheet: Sheet) -> Sheet:
    return _without(sheet, {column for column in sheet[0] if column.endswith(", published")})


def comparison_sheet(comparison: Comparisons, scenarios: Sequence[str]) -> Sheet:
    """TFT compared with Direct, one row per scenario, in the order of `scenarios`."""
    head = ["judge", "TFT", "Direct", "difference", "p"]
    head += [f"{column}, published" for column in head[1:4]]
    rows = []
    for scenario in scenarios:
        measured, published = comparison[scenario], PUBLISHED.get(scenario)
        published_texts = ["", "", ""]
        if published:
            published_texts = [_score(published["tft"]), _score(published["direct"])]
            published_texts.append(f"{published['tft'] - published['direct']:+.3f}")
        rows.append(
            [
                scenario,
                _score(measured["tft"]),
                _score(measured["direct"]),
                f"{measured['difference']:+.3f}{_interval(measured['interval'], '+.3f')}",
                _p(measured["p_holm"]),
                *published_texts,
            ]
        )
    sheet = (head, rows) if _is_published(scenarios) else _unpublished((head, rows))
    lines = [comparison[scenario] for scenario in scenarios]
    if (seeds := len(lines[0].get("differences", [0]))) == 1:
        return sheet
    return _with_spreads(sheet, "difference", [line["spread"] for line in lines], seeds)


def readme_table(cells: Cells, comparison: Comparisons, scenarios: Sequence[str]) -> str:
    """The README's table: the judge and exact service calls, TFT against Direct, and published.

    Results from before exact calls were compared have no interval for them.
    """
    head = ["scenario", "judge: TFT", "Direct", "difference"]
    head += ["published: TFT", "Direct", "difference", "exact calls: TFT", "Direct", "difference"]
    rows = []
    for number, scenario in enumerate(scenarios, start=1):
        judged, published = comparison[scenario], PUBLISHED.get(scenario, {})
        exact = judged.get("service_call_exact")
        row = [f"S{number} `{scenario}`"]
        row += _pair(judged["tft"], judged["direct"], judged["interval"])
        row += _pair(published.get("tft"), published.get("direct"))
        row += _pair(
            cells[f"{scenario}-tft"]["service_call_exact"],
            cells[f"{scenario}-direct"]["service_call_exact"],
            exact and exact["interval"],
        )
        rows.append(row)
    return _markdown(head, rows)


def _pair(tft: float | None, direct: float | None, interval: Interval = None) -> list[str]:
    """TFT, Direct, their difference with its interval; empty where nothing was scored."""
    if tft is None or direct is None:
        return ["", "", ""]
    return [_score(tft), _score(direct), f"{tft - direct:+.3f}{_interval(interval, '+.3f')}"]


def cells_sheet(cells: Cells, scenarios: Sequence[str], pipelines: Sequence[str]) -> Sheet:
    """One row per cell, in the order of `cell_names`, with corrected scores if there are any."""
    head = ["scenario", "pipeline", *COLUMNS, "judge, published"]
    rows = [
        [label, "", *_numbers(cells[name]), ""] for name, label in LABELS.items() if name in cells
    ]
    for scenario in scenarios:
        for pipeline in pipelines:
            published = _score(PUBLISHED.get(scenario, {}).get(pipeline))
            rows.append([scenario, pipeline, *_numbers(cells[f"{scenario}-{pipeline}"]), published])
    sheet = (head, rows) if _is_published(scenarios) else _unpublished((head, rows))
    if not _is_corrected(cells):
        sheet = _without(sheet, {CORRECTED})
    if (seeds := _seeds(cells)) == 1:
        return sheet
    untrained = [name for name in LABELS if name in cells]
    trained = [f"{scenario}-{pipeline}" for scenario in scenarios for pipeline in pipelines]
    spreads = [cells[name].get("spread", {}).get("judge") for name in (*untrained, *trained)]
    return _with_spreads(sheet, "judge", spreads, seeds)


def contamination_sheet(contamination: Contamination, scenarios: Sequence[str]) -> Sheet:
    """How much of the tests each cell's training data contain, one row per cell."""
    head = ["scenario", "pipeline", "most similar", "without calls"]
    rows = []
    for scenario in scenarios:
        for pipeline, by_scenario in contamination.items():
            overlap = by_scenario[scenario]
            pairs = [overlap[key]["similarity"] for key in ("closest", "closest_without_calls")]
            shares = {
                key.replace("_", " "): overlap[key] for key in ("user_utterances", "agent_messages")
            }
            shares |= overlap["entities"]  # the tests' arguments, so they are equal in every cell
            rows.append([scenario, pipeline, *map(_score, [*pairs, *shares.values()])])
    return [*head, *shares], rows


def about_robustness(robustness: Robustness) -> str:
    """A caption that explains the robustness sheets."""
    variants = list(next(iter(robustness["cells"].values()))["variants"])
    return (
        f"The same students (of seed {robustness['seed']}) and turns, with the tools reworded as "
        f"in SGD-X ({', '.join(variants)}). "
        "Reworded: mean ± standard deviation over these variants. Sensitivity: SGD-X's schema "
        "sensitivity of the judge's verdicts, which is 0 if no turn's verdict varies."
    )


def robustness_sheets(
    robustness: Robustness, scenarios: Sequence[str], pipelines: Sequence[str]
) -> list[Sheet]:
    """TFT compared with Direct over all rewordings, if both were run, and one row per cell."""
    measures = ["judge", "name_accuracy", "service_call_exact", "staged_tool_call"]
    head = ["scenario", "pipeline"]
    for measure in measures:
        head += [measure.replace("_", " "), "reworded"]
    head.append("sensitivity")
    rows = []
    for cell, place in cell_places(scenarios, pipelines).items():
        if cell in robustness["cells"]:
            metrics = robustness["cells"][cell]
            row = list(place.values())
            for measure in measures:
                row += [_score(metrics["original"][measure]), _with_spread(metrics, measure)]
            rows.append([*row, _score(metrics["sensitivity"]["judge"])])
    sheets = [(head, rows)]
    if comparison := robustness["comparison"]:
        # There are no published scores under other names.
        sheets.insert(0, _unpublished(comparison_sheet(comparison, scenarios)))
    return sheets


def _with_spread(cell: Mapping[str, Any], measure: str) -> str:
    mean, deviation = _score(cell["reworded"][measure]), cell["deviation"][measure]
    return mean if deviation is None else f"{mean} ± {deviation:.3f}"


def _numbers(cell: Mapping[str, Any]) -> list[str]:
    """Formatted values in the order of COLUMNS."""
    intervals = cell["intervals"]
    return [
        _score(cell["judge"]) + _interval(intervals["judge"]),
        _score(cell["judge_corrected"]) + _interval(intervals["judge_corrected"]),
        _score(cell["staged_tool_call"]) + _interval(intervals["staged_tool_call"]),
        _score(cell["name_accuracy"]) + _interval(intervals["name_accuracy"]),
        _score(cell["service_call_exact"]) + _interval(intervals.get("service_call_exact")),
        str(cell["n"]),
        str(cell["parse_failures"]),
    ]


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else _score(value)


def _interval(bounds: Sequence[float] | None, form: str = ".3f") -> str:
    return "" if bounds is None else f" [{', '.join(format(bound, form) for bound in bounds)}]"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)
