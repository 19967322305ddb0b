import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from fixtures.repository import ROOT
from fixtures.strategies import pools
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tft.config import Params, load_params
from tft.core.conversation import Conversation, Message, ToolCall, assistant, user
from tft.core.errors import InputError
from tft.core.task import RESPOND, Task
from tft.corpus.choose import split_corpus
from tft.corpus.config import SgdConfig
from tft.corpus.published import published_traces
from tft.corpus.sgd import split_sgd
from tft.scenarios import baseline, low_data, noisy_labels, schema_drift, trace_mixing
from tft.scenarios.choose import corrupt
from tft.scenarios.config import Baseline, LowData, NoisyLabels, Scenario, SchemaDrift, TraceMixing

Corpus = tuple[list[Conversation], Task]


def corrupted(name: str, pool: Sequence[Conversation], params: Params) -> list[Conversation]:
    """A scenario's traces, as the stage `corrupt` makes them."""
    return corrupt(name, params.scenario(name), pool, params.data_seed)


def restore(trace: Conversation) -> Conversation:
    """Undo a scenario by nothing but its provenance."""
    provenance = dict(trace.provenance)
    for key in ("scenario", "renames", "clean"):
        provenance.pop(key, None)
    originals = {
        change["message"]: ToolCall(**change["original"]) for change in provenance.pop("changes")
    }
    restored = trace.with_calls(originals)
    if "order" in provenance:
        pairs = zip(provenance.pop("order"), restored.messages, strict=True)
        restored = replace(restored, messages=tuple(dict(sorted(pairs)).values()))
    return replace(restored, provenance=provenance)


def by_id(traces: Sequence[Conversation]) -> dict[str, Conversation]:
    return {trace.id: trace for trace in traces}


def users(trace: Conversation) -> list[Message | None]:
    """The user's messages and the tools' results in their places."""
    return [None if message.tool_call else message for message in trace.messages]


# --- S1 and S4 ---------------------------------------------------------------------------------


@given(pools("ours"), pools("other"))
def test_baseline_is_the_source_as_it_is(
    ours: list[Conversation], other: list[Conversation]
) -> None:
    params = Baseline(kind="baseline", source="ours")
    traces = baseline.build(other + ours, params, seed=1)
    assert [restore(trace) for trace in traces] == ours


@given(pools("ours"), pools("other"), st.data(), st.integers())
def test_low_data_is_a_subset_that_grows(
    ours: list[Conversation], other: list[Conversation], data: st.DataObject, seed: int
) -> None:
    def draw(count: int) -> list[str]:
        params = LowData(kind="low_data", source="ours", traces=count)
        traces = low_data.build(ours + other, params, seed)
        assert all(restore(trace) in ours for trace in traces)
        return [trace.id for trace in traces]

    many = data.draw(st.integers(1, len(ours)))
    few = data.draw(st.integers(1, many))
    assert len(draw(many)) == many
    assert set(draw(few)) <= set(draw(many))


# --- S2 ----------------------------------------------------------------------------------------

shares = st.floats(0, 1)


@st.composite
def noisy_params(draw: st.DrawFn) -> NoisyLabels:
    swap = draw(shares)
    params = draw(shares) * (1 - swap)
    call = draw(shares)
    return NoisyLabels(
        kind="noisy_labels",
        source="ours",
        message_source="other",
        clean_fraction=draw(shares),
        corruption_rate=draw(shares),
        service_call={
            "swap_tool": swap, "swap_params": params, "respond_instead": 1 - swap - params
        },
        respond={"call_instead": call, "foreign_message": 1 - call},
    )  # fmt: skip


def donors(source: str) -> list[Conversation]:
    """Two traces that leave no call without another trace's call to put in its place."""
    return [
        Conversation(
            f"{source}/donor {name}",
            source,
            (
                assistant("Find", {"donor": name}),
                assistant("Book", {"donor": name}),
                assistant(RESPOND, {"message": f"{source} {name} says something unheard of"}),
            ),
            {"file": "f"},
        )
        for name in "ab"
    ]


noisy_pools = st.tuples(pools("ours"), pools("other")).map(
    lambda pair: (
        sorted(pair[0] + donors("ours"), key=lambda item: item.id) + pair[1] + donors("other")
    )
)


