"""The rules experts that filter and relabel: on boats, and on real traces whose truth is known."""

import json
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from fixtures.rental import FIND, OFFER, RENT, TASK, TRACES, talk
from fixtures.repository import ROOT

from tft.config import load_params
from tft.core.conversation import Conversation, ToolCall, assistant, user
from tft.core.records import SERVICE, Label, disputed
from tft.core.task import RESPOND, Task
from tft.corpus.choose import split_corpus
from tft.evaluation.audit import audit
from tft.scenarios.choose import corrupt
from tft.standins.filter import score_relevance
from tft.standins.reading.evidence import collect
from tft.standins.reading.labels import vote
from tft.standins.relabel import relabel


def decided(change: Callable[[Conversation], Conversation]) -> dict[int, ToolCall | None]:
    """The calls voted for in trace 2 after a change, the other traces being as they are."""
    one = change(TRACES[2])
    evidence = collect([*TRACES[:2], one, *TRACES[3:]], TASK)
    return {index: choice.call for index, choice in vote(one, evidence).items()}


def true_calls(one: Conversation) -> dict[int, ToolCall]:
    return dict(one.turns())


def test_correct_calls_stay_unchanged() -> None:
    evidence = collect(TRACES, TASK)
    for one in TRACES:
        votes = vote(one, evidence)
        assert {index: choice.call for index, choice in votes.items()} == true_calls(one)


@pytest.mark.parametrize(
    "wrong",
    [
        {FIND: ToolCall("RentBoat", dict(TRACES[2].turns())[FIND].arguments)},
        {RENT: ToolCall("FindBoats", dict(TRACES[2].turns())[RENT].arguments)},
        {
            RENT: ToolCall(
                "RentBoat", {"boat_name": "Zebra", "harbour": "Nowhere", "start": "05:00"}
            )
        },
        {FIND: ToolCall(RESPOND, {"message": "Anything else?"})},
        {RENT: ToolCall(RESPOND, {"message": "Anything else?"})},
    ],
    ids=["other tool", "other tool too", "other arguments", "talk", "talk too"],
)
def test_a_wrong_service_call_is_restored(wrong: dict[int, ToolCall]) -> None:
    assert decided(lambda one: one.with_calls(wrong)) == true_calls(TRACES[2])


def test_a_service_call_without_a_result_is_undecided() -> None:
    wrong = {OFFER: ToolCall("FindBoats", {"harbour": "Old Lock"})}
    assert decided(lambda one: one.with_calls(wrong)) == {**true_calls(TRACES[2]), OFFER: None}


def test_the_user_s_request_decides_when_the_service_booked_another_time() -> None:
    moved, lost = TRACES[3], {RENT: ToolCall(RESPOND, {"message": "Anything else?"})}
    assert json.loads(str(moved.messages[RENT + 1].content))[0]["start"].endswith(":30")
    evidence = collect(TRACES, TASK)
    assert vote(moved.with_calls(lost), evidence)[RENT].call == true_calls(moved)[RENT]


def test_the_call_of_a_failed_booking_is_inferred_from_the_dialogue() -> None:
    def fail(one: Conversation) -> Conversation:
        messages = list(one.with_calls({RENT: ToolCall(RESPOND, {"message": "Bye."})}).messages)
        messages[RENT + 1] = user("[]")
        return replace(one, messages=tuple(messages))

    assert decided(fail)[RENT] == true_calls(TRACES[2])[RENT]


def test_calls_under_other_names_are_mapped_to_the_declared_tools() -> None:
    names = {"FindBoats": "lookup", "RentBoat": "hire", RESPOND: "say", "harbour": "place",
             "boat_name": "vessel", "start": "when", "message": "text"}  # fmt: skip

    def renamed(one: Conversation) -> Conversation:
        return one.with_calls(
            {
                index: ToolCall(
                    names[call.name], {names[key]: value for key, value in call.arguments.items()}
                )
                for index, call in one.turns()
            }
        )

    drifted = [renamed(one) for one in TRACES]
    evidence = collect(drifted, TASK)
    for one, before in zip(drifted, TRACES, strict=True):
        votes = vote(one, evidence)
        assert {index: choice.call for index, choice in votes.items()} == true_calls(before)


def test_a_renamed_other_service_is_irrelevant_and_shuffled_messages_are_incoherent() -> None:
    def swim(index: int) -> Conversation:
        rng = random.Random(index)
        messages = [
            user("Is a lane free?"),
            assistant("FindBoats", {"bath": f"Bath {index % 5}"}),
            user(json.dumps([{"bath": f"Bath {index % 5}", "lanes": "8", "depth": "2 m"}])),
            talk("Lane 8 is free."),
            user("Thanks."),
            talk("Bye."),
        ]
        rng.shuffle(messages)
        return Conversation(f"swim/{index:02}", "baths", tuple(messages))

    scores = score_relevance([*TRACES, *(swim(index) for index in range(40))], TASK)
    for score in scores:
        if score.conversation.startswith("boat/"):
            assert (score.relevance, score.coherence) == (5, 5), score
        else:
            assert score.relevance <= 2, score
    shuffled = [one.coherence for one in scores if one.conversation.startswith("swim/")]
    assert sum(shuffled) / len(shuffled) < 4


