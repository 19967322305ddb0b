"""Your own traces: a folder with job_description.json, traces.jsonl, and optionally test.jsonl.

The logs may have any of the formats in `tft.traces.formats`. They are read one dialogue at a time,
so that memory holds only the ids seen so far.
"""

import hashlib
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from jsonschema import Draft202012Validator, SchemaError

from tft.core.conversation import Conversation
from tft.core.errors import InputError
from tft.core.task import Task, read_task
from tft.traces.assemble import assemble
from tft.traces.config import TracesConfig
from tft.traces.formats.events import Logged
from tft.traces.formats.known import BY_LINE, SPREAD, shape
from tft.traces.formats.model import Record, anywhere
from tft.traces.lines import Line, Piece, grouped, read_lines
from tft.traces.redaction.redact import PLACEHOLDER, Clean, as_it_stands, cleaner
from tft.traces.report import DIALOGUES, FileReport, ImportReport
from tft.traces.talk import with_talk

SOURCE, TEST = "traces", "traces/test"
SHOWN = 300
"""The greatest length of a reason, which may quote a message, in characters."""


def read_traces(params: TracesConfig) -> tuple[Iterator[Conversation], Task, ImportReport]:
    """The conversations in a folder of logs, the task, and a report that is filled while reading.

    Ids consist of file and line, such as traces/0000012. A trace's own id is in the provenance,
    with everything else that has no place in a conversation. Sources are `traces` and
    `traces/test`.

    Raises:
        InputError: immediately if a file is missing, empty, or of an unknown format, or the job
            description is incomplete; while reading, at the end of a file, if more than
            `params.max_refused` of its traces were refused or none is left.
    """
    folder = Path(params.path)
    task = with_talk(read_task(folder / "job_description.json"))
    _check_tools(folder / "job_description.json", task)
    clean = cleaner(params.redact, task)
    report = ImportReport()
    logs = []
    for name, source in (("test.jsonl", TEST), ("traces.jsonl", SOURCE)):
        path = folder / name
        if source == SOURCE or path.exists():
            if not path.is_file():
                raise InputError(f"{path}: no such file; traces.path names the folder of your logs")
            kind = params.format if params.format != "auto" else detect(path, clean)
            report.files[name] = FileReport(kind)
            logs.append((path, source))
    seen: dict[str, str] = {}
    read = partial(_read_file, task=task, params=params, clean=clean, report=report, seen=seen)
    return itertools.chain.from_iterable(read(path, source) for path, source in logs), task, report


def split_traces(
    conversations: Iterable[Conversation], test_fraction: float, seed: int
) -> tuple[Iterator[Conversation], Iterator[Conversation]]:
    """(training, test) conversations; the latter are test.jsonl or, without it, a share of traces.

    Equal traces stay in the same part, so that no student is tested on what it has memorized. Each
    distinct trace draws a number, and those with the lowest are held out, so that a few more traces
    change the split only a little.

    Args:
        conversations: Conversations, which are iterated over here and again for each part. Memory
            holds a digest of each.
        test_fraction: The share of distinct traces to hold out.
        seed: Random seed of the draw.

    Raises:
        InputError: one of the parts would be empty.
    """
    from_test_file, drawn, times = 0, dict[bytes, float](), Counter[bytes]()
    for conversation in conversations:
        if conversation.source == TEST:
            from_test_file += 1
        else:
            digest = _digest(conversation)
            times[digest] += 1
            if digest not in drawn:
                drawn[digest] = random.Random(f"{seed}/test/{conversation.id}").random()
    number = 0 if from_test_file else round(test_fraction * len(drawn))
    held_out = set(sorted(drawn, key=drawn.__getitem__)[:number])
    tested = from_test_file + sum(times[digest] for digest in held_out)
    trained = from_test_file + times.total() - tested
    if not tested or not trained:
        raise InputError(
            f"traces.test_fraction: {test_fraction} of {from_test_file + times.total()} traces "
            f"leaves {trained} to train on and {tested} to test on; change it, or provide more "
            "traces or a test.jsonl"
        )

    def is_tested(conversation: Conversation) -> bool:
        return conversation.source == TEST or _digest(conversation) in held_out

    return itertools.filterfalse(is_tested, conversations), filter(is_tested, conversations)


def _digest(conversation: Conversation) -> bytes:
    return hashlib.blake2b(repr(conversation.messages).encode(), digest_size=16).digest()


def detect(path: Path, clean: Clean = as_it_stands) -> str:
    """The format of a log, by the first line that shows it.

    `clean` redacts what an error quotes.

    Raises:
        InputError: the file is empty, or no line has a known format.
    """
    first = None
    undecided = False
    for line in read_lines(path):
        first = first or line
        if line.record is not None:
            kind = shape(line.record)
            if kind not in (None, "messages"):
                return str(kind)
            undecided = undecided or kind == "messages"
    if undecided:  # messages with text only are the same in OpenAI's and Anthropic's formats
        return "openai"
    if first is None:
        raise InputError(f"{path}: empty; one JSON object per line is expected")
    keys = clean(list(first.record or {})).value
    found_instead = first.flaw or f"an object with the keys {', '.join(keys) or '(none)'}"
    raise InputError(
        f"{path}: no known format; line {first.number}: {found_instead:.200}. Known are "
        f"{', '.join([*BY_LINE, *SPREAD])}: see src/tft/traces/formats, or name it in traces.format"
    )


class _Trace(NamedTuple):
    """The lines of a trace, its name if its format has names, and a reader of its dialogues."""

    lines: list[int]
    name: str
    dialogues: Callable[[], list[Logged]]


