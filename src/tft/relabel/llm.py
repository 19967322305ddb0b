"""Relabeling by a committee of language models, and an arbiter where its members differ."""

import random
import string
from collections.abc import Sequence
from typing import Any

from tft.core.conversation import Conversation, ToolCall, canonical_json
from tft.core.records import Decision, Label, Relabeled
from tft.core.task import Task
from tft.llm.chat import Chat, Outcome, Refusal
from tft.llm.prompts import (
    CALL,
    TEXT,
    ask,
    block,
    numbered,
    plain_call,
    read,
    read_call,
    record,
    why,
    with_calls,
)

Calls = tuple[ToolCall, ...]  # one for each turn of a conversation, in their order
Candidates = dict[str, Calls | Refusal]  # by the committee's members, in params' order

COMMITTEE = """\
You correct the log of an agent. What users said and what services returned is as it happened. \
The calls that the log gives to the agent may be wrong: another function, other arguments, \
another message, names that the functions below do not have.

For every assistant turn give the call that the agent should have made there, as the functions \
below declare it. The messages after a turn tell what was called: a result comes only after a \
call of the service, so a turn with a result after it is such a call, and one that the user \
answers in words is not. Arguments are what the conversation up to that turn holds, in its \
spelling, and what the result confirms; invent nothing. What the agent says must follow from the \
messages before it and lead to the one after it. A call that is right stays as it is, to the \
letter.

Answer with a JSON object that holds every call by the number of its turn: \
{"calls": {"1": {"name": ..., "arguments": {...}}, ...}}"""
ARBITER = """\
An agent's log was corrected by several people. What users said and what services returned is as \
it happened; the calls that the log gives to the agent may be wrong. Each candidate gives a call \
for every assistant turn.

Choose the candidate whose calls, taken together, are those that the agent should have made: the \
function that the following message shows was called, arguments that the conversation holds and \
nothing invented, words that follow from the messages before and lead to the one after. Wording \
does not matter, a wrong function or value does. If no candidate could teach an agent without \
teaching it something wrong, choose none.

Answer with a JSON object, the reason being one sentence: {"reason": ..., "choice": ...}"""
NONE = "none"


def relabel(
    conversations: Sequence[Conversation],
    task: Task,
    chat: Chat,
    committee: Sequence[str],
    arbiter: str,
    temperature: float,
    max_tokens: int,
    stage: str,
) -> list[Relabeled]:
    """Relabel every turn of every conversation, in their order.

    Args:
        conversations: traces, calls as logged.
        task: with the declared tools.
        chat: who is asked.
        committee: names in params.llm.models; each rewrites all calls of a conversation at once.
        arbiter: chooses one rewriting, or none, where they differ.
        temperature: of all of them.
        max_tokens: of an answer.
        stage: the requests' name in ledger and progress bar, there followed by who is asked.

    Returns:
        Reasons begin with `unanimous`, `only candidate`, `no candidate`, `arbiter chose ...` or
        `arbiter gave no answer`; what follows a colon are details.
    """
    options: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
    candidates = propose(conversations, task, chat, committee, f"{stage} committee", **options)
    return arbitrate(conversations, candidates, task, chat, arbiter, f"{stage} arbiter", **options)


def propose(
    conversations: Sequence[Conversation],
    task: Task,
    chat: Chat,
    committee: Sequence[str],
    stage: str,
    **options: Any,
) -> list[Candidates]:
    """What each member makes of each conversation's calls; nothing is asked where there are none.

    A rewriting with a call that its tool's schema forbids is no answer.
    """
    schemas = [answer_schema(one, task) for one in conversations]
    pairs = [
        (number, member)
        for number, one in enumerate(conversations)
        for member in committee
        if any(one.turns())
    ]
    requests = [
        ask(
            member,
            COMMITTEE,
            task,
            f"{block('trace', numbered(conversations[number]))}\n\nCorrect this trace's calls.",
            schemas[number],
            **options,
        )
        for number, member in pairs
    ]
    found: list[Candidates] = [{} for _ in conversations]
    for (number, member), outcome in zip(pairs, chat(requests, stage), strict=True):
        found[number][member] = parse_calls(outcome, schemas[number])
    return found


def answer_schema(conversation: Conversation, task: Task) -> dict[str, Any]:
    """A call for each assistant turn, by number: none left out, none too many.

    An object, because lists of a fixed length are what grammar compilers differ in.
    """
    turns = record(**{str(turn): CALL for turn, _ in conversation.turns()})
    return with_calls(record(calls=turns), task)


def parse_calls(outcome: Outcome, schema: dict[str, Any]) -> Calls | Refusal:
    """The calls in an answer, in the order of their turns."""
    answer = read(outcome, schema)
    if isinstance(answer, Refusal):
        return answer
    return tuple(read_call(answer["calls"][turn]) for turn in sorted(answer["calls"], key=int))