@given(noisy_pools, noisy_params(), st.integers(0, 5))
def test_noise_touches_only_the_recorded_calls(
    pool: list[Conversation], params: NoisyLabels, seed: int
) -> None:
    ours = [trace for trace in pool if trace.source == "ours"]
    foreign = {call.arguments_json for c in pool if c.source == "other" for _, call in c.turns()}
    noisy = noisy_labels.build(pool, params, seed)
    assert [restore(trace) for trace in noisy] == ours
    clean = [trace for trace in noisy if trace.provenance["clean"]]
    assert len(clean) == round(params.clean_fraction * len(ours))
    assert not any(trace.provenance["changes"] for trace in clean)
    for before, after in zip(ours, noisy, strict=True):
        kinds = {change["message"]: change["kind"] for change in after.provenance["changes"]}
        assert users(before) == users(after)
        for (index, old), (_, new) in zip(before.turns(), after.turns(), strict=True):
            assert (old == new) == (index not in kinds)
            match kinds.get(index):
                case "swap_tool":
                    assert {old.name, new.name} == {"Find", "Book"}
                    assert old.arguments == new.arguments
                case "swap_params":
                    assert old.name == new.name != RESPOND
                case "respond_instead":
                    assert old.name != new.name == RESPOND
                case "call_instead":
                    assert old.name == RESPOND != new.name
                case "foreign_message":
                    assert old.name == new.name == RESPOND
                    assert new.arguments_json in foreign


@given(noisy_pools, noisy_params(), st.integers(0, 5))
def test_a_higher_rate_keeps_the_noise_of_a_lower(
    pool: list[Conversation], params: NoisyLabels, seed: int
) -> None:
    def noise(rate: float) -> dict[tuple[str, int], ToolCall]:
        traces = noisy_labels.build(pool, params.model_copy(update={"corruption_rate": rate}), seed)
        return {
            (trace.id, change["message"]): trace.messages[change["message"]].tool_call
            for trace in traces
            for change in trace.provenance["changes"]
        }  # type: ignore[return-value]

    assert noise(0) == {}
    assert noise(params.corruption_rate).items() <= noise(1).items()
    turns = sum(1 for trace in pool if trace.source == "ours" for _ in trace.turns())
    assert params.clean_fraction > 0 or len(noise(1)) == turns


def test_noise_without_a_donor_is_an_error() -> None:
    trace = Conversation("1", "ours", (user("hi"), assistant("Find", {})))
    other = Conversation("2", "other", (assistant(RESPOND, {"message": "x"}),))
    params = NoisyLabels(
        kind="noisy_labels", source="ours", message_source="other",
        clean_fraction=0, corruption_rate=1, service_call={"swap_params": 1},
        respond={"foreign_message": 1},
    )  # fmt: skip
    with pytest.raises(InputError, match=r"swap_params: no other trace .*Find in 1, message 1"):
        noisy_labels.build([trace, other], params, seed=1)


# --- S3 ----------------------------------------------------------------------------------------

DRIFT = SchemaDrift(
    kind="schema_drift",
    source="ours",
    traces=1,
    clean_fraction=0.25,
    tools={"Find": ["search", "seek"], RESPOND: ["say", "tell", "write"]},
    parameters={"city": ["town", "place"], "time": ["hour"], "message": ["text", "words"]},
    other_source="other",
    other_traces=1,
    other_tools={"Find": "Look", "Book": "Order"},
)


@given(pools("ours"), pools("other"), st.integers(0, 5))
def test_renames_can_be_undone_by_their_maps(
    ours: list[Conversation], other: list[Conversation], seed: int
) -> None:
    params = DRIFT.model_copy(update={"traces": len(ours), "other_traces": len(other)})
    traces = by_id(schema_drift.build(ours + other, params, seed))
    assert len(traces) == len(ours) + len(other)
    clean = [trace.id for trace in traces.values() if "renames" not in trace.provenance]
    assert len(clean) == round(0.25 * len(ours))
    for before in ours + other:
        after = traces[before.id]
        assert restore(after) == before
        assert users(after) == users(before)
        renames = after.provenance.get("renames", {"tools": {}, "parameters": {}})
        back = {kind: {new: old for old, new in names.items()} for kind, names in renames.items()}
        for (_, old), (_, new) in zip(before.turns(), after.turns(), strict=True):
            arguments = {back["parameters"].get(key, key): v for key, v in new.arguments.items()}
            assert ToolCall(back["tools"].get(new.name, new.name), arguments) == old
        if after.source == "other":
            assert renames == {"tools": DRIFT.other_tools, "parameters": {}}
        elif after.id not in clean:
            assert renames["tools"]["Find"] in DRIFT.tools["Find"]
            assert {call.name for _, call in after.turns()} <= {*renames["tools"].values(), "Book"}


