"""Let policies that need no model answer every held-out turn.

Reads data/split/test.parquet and the traces of the first scenario,
data/direct/SCENARIO/train.parquet. Writes data/baselines/POLICY.parquet, predictions like those of
students: what judges and scores these judges and scores them too.

    python stages/baselines.py
"""

from pathlib import Path

import click

from tft.conversation import render_call
from tft.evaluation.baselines import baselines
from tft.params import load_params
from tft.tables import PREDICTIONS, read_conversations, write_rows
from tft.timing import timed


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    scenario = next(iter(params.scenarios))
    tests = read_conversations(Path("data/split/test.parquet"))
    traces = read_conversations(Path("data/direct") / scenario / "train.parquet")
    for name, policy in baselines(traces).items():
        rows = []
        for conversation in tests:
            for index, _ in conversation.turns():
                call = policy(conversation.messages[:index])
                rows.append(
                    {
                        "conversation": conversation.id,
                        "turn": index,
                        "raw": render_call(call),
                        "name": call.name,
                        "arguments": call.arguments_json,
                        "error": None,
                        "finish_reason": "stop",
                    }
                )
        write_rows(Path("data/baselines") / f"{name}.parquet", PREDICTIONS, rows)
        print(f"{name}: {len(rows)} turns answered")


if __name__ == "__main__":
    timed(main)
