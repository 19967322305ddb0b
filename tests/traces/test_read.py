"""Your own traces through the stages' own commands: what comes out, and what bad input says."""

import copy
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.fetch import (
    JOB,
    PARCELS,
    Run,
    imported,
    line,
    refusals,
    summary,
)
from fixtures.repository import run_stage, script
from ruamel.yaml import YAML

from tft.core.conversation import Conversation, Message, assistant, user
from tft.core.errors import InputError
from tft.core.tables import DECISIONS, read_conversations, read_rows
from tft.core.task import RESPOND, read_task
from tft.evaluation.audit import NOT_AUDITED
from tft.traces.read import SOURCE, TEST, split_traces

HELLO = {"role": "user", "content": "where is KX10000?"}
BYE = {"role": "assistant", "content": "In the depot."}
CALL = {"id": "a", "function": {"name": "TrackParcel", "arguments": "{}"}}


def test_an_agent_that_answers_in_plain_text_gets_the_tool_that_talks(fetch: Run) -> None:
    done = fetch(line(HELLO, BYE, id="chat-1"))
    assert done.exit_code == 0, done.output
    (one,) = imported()
    assert (one.id, one.source, one.provenance["id"]) == ("traces/0000001", SOURCE, "chat-1")
    assert one.messages == (
        user("where is KX10000?"),
        assistant(RESPOND, {"message": "In the depot."}),
    )
    talk = read_task(Path("data/corpus/task.json")).tool(RESPOND)
    assert talk is not None
    assert talk.parameters["required"] == ["message"]


def test_an_agents_own_tool_that_talks_keeps_its_form(fetch: Run) -> None:
    tool = {"function": {"name": RESPOND, "parameters": {
        "type": "object", "properties": {"text": {"type": "string"}}}}}  # fmt: skip
    done = fetch(line(HELLO, BYE), job=JOB | {"tools": [*JOB["tools"], tool]})
    assert done.exit_code == 0, done.output
    assert imported()[0].messages[1] == assistant(RESPOND, {"text": "In the depot."})


def test_a_broken_line_among_ten_thousand_is_named_and_costs_no_other(fetch: Run) -> None:
    rows = [line(HELLO, BYE)] * 10_000
    rows[6_999] = rows[6_999][:-9]
    done = fetch("\n".join(rows))
    assert done.exit_code == 0, done.output
    assert "refused: not JSON: 1 of 10000 traces, first in line 7000" in done.output
    assert [number for number, _ in refusals()] == [7_000]
    counts = summary()
    assert (counts["lines"], counts["conversations"]) == (10_000, 9_999)
    assert counts["refused"] == {"not JSON": {"traces": 1, "times": 1, "lines": [7_000]}}
    ids = [one.id for one in imported()]
    assert ids == sorted(ids)
    assert "traces/0007000" not in ids


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"messages": [{"role": "user", "content": "\xff"}]}', "not UTF-8: byte 0xff at 43"),
        (line({"role": "user", "content": "x" * 2**20}, BYE).encode(), "too long: 1,048,"),
        (line(HELLO, BYE, id="first").encode(),
         "duplicate id: 'first' is also in traces.jsonl, line 1"),
        (b"[" * 100_000, "not JSON: maximum recursion"),
        (b"17", "no object: a int"),
        (b'{"text": "hi"}', "no list of objects: messages: None"),
        (line({"role": "user", "content": "\ud800"}, BYE).encode(), "not representable as JSON"),
    ],
)  # fmt: skip
def test_only_the_line_that_cannot_be_read_is_refused(fetch: Run, bad: bytes, reason: str) -> None:
    done = fetch(line(HELLO, BYE, id="first").encode() + b"\n" + bad, max_refused=0.5)
    assert done.exit_code == 0, done.output
    ((number, why),) = refusals()
    assert number == 2
    assert why.startswith(reason)
    assert [one.id for one in imported()] == ["traces/0000001"]


