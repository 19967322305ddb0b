"""Hold out the test conversations before anything is done to the traces.

Reads data/corpus. Writes data/split: train.parquet (the training conversations of every service),
held_out.parquet, and task.json.

    python stages/split.py
"""

from pathlib import Path

from tft.config import Params, load_params
from tft.core.stage import stage
from tft.core.stream import Stored, write_stream
from tft.core.task import read_task, write_task
from tft.corpus.choose import split_corpus

CORPUS = Path("data/corpus")
SPLIT = Path("data/split")


@stage(load_params)
def main(params: Params) -> None:
    """See the module's docstring."""
    train, held_out = split_corpus(Stored(CORPUS / "conversations.parquet"), params)
    trained = write_stream(SPLIT / "train.parquet", train)
    tested = write_stream(SPLIT / "held_out.parquet", held_out)
    write_task(SPLIT / "task.json", read_task(CORPUS / "task.json"))
    print(f"train: {trained} conversations; held out: {tested} conversations")


if __name__ == "__main__":
    main()
