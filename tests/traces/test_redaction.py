"""Redaction: what comes out of an import holds no planted value, and is still the same dialogue."""

import copy
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures import logs
from fixtures.fetch import Run, imported, line, refusals, summary
from fixtures.repository import ROOT
from fixtures.strategies import json_values, texts
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tft.config import load_params
from tft.core.conversation import Conversation, assistant, user
from tft.core.errors import InputError
from tft.core.task import RESPOND, Task, parse_task
from tft.traces.config import RedactConfig
from tft.traces.redaction.personal import finder
from tft.traces.redaction.redact import Clean, as_it_stands, cleaner

MAIL, PHONE, NAME = "anna.lind@corp.internal", "415-555-2671", "Anna Lindqvist"
CARD, IBAN, SSN = "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "536-22-8726"
KEY = "sk-ant-api03-Zk3vQ0pL9sX2mB7nC4"
PLANTED = [MAIL, PHONE, NAME, CARD, IBAN, SSN, KEY]

ON: RedactConfig = load_params(ROOT / "params.yaml").traces.redact
OFF = ON.model_copy(update={"entities": [], "fields": {}})


def a_task(**parameters: Any) -> Task:
    tool = {"function": {"name": "Book", "parameters": {
        "type": "object", "properties": parameters}}}  # fmt: skip
    job = {"task_description": "Books. Our hotline is 650-555-0199.",
           "llm_as_a_judge_instructions": "Good if it serves.", "tools": [tool]}  # fmt: skip
    return parse_task("job", json.dumps(job).encode())


TASK = a_task(
    day={"type": "string", "format": "date"},
    time={"type": "string"},
    seats={"type": "integer"},
    price={"type": "number"},
    agent={"enum": ["Emma Smith", "Jack Miller"]},
)


@pytest.fixture(scope="module")
def clean() -> Clean:
    return cleaner(ON, TASK)


CLEAN = cleaner(ON, TASK)


def found(text: str, **changed: Any) -> dict[str, str]:
    """What is found, and as what."""
    spans = finder(ON.model_copy(update=changed))(text)
    return {text[one.start : one.end]: one.entity for one in spans}


# --- what is found ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"Write to <{MAIL}>, please.", {MAIL: "EMAIL"}),
        ("a.b+c@x-y.co.uk/d@e", {"a.b+c@x-y.co.uk": "EMAIL"}),
        ("Call (415) 555-2671 or +49 30 901820.",
         {"(415) 555-2671": "PHONE", "+49 30 901820": "PHONE"}),
        (f"{CARD}, not 4111 1111 1111 1112", {CARD: "CARD"}),
        (f"{IBAN} THANKS; DE88 3704 0044 0532 0130 00", {IBAN: "IBAN"}),
        (f"My number is {SSN}, not 000-22-8726", {SSN: "SSN"}),
        (f"{KEY}; ghp_{'a1' * 18}!", {KEY: "KEY", f"ghp_{'a1' * 18}": "KEY"}),
        ("The password is hunter22x. A password is needed.", {"hunter22x": "KEY"}),
        ("https://me:s3cret@host.example/x", {"me:s3cret": "KEY"}),
        ("Hi, I'm Anna and my name is qwerty. Mr. J. Doe?",
         {"Anna": "PERSON", "J. Doe": "PERSON"}),
        (f"Is it for {NAME}, or for my neighbour Anna?", {NAME: "PERSON", "Anna": "PERSON"}),
        ("my name is anna schmidt and I wait", {"anna schmidt": "PERSON"}),
    ],
)  # fmt: skip
def test_personal_data_are_found(text: str, what: dict[str, str]) -> None:
    assert found(text) == what


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-13", "2026-03-13 10:30:00", "13/03/2026", "2026-03-13T10:30:00.123456Z", "19:30",
        "from 09:00 to 20:00", "$1,234.56", "1700000000000000000", "KX40817", "4.2 of 5",
        "San Jose, Santa Rosa or Palo Alto", "a table in Austin on May 5", "Will it be in March?",
        "2111 El Camino Real", "0b8e3c1a-1111-4222-8333-123456789abc", "me @ home", "v2.10.3",
        "The password is needed.", "<EMAIL_1> or <PERSON_12>",
    ],
)  # fmt: skip
def test_dates_amounts_places_and_ids_are_not_personal(text: str) -> None:
    assert found(text) == {}


