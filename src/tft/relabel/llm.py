"""Relabeling by a committee of language models, with an arbiter where its members differ."""

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

Calls = tuple[ToolCall, ...]  # one call per turn of a conversation, in order
Candidates = dict[str, Calls | Refusal]  # by committee member, in the order of params

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
    """Relabel every turn of every conversation.

    Args:
        conversations: The traces, with their calls as logged.
        task: The task, with the declared tools.
        chat: Sends the requests.
        committee: Names in `llm.models` of params.yaml. Each member rewrites all calls of a
            conversation at once.
        arbiter: The model that chooses one candidate, or none, where members differ.
        temperature: Sampling temperature of all requests.
        max_tokens: Upper bound on the length of an answer, in tokens.
        stage: Name of the requests in ledger and progress bar, where "committee" or "arbiter" is
            appended.

    Returns:
        One result per conversation, in order. Reasons begin with `unanimous`, `only candidate`,
        `no candidate`, `arbiter chose ...`, or `arbiter gave no answer`; details follow a colon.
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
    """Each member's candidate for each conversation, without requests for ones that have no calls.

    A candidate with a call that violates the schema of its tool counts as a refusal.
    """
    schemas = [answer_schema(conversation, task) for conversation in conversations]
    pairs = [
        (number, member)
        for number, conversation in enumerate(conversations)
        for member in committee
        if any(conversation.turns())
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
    candidates: list[Candidates] = [{} for _ in conversations]
    for (number, member), outcome in zip(pairs, chat(requests, stage), strict=True):
        candidates[number][member] = parse_calls(outcome, schemas[number])
    return candidates


def answer_schema(conversation: Conversation, task: Task) -> dict[str, Any]:
    """The JSON Schema of exactly one call for each assistant turn, by the number of the turn.

    An object and not a list, because grammar compilers differ in how they treat fixed lengths.
    """
    turns = record(**{str(turn): CALL for turn, _ in conversation.turns()})
    return with_calls(record(calls=turns), task)


def parse_calls(outcome: Outcome, schema: dict[str, Any]) -> Calls | Refusal:
    """Parse the calls in an answer, in the order of their turns."""
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
    """Decide the calls of each conversation, asking the arbiter only where candidates differ."""
    pairs = list(zip(conversations, candidates, strict=True))
    ballots = [drawn(conversation, proposed) for conversation, proposed in pairs]
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
    for number, (conversation, proposed) in enumerate(pairs):
        ballot = ballots[number]
        if number in outcomes:
            chosen, reason = parse_choice(outcomes[number], ballot, proposed)
        elif ballot or not proposed:
            chosen, reason = ballot.get("A", ()), ""
        else:
            chosen, reason = None, f"no candidate: {_missing(proposed)}"
        results.append(_decided(conversation, proposed, chosen, reason))
    return results


def drawn(conversation: Conversation, candidates: Candidates) -> dict[str, Calls]:
    """The distinct candidates as A, B, and so on, in a random order that favors no member."""
    distinct = list({_canonical(calls): calls for calls in _answers(candidates).values()}.values())
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
    """The JSON Schema of the arbiter's answer: a reason, then one of the letters or none."""
    return record(reason=TEXT, choice={"type": "string", "enum": [*ballot, NONE]})


def parse_choice(
    outcome: Outcome, ballot: dict[str, Calls], candidates: Candidates
) -> tuple[Calls | None, str]:
    """Parse the arbiter's answer into (chosen calls or None, the members behind them and why)."""
    answer = read(outcome, choice_schema(ballot))
    if isinstance(answer, Refusal):
        return None, f"arbiter gave no answer: {why(answer)}"
    if answer["choice"] == NONE:
        return None, f"arbiter chose none: {answer['reason']}"
    chosen = ballot[answer["choice"]]
    members = [
        name
        for name, calls in _answers(candidates).items()
        if _canonical(calls) == _canonical(chosen)
    ]
    return chosen, f"arbiter chose {' and '.join(members)}: {answer['reason']}"


def _decided(
    conversation: Conversation, candidates: Candidates, chosen: Calls | None, reason: str
) -> Relabeled:
    """The decisions on a conversation; `reason` is given for turns on which candidates differ."""
    answers = _answers(candidates)
    missing = f": without {_missing(candidates)}" if len(answers) < len(candidates) else ""
    decisions = []
    for number, (turn, _) in enumerate(conversation.turns()):
        calls_by_member = {member: calls[number] for member, calls in answers.items()}
        votes = {
            member: Label(calls_by_member[member].name, calls_by_member[member].arguments)
            if member in calls_by_member
            else None
            for member in candidates
        }
        call = chosen[number] if chosen else None
        why_decided = reason
        if len({_canonical([proposal]) for proposal in calls_by_member.values()}) == 1:
            call = next(iter(calls_by_member.values()))
            why_decided = ("unanimous" if len(calls_by_member) > 1 else "only candidate") + missing
        decisions.append(Decision(turn, call, why_decided, votes))
    if chosen is None:
        return Relabeled(None, decisions, reason)
    calls = {decision.turn: decision.call for decision in decisions if decision.call}
    return Relabeled(conversation.with_calls(calls), decisions, None)


def _answers(candidates: Candidates) -> dict[str, Calls]:
    return {name: calls for name, calls in candidates.items() if not isinstance(calls, Refusal)}


def _missing(candidates: Candidates) -> str:
    return ", ".join(
        f"{name} ({why(answer)})"
        for name, answer in candidates.items()
        if isinstance(answer, Refusal)
    )


def _canonical(calls: Sequence[ToolCall]) -> str:
    """A string that is equal only for equal calls. (In Python, True == 1.)"""
    return canonical_json([[call.name, call.arguments] for call in calls])
