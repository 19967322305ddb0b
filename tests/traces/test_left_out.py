"""Nothing of a log is dropped in silence: what no reader reads is kept, or at least counted."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures import logs
from fixtures.rooms import ASKED, BYE, FOUND, HELLO, ROOMS, imported
from hypothesis import given
from hypothesis import strategies as st

from tft.core.conversation import Conversation, Message, assistant, user
from tft.core.errors import InputError
from tft.core.task import RESPOND
from tft.traces.report import KINDS, LONGEST, OTHERS

Place = tuple[str | int, ...]
FORMS = ["openai", "anthropic", "published", "langfuse", "otel"]
TOOLS = [ROOMS.to_openai()]

# Known to some reader somewhere: what it does not read elsewhere must not get lost there.
# Without those of ids, which readers compare and do not keep.
KEYS = [
    "args", "arguments", "content", "data", "description", "finish_reason", "function", "input",
    "input_schema", "messages", "model", "name", "output", "parameters", "parts",
    "reasoning_content", "refusal", "response", "result", "role", "signature", "spans", "system",
    "text", "thinking", "tool_calls", "tools", "cache_control", "strict", "attributes", "answer",
]  # fmt: skip
MORE = "<<more>>"
FREE = ("arguments", "parameters", "input_schema")
"""Where users write whatever they like, and all of it is taken or compared."""


def detailed(form: str, messages: tuple[Message, ...]) -> list[logs.Record]:
    """A dialogue with all that readers know: tools, texts in parts, thoughts, instructions."""
    one = Conversation("talk", "s", messages)
    records: list[logs.Record] = getattr(logs, form)(one)
    if form == "otel":
        for record in records:
            (scope,) = record["resourceSpans"][0]["scopeSpans"]
            scope["spans"] = scope["spans"][1:]
            told = {
                "gen_ai.system_instructions": [{"type": "text", "content": "be kind"}],
                "gen_ai.tool.definitions": TOOLS,
            }
            scope["spans"][0]["attributes"] += [
                {"key": key, "value": {"stringValue": json.dumps(value)}}
                for key, value in told.items()
            ]
    elif form == "langfuse":
        records = records[1:]
        for record in records:
            record["output"] = in_parts(record["output"])
            record["input"] = {"messages": in_parts(record["input"]), "tools": TOOLS}
    elif form != "published":
        (record,) = records
        record["messages"] = in_parts(record["messages"])
        record["tools"] = TOOLS
        if form == "anthropic":
            record["system"] = [{"type": "text", "text": "be kind"}]
            thought = {"type": "thinking", "thinking": "hm"}
            said = next(one for one in record["messages"] if one["role"] == "assistant")
            said["content"].insert(0, thought)
    return records


def in_parts(value: Any) -> Any:
    """The same with every text as a list of one part."""
    match value:
        case {"content": str(text), **rest}:
            return {**rest, "content": [{"type": "text", "text": text}]}
        case {"content": list(blocks), **rest}:
            return {**rest, "content": in_parts(blocks)}
        case list():
            return [in_parts(item) for item in value]
        case _:
            return value


def objects(value: Any, path: Place = ()) -> Iterator[tuple[Place, logs.Record]]:
    """Every object of a log that is not free in form, those in JSON texts included."""
    if isinstance(value, str) and path[-1] in ("context", "stringValue"):
        value = json.loads(value) if value[:1] in ("[", "{") else value
    if isinstance(value, dict):
        if path and path[-1] != "value":  # of OTLP, which has one key
            yield path, value
        for key, item in value.items():
            if key not in FREE and (key, value.get("type")) != ("input", "tool_use"):
                yield from objects(item, (*path, key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from objects(item, (*path, at))


def with_key(log: Any, path: Place, key: str, value: Any) -> Any:
    """A copy with one key more."""
    if isinstance(log, str):
        return json.dumps(with_key(json.loads(log), path, key, value))
    if not path:
        return {**log, key: value}
    inner = with_key(log[path[0]], path[1:], key, value)
    if isinstance(log, dict):
        return {**log, path[0]: inner}
    return [inner if at == path[0] else item for at, item in enumerate(log)]


def read(records: list[logs.Record], form: str) -> tuple[dict[str, Any], str]:
    """(the report of an import, all that it imported)."""
    with tempfile.TemporaryDirectory() as folder:
        rows, report = imported(Path(folder), logs.lines(records), format=form)
    told = [[repr(row.messages), row.provenance] for row in rows]
    return report.summary()["files"]["traces.jsonl"], json.dumps(told)


def is_told(records: list[logs.Record], form: str, before: dict[str, Any]) -> bool:
    """Whether a key more is imported or changes the report; a refusal says why, too."""
    try:
        report, rows = read(records, form)
    except InputError:
        return True
    return MORE in rows or report != before


@pytest.mark.parametrize("form", FORMS)
@given(
    messages=logs.dialogues,
    key=st.sampled_from(KEYS) | st.text("ab.[0]'\" ", min_size=1, max_size=5),
    value=st.sampled_from([MORE, {"inner": MORE}]),
    data=st.data(),
)
def test_any_additional_key_is_imported_or_reported(
    form: str, messages: tuple[Message, ...], key: str, value: Any, data: st.DataObject
) -> None:
    records = detailed(form, messages)
    places = [place for place, known in objects(records) if key not in known]
    more = with_key(records, data.draw(st.sampled_from(places)), key, value)
    assert is_told(more, form, read(records, form)[0])


@pytest.mark.parametrize("form", FORMS)
def test_a_key_that_is_read_elsewhere_is_not_lost(form: str) -> None:
    answers = [assistant(RESPOND, {"message": text}) for text in ("Which floor?", "R7.")]
    call = assistant("FindRoom", {"floor": 1})
    records = detailed(
        form, (user("hello"), answers[0], user("one"), call, user('[{"r": 7}]'), answers[1])
    )
    before, _ = read(records, form)
    lost = [
        (place, key)
        for place, known in objects(records)
        for key in KEYS
        if key not in known and not is_told(with_key(records, place, key, MORE), form, before)
    ]
    assert lost == []


def left_out(folder: Path, records: list[logs.Record]) -> dict[str, Any]:
    """By path, how many times and in which lines."""
    _, report = imported(folder, logs.lines(records))
    found: dict[str, Any] = report.summary()["files"]["traces.jsonl"]["left_out"]
    return {path: (tally["times"], tally["lines"]) for path, tally in found.items()}


def test_anthropic_extras_beside_texts_are_kept_and_counted(tmp_path: Path) -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "No.", "citations": None},
    ]
    mark = {"type": "ephemeral"}
    record = {
        "system": [{"type": "text", "text": "be kind", "cache_control": mark}],
        "messages": [HELLO, {"role": "assistant", "content": blocks}],
    }
    (one, _), report = imported(tmp_path, logs.lines([record, record]))
    assert one.provenance["logged"] == {
        "system[0].cache_control": mark, "messages[1].content[0].signature": "c2ln",
    }  # fmt: skip
    assert report.files["traces.jsonl"].left_out["system[].cache_control"].lines == [1, 2]
    line = "  left out: system[].cache_control: 2 times, first in line 1"
    assert line in report.lines()


def test_extras_of_requests_are_counted_once_per_dialogue(
    tmp_path: Path,
) -> None:
    thought = {**BYE, "reasoning_content": "R7 is free"}
    named = {**HELLO, "name": "Kim"}
    tools = [ROOMS.to_openai()]
    rows = [
        {"id": "o1", "traceId": "t", "type": "GENERATION", "startTime": "1", "output": thought,
         "input": {"messages": [named], "temperature": 0, "tools": tools}},
        {"id": "o2", "traceId": "t", "type": "GENERATION", "startTime": "2", "output": BYE,
         "input": {"messages": [named, BYE, HELLO], "temperature": 0}},
    ]  # fmt: skip
    (one,), _ = imported(tmp_path, logs.lines(rows))
    assert one.provenance["logged"] == {
        "observations[1].id": "o2",
        "observations[1].startTime": "2",
        "observations[1].input.messages[0].name": "Kim",
        "observations[1].input.temperature": 0,
        "observations[0].id": "o1",
        "observations[0].startTime": "1",
        "observations[0] reasoning[1]": "R7 is free",
        "observations[0] tools": [tool["function"] for tool in tools],
    }


def test_each_dialogue_of_a_trace_has_the_extras_of_its_own_requests(tmp_path: Path) -> None:
    def request(id: str, *messages: Any) -> logs.Record:
        *asked, answer = messages
        return {"id": id, "traceId": "t", "type": "GENERATION", "input": asked, "output": answer}

    plan = {"role": "user", "content": "plan"}
    rows = [
        request("a1", HELLO, BYE), request("b1", plan, BYE),
        request("a2", HELLO, BYE, HELLO, BYE), request("b2", plan, BYE, plan, BYE),
    ]  # fmt: skip
    both, _ = imported(tmp_path, logs.lines(rows))
    ids = [sorted(one.provenance["logged"].values()) for one in both]
    assert ids == [["a1", "a2"], ["b1", "b2"]]


def test_data_around_spans_and_attributes_are_counted(tmp_path: Path) -> None:
    (export,) = logs.otel(Conversation("t", "s", (user("a"), assistant(RESPOND, {"message": "b"}))))
    (resource,) = export["resourceSpans"]
    resource["resource"] = {"attributes": [{"key": "service.name"}]}
    _, span = resource["scopeSpans"][0]["spans"]
    span |= {"name": "chat m", "events": [{"name": "retry"}], "links": [{"traceId": "u"}]}
    odd = {"stringValue": "m", "more": 1}
    span["attributes"].append({"key": "gen_ai.request.model", "value": odd, "note": "n"})
    assert left_out(tmp_path, [export]) == {
        path: (1, [1])
        for path in [
            "resourceSpans[].resource", "resourceSpans[].scopeSpans[].spans[]",
            "spans[].attributes['gen_ai.output.messages'][].finish_reason",
            "spans[].attributes['gen_ai.request.model']",
            "spans[].attributes['gen_ai.request.model: more']",
            "spans[].events", "spans[].links", "spans[].name", "spans[].spanId",
            "spans[].startTimeUnixNano",
        ]
    }  # fmt: skip
    (one,), _ = imported(tmp_path, logs.lines([export]))
    logged = one.provenance["logged"]
    assert logged["spans[0].events"] == [{"name": "retry"}]
    assert logged["spans[0].attributes['gen_ai.request.model']"] == odd


def test_a_published_question_and_its_answer_lose_nothing(tmp_path: Path) -> None:
    answer = {"name": "FindRoom", "parameters": {}, "arguments": {"floor": 1}, "by": "Kim"}
    record = {
        "question": json.dumps([HELLO | {"name": "Ann"}]), "answer": json.dumps(answer),
        "context": ["c"],
    }  # fmt: skip
    (one,), _ = imported(tmp_path, logs.lines([record]))
    assert one.provenance["logged"] == {
        "question[0].name": "Ann", "answer.arguments": {"floor": 1}, "answer.by": "Kim",
        "context": ["c"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ({}, None),
        ({"description": None}, None),
        (
            {"description": "Find a chamber"},
            "tools described otherwise than in the job description",
        ),
        ({"parameters": {"type": "object"}}, "other tools than in the job description"),
        ({"name": "FindChamber"}, "other tools than in the job description"),
    ],
)
def test_logged_tools_that_the_task_lacks_are_kept_and_counted(
    tmp_path: Path, changed: dict[str, Any], note: str | None
) -> None:
    tool = {"type": "function", "function": ROOMS.to_openai()["function"] | changed}
    record = {"messages": [HELLO, ASKED, FOUND, BYE], "tools": [tool]}
    (one,), report = imported(tmp_path, logs.lines([record]))
    noted = [kind for kind in report.files["traces.jsonl"].notes if "job description" in kind]
    assert noted == ([note] if note else [])
    assert one.provenance.get("tools") == ([tool["function"]] if note else None)


def test_keys_that_are_ids_do_not_fill_the_report(tmp_path: Path) -> None:
    records = [
        {"messages": [HELLO | {"name": "Kim"}, BYE], f"id{n}": 1, f"id{n}{'x' * 10**4}": 1}
        for n in range(KINDS)
    ]
    found = left_out(tmp_path, records)
    assert len(found) == KINDS + 1
    assert found["messages[].name"][0] == KINDS
    assert sum(times for times, _ in found.values()) == 3 * KINDS
    assert found[OTHERS][0] == KINDS + 1
    assert max(map(len, found)) == LONGEST