def test_calls_of_undeclared_tools_are_taken_and_counted(fetch: Run) -> None:
    call = {"id": "a", "function": {"name": "get_shipment", "arguments": '{"shipment_id": "KX1"}'}}
    found = {"role": "tool", "tool_call_id": "a", "content": '{"state": "lost"}'}
    done = fetch(line(HELLO, {"role": "assistant", "tool_calls": [call]}, found, BYE))
    assert done.exit_code == 0, done.output
    assert imported()[0].messages[1] == assistant("get_shipment", {"shipment_id": "KX1"})
    assert summary()["mapped"]["undeclared tool: get_shipment"]["times"] == 1


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in JOB.items() if name != key}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"traces": None}, r"traces\.jsonl: no such file; traces\.path"),
        ({"traces": ""}, r"traces\.jsonl: empty"),
        ({"traces": " \n\n"}, r"traces\.jsonl: empty"),
        ({"traces": "text"}, r"no known format; line 1: not JSON"),
        ({"traces": '{"text": "hi", "user": 1}'},
         r"no known format; line 1: an object with the keys text, user\. Known are openai, "),
        ({"traces": line(HELLO, BYE), "format": "xml"}, r"traces\.format: Input should be 'auto'"),
        ({"traces": b"\xff\xfe" + line(HELLO, BYE).encode("utf-16-le")},
         r"no known format; line 1: not UTF-8: byte 0xff at 0"),
        ({"traces": "\n".join([line(HELLO, BYE)] * 3 + ["{", line(HELLO)])},
         r"read as openai: 2 of 5 traces refused, traces\.max_refused is 0\.1: not JSON "
         r"\(1, first in line 4\), one-sided \(1, first in line 5\).*refused\.parquet"),
        ({"traces": line(HELLO), "max_refused": 1.0}, r"1 of 1 traces refused"),
        ({"traces": line(HELLO, BYE), "format": "langfuse"}, "no requests to a chat model"),
        ({"traces": line(HELLO, BYE), "job": without("llm_as_a_judge_instructions")},
         r"job_description\.json: key 'llm_as_a_judge_instructions' must be"),
        ({"traces": line(HELLO, BYE), "job": JOB | {"tools": [{"function": {"name": "Track"}}]}},
         r"job_description\.json: a tool needs function\.name and function\.parameters"),
        ({"traces": line(HELLO, BYE), "job": JOB | {"tools": [{"function": {
            "name": "Track", "parameters": {"type": "objekt"}}}]}},
         r"job_description\.json: tools: parameters of 'Track' are no JSON Schema"),
        ({"traces": line(HELLO, BYE), "job": []}, r"job_description\.json: expected an object"),
    ],
)  # fmt: skip
def test_an_error_about_bad_input_is_one_line_that_says_what_to_fix(
    fetch: Run, given: dict[str, Any], message: str
) -> None:
    done = fetch(**given)
    assert done.exit_code == 1, done.output
    assert done.output.count("\n") == 1
    with pytest.raises(InputError, match=message):
        raise InputError(done.output)
    written = {path.name for path in Path("data").rglob("*") if path.is_file()}
    assert written <= {"refused.parquet"}  # whole, and what the message refers to


def test_an_own_test_set_becomes_the_test_set(fetch: Run) -> None:
    test = {"question": json.dumps([HELLO]), "answer": json.dumps(
        {"name": "TrackParcel", "parameters": {"tracking_number": "KX10000"}})}  # fmt: skip
    assert fetch(line(HELLO, BYE), test=json.dumps(test)).exit_code == 0
    assert run_stage("split").exit_code == 0
    done = run_stage("label_test")
    assert done.exit_code == 0, done.output
    (one,) = read_conversations(Path("data/test/conversations.parquet"))
    assert (one.id, one.source) == ("test/0000001", TEST)
    assert one.messages[-1] == assistant("TrackParcel", {"tracking_number": "KX10000"})
    assert json.loads(Path("data/test/summary.json").read_text())["labeled_by"] == "the corpus"


