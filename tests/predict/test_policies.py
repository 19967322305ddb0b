"""Policies that need no model."""

from tft.core.conversation import Conversation, assistant, user
from tft.core.task import RESPOND
from tft.predict.policies import most_frequent_call, policies
from tft.report.table import BASELINES


def trace(*messages) -> Conversation:
    return Conversation("t", "s", messages)


TRACES = [
    trace(user("hi"), assistant("Find", {"b": 1, "a": 2}), user("[]"), assistant(RESPOND, {})),
    trace(user("hi"), assistant("Find", {"a": 2, "b": 1}), user("[]"), assistant("Find", {"a": 1})),
]


def test_the_table_has_a_row_for_every_policy_and_for_the_untuned_student():
    assert {*policies(TRACES), "base"} == set(BASELINES)


def test_the_most_frequent_call_is_counted_with_its_arguments_in_any_order():
    call = most_frequent_call(TRACES)
    assert (call.name, call.arguments) == ("Find", {"a": 2, "b": 1})
    assert most_frequent_call(TRACES[::-1]) == call
    assert policies(TRACES)["most_frequent_call"]([user("anything")]) == call


def test_always_respond_says_the_same_whatever_was_said():
    policy = policies(TRACES)["always_respond"]
    assert policy([user("hi")]) == policy(TRACES[0].messages)
    assert policy([]).name == RESPOND


def test_copy_last_call_asks_a_question_before_the_first_call():
    named = policies(TRACES)
    messages = TRACES[1].messages
    assert named["copy_last_call"](messages[:3]) == messages[1].tool_call
    assert named["copy_last_call"](messages) == messages[3].tool_call
    assert named["copy_last_call"](messages[:1]) == named["always_respond"]([])
