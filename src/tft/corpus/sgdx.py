"""SGD-X: five rewordings of every SGD schema, in which the same tools have other names.

Crowd workers wrote them for Lee et al. 2022 (https://arxiv.org/abs/2110.06800), and they are part
of SGD's repository. A model that reads the tools it is shown does equally well with each of them;
one that has memorized the names does not.
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

    Slots are the arguments of tools and the fields of results. `respond_to_user` is not a tool of
    the service and keeps its name.
    """

    variant: str
    task: Task
    tools: Mapping[str, str]
    slots: Mapping[str, str]


def read_rewordings(archive: str, params: SgdConfig, variants: Sequence[str]) -> list[Rewording]:
    """The rewordings of `params.service`, in the order of `variants` (v1 to v5).

    Raises:
        InputError: as in `sgd.read_schemas`, or the service has no such variant, or the variant has
            other tools.
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
    """Match two raw schemas of one service, part by part in order, as the authors of SGD-X do.

    Raises:
        InputError: the schemas have different structures, or two parts share a name.
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
    """The structure that a rewording must preserve, with tools and slots renamed."""
    return (
        [
            (slots.get(part["name"], part["name"]), part["is_categorical"], part["possible_values"])
            for part in service["slots"]
        ],
        [
            (
                tools.get(part["name"], part["name"]),
                [slots.get(slot, slot) for slot in part["required_slots"]],
                {slots.get(slot, slot): value for slot, value in part["optional_slots"].items()},
            )
            for part in service["intents"]
        ],
    )


def reword(conversation: Conversation, rewording: Rewording) -> Conversation:
    """The same conversation with the variant's names in calls, references, and result fields.

    Raises:
        InputError: a call or a result has a name that is not of the service.
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
                f"conversation {conversation.id!r}: message {index}: cannot be reworded in SGD-X's "
                f"{rewording.variant} ({error!r}); only conversations of sgd.service can"
            ) from error
        called = call.name if call else None
    return replace(conversation, messages=tuple(messages))


def _renamed(call: ToolCall, rewording: Rewording) -> ToolCall:
    if call.name == RESPOND:
        return call
    arguments = {rewording.slots[key]: value for key, value in call.arguments.items()}
    # Sorted by name, as in every call that was read from a table, which students are trained on.
    return ToolCall(rewording.tools[call.name], dict(sorted(arguments.items())))


def _renamed_results(content: str, slots: Mapping[str, str]) -> str:
    """Results as JSON: a list of objects, with fields sorted by name, as in SGD."""
    results = [
        {slots[key]: value for key, value in result.items()} for result in json.loads(content)
    ]
    return json.dumps(results, sort_keys=True)


def original(call: ToolCall, rewording: Rewording) -> ToolCall:
    """A predicted call in the service's own names, for judge and metrics.

    An original name that the variant does not have is wrong, because the student was not shown it.
    Such a name is marked, since otherwise it would count as right.
    """
    if call.name == RESPOND:
        return call
    arguments = {
        _original(key, rewording.slots, rewording.variant): value
        for key, value in call.arguments.items()
    }
    return ToolCall(_original(call.name, rewording.tools, rewording.variant), arguments)


def _original(name: str, names: Mapping[str, str], variant: str) -> str:
    original_names = {new: old for old, new in names.items()}
    return original_names.get(name, f"{name} (not in {variant})" if name in names else name)