def said(number: int, text: str) -> Conversation:
    messages: tuple[Message, ...] = (user(text), assistant(RESPOND, {"message": "yes"}))
    return Conversation(f"{SOURCE}/{number:07}", SOURCE, messages)


def test_equal_dialogues_are_never_split_between_train_and_test() -> None:
    traces = [said(number, f"question {number // 3}") for number in range(60)]
    train, test = map(list, split_traces(traces, 0.25, seed=1))
    assert len(test) == 15
    assert not {one.messages[0] for one in train} & {one.messages[0] for one in test}
    assert sorted([*train, *test], key=lambda one: one.id) == traces
    assert list(split_traces(traces[::-1], 0.25, seed=2)[1]) != test
    with pytest.raises(InputError, match=r"traces\.test_fraction: 0\.1 of 1 traces leaves 1"):
        split_traces(traces[:1], 0.1, seed=1)


def test_splitting_does_not_hold_the_traces_in_memory(tmp_path: Path) -> None:
    alive: weakref.WeakValueDictionary[int, Conversation] = weakref.WeakValueDictionary()
    most = 0

    class Watched:
        def __iter__(self) -> Iterator[Conversation]:
            nonlocal most
            for number in range(200):
                one = said(number, f"question {number}")
                alive[number] = one
                most = max(most, len(alive))
                yield one

    train, test = split_traces(Watched(), 0.25, seed=1)
    assert (sum(1 for _ in train), sum(1 for _ in test)) == (150, 50)
    assert most < 5


# --- the example ------------------------------------------------------------------------------
def test_the_script_of_the_example_writes_its_traces() -> None:
    maker = script("examples/parcels/make_traces.py")
    written = (PARCELS / "traces.jsonl").read_text(encoding="utf-8")
    assert written == "\n".join(maker.invent(maker.SEED)) + "\n"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: dict[str, Any]) -> Path:
    """The example as far as its seeds and synthetic conversations, a few of them."""
    monkeypatch.chdir(tmp_path)
    content = copy.deepcopy(shipped)
    content |= {"corpus": "traces", "run": ["own"]}
    content["traces"]["path"] = str(PARCELS)
    content["synthesize"]["target"] = 20
    YAML().dump(content, tmp_path / "params.yaml")
    for stage in ("fetch", "split", "label_test"):
        done = run_stage(stage)
        assert done.exit_code == 0, (stage, done.output)
    for stage in ("corrupt", "filter", "relabel", "synthesize", "audit"):
        done = run_stage(stage, "own")
        assert done.exit_code == 0, (stage, done.output)
    return tmp_path


def test_the_example_goes_from_logs_to_synthetic_conversations(example: Path) -> None:
    counts = summary()
    assert (counts["lines"], counts["conversations"]) == (61, 60)
    assert counts["refused"] == {"not JSON": {"traces": 1, "times": 1, "lines": [41]}}
    assert counts["split"]["parallel calls in a row"]["traces"] == 3

    tested = read_conversations(Path("data/test/conversations.parquet"))
    assert tested
    assert {one.provenance["labeled_by"] for one in tested} == {
        "machine: rules filter, rules relabel"
    }
    # Who is tested is not trained on, and no other trade passes the filter.
    train = read_conversations(Path("data/direct/own/train.parquet"))
    assert not {one.id for one in train} & {one.id for one in tested}
    kept = read_conversations(Path("data/filtered/own/train.parquet"))
    names = {call.name for one in kept for _, call in one.turns()}
    assert not names & {"get_balance", "block_card", "get_weather"}
    # The names of older versions are gone from what was relabelled.
    declared = {tool.name for tool in read_task(Path("data/split/task.json")).tools}
    relabelled = read_conversations(Path("data/relabeled/own/train.parquet"))
    assert {call.name for one in relabelled for _, call in one.turns()} <= declared
    assert read_rows(Path("data/test/decisions.parquet"), DECISIONS)
    assert len(read_conversations(Path("data/tft/own/train.parquet"))) == 20
    audit = json.loads(Path("data/audit/own.json").read_text())["curation"]
    assert audit == NOT_AUDITED
