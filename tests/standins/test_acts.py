"""What rules make of an agent's message in its place: on boats."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from fixtures.rental import OFFER, TASK, TRACES, talk

from tft.core.conversation import Conversation, Message, user
from tft.core.tables import write_conversations
from tft.core.task import RESPOND, write_task
from tft.standins.reading.evidence import collect
from tft.standins.reading.phrases import known_words
from tft.standins.synthesize.acts import Act, Reader, Spot
from tft.standins.synthesize.substitute import take_stock
from tft.standins.synthesize.understand import understand

ASKED = [
    replace(
        one,
        id=f"asked/{number:02}",
        messages=(
            user("I want to row."),
            talk("Which harbour is it?"),
            *one.messages[: OFFER + 1],
            user("Good."),
            talk("When will it start?"),
            *one.messages[OFFER + 1 :],
        ),
    )
    for number, one in enumerate(TRACES)
]
ASK, OFFERED, ASK_START, CONFIRM, REPORT = 1, 5, 7, 9, 13


@pytest.fixture(scope="module")
def reader() -> Reader:
    evidence = collect(ASKED, TASK)
    found = Reader(evidence, take_stock(ASKED, [], evidence).ordinary, known_words(ASKED, TASK))
    found.learn(ASKED)
    return found


def spots(reader: Reader, one: Conversation) -> dict[int, Spot]:
    return {index: spot for index, spot, _ in reader.spots(one)}


def test_correct_messages_have_no_fault(reader: Reader) -> None:
    for one in ASKED:
        assert [reader.fault(text, spot) for _, spot, text in reader.spots(one)] == [None] * 5


def test_messages_that_do_the_same_about_other_values_are_the_same_act(reader: Reader) -> None:
    acts = {
        reader.act(text, spot)
        for one in ASKED
        for index, spot, text in reader.spots(one)
        if index == OFFERED
    }
    assert {(act.blanks, act.question) for act in acts} == {(frozenset({"boat_name"}), False)}
    (first, *_) = ASKED
    asks = reader.act("Which harbour is it?", spots(reader, first)[ASK])
    assert asks == Act(frozenset(), frozenset({"harbour"}), frozenset(), True, False, False)


@pytest.mark.parametrize(
    ("index", "text", "fault"),
    [
        (OFFERED, "Have a nice day.", "leaves too early"),
        (OFFERED, "Which harbour is it?", "nothing of what belongs here"),
        (CONFIRM, "Which harbour is it?", "nothing of what belongs here"),
        (CONFIRM, "The Zebra at 11 pm?", "values from nowhere"),
        (ASK_START, "Which harbour is it?", "asks what was told"),
        (REPORT, "When will it start?", "ends with a question"),
        (ASK, "No, it has no sail.", "denies what nobody asked"),
    ],
)
def test_a_message_in_the_wrong_place_is_a_fault(
    reader: Reader, index: int, text: str, fault: str
) -> None:
    spot = spots(reader, ASKED[0])[index]
    assert reader.fault(text, spot) == fault


def lost(one: Conversation, text: str) -> Conversation:
    """The trace with something else in the offer's place."""
    messages: list[Message] = [*one.messages]
    messages[OFFER] = talk(text)
    return replace(one, id=f"lost/{one.id}", messages=tuple(messages))


def test_lost_messages_are_replaced_by_fitting_ones() -> None:
    seeds = TRACES[:12]
    context = [lost(one, "Do come again, good bye.") for one in TRACES[12:]]
    evidence = collect([*seeds, *context], TASK)
    understood = understand(seeds, context, evidence, take_stock(seeds, context, evidence))
    told = [one for one in understood.told if one.id.startswith("lost/")]
    assert told
    for one in told:
        call = one.messages[OFFER].tool_call
        assert call is not None
        assert call.name == RESPOND
        truth = one.messages[OFFER + 4].tool_call
        assert truth is not None
        assert truth.arguments["boat_name"] in str(call.arguments) or "Gull" in str(call.arguments)
    templates = {phrase.template for found in understood.wording.phrases.values()
                 for phrase in found}  # fmt: skip
    assert not any("come again" in template for template in templates)


def test_synthesis_by_rules_never_reads_the_built_in_simulator(tmp_path: Path) -> None:
    """Its grammar wrote the test set of `corpus: builtin`: nothing may leak from there."""
    write_conversations(tmp_path / "traces.parquet", TRACES)
    write_task(tmp_path / "task.json", TASK)
    code = """
        import sys
        from pathlib import Path

        sys.modules["tft.standins.simulation"] = None  # any import of it fails
        from tft.core.records import Plan
        from tft.standins.synthesize.generate import synthesizer
        from tft.core.tables import read_conversations
        from tft.core.task import read_task

        traces = read_conversations(Path("traces.parquet"))
        generate = synthesizer(traces[:12], traces[12:], read_task(Path("task.json")))
        plans = [Plan(f"tft-{n}", tuple(traces[n : n + 2]), tuple(traces[-2:])) for n in range(6)]
        assert any(draft.conversation for draft in generate(plans))
        """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
