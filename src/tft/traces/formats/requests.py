"""Dialogues from logs of requests to a chat model, each of which repeats what was said before."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tft.traces.formats.events import Event, Logged

SILENT = ("system", "reasoning")
"""Kinds of events that the next request of the same dialogue may omit."""


class Request(NamedTuple):
    """A request with its answer, as events, the tools in it, and what else the log contains."""

    events: list[Event]
    tools: list[dict[str, Any]] | None
    left_out: list[tuple[str, Any]]


def dialogues(name: str, requests: Sequence[Request], what: str) -> list[Logged]:
    """The dialogues of one trace, each with everything else in its requests.

    Of the requests of one dialogue only the last counts, because it repeats the others. What only
    earlier requests contain (metadata, reasoning, other tools) is kept, once if it is repeated.

    Args:
        name: The name of the trace.
        requests: The requests, in the order of time.
        what: The name of requests in paths: `what`[0] is the first.
    """
    spoken_events = [spoken(request.events) for request in requests]
    whole = whole_dialogues(spoken_events)
    logged = {
        number: Logged(requests[number].events, name, requests[number].tools, {})
        for number in whole
    }
    kept = set()
    for number in [
        *whole,
        *(number for number in range(len(spoken_events)) if number not in whole),
    ]:
        last = next(
            candidate
            for candidate in whole
            if spoken_events[candidate][: len(spoken_events[number])] == spoken_events[number]
        )
        for path, value in _beside(requests[number], requests[last]):
            item = last, path, json.dumps(value, sort_keys=True)
            if item not in kept:
                kept.add(item)
                logged[last].more[f"{what}[{number}]{path}"] = value
    return list(logged.values())


def _beside(request: Request, last: Request) -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of what a request contains that the last of its dialogue does not."""
    for path, value in request.left_out:
        yield f".{path}", value
    in_last = {(event.kind, event.text) for event in last.events}
    for at, event in enumerate(request.events):
        if event.kind in SILENT and (event.kind, event.text) not in in_last:
            yield f" {event.kind}[{at}]", event.text
    if request.tools not in (None, last.tools):
        yield " tools", request.tools


def spoken(events: Iterable[Event]) -> list[tuple[Any, ...]]:
    """The events that identify a dialogue: without ids, system messages, and reasoning."""
    return [(e.kind, e.text, e.call) for e in events if e.kind not in SILENT]


def whole_dialogues(said: Sequence[list[tuple[Any, ...]]]) -> list[int]:
    """The requests that contain a whole dialogue: those that are not the beginning of another one.

    There are several if a trace has two agents, or if a history was truncated.
    """
    return [
        number
        for number, events in enumerate(said)
        if not any(
            other_events[: len(events)] == events
            and (len(other_events) > len(events) or later > number)
            for later, other_events in enumerate(said)
            if later != number
        )
    ]