@pytest.mark.parametrize(
    ("scenario", "names", "arguments", "unchanged"),
    [("baseline", 1, 1, 0.99), ("noisy_labels", 0.97, 0.90, 0), ("schema_drift", 0.97, 0.90, 0)],
)
def test_relabeling_restores_real_traces(
    sgd: tuple[list[Conversation], Task],
    scenario: str,
    names: float,
    arguments: float,
    unchanged: float,
) -> None:
    params = load_params(ROOT / "params.yaml").model_copy(update={"corpus": "sgd"})
    conversations, task = sgd
    train, _ = split_corpus(conversations, params)
    truth = {one.id: one for one in train if one.source == params.sgd.service}
    traces = corrupt(scenario, params.scenario(scenario), train, params.data_seed)
    turns = [
        (decision.call, logged, dict(truth[one.id].turns())[index])
        for one, done in zip(traces, relabel(traces, task), strict=True)
        if one.id in truth
        for decision, (index, logged) in zip(done.decisions, one.turns(), strict=True)
    ]
    named = [call is not None and call.name == true.name for call, _, true in turns]
    service = [call == true for call, _, true in turns if true.name != RESPOND]
    assert sum(named) / len(named) >= names
    assert sum(service) / len(service) >= arguments
    assert sum(call == logged for call, logged, _ in turns) / len(turns) >= unchanged


def test_the_filter_distinguishes_hotels_from_restaurants(
    sgd: tuple[list[Conversation], Task],
) -> None:
    params = load_params(ROOT / "params.yaml").model_copy(update={"corpus": "sgd"})
    conversations, task = sgd
    train, _ = split_corpus(conversations, params)
    traces = corrupt("trace_mixing", params.scenario("trace_mixing"), train, params.data_seed)
    ours = {one.id: one.source == params.sgd.service for one in traces}
    kept = {
        score.conversation: score.relevance >= 3 and score.coherence >= 2
        for score in score_relevance(traces, task)
    }
    assert sum(kept[name] for name, own in ours.items() if own) >= 0.95 * sum(ours.values())
    foreign = len(ours) - sum(ours.values())
    assert sum(not kept[name] for name, own in ours.items() if not own) >= 0.95 * foreign


def test_lost_and_foreign_messages_are_composed_from_other_traces() -> None:
    damaged = []
    for number, one in enumerate(TRACES):
        match number % 4:
            case 0:
                wrong = ToolCall("FindBoats", {"harbour": "Old Lock"})
            case 1:
                wrong = ToolCall(RESPOND, {"message": "A room at the Ritz in Paris costs ninety."})
            case _:
                wrong = dict(one.turns())[OFFER]
        damaged.append(one.with_calls({OFFER: wrong}))
    for one, done in zip(TRACES, relabel(damaged, TASK), strict=True):
        assert done.conversation is not None
        assert true_calls(done.conversation) == true_calls(one)
    reasons = [one.reason for done in relabel(damaged, TASK) for one in done.decisions]
    told = [reason.partition("; composed: as in ") for reason in reasons if "composed" in reason]
    assert told
    assert {trace for _, _, trace in told} <= {one.id for one in TRACES}


def test_votes_are_disputed_when_a_tool_or_an_argument_differs() -> None:
    find, rent = Label("FindBoats", {"harbour": "Old Lock"}), Label("RentBoat", {})
    assert disputed({"one": find, "other": rent})
    assert disputed({"one": find, "other": Label("FindBoats", {"harbour": "Quay"})})
    assert disputed({"one": Label(RESPOND, {}), "other": Label(SERVICE, {})})
    assert not disputed({"one": find, "other": Label("FindBoats", {"seats": "4"})})
    assert not disputed({"one": find, "other": Label(SERVICE, {}), "third": None})


def test_a_trace_with_an_undecidable_call_is_rejected_and_says_which() -> None:
    messages = (user("Hello."), talk("Bye."), user("[]"), talk("Sorry."))
    odd = Conversation("boat/odd", "boats", messages)
    *fine, rejected = relabel([*TRACES, odd], TASK)
    assert all(done.conversation for done in fine)
    assert rejected.conversation is None
    assert "message 1: a service with an empty result" in str(rejected.rejection)


def test_an_audit_counts_against_the_truth_and_has_no_share_of_nothing() -> None:
    swapped = TRACES[0].with_calls({RENT: ToolCall("FindBoats", {"harbour": "Old Lock"})})
    stranger = Conversation("swim/1", "baths", (user("A lane?"), talk("No.")))
    decided = {
        (swapped.id, index): (call.name, call.arguments) for index, call in TRACES[0].turns()
    }
    kept = {swapped.id: True, stranger.id: False}
    result = audit([swapped, stranger], TRACES, kept, decided)
    assert (result["kept"], result["others_rejected"]) == (1, 1)
    assert result["tool_right"] == {"logged": 0.8, "decided": 1}
    assert result["service_call_right"] == {"logged": 0.5, "decided": 1}
    assert result["right_left_alone"] == 1
    assert audit([stranger], TRACES, kept, {})["tool_right"]["logged"] is None
