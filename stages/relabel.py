"""Label the traces that the filter kept anew: what the agent should have called at every turn.

Reads data/filtered/SCENARIO/train.parquet and data/split/task.json. Writes the relabelled traces
to data/relabeled/SCENARIO/train.parquet, every turn's votes, choice and reason, those of rejected
traces too, to data/relabeled/SCENARIO/decisions.parquet, and metrics/relabel/SCENARIO.json.

    python stages/relabel.py noisy_labels
"""

from collections import Counter
from pathlib import Path

import click

from tft.curated import decision_rows, disputed, relabelled_traces
from tft.errors import InputError
from tft.params import load_params
from tft.roles import language_models, relabel_for
from tft.tables import (
    DECISIONS,
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
    traces = read_conversations(Path("data/filtered") / scenario / "train.parquet")
    models = language_models(params)
    relabel = relabel_for(params, models, f"relabel@{scenario}")
    results = relabel(traces, read_task(Path("data/split/task.json")))
    folder = Path("data/relabeled") / scenario
    rows = decision_rows(traces, results)
    write_rows(folder / "decisions.parquet", DECISIONS, rows)
    kept = relabelled_traces(traces, results)
    if not kept:
        reasons = Counter(result.rejection for result in results).most_common(1)
        raise InputError(
            f"scenario {scenario!r}: no call of any trace could be decided, most often: {reasons}; "
            f"every vote is in {folder}/decisions.parquet"
        )
    write_conversations(folder / "train.parquet", kept)
    counted = Counter(str(row["reason"]).split(":")[0] for row in rows)
    summary = {
        "traces": len(traces),
        "rejected": len(traces) - len(kept),
        "turns": len(rows),
        "disputed": sum(disputed(one.votes) for result in results for one in result.decisions),
        "decisions": dict(sorted(counted.items())),
        **models.usage(),
    }
    write_json(Path("metrics/relabel") / f"{scenario}.json", summary)
    print(f"{scenario}: {len(kept)} of {len(traces)} traces relabelled, {len(rows)} turns decided")


if __name__ == "__main__":
    timed(main)
