"""The benchmark's table and its flat metrics, from the metrics of the single cells."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from tft.core.errors import InputError

BASELINES = {
    "always_respond": "(always respond)",
    "most_frequent_call": "(most frequent call)",
    "copy_last_call": "(copy last call)",
    "base": "(untuned student)",
}
"""Cells of no scenario and pipeline, and how their rows are called: what a score is worth."""
TEACHER = "teacher"
LABELS = BASELINES | {TEACHER: "(teacher)"}
"""With the teacher, which is there where `teacher.role` names one."""
UNTRAINED = "(no training)"
"""In place of the baselines' scenario."""

# Judge scores of the published benchmark by scenario, as params.yaml names them: Qwen3-1.7B, judged
# by an LLM (openai.gpt-oss-120b) on 359 turns. Source: README of
# distil-labs/distil-tft-benchmarking, commit 95990a6. Another student and another judge: a
# direction to compare with, not a target to hit.
PUBLISHED = {
    "baseline": {"tft": 0.866, "direct": 0.864},
    "noisy_labels": {"tft": 0.844, "direct": 0.721},
    "schema_drift": {"tft": 0.844, "direct": 0.585},
    "low_data": {"tft": 0.852, "direct": 0.649},
    "trace_mixing": {"tft": 0.858, "direct": 0.694},
}
PUBLISHED_BY = "Qwen3-1.7B, judged by an LLM on 359 turns"
INTERVALS = (
    "In brackets: 95 % intervals over conversations, whose turns may err together; exact ones "
    "where all score 0 or all 1."
)

EVERY_CELL = "## Every cell"
"""Where the page goes into details, which README.md leaves to results/."""

MEASURES = {"judge": "judge", "service_call_exact": "service calls exact"}
"""What sweeps gather and the charts beyond the benchmark draw, and how it is called."""
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

Cells = Mapping[str, Mapping[str, Any]]
"""Metrics of each cell (`evaluation.summary`), by its name: of BASELINES or SCENARIO-PIPELINE."""
Comparison = Mapping[str, Mapping[str, Any]]
"""What `evaluation.summary.compare_pipelines` says, by scenario."""
Robustness = Mapping[str, Any]
"""What the experiment `robustness` found; empty where no student was asked again."""
Contamination = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""What the stage `audit` found of contamination: {pipeline: {scenario: overlap with the tests}}."""
Sweep = Mapping[str, Mapping[str, Any]]
"""What `sweep.collect` says, by scenario; empty where there was no sweep."""
MEASURED = "experiments/judge_agreement/judge.json"
"""How often the judge errs, by which the stage `score` corrected scores."""
Sheet = tuple[list[str], list[list[str]]]
"""Head and rows of a table, as they are read."""


def cell_places(
    scenarios: Sequence[str], pipelines: Sequence[str], teacher: bool = False
) -> dict[str, dict[str, str]]:
    """{cell: {scenario, pipeline}}: the baselines, then the trained, in the order of params."""
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
    """The baselines' cells, then one per scenario and pipeline, in the order of params."""
    return list(cell_places(scenarios, pipelines, teacher))


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


def sweep_of(sweep: Sweep, corpus: str, student: str) -> Sweep:
    """The sweep of this corpus and student; experiments/sweep/sweep.json outlives runs."""
    run = (corpus, student)
    return {name: one for name, one in sweep.items() if (one["corpus"], one["student"]) == run}


