"""Hold out the test conversations, before anything is done to the traces.

Reads data/corpus. Writes data/split/train.parquet (all that may be trained on, of every service),
data/split/held_out.parquet and data/split/task.json.

    python stages/split.py
"""

from pathlib import Path

import click

from tft.corpus.stream import Stored, write_stream
from tft.params import load_params
from tft.roles import split_corpus
from tft.task import read_task, write_task
from tft.timing import timed

CORPUS = Path("data/corpus")
SPLIT = Path("data/split")


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    train, test = split_corpus(Stored(CORPUS / "conversations.parquet"), params)
    trained = write_stream(SPLIT / "train.parquet", train)
    tested = write_stream(SPLIT / "held_out.parquet", test)
    write_task(SPLIT / "task.json", read_task(CORPUS / "task.json"))
    print(f"train: {trained} conversations; held out: {tested} conversations")


if __name__ == "__main__":
    timed(main)