def _read_file(
    path: Path,
    source: str,
    task: Task,
    params: TracesConfig,
    clean: Clean,
    report: ImportReport,
    seen: dict[str, str],
) -> Iterator[Conversation]:
    file, counts = path.name, report.files[path.name]
    begun: Counter[int] = Counter()  # the number of conversations by the line where they start
    for trace in _traces(file, read_lines(path), counts, report, clean):
        counts.traces += 1
        line = trace.lines[0]
        place = f"{path.stem}/{line:07}"
        try:
            logs = trace.dialogues()
            _check_new(logs[0].id, f"{file}, line {line}", seen)
            built = [assemble(logged, task) for logged in logs]
            made = []
            for logged, (messages, beside, notes) in zip(logs, built, strict=True):
                if len(logs) > 1:
                    notes[DIALOGUES] += 1
                provenance = {
                    "file": file, "lines": trace.lines, "id": logged.id, "read_as": dict(notes),
                    **beside, "logged": logged.more,
                }  # fmt: skip
                kept = {key: value for key, value in provenance.items() if value not in (None, {})}
                begun[line] += 1
                name = f"{place}-{begun[line]:03}" if trace.name else place
                made.append(Conversation(name, source, messages, kept))
                _check_length(made[-1], params.max_characters)
        except InputError as error:
            report.refuse(file, line, trace.name, error.message[:SHOWN])
            continue
        counts.left_out.count(
            line, Counter(anywhere(path) for logged in logs for path in logged.more)
        )
        for conversation, (_, _, notes) in zip(made, built, strict=True):
            counts.take(line, notes)
            report.sources[source] += 1
            yield conversation
    _check_refused(path, counts, params.max_refused)


def _traces(
    file: str, lines: Iterable[Line], counts: FileReport, report: ImportReport, clean: Clean
) -> Iterator[_Trace]:
    """Yield the traces of a file, redacted; refuse lines that are not JSON or have no trace id."""

    def refuse(line: int, reason: str) -> None:
        counts.traces += 1
        report.refuse(file, line, "", reason[:SHOWN])

    def redacted(parse: Parse, line: int, name: str, logged_records: list[Record]) -> list[Logged]:
        (name, *logged_records), times = clean([name, *logged_records])
        counts.redacted.count(line, times)
        return parse(name, logged_records)

    def records() -> Iterator[tuple[int, Record]]:
        for line in lines:
            counts.lines += 1
            if line.record is None:
                refuse(line.number, line.flaw)
            else:
                yield line.number, line.record

    if counts.format in BY_LINE:
        for number, record in records():
            parse = partial(_alone, BY_LINE[counts.format])
            yield _Trace([number], "", partial(redacted, parse, number, "", [record]))
        return

    spread = SPREAD[counts.format]

    def pieces() -> Iterator[Piece]:
        for number, record in records():
            try:
                line_pieces = list(spread.pieces(record))
            except InputError as error:
                # Nothing is redacted yet, and the text after the colon may quote the line.
                is_raw = clean is not as_it_stands
                refuse(number, error.message.split(":")[0] if is_raw else error.message)
                continue
            counts.passed_over += not line_pieces
            if line_pieces:  # not redacted yet, and paths consist of keys
                left_out = [anywhere(path) for path, _ in spread.around(record)]
                counts.left_out.count(number, Counter(clean(left_out).value))
            yield from (Piece(name, number, piece) for name, piece in line_pieces)

    for group in grouped(pieces()):
        name, logged_records = group[0].dialogue, [piece.record for piece in group]
        held = sorted({piece.line for piece in group})
        dialogues = partial(redacted, spread.parse, held[0], name, logged_records)
        yield _Trace(held, clean(name).value, dialogues)


Parse = Callable[[str, list[Record]], list[Logged]]


def _alone(parse: Callable[[Record], Logged], _: str, records: list[Record]) -> list[Logged]:
    (record,) = records
    return [parse(record)]


def _check_new(id: str | None, place: str, seen: dict[str, str]) -> None:
    if id is None or PLACEHOLDER.search(id):  # redacted ids may be equal, for example a user's
        return
    if seen.setdefault(id, place) != place:
        raise InputError(f"duplicate id: {id!r:.80} is also in {seen[id]}")


def _check_length(conversation: Conversation, longest: int) -> None:
    length = sum(
        len(message.content or "") if message.tool_call is None
        else len(message.tool_call.arguments_json)
        for message in conversation.messages
    )  # fmt: skip
    if length > longest:
        raise InputError(f"too long: {length:,} characters, traces.max_characters is {longest:,}")


def _check_refused(path: Path, counts: FileReport, most: float) -> None:
    if counts.conversations and counts.number_refused <= most * counts.traces:
        return
    reasons = ", ".join(
        f"{reason} ({tally.traces}, first in line {tally.lines[0]})"
        for reason, tally in sorted(counts.refused.items(), key=lambda pair: -pair[1].traces)
    )
    raise InputError(
        f"{path}, read as {counts.format}: {counts.number_refused} of {counts.traces} traces "
        f"refused, traces.max_refused is {most}: {reasons or 'no requests to a chat model'}. "
        "All of them are in data/corpus/refused.parquet"
    )


def _check_tools(path: Path, task: Task) -> None:
    for tool in task.tools:
        try:
            Draft202012Validator.check_schema(tool.parameters)
        except SchemaError as error:
            raise InputError(
                f"{path}: tools: parameters of {tool.name!r} are no JSON Schema: "
                f"{json.dumps(list(error.path))}: {error.message:.200}"
            ) from error
