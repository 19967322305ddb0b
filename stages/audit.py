"""Compare filter and relabelling of one scenario with the right calls, which a benchmark knows.

Reads data/split/train.parquet (the truth), data/direct/SCENARIO/train.parquet,
data/filtered/SCENARIO/scores.parquet and data/relabeled/SCENARIO/decisions.parquet. Writes
metrics/audit/SCENARIO.json. Nothing that trains, labels or generates reads any of this.

    python stages/audit.py noisy_labels
"""

import json
from pathlib import Path

import click

from tft.evaluation.audit import audit
from tft.params import load_params
from tft.roles import truth_for
from tft.tables import DECISIONS, RELEVANCE, read_conversations, read_rows, write_json
from tft.timing import timed


@click.command(help=__doc__)
@click.argument("scenario")
def main(scenario: str) -> None:
    """See the module's docstring."""
    params = load_params()
    truth = truth_for(scenario, read_conversations(Path("data/split/train.parquet")), params)
    traces = read_conversations(Path("data/direct") / scenario / "train.parquet")
    scores = read_rows(Path("data/filtered") / scenario / "scores.parquet", RELEVANCE)
    rows = read_rows(Path("data/relabeled") / scenario / "decisions.parquet", DECISIONS)
    decided = {
        (row["conversation"], row["turn"]): (
            row["name"],
            None if row["arguments"] is None else json.loads(row["arguments"]),
        )
        for row in rows
    }
    kept = {row["conversation"]: row["kept"] for row in scores}
    summary = (
        {"not_audited": "nobody knows the right calls of your own traces"}
        if truth is None
        else audit(traces, truth, kept, decided)
    )
    write_json(Path("metrics/audit") / f"{scenario}.json", summary)
    print(f"{scenario}: {json.dumps(summary)}")


if __name__ == "__main__":
    timed(main)
