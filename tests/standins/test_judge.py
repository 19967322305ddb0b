"""The rules judge: the rubric on a task of its own invention, and its precision on real traces."""

import json
from datetime import date

import pytest
from fixtures.repository import script
from hypothesis import given
from hypothesis import strategies as st

from tft.core.conversation import Message, ParseError, Tool, ToolCall, Turn, assistant, user
from tft.core.task import RESPOND, Task
from tft.standins.judge.verdict import judge
from tft.standins.reading.facts import find_dates, find_numbers, find_times, number, similar, words

TODAY = date(2031, 5, 7)  # a Wednesday


def tool(name: str, description: str, required: list[str], **slots: dict) -> Tool:
    properties = {key: {"type": "string", **schema} for key, schema in slots.items()}
    schema = {"type": "object", "properties": properties, "required": required}
    return Tool(name, description, schema)


TASK = Task(
    "help people see plays",
    (
        tool(RESPOND, "Talk to the user", ["message"], message={}),
        tool(
            "FindPlay", "Find a play in a city", ["genre", "city"], genre={}, city={},
            has_wheelchair_access={"enum": ["True", "False"]},
            mood={"enum": ["light", "dark", "very dark"]},
        ),
        tool(
            "BookSeats", "Book seats for a play", ["play_title", "city", "time"], play_title={},
            city={}, time={}, date={}, seats={"enum": ["1", "2", "3", "4"]},
        ),
    ),
    "be kind, and take synonyms (Satire/Comedy)",
)  # fmt: skip

OWLS = {
    "play_title": "The Owls of Ghent", "city": "Ghent", "genre": "Farce", "mood": "light",
    "has_wheelchair_access": "True", "serves_supper": "False", "phone_number": "555-014-2299",
}  # fmt: skip
TIDE = {
    "play_title": "Low Tide", "city": "Ghent", "genre": "Tragedy", "mood": "dark",
    "has_wheelchair_access": "False", "serves_supper": "True", "phone_number": "555-777-1234",
}  # fmt: skip
SEARCH = (
    user("Any comedy in Ghent? We are two, the day after tomorrow at half past 7 in the evening."),
    assistant("FindPlay", {"genre": "Farce", "city": "Ghent"}),
    user(json.dumps([OWLS, TIDE])),
)
CHOSEN = (
    *SEARCH,
    assistant(RESPOND, {"message": "How about The Owls of Ghent?"}),
    user("Yes please. Is there wheelchair access?"),
)
ASKED = {"play_title": "The Owls of Ghent", "city": "Ghent", "time": "19:30", "date": "2031-05-09",
         "seats": "2"}  # fmt: skip
BOOKING = (*CHOSEN, assistant("BookSeats", ASKED))
BOOKED = (*BOOKING, user(json.dumps([{**OWLS, **ASKED}])))
REFUSED = (*BOOKING, user("[]"))


def verdict(prefix: tuple[Message, ...], reference: ToolCall, prediction: ToolCall | ParseError):
    (result,) = judge([Turn("c", len(prefix), prefix, reference, prediction, "")], TASK, TODAY)
    return result


def says(prefix: tuple[Message, ...], message: str, instead_of: str = "Hm.") -> str:
    """The label of the verdict on a message in place of the reference."""
    reference = ToolCall(RESPOND, {"message": instead_of})
    return verdict(prefix, reference, ToolCall(RESPOND, {"message": message})).reason.split(":")[0]


def books(reference: dict, **changes: str | None) -> str:
    arguments = {k: v for k, v in {**reference, **changes}.items() if v is not None}
    prediction = ToolCall("BookSeats", arguments)
    return verdict(CHOSEN, ToolCall("BookSeats", reference), prediction).reason


def finds(reference: dict, **changes: str) -> bool:
    prediction = ToolCall("FindPlay", {**reference, **changes})
    return verdict(SEARCH[:1], ToolCall("FindPlay", reference), prediction).good


