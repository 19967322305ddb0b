"""S3 schema drift: traces from versions of the agent whose tools had other names.

Students are shown, and tested with, today's names. Tool results keep their field names.
"""

from collections.abc import Mapping, Sequence

from tft.core.conversation import Conversation, ToolCall
from tft.core.errors import InputError
from tft.scenarios.common import Change, choose, of_source, record, rng
from tft.scenarios.config import SchemaDrift


def build(pool: Sequence[Conversation], params: SchemaDrift, seed: int) -> list[Conversation]:
    """`other_traces` traces of `other_source` and `traces` of `source`, nearly all renamed.

    Traces of the other service keep their parameter names and get one fixed name per tool. Of the
    traces of `source`, `clean_fraction` stay clean. Each of the rest draws a new name for every
    tool and parameter and keeps it throughout, whichever tool the parameter belongs to. Provenance
    holds the maps from old to new names as `renames`: {"tools": ..., "parameters": ...}.

    Raises:
        InputError: there are fewer traces of one of the sources.
    """
    own_traces = choose(
        of_source(pool, "source", params.source), "traces", params.traces, seed, "schema_drift"
    )
    other_traces = choose(
        of_source(pool, "other_source", params.other_source),
        "other_traces",
        params.other_traces,
        seed,
        "schema_drift",
    )
    clean = choose(
        own_traces,
        "clean_fraction",
        round(params.clean_fraction * len(own_traces)),
        seed,
        "schema_drift/clean",
    )
    kept = {trace.id for trace in clean}
    return [_rename(trace, params.other_tools, {}) for trace in other_traces] + [
        record(trace, "schema_drift", {}) if trace.id in kept else _drift(trace, params, seed)
        for trace in own_traces
    ]


def _drift(trace: Conversation, params: SchemaDrift, seed: int) -> Conversation:
    def draw(names: Mapping[str, list[str]]) -> dict[str, str]:
        return {
            old: rng(seed, "schema_drift", trace.id, old).choice(new) for old, new in names.items()
        }

    return _rename(trace, draw(params.tools), draw(params.parameters))


def _rename(
    trace: Conversation, tools: Mapping[str, str], parameters: Mapping[str, str]
) -> Conversation:
    changes = {}
    for index, call in trace.turns():
        arguments = {parameters.get(key, key): value for key, value in call.arguments.items()}
        if len(arguments) < len(call.arguments):
            raise InputError(
                f"parameters: new names collide in {call.name} of {trace.id}: "
                f"{sorted(call.arguments)} would become {sorted(arguments)}; choose other names"
            )
        renamed = ToolCall(tools.get(call.name, call.name), arguments)
        if renamed != call:
            changes[index] = Change("rename", renamed)
    renames = {"tools": dict(tools), "parameters": dict(parameters)}
    return record(trace, "schema_drift", changes, renames=renames)
