"""What the scenarios share: seeds, choosing traces, and the record of what was changed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tft.core.conversation import Conversation, ToolCall
from tft.core.errors import InputError


def rng(seed: int, *names: object) -> random.Random:
    """A generator of its own for whatever the names say, the same on every platform.

    One per conversation or message, so that a change of one of them leaves the draws of all others
    alone.
    """
    return random.Random("/".join(map(str, (seed, *names))))


def of_source(pool: Iterable[Conversation], key: str, source: str) -> list[Conversation]:
    """The pool's conversations of one source, in the order of their ids.

    Raises:
        InputError: there are none; `key` is the param that named the source.
    """
    pool = list(pool)
    chosen = [conversation for conversation in pool if conversation.source == source]
    if not chosen:
        known = ", ".join(sorted({conversation.source for conversation in pool}))
        raise InputError(f"{key}: no traces of {source!r}; there are traces of {known}")
    return sorted(chosen, key=lambda conversation: conversation.id)


def choose(
    traces: Sequence[Conversation], key: str, count: int, seed: int, *names: object
) -> list[Conversation]:
    """`count` of the traces at random; those for a smaller count are among those for a larger.

    Raises:
        InputError: there are fewer; `key` is the param that asked for them.
    """
    if count > len(traces):
        raise InputError(
            f"{key}: asks for {count} traces of {traces[0].source if traces else 'a source'}, "
            f"there are {len(traces)}; lower it or raise limit.train"
        )
    ranked = sorted(traces, key=lambda trace: rng(seed, *names, trace.id).random())
    return sorted(ranked[:count], key=lambda trace: trace.id)


class Change(NamedTuple):
    """What became of one call, and how."""

    kind: str
    call: ToolCall


def record(
    conversation: Conversation, scenario: str, changes: Mapping[int, Change], **more: Any
) -> Conversation:
    """The conversation with calls replaced, and in its provenance what they were before.

    Provenance gets `scenario`, `changes` (a list of {message, kind, original: {name, arguments}},
    `message` being an index) and `more`.
    """
    calls = dict(conversation.turns())
    originals = [
        {
            "message": index,
            "kind": change.kind,
            "original": {"name": calls[index].name, "arguments": calls[index].arguments},
        }
        for index, change in sorted(changes.items())
    ]
    provenance = {
        **conversation.provenance, "scenario": scenario, "changes": originals, **more
    }  # fmt: skip
    changed = conversation.with_calls({index: change.call for index, change in changes.items()})
    return replace(changed, provenance=provenance)
