"""Every log format, there and back, and what is read otherwise than it stands."""

import gzip
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures import logs
from fixtures.rooms import ASKED, BYE, CALL, FOUND, HELLO, ROOMS, TASK, imported
from hypothesis import example, given
from hypothesis import strategies as st

from tft.core.conversation import Conversation, Message, assistant, user
from tft.core.errors import InputError
from tft.core.task import RESPOND, Task
from tft.traces.assemble import Assembled, assemble
from tft.traces.formats import anthropic_messages, langfuse, openai_chat, otel
from tft.traces.formats.known import BY_LINE, SPREAD
from tft.traces.lines import read_lines
from tft.traces.read import detect


@given(logs.dialogues, st.booleans(), st.randoms(use_true_random=False))
@pytest.mark.parametrize("form", ["openai", "anthropic", "published", "langfuse", "otel"])
def test_every_format_round_trips(
    form: str, messages: tuple[Message, ...], parallel: bool, rng: random.Random
) -> None:
    one = Conversation("x", "s", messages)
    records = (
        logs.published(one) if form == "published"
        else getattr(logs, form)(one, parallel=parallel)
    )  # fmt: skip
    records = json.loads(json.dumps(records))
    if form in BY_LINE:
        (built,) = [assemble(BY_LINE[form](record), TASK) for record in records]
    else:
        pieces = [piece for record in records for _, piece in SPREAD[form].pieces(record)]
        rng.shuffle(pieces)
        (built,) = [assemble(logged, TASK) for logged in SPREAD[form].parse("x", pieces)]
    assert built.messages == messages


@pytest.mark.parametrize("form", [logs.openai, logs.anthropic, logs.langfuse, logs.otel])
def test_a_file_of_interleaved_dialogues_is_detected_and_gathered(
    tmp_path: Path, form: Callable[[Conversation], list[logs.Record]]
) -> None:
    talks = [
        Conversation(
            f"talk-{n}", "s",
            (user(f"a room on floor {n}?"), assistant("FindRoom", {"floor": n}), user('[{"r": 1}]'),
             assistant(RESPOND, {"message": f"Room 1 on floor {n}."})),
        )
        for n in range(5)
    ]  # fmt: skip
    rounds = itertools.zip_longest(*map(form, talks))
    records = [record for together in rounds for record in together if record]
    conversations, report = imported(tmp_path, logs.lines(records))

    assert [one.messages for one in conversations] == [talk.messages for talk in talks]
    assert [one.provenance["id"] for one in conversations] == [talk.id for talk in talks]
    (counts,) = report.files.values()
    assert (counts.format, counts.lines) == (detect(tmp_path / "traces.jsonl"), len(records))
    assert (counts.traces, counts.conversations, counts.number_refused) == (5, 5, 0)


def assembled(*messages: dict[str, Any]) -> Assembled:
    return assemble(openai_chat.parse({"messages": list(messages)}), TASK)


def test_data_without_a_place_in_a_conversation_become_provenance() -> None:
    thinking = ASKED | {"content": "One moment.", "reasoning_content": "find one"}
    built = assembled(
        {"role": "system", "content": "be brief"}, HELLO | {"name": "Kim"}, thinking, FOUND, BYE
    )
    assert built.messages == (
        user("hello"), assistant("FindRoom", {}), user('[{"room": "R7"}]'),
        assistant(RESPOND, {"message": "Take R7."}),
    )  # fmt: skip
    assert built.provenance == {
        "system": {"0": "be brief"},
        "beside": {"1": "One moment."},
        "reasoning": {"1": "find one"},
    }
    logged = openai_chat.parse({"messages": [HELLO | {"name": "Kim"}, BYE], "model": "m"})
    assert logged.more == {"model": "m", "messages[0].name": "Kim"}


