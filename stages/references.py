"""Filter and relabel the held-out traces that nobody labelled.

Held-out conversations of a benchmark, or of a test.jsonl, are right already and stay as they are.

Reads data/split/held_out.parquet and data/split/task.json. Writes data/split/test.parquet, what the
filter and the committee said of each conversation and turn to data/references, and
metrics/references.json, which says who labelled the test set.

    python stages/references.py
"""

from dataclasses import replace
from pathlib import Path

import click

from tft.curated import decision_rows, kept_by, relabelled_traces
from tft.errors import InputError
from tft.params import load_params
from tft.roles import labels_are_given, language_models, relabel_for, relevance_for
from tft.tables import (
    DECISIONS,
    RELEVANCE,
    read_conversations,
    write_conversations,
    write_json,
    write_rows,
)
from tft.task import read_task
from tft.timing import timed


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    held_out = read_conversations(Path("data/split/held_out.parquet"))
    test, scores, decisions, summary = held_out, [], [], {"labelled_by": "the corpus"}
    if not labels_are_given(held_out, params):
        task = read_task(Path("data/split/task.json"))
        (scenario,) = params.run
        models = language_models(params)
        score_relevance = relevance_for(params, models, "references")
        relabel = relabel_for(params, models, "references")
        relevance = score_relevance(held_out, task)
        kept = kept_by(relevance, params.filter.thresholds[scenario])
        fitting = [one for one in held_out if one.id in kept]
        results = relabel(fitting, task)
        scores = [score._asdict() | {"kept": score.conversation in kept} for score in relevance]
        decisions = decision_rows(fitting, results)
        machine = f"machine: {params.filter.role} filter, {params.relabel.role} relabel"
        test = [
            replace(one, provenance={**one.provenance, "labelled_by": machine})
            for one in relabelled_traces(fitting, results)
        ]
        summary = {
            "labelled_by": machine,
            "rejected_by_filter": len(held_out) - len(fitting),
            "rejected_by_relabel": len(fitting) - len(test),
            **models.usage(),
        }
    folder = Path("data/references")
    write_rows(folder / "scores.parquet", RELEVANCE, scores)
    write_rows(folder / "decisions.parquet", DECISIONS, decisions)
    if not test:
        raise InputError(
            f"none of {len(held_out)} held-out traces passed filter and relabelling; see {folder}; "
            "raise traces.test_fraction, or bring a test.jsonl"
        )
    write_conversations(Path("data/split/test.parquet"), test)
    turns = sum(1 for one in test for _ in one.turns())
    summary |= {"held_out": len(held_out), "test": len(test), "turns": turns}
    write_json(Path("metrics/references.json"), summary)
    print(f"test: {len(test)} of {len(held_out)} conversations, {turns} turns")


if __name__ == "__main__":
    timed(main)