# --- the call ---------------------------------------------------------------------------------
def test_a_missing_call_and_another_function_are_bad():
    reference = ToolCall("BookSeats", ASKED)
    result = verdict(CHOSEN, reference, ParseError("empty text"))
    assert (result.good, result.reason) == (False, "unparseable: empty text")
    other = verdict(CHOSEN, reference, ToolCall(RESPOND, {"message": "Shall I book?"}))
    assert (other.good, other.reason) == (
        False,
        "wrong_function: respond_to_user instead of BookSeats",
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("time", "7:30 pm"),
        ("time", "half past 7 in the evening"),
        ("time", "half past seven"),
        ("date", "the day after tomorrow"),
        ("date", "May 9th"),
        ("date", "Friday"),
        ("date", "the 9th"),
        ("date", None),
        ("seats", "two"),
        ("seats", None),
        ("city", "ghent"),
        ("play_title", "the owls of ghent!"),
        ("play_title", "Owls of Ghent"),
        ("play_title", "The Owls of Gent"),
    ],
)
def test_arguments_that_mean_the_same_are_good(key, value):
    assert books(ASKED, **{key: value}).startswith("same_intent")


@pytest.mark.parametrize(
    ("key", "value", "label"),
    [
        ("time", "7:30 am", "wrong_argument"),
        ("time", "20:30", "wrong_argument"),
        ("time", "later", "wrong_argument"),
        ("date", "tomorrow", "wrong_argument"),
        ("date", "May 10th", "wrong_argument"),
        ("seats", "3", "wrong_argument"),
        ("city", "Bruges", "wrong_argument"),
        ("play_title", "Low Tide", "wrong_argument"),
        ("time", None, "missing_argument"),
        ("usher", "Wilhelmina", "invented_argument"),
    ],
)
def test_arguments_that_mean_something_else_are_bad(key, value, label):
    assert books(ASKED, **{key: value}).startswith(label)


def test_an_argument_beyond_the_reference_must_have_been_mentioned():
    short = {key: ASKED[key] for key in ("play_title", "city", "time")}
    assert books(short, seats="2", date="2031-05-09").startswith("same_intent")
    assert books(short, seats="4").startswith("invented_argument: seats='4'")
    assert books(short, date="2031-06-01").startswith("invented_argument")


def test_synonyms_of_a_category_pass_unless_the_user_spoke_for_the_reference():
    assert finds({"genre": "Farce", "city": "Ghent"}, genre="Slapstick")
    assert finds({"genre": "Comedy", "city": "Ghent"}, genre="Romantic comedy")
    assert not finds({"genre": "Comedy", "city": "Ghent"}, genre="Tragedy")
    assert finds({"genre": "Comedy", "city": "Ghent"}, genre="Satire")  # by the rubric
    assert not finds({"genre": "Comedy", "city": "Ghent"}, has_wheelchair_access="True")


def test_another_value_of_a_closed_list_is_bad_unless_somebody_spoke_for_it():
    wanted = {"genre": "Comedy", "city": "Ghent", "mood": "light"}
    assert not finds(wanted, mood="dark")
    prefix = (user("A dark comedy in Ghent, please."),)
    given = ToolCall("FindPlay", wanted | {"mood": "dark"})
    assert verdict(prefix, ToolCall("FindPlay", wanted), given).good


def test_opposite_booleans_differ():
    wanted = {"genre": "Comedy", "city": "Ghent", "has_wheelchair_access": "True"}
    assert not finds(wanted, has_wheelchair_access="False")
    assert finds(wanted, has_wheelchair_access="true")


# --- the message ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        (SEARCH, "I found 2 plays. How about Low Tide?"),
        (SEARCH, "The Owls of Ghent is a farce, and it has wheelchair access."),
        (SEARCH, "Which date suits you?"),
        (SEARCH, "Low Tide does not have wheelchair access, but they serve supper."),
        (SEARCH, "Low Tide is very dark."),
        (CHOSEN, "Please confirm: 2 seats for The Owls of Ghent at 7:30 pm on May 9th."),
        (CHOSEN, "I have booked 2 seats at 7:30 pm. Is that correct?"),
        (CHOSEN, "Yes, they do. Do you want supper, too?"),
        (CHOSEN, "Would you like a play that serves supper?"),
        (BOOKED, "Your booking is confirmed. Their number is 555 014 2299."),
        (BOOKED, "All done, enjoy the evening!"),
        (REFUSED, "Sorry, the booking failed. Shall I try 8 pm?"),
    ],
)
def test_reasonable_messages_are_good(prefix, message):
    assert says(prefix, message) == "reasonable"


