"""Schema-Guided Dialogue (SGD): from annotated dialogues to traces of a tool-calling agent.

The data set is at https://github.com/google-research-datasets/dstc8-schema-guided-dialogue
(CC BY-SA 4.0; Rastogi et al. 2020, https://arxiv.org/abs/1909.05855).
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from tft.core.conversation import Conversation, Message, Tool, assistant, user
from tft.core.errors import InputError
from tft.core.task import RESPOND, Task, talking_tool
from tft.corpus.archive import read_files
from tft.corpus.config import SgdConfig

HINT = (
    "set TFT_SGD_ARCHIVE (or sgd.archive in params.yaml) to a folder, a .tar.gz or its https "
    "address"
)

Text = Annotated[str, Field(min_length=1)]


class _Call(BaseModel):
    method: Text
    parameters: dict[str, Any]


class _Frame(BaseModel):
    service_call: _Call | None = None
    service_results: list[dict[str, Any]] | None = None

    @model_validator(mode="after")
    def _results_follow_calls(self) -> "_Frame":
        if (self.service_call is None) != (self.service_results is None):
            raise ValueError("service_call and service_results come together or not at all")
        return self


class _Turn(BaseModel):
    speaker: Literal["USER", "SYSTEM"]
    utterance: str
    # One frame per service of the dialogue. Only dialogues with one service are read.
    frames: Annotated[list[_Frame], Field(min_length=1, max_length=1)]

    @model_validator(mode="after")
    def _only_the_system_calls(self) -> "_Turn":
        if self.speaker == "USER" and self.frames[0].service_call:
            raise ValueError("a turn of the USER has a service_call")
        return self


class _Dialogue(BaseModel):
    dialogue_id: Text
    turns: Annotated[list[_Turn], Field(min_length=1)]


class _Slot(BaseModel):
    name: Text
    description: str
    is_categorical: bool
    possible_values: list[str]


class _Intent(BaseModel):
    name: Text
    description: str
    required_slots: list[str]
    optional_slots: dict[str, str]


class _Service(BaseModel):
    service_name: Text
    description: str
    slots: list[_Slot]
    intents: Annotated[list[_Intent], Field(min_length=1)]


def read_sgd(archive: str, params: SgdConfig) -> tuple[list[Conversation], Task]:
    """The conversations of all services in params, and the task of `params.service`.

    Raises:
        InputError: as in `read_dialogues`, or SGD has no schema of one of the services.
    """
    services = {params.service, *params.other_services}
    schemas = read_schemas(archive, params)
    if unknown := services - schemas.keys():
        raise InputError(
            f"sgd.service, sgd.other_services: no schema of {', '.join(sorted(unknown))} in "
            f"{archive}; there are {', '.join(sorted(schemas))}"
        )
    conversations = [
        to_conversation(member, dialogue)
        for member, dialogue in read_dialogues(archive, params, services, pinned_only=True)
    ]
    return conversations, task_of(schemas[params.service])


def split_sgd(
    conversations: Sequence[Conversation], params: SgdConfig
) -> tuple[list[Conversation], list[Conversation]]:
    """(training conversations, test conversations); those in `params.dropped` are in neither.

    Raises:
        InputError: a conversation that should be held out or dropped does not exist.
    """
    ids = {conversation.id for conversation in conversations}
    if missing := {*params.held_out, *params.dropped} - ids:
        raise InputError(
            f"sgd.held_out, sgd.dropped: no dialogue {', '.join(sorted(missing))} among the "
            f"{len(ids)} of the corpus"
        )
    held_out, dropped = set(params.held_out), set(params.dropped)
    train = [item for item in conversations if item.id not in held_out | dropped]
    return train, [item for item in conversations if item.id in held_out]


def read_dialogues(
    archive: str, params: SgdConfig, services: set[str] | None, pinned_only: bool = False
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (member path, raw dialogue) of every dialogue with exactly one of the services.

    Args:
        archive: A folder, a .tar.gz file, or its https address (see `archive.read_files`).
        params: The pinned commit and checksums.
        services: Names such as Restaurants_1. None means all services.
        pinned_only: Read only the files with a pinned checksum, which include the benchmark's.

    Raises:
        InputError: a dialogue is malformed; names the archive, the member, the dialogue's id, and
            the index of the turn.
    """
    names = r"(train|dev|test)/dialogues_\d+\.json"
    for member, content in _read_json(archive, params, names, pinned_only):
        where = f"{archive}: {member}"
        if not isinstance(content, list):
            raise InputError(f"{where}: expected a list of dialogues, got {content!r:.80}")
        for position, dialogue in enumerate(content):
            if not isinstance(dialogue, dict) or not isinstance(dialogue.get("services"), list):
                raise InputError(
                    f"{where}: dialogue {position}: expected an object with a list of services, "
                    f"got {dialogue!r:.80}"
                )
            names = dialogue["services"]
            if len(names) == 1 and (services is None or names[0] in services):
                _check_dialogue(f"{where}: dialogue {dialogue.get('dialogue_id')}", dialogue)
                yield member, dialogue


def read_schemas(archive: str, params: SgdConfig, folder: str = "") -> dict[str, dict[str, Any]]:
    """Raw service schemas, by service name. Train, dev, and test agree on the schemas they share.

    `folder`, which ends in a slash, is searched instead of the repository's root.

    Raises:
        InputError: a schema is malformed; names the archive, the member, the service, and the key.
    """
    schemas: dict[str, dict[str, Any]] = {}
    names = rf"{folder}(train|dev|test)/schema\.json"
    for member, content in _read_json(archive, params, names, pinned_only=True):
        try:
            TypeAdapter(list[_Service]).validate_python(content)
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(map(str, problem["loc"]))
            raise InputError(f"{archive}: {member}: {key}: {problem['msg']}") from error
        schemas.update({service["service_name"]: service for service in content})
    return schemas


