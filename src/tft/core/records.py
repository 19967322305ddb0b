"""The records of curation: relevance scores, labels, decisions, plans, and drafts.

Language models and their stand-ins return the same records, so a stage does not know which of the
two it used.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tft.core.conversation import Conversation, ToolCall, canonical_json
from tft.core.task import RESPOND


class Layout(NamedTuple):
    """What a run consists of: the cells of its table, in the order of params."""

    corpus: str
    student: str
    scenarios: list[str]
    pipelines: list[str]
    seeds: list[int]
    teacher: bool


class Relevance(NamedTuple):
    """Relevance and coherence of one trace, each from 1 (not at all) to 5, and their reason.

    Both are 0 if the trace could not be scored, which no threshold accepts; `reason` then says why.
    """

    conversation: str
    relevance: int
    coherence: int
    reason: str


def kept_by(scores: Sequence[Relevance], min_relevance: int, min_coherence: int) -> set[str]:
    """The ids of the traces whose scores reach both minimums."""
    return {
        score.conversation
        for score in scores
        if score.relevance >= min_relevance and score.coherence >= min_coherence
    }


def relevance_rows(scores: Sequence[Relevance], kept: set[str]) -> list[dict[str, Any]]:
    """Rows of `tables.RELEVANCE`."""
    return [score._asdict() | {"kept": score.conversation in kept} for score in scores]


SERVICE = ""
"""The tool of a label that knows only that some service was called, but not which."""


class Label(NamedTuple):
    """The call that one committee member proposes for one turn.

    Labeling functions leave out arguments about which they know nothing.
    """

    tool: str
    arguments: dict[str, Any]


class Decision(NamedTuple):
    """The call decided for one turn (None if undecided), the reason, and each member's vote."""

    turn: int
    call: ToolCall | None
    reason: str
    votes: dict[str, Label | None]


def disputed(votes: Mapping[str, Label | None]) -> bool:
    """Whether two members contradict each other in the tool or in the value of an argument."""
    labels = [label for label in votes.values() if label]
    return any(_contradict(first, second) for first, second in itertools.combinations(labels, 2))


def _contradict(first: Label, second: Label) -> bool:
    if first.tool != second.tool:
        named = {first.tool, second.tool} - {SERVICE}
        return len(named) > 1 or RESPOND in named
    shared = first.arguments.keys() & second.arguments.keys()
    return any(first.arguments[name] != second.arguments[name] for name in shared)


class Relabeled(NamedTuple):
    """A conversation with its decided calls, or the reason why it is rejected."""

    conversation: Conversation | None
    decisions: list[Decision]
    rejection: str | None


def decision_rows(
    traces: Sequence[Conversation], results: Sequence[Relabeled]
) -> list[dict[str, Any]]:
    """Rows of `tables.DECISIONS`, one per turn, including the turns of rejected traces."""
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
    """The traces that were not rejected; provenance records the reason of every changed turn."""
    kept = []
    for trace, result in zip(traces, results, strict=True):
        if conversation := result.conversation:
            changed = {
                str(decision.turn): decision.reason
                for decision, (_, call) in zip(result.decisions, trace.turns(), strict=True)
                if decision.call != call
            }
            kept.append(
                replace(conversation, provenance={**conversation.provenance, "relabeled": changed})
            )
    return kept


@dataclass(frozen=True)
class Plan:
    """One conversation to generate.

    Attributes:
        id: The id of the generated conversation.
        exemplars: Relabeled traces that the generated conversation should resemble.
        context: Traces as they were logged, which show what users ask and what services know.
            Their calls may be wrong.
        mutations: The topic drawn from each list of topics in params, by the name of the list.
        seed: Seed of everything random in the generation.
    """

    id: str
    exemplars: tuple[Conversation, ...]
    context: tuple[Conversation, ...]
    mutations: dict[str, str] = field(default_factory=dict)
    seed: int = 0


class Draft(NamedTuple):
    """The result of a plan: a conversation, not yet validated, or the reason why there is none."""

    plan: Plan
    conversation: Conversation | None
    rejection: str | None