def test_renames_that_would_lose_an_argument_are_an_error() -> None:
    trace = Conversation("1", "ours", (assistant("Find", {"time": "5", "hour": "6"}),))
    other = Conversation("2", "other", (assistant("Find", {}),))
    params = DRIFT.model_copy(update={"clean_fraction": 0})
    with pytest.raises(InputError, match=r"parameters: .*collide .*\['hour', 'time'\]"):
        schema_drift.build([trace, other], params, seed=1)


# --- S5 ----------------------------------------------------------------------------------------


@given(pools("ours"), pools("other"), st.integers(0, 5))
def test_mixing_permutes_and_renames_the_other_service(
    ours: list[Conversation], other: list[Conversation], seed: int
) -> None:
    params = TraceMixing(
        kind="trace_mixing", source="ours", traces=1, other_source="other",
        other_traces=len(other), other_tools={"Find": "Look"},
    )  # fmt: skip
    traces = by_id(trace_mixing.build(ours + other, params, seed))
    assert Counter(trace.source for trace in traces.values()) == {"ours": 1, "other": len(other)}
    for before in ours:
        if before.id in traces:
            assert restore(traces[before.id]) == before
            assert traces[before.id].messages == before.messages
    for before in other:
        after = traces[before.id]
        assert restore(after) == before
        assert sorted(after.provenance["order"]) == list(range(len(before.messages)))
        for index, message in zip(after.provenance["order"], after.messages, strict=True):
            old = before.messages[index]
            if old.tool_call and old.tool_call.name == "Find":
                assert message == assistant("Look", old.tool_call.arguments)
            else:
                assert message == old


# --- what all have in common -------------------------------------------------------------------


def test_an_error_about_too_few_traces_names_the_key() -> None:
    params = load_params(ROOT / "params.yaml")
    messages = (user("hi"), assistant("FindRestaurants", {}), assistant(RESPOND, {"message": "x"}))
    sources = ("Restaurants_1", "Restaurants_2", "Hotels_1")
    pool = [Conversation(source, source, messages) for source in sources]
    expected = {
        "schema_drift": r"scenarios\.schema_drift\.traces: asks for 146 .*Restaurants_1, .* 1;",
        "low_data": r"scenarios\.low_data\.traces: asks for 5 traces",
        "trace_mixing": r"scenarios\.trace_mixing\.traces: asks for 36",
    }
    for name, message in expected.items():
        with pytest.raises(InputError, match=message):
            corrupted(name, pool, params)
    with pytest.raises(InputError, match=r"noisy_labels\.message_source: no traces of 'Hotels_1'"):
        corrupted("noisy_labels", pool[:2], params)


def test_limits_cut_each_source_and_the_test_set(sgd: Corpus) -> None:
    params = load_params(ROOT / "params.yaml").model_copy(update={"corpus": "sgd"})
    limit = params.limit.model_copy(update={"train": 20, "test": 3})
    train, test = split_corpus(sgd[0], params.model_copy(update={"limit": limit}))
    assert Counter(trace.source for trace in train) == {
        "Restaurants_1": 20, "Restaurants_2": 20, "Hotels_1": 20,
    }  # fmt: skip
    everything = split_corpus(sgd[0], params)
    assert test == everything[1][:3]
    assert set(by_id(train)) < set(by_id(everything[0]))


@pytest.fixture(scope="module")
def pool(sgd: Corpus, sgd_params: SgdConfig) -> list[Conversation]:
    return split_sgd(sgd[0], sgd_params)[0]


@pytest.fixture(scope="module")
def ours(pool: list[Conversation]) -> dict[str, list[Conversation]]:
    """The five scenarios made from Schema-Guided Dialogue with the shipped params."""
    params = load_params(ROOT / "params.yaml")
    return {name: corrupted(name, pool, params) for name in params.scenarios}


@pytest.fixture(scope="module")
def theirs(published: Corpus) -> dict[str, list[Conversation]]:
    """The five published scenarios."""
    params = load_params(ROOT / "params.yaml")
    return {
        name: published_traces(name, published[0], params.published) for name in params.scenarios
    }


