"""Lay the cells' metrics out as the benchmark's table, and print it.

Reads metrics/cells/*.json, metrics/comparison.json, metrics/robustness.json,
metrics/references.json and metrics/contamination/PIPELINE.json. Writes
metrics/pipelines/PIPELINE.json (flat, one judge score per scenario), metrics/pipelines/delta.json
(tft less direct, where both were run), metrics/headline.json (the pipeline named by
report.pipeline) and reports/benchmark.md.

    python stages/report.py
"""

from pathlib import Path

import click

from tft.params import load_params
from tft.report.table import (
    both,
    cell_names,
    deltas,
    judge_scores,
    read_contamination,
    read_metrics,
    render,
    render_robustness,
)
from tft.tables import write_json, write_text
from tft.timing import timed


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    scenarios, pipelines = list(params.scenarios), params.pipelines
    cells = {
        name: read_metrics(Path("metrics/cells") / f"{name}.json", "score")
        for name in cell_names(scenarios, pipelines, params.teacher.role == "llm")
    }
    compared = scenarios if both(pipelines) else []
    comparison = read_metrics(Path("metrics/comparison.json"), "score", holds=compared)
    references = read_metrics(Path("metrics/references.json"), "references")
    robustness = read_metrics(Path("metrics/robustness.json"), "robustness")
    page = render(
        cells,
        comparison,
        read_contamination(pipelines, scenarios),
        references["labelled_by"],
        scenarios,
        pipelines,
        corpus=params.corpus,
        student=params.student,
    ) + render_robustness(robustness, scenarios, pipelines)

    for pipeline in pipelines:
        scores = judge_scores(cells, scenarios, pipeline)
        write_json(Path("metrics/pipelines") / f"{pipeline}.json", scores)
        if pipeline == params.report.pipeline:
            write_json(Path("metrics/headline.json"), scores)
    if both(pipelines):
        write_json(Path("metrics/pipelines/delta.json"), deltas(cells, scenarios))
    write_text(Path("reports/benchmark.md"), page)
    print(page)


if __name__ == "__main__":
    timed(main)
