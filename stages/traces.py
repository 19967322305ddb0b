"""Make a scenario's training traces, with whatever it says is wrong with them.

Reads data/split/train.parquet. Writes data/direct/SCENARIO/train.parquet, in whose provenance every
changed call has its kind of change and its original.

    python stages/traces.py noisy_labels
"""

from collections import Counter
from pathlib import Path

import click

from tft.params import load_params
from tft.roles import make_traces
from tft.tables import read_conversations, write_conversations
from tft.timing import timed


@click.command(help=__doc__)
@click.argument("scenario")
def main(scenario: str) -> None:
    """See the module's docstring."""
    params = load_params()
    params.scenario(scenario)  # an unknown name fails before any reading
    traces = make_traces(scenario, read_conversations(Path("data/split/train.parquet")), params)
    write_conversations(Path("data/direct") / scenario / "train.parquet", traces)
    turns = sum(1 for trace in traces for _ in trace.turns())
    kinds = Counter(
        change["kind"] for trace in traces for change in trace.provenance.get("changes", [])
    )
    changed = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items())) or "none"
    print(f"{scenario}: {len(traces)} traces, {turns} turns; changed: {changed}")


if __name__ == "__main__":
    timed(main)