def of_student(cell: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The metrics of one of a cell's students, CELL-SEED; with one seed they are the cell's."""
    own: Mapping[str, Any] = cell.get("students", {}).get(name, cell)
    return own


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
    contamination: Contamination,
    labelled_by: str,
    scenarios: Sequence[str],
    pipelines: Sequence[str],
    corpus: str,
    student: str,
) -> str:
    """The page reports/benchmark.md, in GitHub's markdown.

    `scenarios` are in the order of the rows, `labelled_by` is what
    data/test/summary.json says.

    Raises:
        InputError: the cells were judged by different judges, so their scores do not compare.
    """
    lines = [
        f"# {title(cells, corpus, student)}",
        "",
        about_intervals(scenarios),
        *about_seeds(cells),
        *about_labels(labelled_by),
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
    """The end of reports/benchmark.md; empty where no student was asked again."""
    if not robustness:
        return ""
    sheets = robustness_sheets(robustness, scenarios, pipelines)
    parts = [f"\n## {UNDER_OTHER_NAMES}", about_robustness(robustness)]
    return "\n\n".join([*parts, *(_markdown(*sheet) for sheet in sheets)]) + "\n"


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


def about_intervals(scenarios: Sequence[str]) -> str:
    """What the brackets say, and what the published columns hold where there are any."""
    return f"{INTERVALS} Published: {PUBLISHED_BY}." if _is_published(scenarios) else INTERVALS


def _is_published(scenarios: Sequence[str]) -> bool:
    """Whether a scenario is of the publication; own traces are not."""
    return not PUBLISHED.keys().isdisjoint(scenarios)


def about_labels(labelled_by: str) -> list[str]:
    """Who says what is right, where it is a machine; nothing where the corpus does."""
    if not labelled_by.startswith("machine"):
        return []
    return [
        f"The test conversations are held-out traces labelled by {labelled_by}. Scores are against "
        "these labels, which nobody checked."
    ]


def about_contamination(contamination: Contamination) -> str:
    """How near a training conversation comes to a test conversation."""
    found = [one for scenarios in contamination.values() for one in scenarios.values()]
    whole, said = (
        max(one[key]["similarity"] for one in found) for key in ("closest", "closest_without_calls")
    )
    return (
        f"No training conversation is more than {whole:.3f} like a test conversation, or, calls "
        f"left out of both, more than {said:.3f}."
    )


def about_p(comparisons: int, cells: Cells) -> str:
    """What the comparison's p says; of several seeds `about_seeds` says what it leaves out."""
    corrected = f", corrected for {comparisons} comparisons (Holm)" if comparisons > 1 else ""
    told = (
        "p: how likely chance alone would set TFT and Direct at least this far apart, were they "
        f"equal; paired over conversations{corrected}."
    )
    if _seeds(cells) > 1:
        return told
    return (
        f"{told}\nIt and the brackets are of these students; what another training seed would "
        "change is not in them."
    )


def about_baselines(cells: Cells) -> str:
    """What the judge gives for no training at all: a score says something only beside it."""
    scores = [
        f"{label.strip('()')} {_score(cells[name]['judge'])}"
        for name, label in LABELS.items()
        if name in cells
    ]
    return f"Beside them: {', '.join(scores)}."


def about_correction(cells: Cells) -> str:
    """What the corrected scores rest on, or why there are none."""
    cell = next(iter(cells.values()))
    measured = cell["judge_measured"]
    if measured["judged_by"] != cell["judged_by"]:
        return (
            f"No scores corrected for the judge's errors: {MEASURED} measured "
            f"{measured['judged_by']}; `make judge-agreement` measures the one that judged here."
        )
    if not _is_corrected(cells):
        return f"No scores corrected for the judge's errors: by {MEASURED} it errs by chance."
    return (
        f"Corrected: as if the judge erred here as against {measured['n']} published verdicts on "
        f"students (sensitivity {_score(measured['sensitivity'])}, specificity "
        f"{_score(measured['specificity'])}); the interval counts in how few these are."
    )


def _is_corrected(cells: Cells) -> bool:
    return any(cell["judge_corrected"] is not None for cell in cells.values())


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


def _without(sheet: Sheet, columns: Collection[str]) -> Sheet:
    head, rows = sheet
    kept = [place for place, column in enumerate(head) if column not in columns]
    return [head[place] for place in kept], [[row[place] for place in kept] for row in rows]


def _unpublished(sheet: Sheet) -> Sheet:
    return _without(sheet, {column for column in sheet[0] if column.endswith(", published")})


def comparison_sheet(comparison: Comparison, scenarios: Sequence[str]) -> Sheet:
    """TFT against Direct, a row a scenario, in the order of `scenarios`."""
    head = ["judge", "TFT", "Direct", "difference", "p"]
    head += [f"{column}, published" for column in head[1:4]]
    rows = []
    for scenario in scenarios:
        ours, published = comparison[scenario], PUBLISHED.get(scenario)
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
                _p(ours["p_holm"]),
                *theirs,
            ]
        )
    sheet = (head, rows) if _is_published(scenarios) else _unpublished((head, rows))
    lines = [comparison[scenario] for scenario in scenarios]
    if (seeds := len(lines[0].get("differences", [0]))) == 1:
        return sheet
    return _with_spreads(sheet, "difference", [line["spread"] for line in lines], seeds)


