"""Bring in the corpus: real dialogues as traces of a tool-calling agent, and the agent's task.

Reads the archive that params name (TFT_SGD_ARCHIVE and TFT_PUBLISHED in the environment name other
places), or the folder of your own traces. Writes data/corpus/conversations.parquet,
data/corpus/task.json, what was refused of your traces to data/corpus/refused.parquet, and how they
were read to metrics/import.json.

    python stages/fetch.py
"""

from pathlib import Path

import click

from tft.corpus.report import REFUSED
from tft.corpus.stream import write_stream
from tft.params import load_params
from tft.roles import load_corpus
from tft.tables import write_json, write_rows
from tft.task import write_task
from tft.timing import timed

CORPUS = Path("data/corpus")


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    conversations, task, report = load_corpus(load_params())
    try:
        write_stream(CORPUS / "conversations.parquet", conversations)
    finally:  # an error about too many refusals sends the reader here
        write_rows(CORPUS / "refused.parquet", REFUSED, report.refused)
    write_task(CORPUS / "task.json", task)
    write_json(Path("metrics/import.json"), report.summary())
    print("\n".join(report.lines()))


if __name__ == "__main__":
    timed(main)
