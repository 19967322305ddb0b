"""The simulated corpus: what it says is consistent, what it calls is allowed, and a seed is all."""

import json
import random
import re
from collections import Counter
from datetime import date

import jsonschema
import pytest
from fixtures.repository import ROOT
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import fuzz

from tft.config import load_params
from tft.core.conversation import Conversation, result_of
from tft.core.errors import InputError
from tft.core.task import RESPOND
from tft.corpus.builtin import read_builtin, split_builtin
from tft.corpus.config import BuiltinConfig
from tft.standins.simulation.dialogue import simulate
from tft.standins.simulation.grammar import Grammar, built_in, spoken_value, tidy
from tft.standins.simulation.services import SERVICES
from tft.standins.simulation.world import World

PARAMS = load_params(ROOT / "params.yaml").builtin
TODAY = PARAMS.today
GRAMMAR = built_in(TODAY)


@pytest.fixture(scope="module")
def corpus() -> list[Conversation]:
    return read_builtin(PARAMS)[0]


def of(corpus: list[Conversation], service: str) -> list[Conversation]:
    return [one for one in corpus if one.source == service]


def service_calls(one: Conversation) -> list[tuple[int, str, dict]]:
    return [
        (index, call.name, call.arguments) for index, call in one.turns() if call.name != RESPOND
    ]


def test_the_corpus_has_the_number_of_dialogues_in_params(corpus: list[Conversation]) -> None:
    assert Counter(one.source for one in corpus) == PARAMS.counts
    train, test = split_builtin(corpus, PARAMS)
    assert len(test) == PARAMS.held_out
    assert {one.source for one in test} == {PARAMS.service}
    assert len({one.id for one in [*train, *test]}) == len(corpus)


