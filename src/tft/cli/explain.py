"""Trace one training row back to the logged trace, through the decisions of every step."""

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import indent
from typing import Any, NamedTuple

from rapidfuzz import fuzz, process

from tft.config import Params
from tft.core.conversation import Conversation, ToolCall, canonical_json
from tft.core.errors import InputError
from tft.core.records import SERVICE, Label, disputed
from tft.core.tables import (
    DECISIONS,
    DRAFTS,
    RELEVANCE,
    message_rows,
    read_conversations,
    read_rows,
)

PIPELINES = ("direct", "filtered", "relabeled", "tft")
"""The pipelines, each made from the one before it."""

Row = dict[str, Any]


class Traces(NamedTuple):
    """The traces of one scenario and what the steps up to a pipeline wrote, by conversation id."""

    folder: Path
    logged: dict[str, Conversation]
    scores: dict[str, Row]
    decisions: dict[str, list[Row]]


def explain(address: str, params: Params, data: Path) -> str:
    """Explain where a row comes from, what each step decided about it, and why.

    Args:
        address: PIPELINE/SCENARIO/ID, as in the data folder. The id may contain slashes, and the
            row may have been rejected.
        params: The params, which say which scenarios there are.
        data: The folder that contains the folders of the pipelines.

    Raises:
        InputError: the pipeline, scenario, or row does not exist (names those that do), or a table
            is missing.
    """
    pipeline, scenario, name = _parts(address, params)
    traces = _read_traces(data, scenario, pipeline)
    if pipeline == "tft":
        lines = _of_synthetic(name, data / "tft" / scenario, traces)
    else:
        _check_known(name, traces.logged, data / pipeline / scenario)
        conversation, how = traces.logged[name], "logged"
        if any(row["kept"] for row in traces.decisions.get(name, [])):
            train = data / pipeline / scenario / "train.parquet"
            conversation, how = _conversation(name, train), "relabeled"
        lines = _of_messages(how, message_rows(conversation.messages))
        lines = itertools.chain(lines, _of_trace(name, pipeline, traces))
    text = "\n".join([address, *lines])
    # Texts of users and models may contain escape sequences, which a terminal would execute.
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def _parts(address: str, params: Params) -> tuple[str, str, str]:
    pipeline, _, after_pipeline = address.partition("/")
    scenario, _, name = after_pipeline.partition("/")
    if pipeline not in PIPELINES or not name:
        raise InputError(
            f"{address!r} is no row's address PIPELINE/SCENARIO/ID; pipelines: "
            f"{', '.join(PIPELINES)}; scenarios: {', '.join(params.scenarios)}"
        )
    params.scenario(scenario)
    return pipeline, scenario, name


def _check_known(name: str, known: Iterable[str], where: Path) -> None:
    ids = list(known)
    if name not in ids:
        close = [match for match, *_ in process.extract(name, ids, scorer=fuzz.ratio, limit=3)]
        raise InputError(f"{where}: no row {name!r} among {len(ids)}; closest: {', '.join(close)}")


def _conversation(name: str, path: Path) -> Conversation:
    conversations = {conversation.id: conversation for conversation in read_conversations(path)}
    _check_known(name, conversations, path)
    return conversations[name]


def _read_traces(data: Path, scenario: str, pipeline: str) -> Traces:
    steps = PIPELINES[: PIPELINES.index(pipeline) + 1]
    logged = data / "direct" / scenario / "train.parquet"
    scores = data / "filtered" / scenario / "scores.parquet"
    decisions = data / "relabeled" / scenario / "decisions.parquet"
    decided = defaultdict(list)
    for row in read_rows(decisions, DECISIONS) if "relabeled" in steps else []:
        decided[row["conversation"]].append(row)
    scored = read_rows(scores, RELEVANCE) if "filtered" in steps else []
    return Traces(
        logged.parent,
        {conversation.id: conversation for conversation in read_conversations(logged)},
        {row["conversation"]: row for row in scored},
        dict(decided),
    )


