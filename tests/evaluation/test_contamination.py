"""What of the test conversations was seen in training, and copies that end the run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.repository import ROOT, run_stage
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import fuzz
from ruamel.yaml import YAML

from tft.config import load_params
from tft.core.conversation import Conversation, Message, ToolCall, assistant, text_of, user
from tft.core.tables import DECISIONS, RELEVANCE, write_conversations, write_rows
from tft.core.task import RESPOND
from tft.corpus.sgd import split_sgd
from tft.evaluation.contamination import closest, overlap, utterances, without_calls


def talk(text: str) -> Message:
    return assistant(RESPOND, {"message": text})


TEST = Conversation(
    "test", "boats",
    (
        user("I want a boat."),
        talk("In which harbour?"),
        user("Old Lock"),
        assistant("FindBoats", {"harbour": "Old Lock", "seats": 4}),
        user('[{"boat_name": "Curlew", "harbour": "Old Lock"}]'),
        talk("The Curlew is free."),
        user("Thank you!"),
        talk("Goodbye."),
    ),
)  # fmt: skip
TRACE = Conversation(
    "trace", "boats",
    (
        user("thank   YOU"),
        assistant("search", {"port": "Lower Bay", "places": 4}),
        user("[]"),
        assistant("say", {"text": "In which harbour"}),
    ),
)  # fmt: skip


def test_overlap_counts_repeated_texts_and_values_under_any_argument_name():
    assert overlap([TRACE], [TEST]) == {
        "user_utterances": 0.333333,  # "Thank you!"
        "agent_messages": 0.333333,  # "In which harbour?"
        "entities": {"harbour": 0.0, "seats": 1.0},
    }
    everything = overlap([TEST], [TEST])
    assert everything["entities"] == {"harbour": 1.0, "seats": 1.0}
    assert everything["user_utterances"] == everything["agent_messages"] == 1.0


def test_tool_results_are_not_counted_as_utterances():
    assert utterances([TEST]) == ["I want a boat.", "Old Lock", "Thank you!"]


def test_tests_without_service_calls_have_no_entities():
    small = Conversation("small", "boats", (user("hi"), talk("hello")))
    assert overlap([TRACE], [small])["entities"] == {}


def test_the_closest_pair_is_found_among_all():
    tests = {"one": "abcdefgh", "other": "12345678"}
    assert closest({"a": "abcd", "b": "12345679", "c": "abc"}, tests) == ("b", "other", 0.875)
    assert closest({"a": "xyz"}, tests).similarity == 0


groups = st.dictionaries(st.sampled_from("abcd"), st.text("xyz", max_size=6), min_size=1)


@given(groups, groups)
def test_no_pair_is_closer_than_the_one_found(training, tests):
    found = closest(training, tests)
    assert found.similarity == fuzz.ratio(training[found.training], tests[found.test]) / 100
    assert found.similarity == max(
        fuzz.ratio(one, other) / 100 for one in training.values() for other in tests.values()
    )


@pytest.fixture
def project(tmp_path, monkeypatch):
    """One scenario's traces and a test set without overlap."""
    content = YAML(typ="safe").load(ROOT / "params.yaml")
    content |= {"run": ["baseline"], "pipelines": ["tft"], "report": {"pipeline": "tft"}}
    YAML().dump(content, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    write_conversations(Path("data/test/conversations.parquet"), [TEST])
    logged = Conversation("logged", "Restaurants_1", (user("hi"), talk("hello")))
    for path in ("data/split/train.parquet", "data/direct/baseline/train.parquet"):
        write_conversations(Path(path), [logged])
    kept = {"relevance": 5, "coherence": 5, "kept": True, "reason": ""}
    scores = [{"conversation": logged.id} | kept]
    write_rows(Path("data/filtered/baseline/scores.parquet"), RELEVANCE, scores)
    decided = {"name": RESPOND, "arguments": logged.messages[1].tool_call.arguments_json}
    row = {"conversation": logged.id, "turn": 1, "reason": "", "votes": "{}", "kept": True}
    path = Path("data/relabeled/baseline/decisions.parquet")
    write_rows(path, DECISIONS, [row | decided])
    return tmp_path


def train_on(*conversations: Conversation):
    write_conversations(Path("data/tft/baseline/train.parquet"), conversations)
    return run_stage("audit", "baseline")


def test_the_audit_of_clean_traces_holds_their_overlap_with_the_tests(project):
    assert train_on(TRACE).exit_code == 0
    summary = json.loads(Path("data/audit/baseline.json").read_text())["contamination"]["tft"]
    assert summary["conversations"] == 1
    assert summary["closest"]["training"] == "trace"
    assert summary["closest"]["similarity"] < 0.6
    assert summary["entities"] == {"harbour": 0.0, "seats": 1.0}


def damaged(conversation: Conversation) -> Conversation:
    calls = {index: ToolCall("oops", {"n": index}) for index, _ in conversation.turns()}
    return replace(conversation.with_calls(calls), id="damaged")


@pytest.mark.parametrize(
    ("copy", "key"),
    [
        (replace(TEST, id="equal"), "max_similarity"),
        # A copy with one more word, and one whose calls were changed.
        (
            replace(TEST, id="near", messages=(user("I want a nice boat."), *TEST.messages[1:])),
            "max_similarity",
        ),
        (damaged(TEST), "max_similarity_without_calls"),
    ],
)
def test_a_near_copy_of_a_test_conversation_ends_the_run(project, copy, key):
    done = train_on(TRACE, copy)
    assert done.exit_code == 1
    where = f"data/tft/baseline/train.parquet: conversation {copy.id!r} has a similarity of "
    assert where in done.output
    assert " to the test conversation 'test', limit " in done.output
    assert done.stderr.rstrip().endswith(f"raise audit.{key}")
    assert not Path("data/audit").exists()


def test_sgds_own_conversations_are_no_near_copies_of_the_tests(sgd, sgd_params):
    limits = load_params(ROOT / "params.yaml").audit
    train, tests = split_sgd(sgd[0], sgd_params)
    train = [one for one in train if one.source == sgd_params.service]
    for text, limit, highest in (
        (text_of, limits.max_similarity, 0.91),
        (without_calls, limits.max_similarity_without_calls, 0.96),
    ):
        pair = closest({one.id: text(one) for one in train}, {one.id: text(one) for one in tests})
        assert 0.85 < pair.similarity < highest < limit
    shares = overlap(train, tests)
    assert all(0.1 < shares[key] < 0.3 for key in ("user_utterances", "agent_messages"))