@pytest.mark.parametrize(
    ("messages", "note"),
    [
        ([HELLO, BYE], f"plain text as {RESPOND}"),
        ([HELLO, BYE, BYE], "texts in a row, joined"),
        ([HELLO, HELLO, BYE], "messages of the user in a row, kept"),
        ([HELLO, BYE, HELLO], "ends with the user, whom nobody answers"),
        ([HELLO, ASKED, FOUND | {"content": "none left"}],
         "result that is no JSON object, which rules take for speech"),
        ([HELLO, ASKED, FOUND | {"content": [{"type": "suite", "room": "R7"}]}],
         "result that is no text, as JSON"),
        ([HELLO, ASKED, ASKED], "turns of the assistant in a row, kept"),
        ([HELLO, ASKED, FOUND | {"content": {"room": "R7"}}], "result that is no text, as JSON"),
        ([HELLO, {"role": "assistant", "refusal": "No."}], "refusal as text"),
        ([HELLO, {"role": "assistant", "tool_calls": [{"id": "a", "function": {
            "name": "FindRoom", "arguments": ""}}]}], "empty arguments as {}"),
        ([HELLO, {"role": "assistant", "tool_calls": [{"id": "a", "function": {
            "name": "Fly", "arguments": "{}"}}]}], "undeclared tool: Fly"),
        ([HELLO, {"role": "assistant", "tool_calls": [{"id": "a", "function": {
            "name": RESPOND, "arguments": '{"message": "x"}'}}]}, FOUND, HELLO],
         f"result of {RESPOND}, kept beside"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"},
                                       {"type": "text", "text": "b"}]}, BYE],
         "parts of a text, joined"),
        ([HELLO, {"role": "developer", "content": "now rhyme"}, BYE],
         "system message within the dialogue, kept beside"),
        ([HELLO, ASKED | {"tool_calls": [CALL, CALL | {"id": "b"}]},
          FOUND | {"tool_call_id": "b"}, FOUND], "parallel calls in a row"),
    ],
)  # fmt: skip
def test_changes_made_while_reading_are_counted(messages: list[dict[str, Any]], note: str) -> None:
    assert assembled(*messages).notes[note] == 1


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([HELLO], "one-sided: no message of the assistant"),
        ([BYE], "one-sided: no message of the user"),
        ([HELLO, FOUND, BYE], "orphan result: message 1: no call before it waits for 'a'"),
        ([HELLO, ASKED, FOUND, FOUND], "orphan result: message 3"),
        ([HELLO, ASKED, BYE], "call without result: message 2 speaks before 'FindRoom'"),
        ([HELLO, ASKED | {"tool_calls": [CALL, CALL | {"id": "b"}]},
          FOUND | {"tool_call_id": "b"}], "call without result: 'FindRoom' of message 1"),
        ([HELLO, {"role": "assistant", "content": " "}], "empty message: message 1"),
        ([HELLO, {"role": "assistant", "content": None}], "empty message: message 1"),
        ([HELLO, ASKED | {"tool_calls": [CALL, CALL]}, FOUND | {"tool_call_id": None}],
         "orphan result: message 2: 1 results without ids for 2 calls"),
        ([HELLO, {"role": "critic", "content": "meh"}], "unknown role: message 1: 'critic'"),
        ([HELLO, {"role": "assistant", "function_call": {"name": "f"}}], "old form: message 1"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, BYE],
         "not text: message 0 holds a part of type 'image_url'"),
        ([HELLO, {"role": "assistant", "tool_calls": [{"id": "a", "function": {
            "name": "FindRoom", "arguments": "{"}}]}],
         "no tool call: message 1: arguments of 'FindRoom' are not JSON"),
        ([HELLO, {"role": "assistant", "tool_calls": [{"id": "a", "function": {
            "name": "FindRoom", "arguments": "[1]"}}]}],
         "no tool call: message 1: arguments of 'FindRoom' must be a JSON object"),
        ([HELLO, {"role": "assistant", "tool_calls": [{"id": "a", "type": "custom"}]}],
         "no tool call: message 1"),
        ([HELLO, 3], "no list of objects: messages"),
    ],
)  # fmt: skip
def test_records_that_no_conversation_can_hold_are_refused_with_the_reason(
    messages: list[Any], reason: str
) -> None:
    with pytest.raises(InputError) as caught:
        assembled(*messages)
    assert caught.value.message.startswith(reason)


