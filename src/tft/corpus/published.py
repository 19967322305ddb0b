"""The published benchmark's own traces and test set.

They are in https://github.com/distil-labs/distil-tft-benchmarking. Two layouts can be read: that of
the repository (scenario-N-.../tft/traces.jsonl), and a flat copy of the files that matter
(scenario-N-.../traces.jsonl.gz, with one test.jsonl and one job_description.json above them).
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tft.core.conversation import Conversation, Message, from_openai, parse_call
from tft.core.errors import InputError
from tft.core.task import Task, parse_task
from tft.corpus.archive import read_files
from tft.corpus.config import PublishedConfig

HINT = (
    "set TFT_PUBLISHED (or published.archive in params.yaml) to a folder, a .tar.gz or its https "
    "address"
)
TEST = "published/test"

_FILES = re.compile(
    r"((?P<folder>scenario-[^/]+)/(tft/)?)?"
    r"(?P<kind>traces\.jsonl(\.gz)?|test\.jsonl|job_description\.json)"
)


def read_published(archive: str, params: PublishedConfig) -> tuple[list[Conversation], Task]:
    """All published traces and test conversations, and the task.

    The files do not contain SGD's dialogue ids, so ids consist of folder and line, such as
    scenario-1-baseline/0001 or test/01. Sources are published/FOLDER and published/test.

    Args:
        archive: A folder, a .tar.gz file, or its https address (see `archive.read_files`).
        params: The pinned commit.

    Raises:
        InputError: a line cannot be read or a file is missing; names the file and line.
    """
    conversations: dict[str, list[Conversation]] = {}
    task = None

    def wanted(name: str) -> bool:
        return bool(_FILES.fullmatch(name))

    for name, content in read_files(archive, wanted, params.commit, HINT):
        where = f"{archive}: {name}"
        match = _FILES.fullmatch(name)
        assert match is not None
        kind, folder = match["kind"], match["folder"]
        if kind == "job_description.json":
            # Each scenario of the repository has its own copy of this file and of the test set.
            task = task or parse_task(where, content)
        elif kind == "test.jsonl":
            conversations.setdefault(TEST, list(_read_lines(where, content, TEST, 2, _test)))
        elif folder:
            source = f"published/{folder}"
            if source in conversations:
                raise InputError(f"{where}: a second file of traces for {folder}; keep one")
            text = _unpack(where, content) if kind.endswith(".gz") else content
            conversations[source] = list(_read_lines(where, text, source, 4, _trace))
    if task is None or TEST not in conversations or len(conversations) == 1:
        raise InputError(
            f"{archive}: expected job_description.json, test.jsonl and, in folders scenario-*, "
            f"traces.jsonl(.gz); found {sorted(conversations) or 'no conversations'} and "
            f"{'a' if task else 'no'} job_description.json; {HINT}"
        )
    return [conversation for rows in conversations.values() for conversation in rows], task


def split_published(
    conversations: Sequence[Conversation],
) -> tuple[list[Conversation], list[Conversation]]:
    """(the traces of all scenarios, the test conversations)."""
    train = [item for item in conversations if item.source != TEST]
    return train, [item for item in conversations if item.source == TEST]


def published_traces(
    scenario: str, pool: Sequence[Conversation], params: PublishedConfig
) -> list[Conversation]:
    """The published traces of a scenario, sorted by id.

    Raises:
        InputError: no traces of this scenario are published.
    """
    source = f"published/{params.folders.get(scenario)}"
    traces = [conversation for conversation in pool if conversation.source == source]
    if not traces:
        known = ", ".join(sorted(params.folders))
        raise InputError(
            f"params.yaml: run: nothing is published of the scenario {scenario!r}; with corpus: "
            f"published there are {known}"
        )
    return sorted(traces, key=lambda trace: trace.id)


def _unpack(where: str, content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, OSError) as error:
        raise InputError(f"{where}: not a complete gzip file ({error})") from error


def _read_lines(
    where: str,
    content: bytes,
    source: str,
    digits: int,
    parse: Callable[[Any], tuple[Message, ...]],
) -> Iterator[Conversation]:
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            name = f"{source.removeprefix('published/')}/{number:0{digits}}"
            yield Conversation(name, source, parse(_json("the line", line)))
        except InputError as error:
            raise InputError(f"{where}:{number}: {error.message}") from error


def _trace(row: Any) -> tuple[Message, ...]:
    return from_openai(_get(_json("context", _get(row, "context", str)), "messages", list))


def _test(row: Any) -> tuple[Message, ...]:
    question = _json("question", _get(row, "question", str))
    if not isinstance(question, list):
        raise InputError(f"question: expected the JSON of a list of messages, got {question!r:.80}")
    answer = _json("answer", _get(row, "answer", str))
    call = parse_call(_get(answer, "name", str), _get(answer, "parameters", dict))
    return (*from_openai(question), Message("assistant", tool_call=call))


def _json(label: str, text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{label} is not JSON ({error})") from error


def _get(value: Any, key: str, kind: type) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get(key), kind):
        raise InputError(f"expected an object with {key!r} ({kind.__name__}), got {value!r:.120}")
    return value[key]