def test_good_verdicts_name_the_facts_they_rest_on():
    def evidence(prefix, message):
        said = ToolCall(RESPOND, {"message": message})
        return verdict(prefix, ToolCall(RESPOND, {"message": "Hm."}), said).evidence

    assert evidence(CHOSEN, "Low Tide is in Ghent, but has no wheelchair access.") == (
        "holds city=Ghent, has_wheelchair_access=False, play_title=Low Tide"
    )
    assert evidence(CHOSEN, "2 seats on Friday at 7:30 pm?") == "holds 7:30 pm, Friday"
    assert evidence(BOOKED, "Your seats have been reserved.") == "holds outcome=done"
    assert evidence(SEARCH, "What else?") == "holds no fact that was looked up or said"
    assert (
        verdict(
            CHOSEN,
            ToolCall("BookSeats", ASKED),
            ToolCall("BookSeats", {**ASKED, "seats": "two", "time": "7:30 pm"}),
        ).evidence
        == "seats: 'two' is '2'; time: '7:30 pm' is '19:30'"
    )


@pytest.mark.parametrize(
    ("prefix", "message", "label"),
    [
        (SEARCH, "The Owls of Ghent has no wheelchair access.", "contradicts_fact"),
        (SEARCH, "Low Tide has wheelchair access but they serve supper.", "contradicts_fact"),
        (SEARCH, "Low Tide has a light mood.", "contradicts_fact"),
        (SEARCH, "Sorry, I could not find any play.", "claims_nothing_found"),
        (SEARCH, "How about Hamlet in Ghent?", "unknown_name"),
        (SEARCH, "Call them at 555-999-0000.", "unknown_number"),
        (SEARCH, "For Low Tide, call 555-014-2299.", "wrong_number"),
        (CHOSEN, "No, they don't.", "contradicts_fact"),
        (CHOSEN, "Please confirm: 2 seats at 6 pm.", "unknown_time"),
        (CHOSEN, "Please confirm: 2 seats on May 12th.", "unknown_date"),
        (CHOSEN, "Your seats have been reserved; the booking is complete.", "claims_success"),
        (BOOKED, "Sorry, I was unable to make the booking.", "claims_failure"),
        (REFUSED, "Your booking has been confirmed.", "claims_success"),
    ],
)
def test_messages_that_contradict_a_fact_are_bad(prefix, message, label):
    assert says(prefix, message) == label


DONE, GOODBYE = "Your seats are booked.", "Have a great day!"
ANSWER, OFFER = "Yes, they have wheelchair access.", "How about The Owls of Ghent?"
EARLY = "Please confirm: 2 seats for The Owls of Ghent on Friday at 7:30 pm."
LATER = (*CHOSEN, assistant(RESPOND, {"message": EARLY}), user("Make it 8:30 pm, please."))
CONFIRM = EARLY.replace("7:30", "8:30")
LEAVING = (*BOOKED, assistant(RESPOND, {"message": DONE}), user("Thank you, that is all."))


@pytest.mark.parametrize(
    ("prefix", "message", "instead_of", "label"),
    [
        (SEARCH, "banana", OFFER, "off_topic"),
        (SEARCH, "Purple elephants juggle quietly.", OFFER, "off_topic"),
        (SEARCH, "Which city do you want to see it in?", OFFER, "ignores_result"),
        (BOOKED, "How can I help you?", DONE, "ignores_result"),
        (REFUSED, "Which play do you want?", "Sorry, the booking failed.", "ignores_result"),
        (CHOSEN, "At what time?", ANSWER, "ignores_question"),
        (LATER, GOODBYE, CONFIRM, "takes_leave"),
        (LATER, "Anything else?", CONFIRM, "takes_leave"),
        (LEAVING, "Which city do you prefer?", GOODBYE, "ignores_goodbye"),
        (LATER, EARLY, CONFIRM, "outdated_time"),
        (LATER, "So you'd like to go at 6 pm, correct?", CONFIRM, "unknown_time"),
        (CHOSEN, "Please confirm: seats for 4 people.", "For 2 people, right?", "unknown_count"),
        (SEARCH[:1], "They have wheelchair access.", "Which genre?", "unsupported"),
        (SEARCH[:1], "I could not book it.", "Which genre?", "claims_failure"),
        (CHOSEN, "The of seats at a is play.", ANSWER, "no_sentence"),
        (SEARCH, "Low Tide Tide Tide Tide Tide", OFFER, "runs_in_circles"),
    ],
)
def test_messages_off_the_point_are_bad(prefix, message, instead_of, label):
    assert says(prefix, message, instead_of) == label