@pytest.mark.parametrize(
    ("form", "record", "reason"),
    [
        ("openai", {}, "no list of objects: messages: None in {}"),
        ("openai", {"messages": [HELLO, {"role": "critic"}]},
         "unknown role: message 1: 'critic'; known are 'system', 'developer', 'user', 'tool', "),
        ("openai", {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
         "not text: message 0: content[0].text: 5"),
        ("openai", {"messages": [{"role": "assistant", "tool_calls": [{"type": "custom"}]}]},
         "no tool call: message 0: tool_calls[0].function: None in {'type': 'custom'}"),
        ("anthropic", {"messages": [{"role": "user", "content": [{"type": "tool_use"}]}]},
         "not text: message 0 holds a part of type 'tool_use'; known are 'text', 'tool_result'"),
        ("published", {"context": json.dumps([HELLO, {"role": "critic"}])},
         "unknown role: context[1]: 'critic'; known are "),
        ("published", {"question": "[", "answer": "{}"}, "not JSON: question (EOF while parsing"),
        ("langfuse", {"input": {"messages": [{"role": "user", "content": 5}]}, "id": "o"},
         "not text: input.messages[0].content: 5; observation 'o'"),
        ("langfuse", {"input": {"prompt": "hi"}}, "no messages: input: {'prompt': 'hi'}"),
        ("otel", {"attributes": {"gen_ai.input.messages": '[{"role": "user", "parts": [3]}]'}},
         "no list of objects: attributes['gen_ai.input.messages'][0].parts[0]: 3"),
        ("otel", {"attributes": {"gen_ai.input.messages": "["}},
         "not JSON: attributes['gen_ai.input.messages']: Expecting value"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_path_the_value_and_what_is_known(
    form: str, record: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError) as caught:
        if form in BY_LINE:
            BY_LINE[form](record)
        elif form == "langfuse":
            langfuse.parse("t", [{"type": "GENERATION", "traceId": "t"} | record])
        else:
            record["attributes"]["gen_ai.operation.name"] = "chat"
            otel.parse("t", [{"traceId": "t"} | record])
    assert caught.value.message.startswith(reason)


def test_a_result_is_shown_to_the_student_word_for_word() -> None:
    """A server that gets the role tool must render what the importer's user message renders."""
    result = '[ {"room":"R7" ,  "floor": 2} ]'
    assert assembled(HELLO, ASKED, FOUND | {"content": result}).messages[2] == user(result)


def test_the_published_traces_are_read_as_the_published_corpus_reads_them(
    published: tuple[list[Conversation], Task], published_folder: Path
) -> None:
    conversations, task = published
    for file in sorted(published_folder.glob("scenario-*/traces.jsonl.gz")):
        source = f"published/{file.parent.name}"
        expected = [one.messages for one in conversations if one.source == source]
        rows = gzip.decompress(file.read_bytes()).splitlines()
        parsed = [assemble(BY_LINE["published"](json.loads(row)), task) for row in rows]
        assert [one.messages for one in parsed] == expected
    test = (published_folder / "test.jsonl").read_text(encoding="utf-8").splitlines()
    expected = [one.messages for one in conversations if one.source == "published/test"]
    parsed = [assemble(BY_LINE["published"](json.loads(row)), task) for row in test]
    assert [one.messages for one in parsed] == expected


def test_two_agents_in_one_trace_are_two_dialogues(tmp_path: Path) -> None:
    talk = Conversation("t", "s", (user("a"), assistant(RESPOND, {"message": "b"})))
    other = Conversation("t", "s", (user("plan"), assistant(RESPOND, {"message": "done"})))
    records = [*logs.langfuse(talk), *logs.langfuse(other)]
    conversations, report = imported(tmp_path, logs.lines(records))
    assert [one.id for one in conversations] == ["traces/0000002-001", "traces/0000002-002"]
    assert report.summary()["files"]["traces.jsonl"]["split"] == {
        "several dialogues in one trace": {"traces": 2, "times": 2, "lines": [2, 2]}
    }
    assert report.files["traces.jsonl"].passed_over == 2


def test_alternative_spellings_of_langfuse_exports_are_read(tmp_path: Path) -> None:
    row = {
        "id": "o", "trace_id": "t", "session_id": "s", "type": "GENERATION",
        "start_time": "2026-03-01 10:00:00.000000", "output": json.dumps(BYE),
        "input": json.dumps({"messages": [HELLO], "tools": [ROOMS.to_openai()]}),
    }  # fmt: skip
    (one,), report = imported(tmp_path, logs.lines([row]))
    assert one.messages == (user("hello"), assistant(RESPOND, {"message": "Take R7."}))
    assert one.provenance["id"] == "s"
    assert list(report.files["traces.jsonl"].notes) == [f"plain text as {RESPOND}"]


def test_a_span_of_the_python_sdk_is_read_like_one_of_otlp(tmp_path: Path) -> None:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.conversation.id": "c",
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "be brief"}]),
        "gen_ai.input.messages": json.dumps([logs.otel_message(HELLO)]),
        "gen_ai.output.messages": json.dumps([logs.otel_message(BYE)]),
    }
    span = {"name": "chat m", "context": {"trace_id": "0x1", "span_id": "0x2"},
            "start_time": "2026-03-01T10:00:00Z", "attributes": attributes}  # fmt: skip
    (one,), _ = imported(tmp_path, logs.lines([span]))
    assert one.messages == (user("hello"), assistant(RESPOND, {"message": "Take R7."}))
    assert one.provenance["id"] == "c"
    assert one.provenance["system"] == {"0": "be brief"}