def test_regions_decide_which_local_phone_numbers_are_found() -> None:
    assert found("030 901820") == {}
    assert found("030 901820", regions=["DE"]) == {"030 901820": "PHONE"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"regions": ["UK"]}, r"traces\.redact\.regions: 'UK' is no region"),
        ({"names": ["en_XX"]}, r"traces\.redact\.names: 'en_XX' is no locale"),
    ],
)
def test_an_unknown_region_or_locale_is_an_error(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cleaner(ON.model_copy(update=changed), TASK)


# --- what stands in its place -----------------------------------------------------------------
def test_a_value_has_the_same_placeholder_in_messages_arguments_and_results(clean: Clean) -> None:
    call = {
        "phone": "(415) 555 2671",
        "digits": 4155552671,
        "who": NAME.upper(),
        "day": "2026-03-13",
    }
    redacted = clean([f"I'm {NAME}, {PHONE}.", json.dumps(call, indent=1), "Thanks, Anna!"])
    said, called, thanked = redacted.value
    assert said == "I'm <PERSON_1>, <PHONE_1>."
    assert json.loads(called) == {
        "phone": "<PHONE_1>", "digits": "<PHONE_1>", "who": "<PERSON_1>", "day": "2026-03-13",
    }  # fmt: skip
    assert called.startswith('{\n "phone"')
    assert thanked == "Thanks, <PERSON_1>!"
    assert redacted.counts == {"PERSON": 3, "PHONE": 3}


def test_different_values_have_different_placeholders(clean: Clean) -> None:
    assert clean("a@x.org b@x.org A@X.org").value == "<EMAIL_1> <EMAIL_2> <EMAIL_1>"


def test_numbering_continues_after_an_earlier_redaction(clean: Clean) -> None:
    assert clean("<EMAIL_7> a@x.org").value == "<EMAIL_7> <EMAIL_8>"


def test_text_of_the_job_description_is_not_redacted(clean: Clean) -> None:
    said = "Call 650-555-0199 and ask for Emma Smith."
    assert clean(said) == (said, {})
    assert clean("Ask for Emma Jones.").value == "Ask for <PERSON_1>."


def test_configured_fields_are_always_redacted() -> None:
    fields = {"street": "ADDRESS", "account": "ACCOUNT", "party": "PERSON"}
    clean = cleaner(ON.model_copy(update={"entities": [], "fields": fields}), TASK)
    result = {"street": "Mill Lane 7", "account": 90017, "party": ["Zo\u00eb", "Xi"], "seats": 2}
    said, found = clean(["Is it Mill Lane 7? 90017, Zo\u00eb.", json.dumps(result)]).value
    assert said == "Is it <ADDRESS_1>? <ACCOUNT_1>, <PERSON_1>."
    assert json.loads(found) == {
        "street": "<ADDRESS_1>", "account": "<ACCOUNT_1>", "party": ["<PERSON_1>", "Xi"],
        "seats": 2,
    }  # fmt: skip


def test_nothing_is_redacted_without_entities_and_fields() -> None:
    assert cleaner(OFF, TASK) is as_it_stands


# --- for all traces -----------------------------------------------------------------------------
spoken = st.lists(
    st.sampled_from(
        [*PLANTED, NAME.lower(), "my name is ", "Mr. ", "+1 ", "\\n", '"', "{", "1", "."]
    )
    | texts
).map("".join)
inner = st.recursive(
    spoken | json_values,
    lambda one: st.lists(one, max_size=3)
    | st.dictionaries(spoken | st.sampled_from(["first_name", "n"]), one, max_size=3)
    | one.map(json.dumps),
    max_leaves=8,
)  # fmt: skip


@given(inner)
def test_redaction_is_idempotent(value: Any) -> None:
    once = CLEAN(value).value
    assert CLEAN(once) == (once, {})


def shape(value: Any) -> Any:
    """The value without what its strings say; texts that are JSON as what they hold."""
    match value:
        case dict():
            return [shape(item) for item in value.values()]
        case list():
            return [shape(item) for item in value]
        case str():
            try:
                decoded = json.loads(value)
            except ValueError:
                return "text"
            return "text" if not isinstance(decoded, dict | list | str) else [shape(decoded)]
        case bool() | None:
            return value
    return "number"


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b"]), inner.map(json.dumps) | spoken)))
def test_values_keep_their_shape_and_json_stays_json(value: Any) -> None:
    def keyless(one: Any) -> str:  # a number that is known to be personal becomes a text
        return json.dumps(shape(one)).replace('"number"', '"text"')

    assert keyless(CLEAN(value).value) == keyless(value)


arguments = st.fixed_dictionaries(
    {
        "day": st.dates().map(str),
        "time": st.times().map(lambda at: at.strftime("%H:%M")),
        "seats": st.integers(),
        "price": st.floats(allow_nan=False, allow_infinity=False),
        "agent": st.sampled_from(["Emma Smith", "Jack Miller"]),
    }
)


@given(arguments, st.lists(st.sampled_from(PLANTED), min_size=1))
def test_dates_times_numbers_and_enumerations_of_a_call_stay(
    given: dict[str, Any], planted: list[str]
) -> None:
    record = {"role": "assistant", "arguments": json.dumps(given), "said": ", ".join(planted)}
    value = CLEAN(record).value
    assert value["role"] == "assistant"
    assert json.loads(value["arguments"]) == given
    Draft202012Validator(TASK.tools[0].parameters).validate(json.loads(value["arguments"]))


@given(inner, st.lists(st.sampled_from(PLANTED), min_size=1), st.data())
def test_no_planted_personal_value_survives_redaction(
    value: Any, planted: list[str], data: Any
) -> None:
    places = [
        f"I'm {NAME}.",
        *(data.draw(st.sampled_from(["{}", "It is {}.", "({})", "\n{}\t"])).format(one)
          for one in planted),
        json.dumps({one: [one, json.dumps({"deep": f"\n{one}\n"})] for one in planted}),
    ]  # fmt: skip
    written = json.dumps(CLEAN([places, value]).value[0])
    assert not [one for one in planted if one in written]


# --- through the import -------------------------------------------------------------------------
DIALOGUE = (
    user(f"I'm {NAME}, write to {MAIL} or call {PHONE}."),
    assistant("TrackParcel", {"tracking_number": "KX10000", "phone": PHONE, "who": [NAME]}),
    user(json.dumps({"card": CARD, "iban": IBAN, "mail": MAIL, "state": "lost"})),
    assistant(RESPOND, {"message": f"Thank you, {NAME}. {SSN} and {KEY} are noted."}),
)


def everything_written(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, content) of all that the stage wrote."""
    import pyarrow.parquet as pq

    for path in folder.rglob("*"):
        if path.suffix == ".parquet":
            yield path.name, json.dumps(pq.read_table(path).to_pylist(), ensure_ascii=False)
        elif path.suffix == ".json":
            yield path.name, path.read_text(encoding="utf-8")


def assert_clean(output: str) -> None:
    written = [*everything_written(Path("data")), *everything_written(Path("metrics"))]
    for (name, content), planted in itertools.product([*written, ("output", output)], PLANTED):
        assert planted not in content, (name, planted)
        assert planted.split("@")[0].split()[0] not in content, (name, planted)


@pytest.mark.parametrize(
    "write", [logs.openai, logs.anthropic, logs.langfuse, logs.otel, logs.published]
)
def test_no_planted_personal_value_survives_any_format(
    fetch: Run, write: Callable[[Conversation], list[Any]]
) -> None:
    name = f"session of {MAIL}"
    records = write(Conversation(name, "test", DIALOGUE))
    for record in records:  # keys become paths in the report
        record[f"of {MAIL}"] = 1
    done = fetch(logs.lines(records))
    assert done.exit_code == 0, done.output
    assert_clean(done.output)
    (one,) = imported()
    said, called, returned, answered = (
        message.content or message.tool_call for message in one.messages
    )
    assert said == "I'm <PERSON_1>, write to <EMAIL_1> or call <PHONE_1>."
    assert called.arguments == {  # type: ignore[union-attr]
        "tracking_number": "KX10000", "phone": "<PHONE_1>", "who": ["<PERSON_1>"],
    }  # fmt: skip
    assert json.loads(returned)["mail"] == "<EMAIL_1>"  # type: ignore[arg-type]
    assert "<SSN_1> and <KEY_1>" in answered.arguments["message"]  # type: ignore[union-attr]
    assert "redacted: EMAIL: 1 of 1 traces, first in line " in done.output
    assert summary()["redacted"]["PHONE"]["times"] >= 2
    assert any("of <EMAIL_1>" in path for path in summary()["left_out"])


def broken(**changed: Any) -> str:
    call = {"id": MAIL, "function": {"name": "TrackParcel", "arguments": f'{{"a": {NAME} {MAIL}'}}
    messages = [
        {"role": "user", "content": f"{NAME} {MAIL}"},
        {"role": "assistant", "tool_calls": [call]},
    ]
    return json.dumps({"id": MAIL, "messages": messages, "user": f"I'm {NAME}"} | changed)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (broken(), "no tool call: message 1: arguments of 'TrackParcel' are not JSON"),
        (broken(messages=f"x{MAIL} my name is {NAME}"), "no list of objects: messages: "),
        (broken(messages=[{"role": "user", "content": [{"type": MAIL}]}]), "not text: message 0"),
        (broken(messages=[{"role": "user", "content": {MAIL: NAME}}]), "not text: message 0"),
        (broken(messages=[{"role": MAIL, "content": ""}]), ""),
        (json.dumps(f"My name is {NAME}, {MAIL}"), "no object: a str"),
        (json.dumps([MAIL]), "no object: a list"),
        (f'{{"x": "{MAIL}", {NAME}', "not JSON"),
    ],
)
def test_refusals_do_not_quote_personal_data(fetch: Run, bad: str, reason: str) -> None:
    good = line({"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"})
    done = fetch(f"{good}\n{bad}", max_refused=0.5)
    assert done.exit_code == 0, done.output
    assert_clean(done.output)
    ((number, why),) = refusals()
    assert number == 2
    assert why.startswith(reason)
    done = fetch(f"{bad}\n{good}", max_refused=0.0)
    assert done.exit_code == 1
    assert_clean(done.output)


def test_refusals_of_observations_do_not_quote_personal_data(fetch: Run) -> None:
    rows = logs.langfuse(Conversation("one", "test", DIALOGUE))
    odd = copy.deepcopy(rows[0])
    odd |= {key: [MAIL] for key in odd if key.lower().endswith("id")}
    done = fetch(logs.lines([*rows, odd]), format="langfuse", max_refused=1.0)
    assert_clean(done.output)


def test_errors_about_unknown_formats_do_not_quote_personal_data(fetch: Run) -> None:
    done = fetch(json.dumps({MAIL: 1, f"my name is {NAME}": 2}))
    assert done.exit_code == 1
    assert "the keys <EMAIL_1>, my name is <PERSON_1>" in done.output


def test_two_traces_of_one_person_are_not_duplicates(fetch: Run) -> None:
    rows = [
        line({"role": "user", "content": "hi"}, {"role": "assistant", "content": str(n)}, id=mail)
        for n, mail in enumerate(["a@x.org", "b@x.org"])
    ]
    done = fetch("\n".join(rows))
    assert done.exit_code == 0, done.output
    assert [one.provenance["id"] for one in imported()] == ["<EMAIL_1>"] * 2


def test_redaction_can_be_turned_off(fetch: Run, shipped: dict[str, Any]) -> None:
    off = shipped["traces"]["redact"] | {"entities": [], "fields": {}}
    done = fetch(logs.lines(logs.openai(Conversation("one", "test", DIALOGUE))), redact=off)
    assert done.exit_code == 0, done.output
    assert imported()[0].messages == DIALOGUE
    assert summary()["redacted"] == {}


def test_a_trace_nested_too_deeply_is_refused(fetch: Run) -> None:
    deep = '{"a":' * 400 + "1" + "}" * 400
    bad = line({"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"})
    done = fetch(f'{bad}\n{bad[:-1]}, "more": {deep}}}', max_refused=0.5)
    assert done.exit_code == 0, done.output
    assert len(imported()) + len(refusals()) == 2
