"""What the scenarios share: random generators, choosing traces, and recording changes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tft.core.conversation import Conversation, ToolCall
from tft.core.errors import InputError


def rng(seed: int, *names: object) -> random.Random:
    """A random generator for the object that `names` identify, equal on every platform.

    Conversations and messages have their own generators, so that changing one of them does not
    change the draws of the others.
    """
    return random.Random("/".join(map(str, (seed, *names))))


def of_source(pool: Iterable[Conversation], key: str, source: str) -> list[Conversation]:
    """The conversations of one source in the pool, sorted by id.

    Raises:
        InputError: there are none; names `key`, the param that asked for the source.
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
    """Draw `count` traces. The traces of a smaller count are a subset of those of a larger one.

    Raises:
        InputError: there are fewer; names `key`, the param that asked for them.
    """
    if count > len(traces):
        raise InputError(
            f"{key}: asks for {count} traces of {traces[0].source if traces else 'a source'}, "
            f"there are {len(traces)}; lower it or raise limit.train"
        )
    ranked = sorted(traces, key=lambda trace: rng(seed, *names, trace.id).random())
    return sorted(ranked[:count], key=lambda trace: trace.id)


class Change(NamedTuple):
    """The kind of change to a call, and the call that replaces it."""

    kind: str
    call: ToolCall


def record(
    conversation: Conversation, scenario: str, changes: Mapping[int, Change], **more: Any
) -> Conversation:
    """The conversation with some calls replaced, and the original calls in its provenance.

    Provenance gets `scenario`, `changes`, and `more`. `changes` is a list of {message, kind,
    original: {name, arguments}}, where `message` is an index.
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