def test_scenarios_depend_on_the_seed_alone(
    pool: list[Conversation], ours: dict[str, list[Conversation]]
) -> None:
    params = load_params(ROOT / "params.yaml")
    other = params.model_copy(update={"data_seed": params.data_seed + 1})
    for name in params.scenarios:
        assert corrupted(name, pool[::-1], params) == ours[name]
        assert (corrupted(name, pool, other) == ours[name]) == (name == "baseline")


def test_a_changed_conversation_leaves_the_noise_of_others(
    pool: list[Conversation], scenarios: dict[str, Scenario]
) -> None:
    params = scenarios["noisy_labels"]
    assert isinstance(params, NoisyLabels)
    one = next(trace for trace in pool if trace.source == params.source)
    longer = replace(one, messages=(*one.messages, user("one more thing")))
    before = noisy_labels.build(pool, params, seed=1)
    after = by_id(noisy_labels.build([longer if t is one else t for t in pool], params, seed=1))
    assert len(after[one.id].messages) == len(one.messages) + 1
    assert all(after[trace.id] == trace for trace in before if trace.id != one.id)


def test_provenance_restores_every_real_trace(
    pool: list[Conversation], ours: dict[str, list[Conversation]]
) -> None:
    sources = by_id(pool)
    for traces in ours.values():
        assert all(restore(trace) == sources[trace.id] for trace in traces)


# --- against the published files ---------------------------------------------------------------
# The same measurements of the published traces and of ours, against the same probabilities.

Pairs = list[tuple[Conversation, Conversation]]


def inside(count: int, n: int, p: float, tests: int = 1) -> bool:
    """Whether a count is in the band that holds 99 % of binomial draws (of all `tests` at once)."""
    low, high = binom.interval(1 - 0.01 / tests, n, p)
    return bool(low <= count <= high)


@pytest.fixture(params=["published", "ours"])
def paired(
    request: pytest.FixtureRequest,
    pool: list[Conversation],
    ours: dict[str, list[Conversation]],
    theirs: dict[str, list[Conversation]],
) -> dict[str, Pairs]:
    """Of each scenario, (SGD's conversation, the trace made of it), told by the user's words."""

    def words(trace: Conversation) -> tuple[str, ...]:
        return tuple(sorted(message.content for message in trace.messages if message.content))

    known = {words(trace): trace for trace in pool}
    assert len(known) == len(pool)
    made = {"published": theirs, "ours": ours}[request.param]
    return {name: [(known[words(t)], t) for t in traces] for name, traces in made.items()}


def calls(pairs: Pairs) -> list[tuple[ToolCall, ToolCall]]:
    return [
        (old, new)
        for before, after in pairs
        for (_, old), (_, new) in zip(before.turns(), after.turns(), strict=True)
    ]


def changed(pairs: Pairs) -> Pairs:
    return [(before, after) for before, after in pairs if before.messages != after.messages]


def of_service(pairs: Pairs, source: str) -> Pairs:
    return [(before, after) for before, after in pairs if before.source == source]


def test_baseline_and_low_data_are_clean(paired: dict[str, Pairs]) -> None:
    assert len(paired["baseline"]) == 327
    assert len(paired["low_data"]) == 5
    assert not changed(paired["baseline"] + paired["low_data"])
    assert {before.source for before, _ in paired["baseline"] + paired["low_data"]} == {
        "Restaurants_1"
    }


def test_noisy_labels_has_the_published_proportions(
    paired: dict[str, Pairs], pool: list[Conversation]
) -> None:
    pairs = paired["noisy_labels"]
    assert len(pairs) == 327
    assert all(users(before) == users(after) for before, after in pairs)
    noisy = changed(pairs)
    # 33 kept clean on purpose, and perhaps some short ones in which chance spared every call.
    spared = sum(0.5 ** len(list(before.turns())) for before, _ in pairs) / len(pairs)
    assert inside(len(pairs) - len(noisy) - 33, len(pairs) - 33, spared)
    for tool in (RESPOND, "FindRestaurants", "ReserveRestaurant"):
        of_tool = [(old, new) for old, new in calls(noisy) if old.name == tool]
        assert inside(sum(old != new for old, new in of_tool), len(of_tool), 0.5), tool

    wrong = [(old, new) for old, new in calls(noisy) if old != new]
    said = [(old, new) for old, new in wrong if old.name == RESPOND]
    messages = [new for _, new in said if new.name == RESPOND]
    assert inside(len(messages), len(said), 1 / 2)
    found = sum(new.name == "FindRestaurants" for _, new in said)
    assert inside(found, len(said) - len(messages), 1 / 2)
    hotels = {repr(call) for c in pool if c.source == "Hotels_1" for _, call in c.turns()}
    assert all(repr(call) in hotels for call in messages)

    served = [(old, new) for old, new in wrong if old.name != RESPOND]
    kinds = Counter(fate(old, new) for old, new in served)
    assert all(inside(count, len(served), 1 / 3) for count in kinds.values()), kinds
    assert len(kinds) == 3
    assert all(old.arguments == new.arguments for old, new in served
               if new.name not in (RESPOND, old.name))  # fmt: skip


