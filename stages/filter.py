"""Keep the traces of one scenario that belong to the task and hang together.

Reads data/direct/SCENARIO/train.parquet and data/split/task.json. Writes the traces kept, as they
are, to data/filtered/SCENARIO/train.parquet, every trace's scores with the reason to
data/filtered/SCENARIO/scores.parquet, and metrics/filter/SCENARIO.json.

    python stages/filter.py trace_mixing
"""

from pathlib import Path

import click

from tft.curated import kept_by
from tft.errors import InputError
from tft.params import load_params
from tft.roles import language_models, relevance_for
from tft.tables import (
    RELEVANCE,
    read_conversations,
    write_conversations,
    write_json,
    write_rows,
)
from tft.task import read_task
from tft.timing import timed


@click.command(help=__doc__)
@click.argument("scenario")
def main(scenario: str) -> None:
    """See the module's docstring."""
    params = load_params()
    params.scenario(scenario)
    least = params.filter.thresholds[scenario]
    traces = read_conversations(Path("data/direct") / scenario / "train.parquet")
    models = language_models(params)
    score_relevance = relevance_for(params, models, f"filter@{scenario}")
    scores = score_relevance(traces, read_task(Path("data/split/task.json")))
    kept = kept_by(scores, least)
    folder = Path("data/filtered") / scenario
    rows = [score._asdict() | {"kept": score.conversation in kept} for score in scores]
    write_rows(folder / "scores.parquet", RELEVANCE, rows)
    if not kept:
        best = max(scores, key=lambda score: (score.relevance, score.coherence))
        raise InputError(
            f"scenario {scenario!r}: none of {len(scores)} traces reaches relevance "
            f"{least.min_relevance} and coherence {least.min_coherence}; the best has "
            f"{best.relevance} and {best.coherence} ({best.reason}). Every score is in "
            f"{folder}/scores.parquet; lower filter.thresholds.{scenario}, or see whether the "
            "traces are of this task"
        )
    write_conversations(folder / "train.parquet", [one for one in traces if one.id in kept])
    summary = {
        "traces": len(traces),
        "kept": len(kept),
        "rejected": len(traces) - len(kept),
        **models.usage(),
    }
    write_json(Path("metrics/filter") / f"{scenario}.json", summary)
    print(f"{scenario}: {len(kept)} of {len(traces)} traces kept")


if __name__ == "__main__":
    timed(main)
