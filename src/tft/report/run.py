"""Everything that table and page show of a run, read from the outputs of earlier stages."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tft.core.errors import InputError
from tft.core.metrics import Audit, Breakdown, Curation, TestSummary
from tft.core.records import Layout
from tft.core.stage import read_times
from tft.core.tables import read_conversations
from tft.evaluation.metrics import staged_tool_call
from tft.judge.verdicts import prediction_files, read_judged
from tft.report.table import (
    LABELS,
    Cells,
    Comparisons,
    Contamination,
    Robustness,
    Sweep,
    both,
    cell_places,
    read_metrics,
    sweep_of,
)
from tft.report.turns import Answer, Cell, browser


class Run(NamedTuple):
    """A run as table and page show it: metrics by cell or scenario, and the turns to browse.

    For a cell with several training seeds, the turns, loss, and breakdown of the first seed's
    student are shown.

    Attributes:
        layout: What was run.
        labeled_by: Who labeled the test conversations.
        cells: Metrics by cell.
        comparison: TFT compared with Direct, by scenario.
        breakdown: Where predictions go wrong, by cell.
        losses: Rows of the loss curve, by cell.
        curation: Counts by step and scenario.
        contamination: Overlap of training and test data, by pipeline and scenario.
        others: Summaries of stages without scenarios that may have used language models.
        times: The time each stage took.
        robustness: Scores under other tool names; empty without that experiment.
        sweep: Scores by dose, for this corpus and student; empty without that experiment.
        turns: The result of `turns.browser`.
    """

    layout: Layout
    labeled_by: str
    cells: Cells
    comparison: Comparisons
    breakdown: Mapping[str, Breakdown]
    losses: Mapping[str, Sequence[Mapping[str, Any]]]
    curation: Curation
    contamination: Contamination
    others: Sequence[Mapping[str, Any]]
    times: Mapping[str, Mapping[str, Any]]
    robustness: Robustness
    sweep: Sweep
    turns: Mapping[str, Any]

    @property
    def places(self) -> dict[str, dict[str, str]]:
        """{cell: {scenario, pipeline}}, see `table.cell_places`."""
        return _places(self.layout)


def read_run(layout: Layout) -> Run:
    """Read a run from data/, reports/, and experiments/.

    Raises:
        InputError: a file or a scenario is missing; names the stage that makes it.
    """
    places, scenarios = _places(layout), layout.scenarios
    compared = scenarios if both(layout.pipelines) else []
    shown = {cell: cell if cell in LABELS else f"{cell}-{layout.seeds[0]}" for cell in places}
    students = [f"{cell}-{seed}" for cell in places for seed in layout.seeds]
    audits: dict[str, Audit] = _by_scenario("data/audit/{}.json", scenarios, "audit")
    test: TestSummary = read_metrics(Path("data/test/summary.json"), "label_test")
    robustness = _read_shipped(Path("experiments/robustness/robustness.json"))
    sweep = _read_shipped(Path("experiments/sweep/sweep.json"))
    return Run(
        layout=layout,
        labeled_by=test["labeled_by"],
        cells={cell: read_scores(f"cells/{cell}.json") for cell in places},
        comparison=read_scores("comparison.json", holds=compared),
        breakdown={cell: read_scores(f"breakdown/{name}.json") for cell, name in shown.items()},
        losses={
            cell: read_loss(Path(f"reports/loss/{name}.csv"))
            for cell, name in shown.items()
            if cell not in LABELS
        },
        curation={
            "filter": _by_scenario("data/filtered/{}/summary.json", scenarios, "filter"),
            "relabel": _by_scenario("data/relabeled/{}/summary.json", scenarios, "relabel"),
            "synthesize": _by_scenario("data/tft/{}/summary.json", scenarios, "synthesize"),
            "audit": {scenario: audits[scenario]["curation"] for scenario in scenarios},
        },
        contamination={
            pipeline: {
                scenario: audits[scenario]["contamination"][pipeline] for scenario in scenarios
            }
            for pipeline in layout.pipelines
        },
        others=[
            test,
            read_metrics(Path("data/teacher/summary.json"), "teacher"),
            read_metrics(Path("data/verdicts/summary.json"), "judge"),
            robustness,
        ],
        times=read_times([*scenarios, *layout.pipelines, *places, *students]),
        robustness=robustness,
        sweep=sweep_of(sweep, layout.corpus, layout.student),
        turns=read_turn_browser(layout, shown),
    )


def read_scores(name: str, holds: Sequence[str] = ()) -> Any:
    """Read a file in data/scores; `holds` are scenarios that it must contain."""
    return read_metrics(Path("data/scores") / name, "score", holds)


def read_turn_browser(layout: Layout, shown: Mapping[str, str]) -> dict[str, Any]:
    """Read what the page's browser of turns shows: answers, verdicts, similar training turns."""
    tests = read_conversations(Path("data/test/conversations.parquet"))
    predictions = {path.stem: path for path in prediction_files(Path("data"))}
    cells = {}
    for cell, place in _places(layout).items():
        path = predictions[shown[cell]]
        answers = [
            Answer(
                turn,
                staged_tool_call(turn.reference, turn.prediction),
                verdict["good"],
                verdict["reason"],
                verdict["evidence"],
            )
            for turn, verdict in read_judged(path, Path("data/verdicts") / path.name, tests)
        ]
        if cell in LABELS:
            cells[cell] = Cell(answers)
        else:
            folder = f"{place['pipeline']}/{place['scenario']}"
            training = read_conversations(Path("data") / folder / "train.parquet")
            cells[cell] = Cell(answers, folder, training)
    return browser(tests, cells)


def read_loss(path: Path) -> list[dict[str, str | float]]:
    """Read the rows of a loss curve.

    Raises:
        InputError: the file does not exist.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dvc repro finetune` makes it")
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {"step": float(row["step"]), "split": row["split"], "loss": float(row["loss"])}
            for row in csv.DictReader(file)
        ]


def _read_shipped(path: Path) -> Any:
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; it ships in git: `git checkout {path}` restores it"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def _places(layout: Layout) -> dict[str, dict[str, str]]:
    return cell_places(layout.scenarios, layout.pipelines, layout.teacher)


def _by_scenario(path: str, scenarios: Sequence[str], stage: str) -> dict[str, Any]:
    return {scenario: read_metrics(Path(path.format(scenario)), stage) for scenario in scenarios}