@given(st.sampled_from(sorted(SERVICES)), st.integers(0, 10**6))
def test_a_dialogue_is_whole_and_calls_what_its_tools_allow(name: str, seed: int) -> None:
    service = SERVICES[name]
    one = simulate("x", service, World(service, seed % 7, TODAY), GRAMMAR, random.Random(seed))
    roles = [message.role for message in one.messages]
    assert roles == ["user", "assistant"] * (len(roles) // 2)
    assert one.messages[-1].tool_call is not None
    assert one.messages[-1].tool_call.name == RESPOND
    task = service.task()
    for index, call in one.turns():
        tool = task.tool(call.name)
        assert tool is not None
        jsonschema.validate(call.arguments, tool.parameters)
        after = one.messages[index + 1] if index + 1 < len(one.messages) else None
        has_result = after is not None and result_of(after) is not None
        assert has_result == (call.name != RESPOND)
        if has_result:
            assert one.messages[index + 2].tool_call is not None
            assert one.messages[index + 2].tool_call.name == RESPOND
    spoken = [m.content or m.tool_call.arguments.get("message", "") for m in one.messages]  # type: ignore[union-attr]
    assert not any(
        re.search(r"[(){}|<>]|  | [.,?]|[.?!][.?!]", text) for text in spoken if text[:1] != "["
    )


@given(st.sampled_from(sorted(SERVICES)), st.integers(0, 10**6))
def test_every_argument_was_said_before_or_is_a_default(name: str, seed: int) -> None:
    service = SERVICES[name]
    one = simulate("x", service, World(service, 1, TODAY), GRAMMAR, random.Random(seed))
    defaults = {*service.defaults.values(), str(TODAY)}
    for index, _, arguments in service_calls(one):
        said = " ".join(str(m.content or m.tool_call.arguments) for m in one.messages[:index])  # type: ignore[union-attr]
        for key, value in arguments.items():
            kind = service.slots[key].kind
            if kind in ("flag", "date", "time") or value in defaults:
                continue  # said in words of their own
            assert re.search(rf"(?<!\w){re.escape(value)}(?!\w)", said, re.I), (key, value, said)


def test_results_hold_what_was_asked_for(corpus: list[Conversation]) -> None:
    found = 0
    for one in corpus:
        for index, _, arguments in service_calls(one):
            for item in result_of(one.messages[index + 1]) or []:
                found += 1
                assert arguments.items() <= item.items()
    assert found > len(corpus)


def test_users_correct_themselves_search_again_and_find_no_table(
    corpus: list[Conversation],
) -> None:
    own = of(corpus, PARAMS.service)
    search, book = (SERVICES[PARAMS.service].search[0], SERVICES[PARAMS.service].book[0])
    names = [[name for _, name, _ in service_calls(one)] for one in own]
    failed = [
        one
        for one in own
        if any(result_of(one.messages[i + 1]) == [] for i, n, _ in service_calls(one) if n == book)
    ]
    again = [one for one, called in zip(own, names, strict=True) if called.count(search) > 1]
    booked = [called for called in names if book in called]
    for some in (failed, again, booked):
        assert 0.05 * len(own) < len(some) < 0.95 * len(own)


def test_dialogues_are_as_long_as_real_ones_and_seldom_alike(corpus: list[Conversation]) -> None:
    own = of(corpus, PARAMS.service)
    mean = sum(len(one.messages) for one in own) / len(own)
    assert 17 < mean < 23  # Schema-Guided Dialogue's Restaurants_1: 20
    train, test = split_builtin(corpus, PARAMS)
    texts = [
        " ".join(str(m) for m in one.messages) for one in train if one.source == PARAMS.service
    ]
    for one in test[:5]:
        asked = " ".join(str(m) for m in one.messages)
        assert max(fuzz.ratio(asked, text) for text in texts) < 95


def test_the_same_seed_gives_the_same_corpus_and_another_seed_another() -> None:
    few = PARAMS.model_copy(update={"counts": {PARAMS.service: 5}})
    assert read_builtin(few) == read_builtin(few)
    assert read_builtin(few)[0] != read_builtin(few.model_copy(update={"seed": 2}))[0]
    more = read_builtin(PARAMS.model_copy(update={"counts": {PARAMS.service: 9}}))[0]
    assert more[:5] == read_builtin(few)[0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"service": "Boats_1"}, "unknown service 'Boats_1'"),
        ({"counts": {"Boats_1": 3}}, "unknown service 'Boats_1'"),
        ({"counts": {"Restaurants_1": 34}}, "builtin.held_out: 34 of 34"),
    ],
)
def test_numbers_that_do_not_fit_are_errors(change: dict, problem: str) -> None:
    params = BuiltinConfig.model_validate(PARAMS.model_dump() | change)
    with pytest.raises(InputError, match=re.escape(problem)):
        split_builtin(read_builtin(params)[0], params)


def test_another_grammar_rewords_the_same_dialogues() -> None:
    service = SERVICES["Hotels_1"]
    world = World(service, 1, TODAY)
    terse = Grammar({name: rules[:1] for name, rules in GRAMMAR.rules.items()}, TODAY)
    for seed in range(20):
        own, other = (
            simulate("x", service, world, grammar, random.Random(seed))
            for grammar in (GRAMMAR, terse)
        )
        assert service_calls(own) == service_calls(other)
        assert own.messages != other.messages


@given(st.dates(date(2019, 3, 1), date(2019, 3, 20)), st.integers(0, 99))
def test_the_rules_understand_how_days_and_hours_are_said(day: date, seed: int) -> None:
    from tft.standins.reading.facts import find_dates, find_times

    text = spoken_value(str(day), TODAY, random.Random(seed))
    assert any(day in mention.meanings for mention in find_dates(f"on {text}", TODAY)), text
    clock = f"{9 + seed % 12:02}:{(0, 15, 30, 45)[seed % 4]:02}"
    text = spoken_value(clock, TODAY, random.Random(seed))
    minutes = int(clock[:2]) * 60 + int(clock[3:])
    assert any(minutes in mention.meanings for mention in find_times(f"at {text}")), (clock, text)


def test_tidying_fixes_spaces_articles_and_plurals() -> None:
    assert tidy("so:  for 1 persons , in  a Ethiopian place . okay") == (
        "So: For 1 person, in an Ethiopian place. Okay"
    )
    assert json.dumps(tidy("ask for 5 rooms")) == '"Ask for 5 rooms"'