def test_an_error_about_spans_without_messages_says_what_to_enable() -> None:
    (piece,) = otel.pieces(
        {"traceId": "t", "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}]}
    )  # fmt: skip
    with pytest.raises(InputError, match=r"no messages: .*capture of contents"):
        otel.parse("t", [piece[1]])


def test_an_error_names_the_block_that_is_not_text() -> None:
    image = {"role": "user", "content": [{"type": "image", "source": {}}]}
    with pytest.raises(
        InputError, match=r"message 0 holds a part of type 'image'; .*'tool_result'"
    ):
        anthropic_messages.parse({"messages": [image]})


def test_a_request_that_names_no_trace_is_refused() -> None:
    with pytest.raises(InputError, match="no trace id"):
        list(langfuse.pieces({"type": "GENERATION", "input": []}))


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["messages", "role", "content", "tool_calls", "function", "name", "type",
                         "attributes", "key", "value", "parts", "input", "output", "traceId",
                         "resourceSpans", "scopeSpans", "spans", "context", "question", "answer"])
        | st.text(max_size=3), inner, max_size=4) | inner.map(json.dumps),
    max_leaves=12,
))  # fmt: skip
@example({"context": "[]"})
@example({"context": "{}"})
def test_any_line_is_read_or_refused(value: Any) -> None:
    record = value if isinstance(value, dict) else {"messages": value}
    for parse in BY_LINE.values():
        try:
            assemble(parse(record), TASK)
        except InputError as error:
            assert error.message.split(":")[0]
    for spread in SPREAD.values():
        try:
            pieces = list(spread.pieces({"type": "GENERATION", "traceId": "t"} | record))
            for name, piece in pieces:
                spread.parse(name, [piece])
        except InputError as error:
            assert error.message.split(":")[0]


def test_a_line_longer_than_the_limit_does_not_fill_memory(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"a": "' + b"x" * 100 + b'"}\n{"b": 1}')
    long, short = read_lines(tmp_path / "log", longest=20)
    assert (long.number, long.record, long.flaw) == (1, None, "too long: more than 20 bytes")
    assert (short.number, short.record) == (2, {"b": 1})
