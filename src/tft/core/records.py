"""What curation says of traces and makes of them: scores, labels, plans and drafts.

Rules experts and language models give the same records, so the stages do not know who played a
role.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tft.core.conversation import Conversation, ToolCall, canonical_json
from tft.core.task import RESPOND


class Relevance(NamedTuple):
    """Scores of one trace from 1 (not at all) to 5, and what they rest on.

    0 and 0 is a trace that nobody scored, `reason` says why: it reaches no threshold.
    """

    conversation: str
    relevance: int
    coherence: int
    reason: str


def kept_by(scores: Sequence[Relevance], min_relevance: int, min_coherence: int) -> set[str]:
    """The ids of the traces whose scores reach both thresholds."""
    return {
        score.conversation
        for score in scores
        if score.relevance >= min_relevance and score.coherence >= min_coherence
    }


def relevance_rows(scores: Sequence[Relevance], kept: set[str]) -> list[dict[str, Any]]:
    """Rows of `tables.RELEVANCE`."""
    return [score._asdict() | {"kept": score.conversation in kept} for score in scores]


SERVICE = ""
"""The tool of a label that knows only that a service was called."""


class Label(NamedTuple):
    """What a member of the committee makes of one turn.

    An argument that a rule knows nothing about is left out.
    """

    tool: str
    arguments: dict[str, Any]


class Decision(NamedTuple):
    """What became of one turn, why, and who voted for what."""

    turn: int
    call: ToolCall | None
    reason: str
    votes: dict[str, Label | None]


def disputed(votes: Mapping[str, Label | None]) -> bool:
    """Whether two members contradict each other: other tools, or other values of an argument."""
    labels = [label for label in votes.values() if label]
    return any(_contradict(one, other) for one, other in itertools.combinations(labels, 2))


def _contradict(one: Label, other: Label) -> bool:
    if one.tool != other.tool:
        named = {one.tool, other.tool} - {SERVICE}
        return len(named) > 1 or RESPOND in named
    shared = one.arguments.keys() & other.arguments.keys()
    return any(one.arguments[name] != other.arguments[name] for name in shared)


class Relabeled(NamedTuple):
    """A conversation with its calls decided, or, where one could not be, why it is rejected."""

    conversation: Conversation | None
    decisions: list[Decision]
    rejection: str | None


def decision_rows(
    traces: Sequence[Conversation], results: Sequence[Relabeled]
) -> list[dict[str, Any]]:
    """What became of every turn, those of rejected traces too, as `tables.DECISIONS` holds it."""
    return [
        {
            "conversation": trace.id,
            "turn": decision.turn,
            "name": decision.call.name if decision.call else None,
            "arguments": decision.call.arguments_json if decision.call else None,
            "reason": decision.reason,
            "votes": canonical_json(
                {name: [*label] if label else None for name, label in decision.votes.items()}
            ),
            "kept": result.conversation is not None,
        }
        for trace, result in zip(traces, results, strict=True)
        for decision in result.decisions
    ]


def relabeled_traces(
    traces: Sequence[Conversation], results: Sequence[Relabeled]
) -> list[Conversation]:
    """The traces that could be labeled anew; provenance says why a turn was changed."""
    kept = []
    for trace, result in zip(traces, results, strict=True):
        if one := result.conversation:
            changed = {
                str(decision.turn): decision.reason
                for decision, (_, call) in zip(result.decisions, trace.turns(), strict=True)
                if decision.call != call
            }
            kept.append(replace(one, provenance={**one.provenance, "relabeled": changed}))
    return kept


@dataclass(frozen=True)
class Plan:
    """One conversation to generate.

    Attributes:
        id: of the conversation that comes of it.
        exemplars: relabeled traces to write another one like.
        context: traces as they were logged, for what users ask and services know; their calls may
            be wrong.
        mutations: for each list of topics in params, the topic drawn.
        seed: of all that is random about it.
    """

    id: str
    exemplars: tuple[Conversation, ...]
    context: tuple[Conversation, ...]
    mutations: dict[str, str] = field(default_factory=dict)
    seed: int = 0


class Draft(NamedTuple):
    """What came of a plan: a conversation, not yet validated, or the reason why there is none."""

    plan: Plan
    conversation: Conversation | None
    rejection: str | None
