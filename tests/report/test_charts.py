"""The templates of `dvc plots`, filled by DVC's own renderer and drawn.

Why they are not the page's charts: a page shows one run, its marks lead to turns, and it lets a
reader choose a cell; `dvc plots diff` sets revisions side by side, so every template spends a
channel on `rev`, and draws with Vega-Lite 5.2. Rows come from the same functions; here is compared
what both say.
"""

import csv
import json
import re
from typing import Any

import pytest
import vl_convert
from dvc_render.vega import VegaRenderer
from fixtures.repository import ROOT
from ruamel.yaml import YAML

from tft.evaluation.breakdown import CURVES, arguments_csv, confusion_csv, curves_csv
from tft.report.charts import OUTCOMES, delta_csv, delta_rows, robustness_csv, sweep_csv
from tft.student.finetune import loss_csv

TEMPLATES = ROOT / ".dvc" / "plots"
SCORES = {"judge": 0.5, "service_call_exact": 0.4}
CURVE = {"first": 1, "last": 3, "n": 2, **dict.fromkeys(CURVES, 0.5)}
CELLS = {f"teas-{pipeline}": {"scenario": "teas", "pipeline": pipeline} for pipeline in "ab"}

WRITTEN = {
    "reports/loss": loss_csv([{"step": 1, "split": "train", "loss": 2.0},
                              {"step": 1, "split": "eval", "loss": 3.0}]),
    "reports/confusion": confusion_csv([{"tool": "Order", "predicted_tool": None}]),
    "reports/arguments": arguments_csv(
        {"arguments": {"Order": {"tea": {"right": 3, "wrong": 1, "missing": 1, "invented": 1}}}}
    ),
    "reports/curves": curves_csv({"by_turn": [CURVE], "by_length": [CURVE]}),
    "reports/delta.csv": delta_csv(delta_rows(
        {"teas": {"difference": 0.1, "interval": None}, "low_data": {"difference": 0.1,
                                                                     "interval": (0.0, 0.2)}}
    )),
    "reports/robustness.csv": robustness_csv(
        CELLS, {"cells": {cell: {"original": SCORES, "variants": {"v1": SCORES}} for cell in CELLS}}
    ),
    "reports/sweep.csv": sweep_csv(
        {"teas": {"dose": "rate", "rows": [
            {"dose": dose, "pipeline": pipeline, **SCORES,
             "intervals": {"judge": (0.4, 0.6), "service_call_exact": None}}
            for dose in (0.1, 0.2) for pipeline in "ab"
        ]}}
    ),
}  # fmt: skip


def plots() -> list[tuple[str, dict[str, str]]]:
    """(where the stages write it, its template, x, y and titles) of every plot in dvc.yaml."""
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].values()
    entries = [item for stage in stages for plot in stage.get("plots", []) for item in plot.items()]
    return [(path.split("/${")[0], properties) for path, properties in entries]


def filled(path: str, properties: dict[str, str]) -> dict[str, Any]:
    """The plot of two revisions, as DVC fills it."""
    rows = list(csv.DictReader(WRITTEN[path].splitlines()))
    points = [{**row, "rev": rev} for rev in ("workspace", "HEAD") for row in rows]
    renderer = VegaRenderer(points, path, template_dir=str(TEMPLATES), **properties)
    spec: dict[str, Any] = renderer.get_filled_template()
    return spec


def values_of(key: str, spec: Any) -> set[str]:
    """All that stands under a key, at any depth."""
    parts = list(
        spec.values() if isinstance(spec, dict) else spec if isinstance(spec, list) else ()
    )
    own = {spec[key]} if isinstance(spec, dict) and isinstance(spec.get(key), str) else set()
    return own.union(*(values_of(key, part) for part in parts))


@pytest.mark.parametrize(("path", "properties"), plots())
def test_every_plot_draws_what_its_stage_writes(path: str, properties: dict[str, str]) -> None:
    spec = filled(path, properties)
    columns = WRITTEN[path].splitlines()[0].split(",")
    assert values_of("field", spec) <= {*columns, "rev", *values_of("as", spec)}
    svg = vl_convert.vegalite_to_svg(spec, vl_version="5.8")
    labels = re.findall(r'<path aria-label="([^"]*)" role="graphics-symbol"', svg)
    assert labels
    assert not [label for label in labels if "undefined" in label or "NaN" in label]


def test_every_template_is_of_a_plot() -> None:
    used = {properties["template"] for _, properties in plots()}
    assert {file.stem for file in TEMPLATES.glob("*.json")} == used - {"confusion"}  # DVC's own


def test_outcomes_have_the_colors_that_they_have_on_the_page() -> None:
    spec: dict[str, Any] = json.loads((TEMPLATES / "arguments.json").read_text(encoding="utf-8"))
    scale = spec["encoding"]["color"]["scale"]
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == OUTCOMES
