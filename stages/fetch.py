"""Bring in the corpus: real dialogues as traces of a tool-calling agent, and the agent's task.

Reads the archive that params name (TFT_SGD_ARCHIVE and TFT_PUBLISHED in the environment name other
places). Writes data/corpus/conversations.parquet and data/corpus/task.json.

    python stages/fetch.py
"""

from collections import Counter
from pathlib import Path

import click

from tft.params import load_params
from tft.roles import load_corpus
from tft.tables import write_conversations
from tft.task import write_task

CORPUS = Path("data/corpus")


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    conversations, task = load_corpus(load_params())
    write_conversations(CORPUS / "conversations.parquet", conversations)
    write_task(CORPUS / "task.json", task)
    for source, number in sorted(Counter(item.source for item in conversations).items()):
        print(f"{source}: {number} conversations")


if __name__ == "__main__":
    main()
