"""Label the held-out conversations that have no labels yet.

The calls of a benchmark's held-out conversations, or of a test.jsonl, are already labels and stay
as they are. Held-out traces of your own are filtered and relabeled like the training traces.

Reads data/split/held_out.parquet and data/split/task.json. Writes data/test: conversations.parquet,
scores.parquet and decisions.parquet (the decisions of filter and committee on each conversation and
turn), and summary.json, which says who labeled the test set.

    python stages/label_test.py
"""

from pathlib import Path

from tft.config import Params, load_params
from tft.core.errors import InputError
from tft.core.stage import stage
from tft.core.tables import (
    DECISIONS,
    RELEVANCE,
    read_conversations,
    write_conversations,
    write_json,
    write_rows,
)
from tft.core.task import read_task
from tft.corpus.choose import labels_are_given
from tft.filter import choose as filter_role
from tft.llm import connect
from tft.relabel import choose as relabel_role
from tft.relabel.held_out import as_given, by_machine

TEST = Path("data/test")


@stage(load_params)
def main(params: Params) -> None:
    """See the module's docstring."""
    held_out = read_conversations(Path("data/split/held_out.parquet"))
    models = connect(params.llm)
    if labels_are_given(held_out, params):
        labeled = as_given(held_out)
    else:
        labeled = by_machine(
            held_out,
            read_task(Path("data/split/task.json")),
            filter_role.choose(params.filter, models, "label_test"),
            relabel_role.choose(params.relabel, models, "label_test"),
            params.filter.thresholds[params.run[0]].both(),
            f"machine: {params.filter.role} filter, {params.relabel.role} relabel",
        )
    write_rows(TEST / "scores.parquet", RELEVANCE, labeled.scores)
    write_rows(TEST / "decisions.parquet", DECISIONS, labeled.decisions)
    test = labeled.conversations
    if not test:
        raise InputError(
            f"none of {len(held_out)} held-out traces passed filter and relabeling; see {TEST}; "
            "raise traces.test_fraction, or provide a test.jsonl"
        )
    write_conversations(TEST / "conversations.parquet", test)
    turns = sum(1 for conversation in test for _ in conversation.turns())
    counts = {"held_out": len(held_out), "test": len(test), "turns": turns}
    write_json(TEST / "summary.json", labeled.summary | models.usage() | counts)
    print(f"test: {len(test)} of {len(held_out)} conversations, {turns} turns")


if __name__ == "__main__":
    main()
