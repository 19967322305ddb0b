"""What each labeling function contributes: how often it gives a label, and is right.

Reads: data/split/train.parquet (the truth), data/direct/*/train.parquet,
       data/relabeled/*/decisions.parquet
Run:   python benchmarks/committee.py

Measured on the turns of kept traces whose correct calls are known, separately for service calls and
talk. A labeling function is right if it names the right tool. A label that says only that some
service was called is right if one was.
"""

import json
from pathlib import Path

import click
from measure import show

from tft.config import load_params
from tft.core.records import SERVICE
from tft.core.tables import DECISIONS, read_conversations, read_rows
from tft.core.task import RESPOND
from tft.evaluation.audit import key
from tft.scenarios.choose import truth_for
from tft.standins.reading.labels import MEMBERS


def rows_of(scenario: str) -> list[list[str]]:
    params = load_params()
    pool = read_conversations(Path("data/split/train.parquet"))
    truth = truth_for(params.scenario(scenario), pool)
    assert truth is not None, "nobody knows the right calls of your own traces"
    right = {key(trace): dict(trace.turns()) for trace in truth}
    traces = read_conversations(Path("data/direct") / scenario / "train.parquet")
    tools = {
        (trace.id, index): call.name
        for trace in traces
        for index, call in right.get(key(trace), {}).items()
    }
    decisions = read_rows(Path("data/relabeled") / scenario / "decisions.parquet", DECISIONS)
    decided = [
        (tools[place], json.loads(row["votes"]), row["name"])
        for row in decisions
        if (place := (row["conversation"], row["turn"])) in tools
    ]
    rows = []
    for kind, turns in (
        ("service", [turn for turn in decided if turn[0] != RESPOND]),
        ("talk", [turn for turn in decided if turn[0] == RESPOND]),
    ):
        row = [scenario, kind, str(len(turns))]
        for member in MEMBERS:
            labels = [(tool, votes[member][0]) for tool, votes, _ in turns if votes[member]]
            hits = sum(
                name == tool or (name == SERVICE and kind == "service") for tool, name in labels
            )
            row.append(f"{len(labels)}, {hits / len(labels):.3f}" if labels else "0")
        row.append(f"{sum(name == tool for tool, _, name in turns) / len(turns):.3f}")
        rows.append(row)
    return rows


@click.command(help=__doc__)
def main() -> None:
    rows = [row for scenario in load_params().run for row in rows_of(scenario)]
    members = [f"{member}: labels, right" for member in MEMBERS]
    show("The committee, by member", ["scenario", "turns of", "n", *members, "decided right"], rows)


if __name__ == "__main__":
    main()