@pytest.mark.parametrize(
    ("prefix", "message", "instead_of"),
    [
        (SEARCH, "I found two plays in Ghent.", OFFER),
        (SEARCH, "Low Tide is a tragedy.", OFFER),
        (SEARCH, "Would you like to see Low Tide?", OFFER),
        (BOOKED, "You can call them at 555 014 2299.", DONE),
        (CHOSEN, "Sorry, I do not know.", ANSWER),
        (CHOSEN, ANSWER, CONFIRM),
        (LATER, "At what time?", CONFIRM),
        (LATER, "Shall I look for 9 pm instead?", CONFIRM),
        (LATER, CONFIRM.replace("8:30", "half past 8"), CONFIRM),
        (LEAVING, "Anything else I can do?", GOODBYE),
        (LEAVING, "Goodbye.", "Can I do anything else for you?"),
        (SEARCH[:1], "Which genre, for example tragedy?", "Which city?"),
    ],
)
def test_another_response_than_the_reference_is_good(prefix, message, instead_of):
    assert says(prefix, message, instead_of) == "reasonable"


def test_a_changed_booking_may_be_stated_in_either_form():
    later = (*BOOKING, user(json.dumps([{**OWLS, **ASKED, "time": "20:00"}])))
    failed = "I was unable to make the booking. How about 8 pm?"
    assert says(later, failed) == "reasonable"
    assert says(later, failed, DONE) == "claims_failure"
    assert says(later, "Your booking is confirmed for 8 pm.") == "reasonable"


def test_a_message_needs_the_message_argument_and_some_text():
    reference = ToolCall(RESPOND, {"message": "Hello"})
    assert not verdict(CHOSEN, reference, ToolCall(RESPOND, {"text": "Hello"})).good
    assert not verdict(CHOSEN, reference, ToolCall(RESPOND, {"message": " "})).good


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
SCRAPS = (
    "13:99 0:00 half past 40 the 31st February 30th next Friday 9/31 no not found booked Low Tide "
    "serves_supper 555-014 twenty-one 1 . ? , noon tomorrow May 9999-12-31 2031-13-01"
)
PHRASES = st.lists(st.text(max_size=8) | st.sampled_from(SCRAPS.split()), max_size=12).map(" ".join)


@given(PHRASES, st.sampled_from([SEARCH, CHOSEN, BOOKED, REFUSED]), PHRASES, PHRASES)
def test_judging_messages_never_raises(message, prefix, result, reference):
    prefix = (*prefix, assistant("BookSeats", {"play_title": message}), user(result))
    says(prefix, message or "x", reference)
    call = ToolCall(RESPOND, {"message": message})
    assert judge([Turn("c", 9, prefix, ToolCall(RESPOND, {"message": "x"}), call, "")], TASK)
    books(ASKED, time=message, date=message, seats=message, play_title=message, usher=message)


@given(st.dictionaries(st.sampled_from([*ASKED, "usher"]), ANYTHING))
def test_judging_arguments_never_raises(arguments):
    for reference in (ASKED, {**ASKED, **arguments}):
        result = verdict(CHOSEN, ToolCall("BookSeats", reference), ToolCall("BookSeats", arguments))
        assert result.reason


@given(st.sampled_from([SEARCH, CHOSEN, BOOKED, REFUSED]), ANYTHING)
def test_the_reference_itself_is_good(prefix, value):
    for call in (ToolCall(RESPOND, {"message": value}), ToolCall("BookSeats", {"time": value})):
        assert verdict(prefix, call, call).good