def _of_synthetic(name: str, folder: Path, traces: Traces) -> Iterator[str]:
    drafts = {row["conversation"]: row for row in read_rows(folder / "drafts.parquet", DRAFTS)}
    _check_known(name, drafts, folder)
    draft = drafts[name]
    exemplars, context = json.loads(draft["exemplars"]), json.loads(draft["context"])
    if draft["kept"]:
        conversation = _conversation(name, folder / "train.parquet")
        messages, provenance = message_rows(conversation.messages), conversation.provenance
    else:
        messages, provenance = draft["messages"] or [], {}

    yield from _of_messages("generated", messages)
    yield f"Validation: {_verdict(draft)}: {draft['reason']}"
    yield "Mutations"
    yield from _of_values(json.loads(draft["mutations"]))
    shown_above = {"exemplars", "context", "mutations"}
    if other_values := {key: value for key, value in provenance.items() if key not in shown_above}:
        yield "Generation"
        yield from _of_values(other_values)
    for number, exemplar in enumerate(exemplars, 1):
        yield f"Exemplar {number} of {len(exemplars)}: {exemplar}"
        _check_known(exemplar, traces.logged, traces.folder)
        yield from (indent(line, "  ") for line in _of_trace(exemplar, "relabeled", traces))
    for number, trace in enumerate(context, 1):
        yield f"Context {number} of {len(context)}, as it was logged: {trace}"
        yield from (indent(line, "  ") for line in _of_scores(trace, traces))


def _of_trace(name: str, pipeline: str, traces: Traces) -> Iterator[str]:
    """What the steps up to a pipeline decided about a trace, the last step first."""
    if pipeline == "relabeled":
        yield from _of_decisions(name, traces)
    if pipeline != "direct":
        yield from _of_scores(name, traces)
    trace = traces.logged[name]
    yield f"Logged: {len(trace.messages)} messages of {trace.source}"
    yield from _of_values(trace.provenance)


def _of_decisions(name: str, traces: Traces) -> Iterator[str]:
    rows = traces.decisions.get(name)
    if rows is None:
        yield "Relabeling: nothing decided, the trace did not come this far"
        return
    logged = dict(traces.logged[name].turns())
    changed = [row for row in rows if _call_of(row) != logged.get(row["turn"])]
    yield f"Relabeling: {_verdict(rows[0])}, {len(changed)} of {len(rows)} turns changed"
    agreed = Counter[str]()
    for row in rows:
        votes = {
            member: Label(*label) if label else None
            for member, label in json.loads(row["votes"]).items()
        }
        if row not in changed and not disputed(votes):
            agreed[row["reason"]] += 1
            continue
        yield f"  turn {row['turn']}: {row['reason']}"
        yield f"    logged: {_shown(logged.get(row['turn']))}"
        yield f"    chosen: {_shown(_call_of(row))}"
        for member, label in votes.items():
            yield f"    {member} voted: {_voted(label)}"
    for reason, count in agreed.most_common():
        yield f"  {count} left as logged, undisputed: {reason}"


def _of_scores(name: str, traces: Traces) -> Iterator[str]:
    row = traces.scores.get(name)
    if row is None:
        yield "Filter: no scores; `dvc repro filter` makes them"
        return
    scores = f"relevance {row['relevance']}, coherence {row['coherence']}"
    yield f"Filter: {_verdict(row)}, {scores}: {row['reason']}"


def _of_messages(how: str, messages: Sequence[Row]) -> Iterator[str]:
    yield f"Messages as {how}: {len(messages)}"
    for index, row in enumerate(messages):
        text = row["content"] if row["name"] is None else f"{row['name']} {row['arguments']}"
        line = " ".join(text.split())
        yield f"  {index:>3} {row['role']:<9} {line if len(line) <= 120 else line[:117] + '...'}"


def _of_values(values: Mapping[str, Any]) -> Iterator[str]:
    """One line per value; a list of objects gets one line per object."""
    for key, value in values.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            yield f"  {key}:"
            yield from (f"    {canonical_json(item)}" for item in value)
        else:
            yield f"  {key}: {value if isinstance(value, str) else canonical_json(value)}"


def _verdict(row: Row) -> str:
    return "kept" if row["kept"] else "rejected"


def _call_of(row: Row) -> ToolCall | None:
    return None if row["name"] is None else ToolCall(row["name"], json.loads(row["arguments"]))


def _voted(label: Label | None) -> str:
    if label and label.tool == SERVICE:
        return "a service, whichever it was"
    return _shown(ToolCall(*label) if label else None)


def _shown(call: ToolCall | None) -> str:
    return "nothing" if call is None else f"{call.name} {call.arguments_json}"
