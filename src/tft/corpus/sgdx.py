"""SGD-X: five rewordings of every SGD schema, in which the same tools have other names.

Written by crowd workers for Lee et al. 2022, https://arxiv.org/abs/2110.06800, and part of SGD's
repository. A model that reads the tools it is shown does as well under each of them; one that knows
their names by heart does not.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tft.core.conversation import Conversation, Message, ToolCall, user
from tft.core.errors import InputError
from tft.core.task import RESPOND, Task
from tft.corpus.config import SgdConfig
from tft.corpus.sgd import read_schemas, task_of


class Rewording(NamedTuple):
    """A variant of a service: its task, and its names for the service's tools and slots.

    Slots are what tools take as arguments and results have as fields. The tool `respond_to_user`
    is none of the service's and keeps its name.
    """

    variant: str
    task: Task
    tools: Mapping[str, str]
    slots: Mapping[str, str]


def read_rewordings(archive: str, params: SgdConfig, variants: Sequence[str]) -> list[Rewording]:
    """The rewordings of `params.service`, in the order of `variants` (v1 to v5).

    Raises:
        InputError: as `sgd.read_schemas`; the service has no such variant, or not with the same
            tools.
    """
    service = _schema(archive, params, params.service)
    return [
        pair(variant, service, _schema(archive, params, params.service, variant))
        for variant in variants
    ]


def _schema(archive: str, params: SgdConfig, service: str, variant: str = "") -> dict[str, Any]:
    folder = f"sgd_x/data/{variant}/" if variant else ""
    name = service + variant.removeprefix("v")  # v2 of Hotels_1 is Hotels_12
    schemas = read_schemas(archive, params, folder)
    if name not in schemas:
        raise InputError(
            f"{archive}: no schema of {name} in {folder or '/'}*/schema.json; check sgd.service, "
            "and that sgd.sha256 lists these files"
        )
    return schemas[name]


def pair(variant: str, service: dict[str, Any], reworded: dict[str, Any]) -> Rewording:
    """Match two raw schemas of one service, part by part in their order, as SGD-X's authors do.

    Raises:
        InputError: they are not of the same form, or one name stands for two.
    """
    tools, slots = (
        {old["name"]: new["name"] for old, new in zip(service[key], reworded[key], strict=False)}
        for key in ("intents", "slots")
    )
    names = [*tools.values(), *slots.values(), RESPOND]
    if len({*names}) < len(names) or _form(service, tools, slots) != _form(reworded, {}, {}):
        raise InputError(
            f"SGD-X {variant}: {reworded['service_name']} is no rewording of "
            f"{service['service_name']}: intents and slots, in their order, must differ in names "
            "and descriptions only"
        )
    return Rewording(variant, task_of(reworded), tools, slots)


def _form(
    service: dict[str, Any], tools: Mapping[str, str], slots: Mapping[str, str]
) -> tuple[Any, Any]:
    """What a rewording must leave as it is, under the names given."""
    return (
        [
            (slots.get(one["name"], one["name"]), one["is_categorical"], one["possible_values"])
            for one in service["slots"]
        ],
        [
            (
                tools.get(one["name"], one["name"]),
                [slots.get(slot, slot) for slot in one["required_slots"]],
                {slots.get(slot, slot): value for slot, value in one["optional_slots"].items()},
            )
            for one in service["intents"]
        ],
    )


def reword(conversation: Conversation, rewording: Rewording) -> Conversation:
    """The same conversation with the variant's tools: calls, references, and results' fields.

    Raises:
        InputError: a call or a result has a name that the service has not.
    """
    messages: list[Message] = []
    called = None
    for index, message in enumerate(conversation.messages):
        call = message.tool_call
        try:
            if call:
                messages.append(Message("assistant", tool_call=_renamed(call, rewording)))
            elif called in rewording.tools:
                messages.append(user(_renamed_results(str(message.content), rewording.slots)))
            else:
                messages.append(message)
        except (KeyError, ValueError, AttributeError) as error:
            raise InputError(
                f"conversation {conversation.id!r}: message {index}: cannot be put into SGD-X's "
                f"{rewording.variant} ({error!r}); only conversations of sgd.service can"
            ) from error
        called = call.name if call else None
    return replace(conversation, messages=tuple(messages))


def _renamed(call: ToolCall, rewording: Rewording) -> ToolCall:
    if call.name == RESPOND:
        return call
    arguments = {rewording.slots[key]: value for key, value in call.arguments.items()}
    # By name, as in every call that comes out of a table and that a student was trained on.
    return ToolCall(rewording.tools[call.name], dict(sorted(arguments.items())))


def _renamed_results(content: str, slots: Mapping[str, str]) -> str:
    """JSON of a list of objects, their fields by name, as SGD writes them."""
    results = [{slots[key]: value for key, value in one.items()} for one in json.loads(content)]
    return json.dumps(results, sort_keys=True)


def original(call: ToolCall, rewording: Rewording) -> ToolCall:
    """A predicted call in the service's own names, for judge and metrics.

    A name of the service's that the variant has not is a wrong one: the student was not shown it.
    It is marked, because as it stands it would be right.
    """
    if call.name == RESPOND:
        return call
    arguments = {
        _original(key, rewording.slots, rewording.variant): value
        for key, value in call.arguments.items()
    }
    return ToolCall(_original(call.name, rewording.tools, rewording.variant), arguments)


def _original(said: str, names: Mapping[str, str], variant: str) -> str:
    own = {new: old for old, new in names.items()}
    return own.get(said, f"{said} (not in {variant})" if said in names else said)
