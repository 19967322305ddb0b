"""Measure how far the judge agrees with the published verdicts of a large language model.

Reads the published judged predictions and their task (`published` in params.yaml, TFT_PUBLISHED);
writes metrics/judge.json. Frozen in dvc.yaml, because no run needs the published data and the file
ships in git; after a change of the judge: `make calibrate`.

    python stages/calibrate.py [--show]
"""

from pathlib import Path

import click

from tft.corpus.archive import read_files
from tft.corpus.published import HINT
from tft.errors import InputError
from tft.evaluation.judge import judges_agreement
from tft.evaluation.judged import JUDGED_FILE, calibrate, parse_judged
from tft.params import environment, load_params
from tft.roles import judge_for, language_models
from tft.tables import write_json
from tft.task import parse_task
from tft.timing import timed


@click.command(help=__doc__)
@click.option("--show", is_flag=True, help="Also print every turn on which the two disagree.")
def main(show: bool) -> None:
    """See the module's docstring."""
    params = load_params()
    models = language_models(params)
    judge, judged_by = judge_for(params, models, "calibrate", params.judge.today)
    archive = environment("TFT_PUBLISHED", params.published.archive)
    rows, task = [], None

    def wanted(name: str) -> bool:
        return name.endswith("job_description.json") or bool(JUDGED_FILE.fullmatch(name))

    for name, content in read_files(archive, wanted, params.published.commit, HINT):
        if name.endswith(".json"):
            task = task or parse_task(f"{archive}: {name}", content)
        else:
            rows += parse_judged(f"{archive}: {name}", content)
    if task is None or not rows:
        raise InputError(
            f"{archive}: expected job_description.json and judged predictions "
            f"(judged/*.jsonl or *-predictions*.jsonl); {HINT}"
        )
    verdicts = judge([row.turn for row in rows], task)
    results = calibrate(rows, verdicts)
    summary = {name: result.summary() for name, result in results.items()}
    write_json(
        Path("metrics/judge.json"),
        {
            "judged_by": judged_by,
            "no_verdict": sum(verdict.good is None for verdict in verdicts),
            **summary.pop("all"),
            **summary,
            "judges": judges_agreement(verdicts),
            **models.usage(),
        },
    )
    print(f"{judged_by} against {len(rows)} published verdicts")
    for name, result in results.items():
        print(
            f"{name}: n {sum(result)}, agreement {result.raw:.3f}, kappa {result.kappa:.3f}, "
            f"AC1 {result.ac1:.3f}"
        )
    for row, verdict in zip(rows, verdicts, strict=True) if show else ():
        if verdict.good not in (row.good, None):
            print(f"\n{row.turn.conversation}:{row.turn.index + 1} ours: {verdict}")
            print(f"  reference:  {row.turn.reference}\n  prediction: {row.turn.prediction}")


if __name__ == "__main__":
    timed(main)