def summary_table(comparison: Comparison, cells: Cells, scenarios: Sequence[str]) -> str:
    """TFT against Direct as README.md shows it: the judge, the publication, exact service calls."""
    pair = ["Direct", "difference"]
    head = ["scenario", "judge: TFT", *pair, "published: TFT", *pair, "exact calls: TFT", *pair]
    numbers = {name: f"S{number} `{name}`" for number, name in enumerate(PUBLISHED, start=1)}
    rows = []
    for scenario in scenarios:
        _, judged, direct, difference, *_ = comparison_sheet(comparison, [scenario])[1][0]
        published = PUBLISHED.get(scenario)
        exact = [cells[f"{scenario}-{name}"]["service_call_exact"] for name in ("tft", "direct")]
        rows.append(
            [
                numbers.get(scenario, f"`{scenario}`"),
                *(judged, direct, difference),
                *(_pair(published["tft"], published["direct"]) if published else [""] * 3),
                *_pair(*exact),
            ]
        )
    if not _is_published(scenarios):
        head, rows = head[:4] + head[7:], [row[:4] + row[7:] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, *rows]).replace(
        "\n", f"\n|{'---|' * len(head)}\n", 1
    )


def _pair(tft: float | None, direct: float | None) -> list[str]:
    """Two scores and their difference."""
    difference = "" if tft is None or direct is None else f"{tft - direct:+.3f}"
    return [_score(tft), _score(direct), difference]


def cells_sheet(cells: Cells, scenarios: Sequence[str], pipelines: Sequence[str]) -> Sheet:
    """A row a cell, in the order of `cell_names`; no corrected scores where there are none."""
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
    """How much of the tests each cell's training data hold, a row a cell."""
    head = ["scenario", "pipeline", "most alike", "without calls"]
    rows = []
    for scenario in scenarios:
        for pipeline, found in contamination.items():
            one = found[scenario]
            pairs = [one[key]["similarity"] for key in ("closest", "closest_without_calls")]
            shares = {
                key.replace("_", " "): one[key] for key in ("user_utterances", "agent_messages")
            }
            shares |= one["entities"]  # the same arguments in every cell: those of the tests
            rows.append([scenario, pipeline, *map(_score, [*pairs, *shares.values()])])
    return [*head, *shares], rows


def about_robustness(robustness: Robustness) -> str:
    """What the robustness sheets say."""
    variants = list(next(iter(robustness["cells"].values()))["variants"])
    return (
        f"The same students (of seed {robustness['seed']}) and turns, the tools reworded as in "
        f"SGD-X ({', '.join(variants)}). "
        "Reworded: the mean over these variants ± their standard deviation. Sensitivity is SGD-X's "
        "schema sensitivity of the judge's verdicts: how much a turn's vary; 0 is not at all."
    )


def robustness_sheets(
    robustness: Robustness, scenarios: Sequence[str], pipelines: Sequence[str]
) -> list[Sheet]:
    """TFT against Direct over all rewordings, if there is that; a row a cell."""
    measures = ["judge", "name_accuracy", "service_call_exact", "staged_tool_call"]
    head = ["scenario", "pipeline"]
    for measure in measures:
        head += [measure.replace("_", " "), "reworded"]
    head.append("sensitivity")
    rows = []
    for cell, place in cell_places(scenarios, pipelines).items():
        if cell in robustness["cells"]:
            one = robustness["cells"][cell]
            row = list(place.values())
            for measure in measures:
                row += [_score(one["original"][measure]), _with_spread(one, measure)]
            rows.append([*row, _score(one["sensitivity"]["judge"])])
    sheets = [(head, rows)]
    if comparison := robustness["comparison"]:
        # Nothing is published of other names.
        sheets.insert(0, _unpublished(comparison_sheet(comparison, scenarios)))
    return sheets


def _with_spread(cell: Mapping[str, Any], measure: str) -> str:
    mean, deviation = _score(cell["reworded"][measure]), cell["deviation"][measure]
    return mean if deviation is None else f"{mean} ± {deviation:.3f}"


def _numbers(cell: Mapping[str, Any]) -> list[str]:
    """In the order of COLUMNS."""
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
