"""Write the results: the benchmark's table, and a page with all charts and test turns.

Reads data/scores, data/verdicts, data/predictions, data/teacher, data/test, data/audit, the
training data (data/PIPELINE/SCENARIO), reports/loss, and the results of experiments that ship with
the repository (experiments/robustness/robustness.json, experiments/sweep/sweep.json). Writes
reports/benchmark.md, reports/index.html, metrics/headline.json (the judge scores of the pipeline
named by report.pipeline, for `dvc metrics diff`), and what `dvc plots` draws of the comparisons:
reports/delta.csv, reports/robustness.csv, and reports/sweep.csv.

    python stages/report.py
"""

from pathlib import Path

from tft.config import Params, load_params
from tft.core.stage import stage
from tft.core.tables import write_json, write_text
from tft.report.charts import delta_csv, delta_rows, robustness_csv, sweep_csv
from tft.report.page import render_page
from tft.report.run import read_run
from tft.report.table import judge_scores, render, render_robustness

REPORTS = Path("reports")


@stage(load_params)
def main(params: Params) -> None:
    """See the module's docstring."""
    layout = params.layout
    run = read_run(layout)
    headline = judge_scores(run.cells, layout.scenarios, params.report.pipeline)
    write_json(Path("metrics/headline.json"), headline)
    write_text(REPORTS / "delta.csv", delta_csv(delta_rows(run.comparison)))
    write_text(REPORTS / "robustness.csv", robustness_csv(run.places, run.robustness))
    write_text(REPORTS / "sweep.csv", sweep_csv(run.sweep))
    write_text(REPORTS / "index.html", render_page(run))
    table = render(
        run.cells,
        run.comparison,
        run.contamination,
        run.labeled_by,
        layout.scenarios,
        layout.pipelines,
        corpus=layout.corpus,
        student=layout.student,
    ) + render_robustness(run.robustness, layout.scenarios, layout.pipelines)
    write_text(REPORTS / "benchmark.md", table)
    print(f"{table}\nOpen reports/index.html in a browser for charts and turns.")


if __name__ == "__main__":
    main()
