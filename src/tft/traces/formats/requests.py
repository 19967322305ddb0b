"""Dialogues of logs that hold requests to a chat model, each with all that was said before it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tft.traces.formats.events import Event, Logged

SILENT = ("system", "reasoning")
"""Kinds of events that need not come back in the next request of the same dialogue."""


class Request(NamedTuple):
    """What a model was shown, with its answer, what it might call, and what else the log holds."""

    events: list[Event]
    tools: list[dict[str, Any]] | None
    left_out: list[tuple[str, Any]]


def dialogues(name: str, requests: Sequence[Request], what: str) -> list[Logged]:
    """The dialogues of one trace, each with what its requests hold beside what was said.

    Of one dialogue only the last request counts, because it repeats the others. What these hold
    and it does not (metadata, thoughts, other tools) is kept, but once if it is the same.

    Args:
        name: of the trace.
        requests: in the order of time.
        what: how paths name a request: `what`[0] is the first.
    """
    said = [spoken(request.events) for request in requests]
    whole = whole_dialogues(said)
    logged = {
        number: Logged(requests[number].events, name, requests[number].tools, {})
        for number in whole
    }
    kept = set()
    for number in [*whole, *(number for number in range(len(said)) if number not in whole)]:
        last = next(one for one in whole if said[one][: len(said[number])] == said[number])
        for path, value in _beside(requests[number], requests[last]):
            known = last, path, json.dumps(value, sort_keys=True)
            if known not in kept:
                kept.add(known)
                logged[last].more[f"{what}[{number}]{path}"] = value
    return list(logged.values())


def _beside(request: Request, last: Request) -> Iterator[tuple[str, Any]]:
    """(path, value) of what a request holds that the last one of its dialogue does not tell."""
    for path, value in request.left_out:
        yield f".{path}", value
    told = {(event.kind, event.text) for event in last.events}
    for at, event in enumerate(request.events):
        if event.kind in SILENT and (event.kind, event.text) not in told:
            yield f" {event.kind}[{at}]", event.text
    if request.tools not in (None, last.tools):
        yield " tools", request.tools


def spoken(events: Iterable[Event]) -> list[tuple[Any, ...]]:
    """What tells whether two logs are of one dialogue: no ids, no system messages, no thoughts."""
    return [(e.kind, e.text, e.call) for e in events if e.kind not in SILENT]


def whole_dialogues(said: Sequence[list[tuple[Any, ...]]]) -> list[int]:
    """Which requests hold a whole dialogue: those that are not the beginning of another one.

    Two agents in one trace, or a history that was cut, leave several.
    """
    return [
        number
        for number, mine in enumerate(said)
        if not any(
            other[: len(mine)] == mine and (len(other) > len(mine) or later > number)
            for later, other in enumerate(said)
            if later != number
        )
    ]