# Counted in the published file: what became of the calls of each tool.
FATES = {
    RESPOND: {"same": 1477, "message": 587, "call": 577},
    "ReserveRestaurant": {"same": 230, "swap_tool": 60, "swap_params": 55, "message": 54},
    "FindRestaurants": {"same": 127, "swap_tool": 35, "swap_params": 35, "message": 40},
}


def fate(old: ToolCall, new: ToolCall) -> str:
    if old == new:
        return "same"
    if new.name == RESPOND:
        return "message"
    if old.name == RESPOND:
        return "call"
    return "swap_tool" if new.name != old.name else "swap_params"


def test_noisy_labels_has_the_published_counts(
    paired: dict[str, Pairs], request: pytest.FixtureRequest
) -> None:
    is_published = "[published]" in request.node.name
    fates = Counter((old.name, fate(old, new)) for old, new in calls(paired["noisy_labels"]))
    assert fates.total() == 3277
    for tool, counts in FATES.items():
        total = sum(counts.values())
        for kind, count in counts.items():
            now = fates.pop((tool, kind))
            assert now == count if is_published else inside(now, total, count / total), (tool, kind)
    assert not fates


def test_schema_drift_has_the_published_names(
    paired: dict[str, Pairs], scenarios: dict[str, Scenario]
) -> None:
    params = scenarios["schema_drift"]
    assert isinstance(params, SchemaDrift)
    others = of_service(paired["schema_drift"], "Restaurants_2")
    mine = of_service(paired["schema_drift"], "Restaurants_1")
    assert (len(others), len(mine), len(changed(mine))) == (146, 146, 146 - 14)
    for before, after in others + mine:
        assert users(before) == users(after)
    for old, new in calls(others):
        assert new == ToolCall(params.other_tools[old.name], old.arguments)

    drawn: dict[str, Counter[str]] = {}
    for pair in changed(mine):
        renames: dict[str, str] = {}
        for old, new in calls([pair]):
            for name, now in zip(
                [old.name, *old.arguments], [new.name, *new.arguments], strict=True
            ):
                assert renames.setdefault(name, now) == now  # kept through the trace
            assert list(old.arguments.values()) == list(new.arguments.values())
        for name, now in renames.items():
            drawn.setdefault(name, Counter())[now] += 1
    lists = params.tools | params.parameters
    tests = sum(len(names) for names in lists.values())
    for name, names in lists.items():
        assert set(drawn[name]) <= set(names)
        for count in (drawn[name][new] for new in names):
            assert inside(count, drawn[name].total(), 1 / len(names), tests), (name, drawn[name])
    wrong = {new.name for _, new in calls(others + changed(mine))}
    assert len(wrong) == 21
    assert not wrong & {old.name for old, _ in calls(mine)}


def test_trace_mixing_has_the_published_mixture(paired: dict[str, Pairs]) -> None:
    hotels = of_service(paired["trace_mixing"], "Hotels_1")
    clean = of_service(paired["trace_mixing"], "Restaurants_1")
    assert (len(hotels), len(clean)) == (142, 36)
    assert not changed(clean)
    names = {"SearchHotel": "FindRestaurants", "ReserveHotel": "ReserveRestaurant"}

    def bag(messages: Sequence[Message]) -> list[Any]:
        return sorted(map(repr, messages))

    for before, after in hotels:
        renamed = before.with_calls({
            index: ToolCall(names.get(call.name, call.name), dict(sorted(call.arguments.items())))
            for index, call in before.turns()
        })  # fmt: skip
        assert bag(renamed.messages) == bag(after.messages)
        assert renamed.messages != after.messages
    # A shuffle leaves each neighbour of a pair in front of the other equally often.
    places = [
        (before.messages.index(one), before.messages.index(two))
        for before, after in hotels
        for one, two in itertools.pairwise(after.messages)
        if one in before.messages and two in before.messages
    ]
    assert inside(sum(one < two for one, two in places), len(places), 0.5)
