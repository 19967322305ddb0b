"""Read the corpus: real or simulated dialogues as traces of a tool-calling agent, and its task.

Reads the archive named in params (the environment variables TFT_SGD_ARCHIVE and TFT_PUBLISHED
override it) or the folder of your own traces. Writes data/corpus: conversations.parquet, task.json,
refused.parquet (which of your traces could not be read, and why), and import.json (how they were
read).

    python stages/fetch.py
"""

from pathlib import Path

from tft.config import Params, load_params
from tft.core.stage import stage
from tft.core.stream import write_stream
from tft.core.tables import write_json, write_rows
from tft.core.task import write_task
from tft.corpus.choose import load_corpus
from tft.traces.report import REFUSED

CORPUS = Path("data/corpus")


@stage(load_params)
def main(params: Params) -> None:
    """See the module's docstring."""
    conversations, task, report = load_corpus(params)
    try:
        write_stream(CORPUS / "conversations.parquet", conversations)
    finally:  # an error about too many refusals refers to this file
        write_rows(CORPUS / "refused.parquet", REFUSED, report.refused)
    write_task(CORPUS / "task.json", task)
    write_json(CORPUS / "import.json", report.summary())
    print("\n".join(report.lines()))


if __name__ == "__main__":
    main()