def test_today_defaults_to_the_earliest_date_of_the_conversation():
    prefix = (
        user("Owls, tomorrow at 8"),
        assistant("FindPlay", {"date": "2031-05-07"}),
        user("[]"),
    )
    turn = Turn("c", 3, prefix, ToolCall("BookSeats", {"date": "2031-05-08"}),
                ToolCall("BookSeats", {"date": "tomorrow"}), "")  # fmt: skip
    assert judge([turn], TASK)[0].good


# --- facts in text ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("17:05", {1025}),
        ("5:05 pm", {1025}),
        ("5 p.m.", {1020}),
        ("12 am", {0}),
        ("12:30 pm", {750}),
        ("half past 6 in the evening", {1110}),
        ("quarter to 5", {285, 1005}),
        ("ten past four in the afternoon", {970}),
        ("6", set()),
        ("at 6", {360, 1080}),
        ("six o'clock", {360, 1080}),
        ("six thirty pm", {1110}),
        ("noon", {720}),
        ("09:00", {540}),
        ("25:00", set()),
        ("11:75", set()),
    ],
)
def test_times_are_minutes_since_midnight(text, expected):
    assert set().union(*(mention.meanings for mention in find_times(text))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2031-05-09", ["2031-05-09"]),
        ("March 4th", ["2031-03-04", "2032-03-04"]),
        ("4th of march 2031", ["2031-03-04"]),
        ("the twenty-first", ["2031-05-21", "2031-06-21"]),
        ("the 5th", ["2031-05-05", "2031-06-05"]),
        ("tomorrow", ["2031-05-08"]),
        ("day after tomorrow", ["2031-05-09"]),
        ("Wednesday", ["2031-05-07", "2031-05-14"]),
        ("2/30", []),
        ("May I come", []),
        ("marching 4 miles", []),
        ("may", []),
        ("3rd Owl", []),
        ("the 3rd or so", ["2031-05-03", "2031-06-03"]),
    ],
)
def test_relative_dates_are_read_from_the_day_of_the_conversation(text, expected):
    found = set().union(*(mention.meanings for mention in find_dates(text, TODAY)))
    assert sorted(day.isoformat() for day in found) == expected


def test_numbers_and_names_are_compared_as_people_mean_them():
    assert (number("twenty-one"), number("7"), number("seven dwarfs")) == (21, 7, None)
    assert find_numbers("two of 15, twenty one") == {2, 15, 20, 1}
    assert find_numbers("-1,250.5 or 4.5, the 3rd at 7:30.") == {-1250.5, 4.5, 7, 30}
    assert words("Café  & Bar's") == ["cafe", "and", "bars"]
    assert similar("Dean's Café", "deans cafe")
    assert not similar("Ghent", "Bruges")
    assert not similar("Theatre 101", "Theatre 102")


# --- real conversations -----------------------------------------------------------------------
@pytest.fixture(scope="module")
def real_messages(published):
    """Every eighth message of the clean published traces, with what comes before it."""
    traces, task = published
    benchmark = script("benchmarks/false_alarms.py")
    turns = benchmark.places(benchmark.clean(traces))
    assert len(turns) == 2641
    return turns[::8], task


def share_of_bad(turns, task) -> float:
    """How often a message is bad in place of the reference."""
    verdicts = judge(
        [Turn("c", len(prefix), prefix, reference, said, "") for prefix, reference, said in turns],
        task,
        date(2019, 3, 1),
    )
    return sum(not verdict.good for verdict in verdicts) / len(verdicts)


def test_real_messages_are_rarely_bad_against_another_reference(real_messages):
    # "Sorry, yes." reports any result and answers any question, so all rules apply.
    turns, task = real_messages
    reference = ToolCall(RESPOND, {"message": "Sorry, yes."})
    assert share_of_bad([(prefix, reference, said) for prefix, said in turns], task) < 0.03


def test_messages_of_other_conversations_are_mostly_bad(real_messages):
    # Not all: "Anything else?" fits in many places.
    turns, task = real_messages
    moved = [said for _, said in turns[100:] + turns[:100]]
    swapped = [(*turn, said) for turn, said in zip(turns, moved, strict=True)]
    assert share_of_bad(swapped, task) > 0.6
