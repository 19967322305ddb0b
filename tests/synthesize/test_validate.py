"""What a generated conversation must keep to: each rule broken alone, and real conversations."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from fixtures.repository import ROOT
from fixtures.strategies import conversations, texts
from hypothesis import given
from hypothesis import strategies as st

from tft.config import load_params
from tft.core.conversation import Conversation, Message, Tool, assistant, text_of, user
from tft.core.records import Draft, Plan
from tft.core.task import RESPOND, Task
from tft.synthesize.config import ValidationConfig
from tft.synthesize.validate import copies_of, flaw, nearest, validate

LIMITS = ValidationConfig(
    max_characters=4000,
    max_similarity_to_seeds=0.95,
    max_similarity_among=0.95,
    max_similarity_to_tests=0.95,
)
TASK = Task(
    "You lend out boats.",
    (
        Tool(
            RESPOND,
            "Talk.",
            {
                "type": "object",
                "properties": {"message": {"type": "string"}},
                "required": ["message"],
            },
        ),
        Tool(
            "FindBoats",
            "Find a rowing boat",
            {
                "type": "object",
                "properties": {
                    "harbour": {"type": "string"},
                    "seats": {"type": "integer"},
                    "colour": {"type": "string", "enum": ["green", "red"]},
                },
                "required": ["harbour"],
            },
        ),
    ),
    "good or bad",
)
FOUND = user('[{"boat_name": "Curlew", "harbour": "Old Lock", "colour": "red"}]')


def talk(text: str) -> Message:
    return assistant(RESPOND, {"message": text})


def find(**arguments: object) -> Message:
    return assistant("FindBoats", {"harbour": "Old Lock"} | arguments)


def of(*messages: Message, name: str = "x") -> Conversation:
    return Conversation(name, "boats", messages)


def draft(one: Conversation | None, name: str = "x", rejection: str | None = None) -> Draft:
    return Draft(Plan(name, (), ()), one and replace(one, id=name), rejection)


HELLO, BYE = user("A boat at Old Lock, please."), talk("The Curlew is free.")
VALID = of(HELLO, find(), FOUND, BYE)
OTHER = of(
    user("Hi! Can I row today?"), talk("Where would you like to start?"), user("Nowhere."),
    talk("Have a good day then."),
)  # fmt: skip


@pytest.mark.parametrize(
    "messages",
    [
        (HELLO, BYE),
        (HELLO, find(), FOUND, BYE),
        (HELLO, find(seats=2, colour="green"), user("[]"), BYE),
        (HELLO, find(), user('{"boat_name": "Curlew"}'), find(seats=4), FOUND, BYE),
        (HELLO, find(), user("{}"), BYE, user("12"), BYE),
    ],
    ids=["talk", "a result", "an empty result", "two calls in a row", "a number is no result"],
)
def test_a_plausible_conversation_is_valid(messages: tuple[Message, ...]) -> None:
    assert flaw(of(*messages), TASK, LIMITS) is None


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ((BYE,), "order: it does not begin with the user's words"),
        ((BYE, HELLO, BYE), "order: it does not begin with the user's words"),
        ((FOUND, BYE), "order: it does not begin with the user's words"),
        ((HELLO,), f"order: it does not end with {RESPOND}"),
        ((HELLO, find()), f"order: it does not end with {RESPOND}"),
        ((HELLO, find(), FOUND), f"order: it does not end with {RESPOND}"),
        ((HELLO, HELLO, BYE), "order: message 1 is the user's again"),
        ((HELLO, find(), FOUND, BYE, BYE), "order: message 4 is the assistant's again"),
        ((HELLO, find(), HELLO, BYE), "results: no result follows FindBoats at message 1"),
        ((HELLO, find(), user("[1]"), BYE), "results: no result follows FindBoats at message 1"),
        ((HELLO, find(), user("null"), BYE), "results: no result follows FindBoats at message 1"),
        ((HELLO, BYE, FOUND, BYE), f"results: a result follows {RESPOND} at message 1"),
        (
            (HELLO, assistant("RentBoat", {}), FOUND, BYE),
            "undeclared tool: RentBoat at message 1",
        ),
        (
            (HELLO, assistant("FindBoats", {}), FOUND, BYE),
            "against the schema: FindBoats: 'harbour' is a required property at message 1",
        ),
        (
            (HELLO, find(seats="two"), FOUND, BYE),
            "against the schema: FindBoats: 'two' is not of type 'integer' at message 1",
        ),
        (
            (HELLO, find(colour="blue"), FOUND, BYE),
            "against the schema: FindBoats: 'blue' is not one of ['green', 'red'] at message 1",
        ),
        (
            (HELLO, find(oars=2), FOUND, BYE),
            "against the schema: FindBoats: Additional properties are not allowed "
            "('oars' was unexpected) at message 1",
        ),
        (
            (HELLO, assistant(RESPOND, {"message": ["a", "list"]})),
            f"against the schema: {RESPOND}: ['a', 'list'] is not of type 'string' at message 1",
        ),
    ],
)
def test_each_rule_has_its_reason(messages: tuple[Message, ...], reason: str) -> None:
    assert flaw(of(*messages), TASK, LIMITS) == reason


def test_the_length_counts_the_characters_of_the_whole_conversation() -> None:
    below = LIMITS.model_copy(update={"max_characters": 1})
    length = int(str(flaw(VALID, TASK, below)).removeprefix("length: ").split()[0])
    exact = LIMITS.model_copy(update={"max_characters": length})
    assert flaw(VALID, TASK, exact) is None
    longer = of(user(f"{HELLO.content}é"), *VALID.messages[1:])
    assert flaw(longer, TASK, exact) == f"length: {length + 1} characters"


# Words that read as a tool's result would break the pairing.
words = texts.map(lambda text: f"say {text}")
exchanges = st.one_of(
    st.builds(lambda asked, said: (user(asked), talk(said)), words, texts),
    st.builds(
        lambda asked, harbour, boats, said: (
            user(asked),
            assistant("FindBoats", {"harbour": harbour}),
            user(json.dumps([{"boat_name": boat} for boat in boats])),
            talk(said),
        ),
        words,
        texts,
        st.lists(texts, max_size=3),
        texts,
    ),
)
valid = st.lists(exchanges, min_size=1, max_size=4).map(
    lambda parts: of(*(message for part in parts for message in part))
)


@given(valid)
def test_validation_accepts_any_wording(one: Conversation) -> None:
    assert flaw(one, TASK, LIMITS) is None


@given(valid, st.data())
def test_a_missing_message_is_always_invalid(one: Conversation, data: st.DataObject) -> None:
    gone = data.draw(st.integers(0, len(one.messages) - 1))
    rest = one.messages[:gone] + one.messages[gone + 1 :]
    assert str(flaw(of(*rest), TASK, LIMITS)).split(":")[0] in {"order", "results"}


@given(conversations())
def test_validation_never_raises_and_a_conversation_is_similar_to_itself(one: Conversation) -> None:
    reason = flaw(one, TASK, LIMITS)
    known = {"order", "results", "undeclared tool", "against the schema", "length"}
    assert reason is None or reason.split(":")[0] in known
    assert nearest(text_of(one), {"other": "~" * 99, "same": text_of(one)}, 0.95) == ("same", 1)


def test_another_order_of_arguments_is_the_same_text() -> None:
    one = of(HELLO, assistant("FindBoats", {"harbour": "Old Lock", "seats": 2}), FOUND, BYE)
    same = of(HELLO, assistant("FindBoats", {"seats": 2, "harbour": "Old Lock"}), FOUND, BYE)
    assert text_of(one) == text_of(same)


def test_the_most_alike_is_named_and_only_above_the_limit() -> None:
    texts = {"far": "rowing", "near": "a boat at the lock", "nearer": "a boat at the dock"}
    assert nearest("a boat at the docks", texts, 0.9) == ("nearer", pytest.approx(36 / 37))
    assert nearest("a boat at the docks", texts, 36 / 37 + 1e-6) is None
    assert nearest("a boat at the docks", {}, 0) is None


def test_every_draft_gets_its_reason_in_order() -> None:
    seed, before = replace(VALID, id="seed"), replace(OTHER, id="before")
    fresh = of(user("Any red one for six?"), talk("No, all are out until the evening."))
    drafts = [
        draft(None, "a", "no flow of its length"),
        draft(VALID, "b"),
        draft(OTHER, "c"),
        draft(of(HELLO), "d"),
        draft(fresh, "e"),
        draft(fresh, "f"),
    ]
    assert validate(drafts, [before], [seed], TASK, LIMITS) == [
        "no conversation: no flow of its length",
        "too like a seed: seed, 1.000",
        "too like another: before, 1.000",
        f"order: it does not end with {RESPOND}",
        None,
        "too like another: e, 1.000",
    ]


def test_a_rejected_draft_does_not_exclude_similar_ones() -> None:
    wrong = of(*VALID.messages[:1], find(oars=2), *VALID.messages[2:])
    first, second = validate([draft(wrong, "a"), draft(VALID, "b")], [], [], TASK, LIMITS)
    assert str(first).startswith("against the schema")
    assert second is None


def test_copies_of_tests_are_found_whatever_their_id() -> None:
    tests = [replace(VALID, id="test/1"), replace(OTHER, id="test/2")]
    fresh = of(user("Any red one for six?"), talk("No."), name="fresh")
    copy = replace(OTHER, id="tft-1")
    assert copies_of([fresh, copy], tests, 0.95) == [("tft-1", "test/2", 1)]


def test_real_conversations_are_valid_and_no_copies_of_each_other(
    sgd: tuple[list[Conversation], Task],
) -> None:
    limits = load_params(ROOT / "params.yaml").synthesize.validation
    service = load_params(ROOT / "params.yaml").sgd.service
    real = [one for one in sgd[0] if one.source == service]
    assert Counter(flaw(one, sgd[1], limits) for one in real) == {None: len(real)}

    some = {one.id: text_of(one) for one in real[:100]}
    for name, text in some.items():
        others = {other: there for other, there in some.items() if other != name}
        assert nearest(text, others, limits.max_similarity_to_tests) is None


def test_a_real_conversation_about_another_item_is_a_copy(
    sgd: tuple[list[Conversation], Task],
) -> None:
    service = load_params(ROOT / "params.yaml").sgd.service
    real = [text_of(one) for one in sgd[0] if one.source == service][:100]
    found = 0
    for text in real:
        names = [part.split('"')[0] for part in text.split('"restaurant_name": "')[1:]]
        most = max(names, key=text.count, default="")
        copy = text.replace(most, "The Old Boat House") if most else text
        found += nearest(copy, {"original": text}, 0.95) is not None
    assert found >= 0.95 * len(real)