def arbitrate(
    conversations: Sequence[Conversation],
    candidates: Sequence[Candidates],
    task: Task,
    chat: Chat,
    arbiter: str,
    stage: str,
    **options: Any,
) -> list[Relabeled]:
    """Decide each conversation's calls; the arbiter is asked only where candidates differ."""
    pairs = list(zip(conversations, candidates, strict=True))
    ballots = [drawn(one, found) for one, found in pairs]
    disputed = [number for number, ballot in enumerate(ballots) if len(ballot) > 1]
    requests = [
        ask(
            arbiter,
            ARBITER,
            task,
            _question(conversations[number], ballots[number]),
            choice_schema(ballots[number]),
            **options,
        )
        for number in disputed
    ]
    outcomes = dict(zip(disputed, chat(requests, stage) if requests else [], strict=True))
    results = []
    for number, (one, found) in enumerate(pairs):
        ballot = ballots[number]
        if number in outcomes:
            chosen, reason = parse_choice(outcomes[number], ballot, found)
        elif ballot or not found:
            chosen, reason = ballot.get("A", ()), ""
        else:
            chosen, reason = None, f"no candidate: {_missing(found)}"
        results.append(_decided(one, found, chosen, reason))
    return results


def drawn(conversation: Conversation, found: Candidates) -> dict[str, Calls]:
    """The distinct candidates as A, B and so on, in an order that favours no member."""
    distinct = list({_spelt(calls): calls for calls in _answers(found).values()}.values())
    order = random.Random(conversation.id).sample(distinct, len(distinct))
    return dict(zip(string.ascii_uppercase[: len(order)], order, strict=True))


def _question(conversation: Conversation, ballot: dict[str, Calls]) -> str:
    turns = [turn for turn, _ in conversation.turns()]
    blocks = [block("trace", numbered(conversation))]
    for letter, calls in ballot.items():
        rows = zip(turns, calls, strict=True)
        items = [{"turn": turn, "tool_call": plain_call(call)} for turn, call in rows]
        blocks.append(block(f"candidate_{letter}", items))
    return "\n\n".join([*blocks, f"Choose {', '.join(ballot)} or {NONE}."])


def choice_schema(ballot: dict[str, Calls]) -> dict[str, Any]:
    """The arbiter's reason, then one of the letters or none."""
    return record(reason=TEXT, choice={"type": "string", "enum": [*ballot, NONE]})


def parse_choice(
    outcome: Outcome, ballot: dict[str, Calls], found: Candidates
) -> tuple[Calls | None, str]:
    """(the calls chosen, if any, and whose they are and why)."""
    answer = read(outcome, choice_schema(ballot))
    if isinstance(answer, Refusal):
        return None, f"arbiter gave no answer: {why(answer)}"
    if answer["choice"] == NONE:
        return None, f"arbiter chose none: {answer['reason']}"
    chosen = ballot[answer["choice"]]
    members = [name for name, calls in _answers(found).items() if _spelt(calls) == _spelt(chosen)]
    return chosen, f"arbiter chose {' and '.join(members)}: {answer['reason']}"


def _decided(
    conversation: Conversation, found: Candidates, chosen: Calls | None, reason: str
) -> Relabeled:
    """The records of a conversation; `reason` is that of turns on which candidates differ."""
    answers = _answers(found)
    missing = f": without {_missing(found)}" if len(answers) < len(found) else ""
    decisions = []
    for number, (turn, _) in enumerate(conversation.turns()):
        given = {member: calls[number] for member, calls in answers.items()}
        votes = {
            member: Label(given[member].name, given[member].arguments) if member in given else None
            for member in found
        }
        call = chosen[number] if chosen else None
        told = reason
        if len({_spelt([one]) for one in given.values()}) == 1:
            call = next(iter(given.values()))
            told = ("unanimous" if len(given) > 1 else "only candidate") + missing
        decisions.append(Decision(turn, call, told, votes))
    if chosen is None:
        return Relabeled(None, decisions, reason)
    calls = {decision.turn: decision.call for decision in decisions if decision.call}
    return Relabeled(conversation.with_calls(calls), decisions, None)


def _answers(found: Candidates) -> dict[str, Calls]:
    return {name: calls for name, calls in found.items() if not isinstance(calls, Refusal)}


def _missing(found: Candidates) -> str:
    return ", ".join(
        f"{name} ({why(answer)})" for name, answer in found.items() if isinstance(answer, Refusal)
    )


def _spelt(calls: Sequence[ToolCall]) -> str:
    """Equal exactly for equal calls; Python takes True for 1."""
    return canonical_json([[call.name, call.arguments] for call in calls])