def to_conversation(member: str, dialogue: dict[str, Any]) -> Conversation:
    """A dialogue as the trace of an agent that acts and talks only through tools.

    A user turn stays a message. A system turn becomes a call of `respond_to_user` with its
    utterance. If it called its service, that call and, as a user message, the JSON of its results
    come first. This rule reproduces the published traces exactly.

    Args:
        member: The file that the dialogue is from, such as dev/dialogues_001.json. Dialogue ids are
            unique only within train, dev, or test, so those of dev and test get the folder's name
            as a prefix.
        dialogue: A raw dialogue, as `read_dialogues` yields it.
    """
    messages: list[Message] = []
    for turn in dialogue["turns"]:
        if turn["speaker"] == "USER":
            messages.append(user(turn["utterance"]))
            continue
        frame = turn["frames"][0]
        if call := frame.get("service_call"):
            messages.append(assistant(call["method"], call["parameters"]))
            messages.append(user(json.dumps(frame["service_results"])))
        messages.append(assistant(RESPOND, {"message": turn["utterance"]}))
    split = member.split("/", maxsplit=1)[0]
    name = dialogue["dialogue_id"] if split == "train" else f"{split}/{dialogue['dialogue_id']}"
    return Conversation(name, dialogue["services"][0], tuple(messages), {"file": member})


def task_of(service: dict[str, Any]) -> Task:
    """The task of one SGD service, with `respond_to_user` and one tool per intent.

    Args:
        service: A raw service schema, as `read_schemas` returns it.
    """
    slots = {slot["name"]: slot for slot in service["slots"]}
    talk = talking_tool(
        "Say something to the user: ask, inform, offer, confirm or say goodbye. It returns "
        "nothing; the next message is the user's answer.",
        "What to say.",
    )
    tools = [_intent_tool(intent, slots) for intent in service["intents"]]
    description = (
        f"You are the assistant of this service: {service['description']}. Answer every "
        "message with exactly one function call. Call a function of the service as soon as the "
        "user wants what it does and the conversation holds every argument it requires; confirm "
        "with the user before a call that books, buys or changes anything. The result of a call "
        f"arrives as the next user message, as JSON. In every other case call {RESPOND}: to ask "
        "for what is missing, to offer or report results, to confirm, to answer questions, to say "
        "goodbye. State only facts that the results or the user gave."
    )
    judge_instructions = (
        "Compare a predicted function call with the reference for the same turn and give one "
        "verdict, good or bad.\n"
        "- Another function than the reference's is bad.\n"
        f"- For every function but {RESPOND}: good if the arguments mean the same as the "
        "reference's. The spelling of dates, times, numbers and names, synonyms and the order of "
        "arguments do not matter; another entity or place, or an invented value, is bad.\n"
        f"- For {RESPOND}: good if the message is a sensible next step in the conversation, "
        "whatever its wording, length or choice of question. It is bad only if it contradicts the "
        "facts in the conversation, above all those in function results."
    )
    return Task(description, (talk, *tools), judge_instructions)


def _intent_tool(intent: dict[str, Any], slots: dict[str, dict[str, Any]]) -> Tool:
    properties = {}
    for name in [*intent["required_slots"], *intent["optional_slots"]]:
        slot = slots[name]
        properties[name] = {"type": "string", "description": slot["description"]}
        # SGD also lists examples for some open slots; only categorical slots are closed sets.
        if slot["is_categorical"]:
            properties[name]["enum"] = slot["possible_values"]
    schema = {"type": "object", "properties": properties, "required": intent["required_slots"]}
    return Tool(intent["name"], intent["description"], schema)


def _read_json(
    archive: str, params: SgdConfig, names: str, pinned_only: bool
) -> Iterator[tuple[str, Any]]:
    """Yield (member, JSON) of the files whose paths match `names`, after checking checksums."""

    def wanted(member: str) -> bool:
        return bool(re.fullmatch(names, member)) and (member in params.sha256 or not pinned_only)

    missing = set(filter(wanted, params.sha256))
    for member, content in read_files(archive, wanted, params.commit, HINT):
        missing.discard(member)
        expected = params.sha256.get(member)
        got = hashlib.sha256(content).hexdigest()
        if expected not in (None, got):
            raise InputError(
                f"{archive}: {member}: sha256 expected {expected}, got {got}; "
                f"fetch commit {params.commit} again"
            )
        try:
            yield member, json.loads(content)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{archive}: {member}: not JSON ({error})") from error
    if missing:
        raise InputError(
            f"{archive}: missing {', '.join(sorted(missing))}; expected the files of commit "
            f"{params.commit}; {HINT}"
        )


def _check_dialogue(where: str, dialogue: dict[str, Any]) -> None:
    try:
        checked = _Dialogue.model_validate(dialogue)
    except ValidationError as error:
        problem = error.errors()[0]
        kind, *path = problem["loc"]
        if kind == "turns" and path:
            where += f": turn {path.pop(0)}"
        else:
            path.insert(0, kind)
        if path:
            where += f": {'.'.join(map(str, path))}"
        raise InputError(f"{where}: {problem['msg']}, got {problem['input']!r:.80}") from error
    for index, turn in enumerate(checked.turns):
        expected = "SYSTEM" if index % 2 else "USER"
        if turn.speaker != expected:
            raise InputError(
                f"{where}: turn {index}: speaker: expected {expected}, got {turn.speaker}"
            )
