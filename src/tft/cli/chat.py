"""Talking to a served student in the terminal; its functions are simulated, or Python functions."""

import json
import random
import runpy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from tft.core.conversation import ToolCall, parse_call
from tft.core.errors import InputError
from tft.core.task import RESPOND, Task, call_flaw
from tft.standins.simulation.world import invented_word

CALLS = 8  # in a row, before the user is heard again
FOUND = 3  # invented results of a simulated search

Complete = Callable[[list[dict[str, Any]]], dict[str, Any]]
"""OpenAI messages in, the assistant's message out."""
Function = Callable[..., Any]


def chat(
    complete: Complete,
    task: Task,
    functions: Mapping[str, Function],
    heard: Iterator[str],
    show: Callable[[str], None],
) -> None:
    """Pass on what the user says, run the functions that are called, show all that happens.

    Results go back as user messages that hold JSON, the form in which the student was trained; so
    does the error of a function. A call that breaks the tools' schemas is shown and left out of
    the history, with which a server could refuse all further requests. A student without
    `respond_to_user` among its tools answers in plain text.

    Args:
        complete: asks the student.
        task: its description opens the conversation.
        functions: by tool name; `respond_to_user` is shown instead.
        heard: what the user says, line by line.
        show: prints a line.
    """
    unexpected = "(no call) " if task.tool(RESPOND) else ""
    messages: list[dict[str, Any]] = [{"role": "system", "content": task.description}]
    for text in heard:
        messages.append({"role": "user", "content": text})
        for _ in range(CALLS):
            reply = complete(messages)
            if not reply.get("tool_calls"):
                messages.append(reply)
                show(f"{unexpected}{reply.get('content')}")
                break
            try:
                call = _called(reply, task)
            except InputError as flaw:
                shown = [one["function"] for one in reply["tool_calls"]]
                calls = ", ".join(f"{one['name']}({one['arguments']})" for one in shown)
                show(f"(not called: {flaw.message}) {calls}")
                break
            messages.append(reply)
            if call.name == RESPOND:
                show(" ".join(map(str, call.arguments.values())))
                break
            result = _result(functions[call.name], call.arguments)
            show(f"  {call.name}({json.dumps(call.arguments, ensure_ascii=False)}) -> {result}")
            messages.append({"role": "user", "content": result})
        else:
            show(f"({CALLS} calls in a row: your turn)")


def _called(reply: Mapping[str, Any], task: Task) -> ToolCall:
    """The one call of a reply.

    Raises:
        InputError: it is not one call and nothing else, or it breaks the schema of its tool.
    """
    match reply:
        case {"tool_calls": [{"function": {"name": name, "arguments": arguments}}]} if (
            not reply.get("content")
        ):
            call = parse_call(name, arguments)
        case _:
            raise InputError(f"more than one call, or text beside it: {reply.get('content')!r}")
    if flaw := call_flaw(call, task):
        raise InputError(flaw)
    return call


def _result(function: Function, arguments: Mapping[str, Any]) -> str:
    """What a function returns, as JSON, or its error: it is the user's code and may do anything."""
    try:
        return json.dumps(function(**arguments), ensure_ascii=False, allow_nan=False)
    except Exception as error:
        return json.dumps({"error": f"{type(error).__name__}: {error}"}, ensure_ascii=False)


def simulated(task: Task, seed: int = 0) -> dict[str, Function]:
    """Functions that find invented things and book whatever they are asked to.

    A result repeats the arguments. Where another function needs a name, the result has one: so a
    search finds things that can be booked.
    """
    rng = random.Random(seed)
    tools = [tool for tool in task.tools if tool.name != RESPOND]
    properties = {
        key: schema
        for tool in tools
        for key, schema in tool.parameters.get("properties", {}).items()
    }

    def call(**arguments: Any) -> list[dict[str, Any]]:
        names = [key for key in properties if key.endswith("name") and key not in arguments]
        results = []
        for _ in range(FOUND if names else 1):
            result = dict(arguments)
            result |= {key: f"{invented_word(rng)} {invented_word(rng)}" for key in names}
            result |= {
                key: rng.choice(schema["enum"])
                for key, schema in properties.items()
                if "enum" in schema and key not in result
            }
            results.append(result)
        return results

    return dict.fromkeys((tool.name for tool in tools), call)


def bound(file: Path, task: Task) -> dict[str, Function]:
    """The functions of a Python file, by tool name.

    Raises:
        InputError: the file lacks a function for one of the task's tools.
    """
    defined = runpy.run_path(str(file))
    wanted = [tool.name for tool in task.tools if tool.name != RESPOND]
    missing = [name for name in wanted if not callable(defined.get(name))]
    if missing:
        raise InputError(f"{file}: no function {', '.join(missing)}; each tool needs its own")
    return {name: defined[name] for name in wanted}


def completer(url: str, model: str, task: Task, key: str) -> Complete:
    """Asks an OpenAI-compatible server, greedily, with the task's tools.

    What it returns raises InputError where no server answers or it refuses.
    """
    from openai import APIConnectionError, APIStatusError, OpenAI  # noqa: PLC0415 (slow to import)

    client = OpenAI(base_url=url, api_key=key)

    def complete(messages: list[dict[str, Any]]) -> dict[str, Any]:
        try:
            response = client.chat.completions.create(
                model=model,
                messages=messages,  # type: ignore[arg-type]
                tools=task.tools_openai(),  # type: ignore[arg-type]
                temperature=0,
            )
        except APIConnectionError as error:
            raise InputError(
                f"no answer from {url} ({error}); start a server (make serve MODEL={model}) or "
                "name another with --url"
            ) from error
        except APIStatusError as error:
            raise InputError(f"{url} refused: {error.message}") from error
        reply: dict[str, Any] = response.choices[0].message.model_dump(
            include={"role", "content", "tool_calls"}, exclude_none=True
        )
        return reply

    return complete


def typed() -> Iterator[str]:
    """What is typed, until the end of input or an interrupt; empty lines are asked for again."""
    while True:
        try:
            text = click.prompt("you", default="", prompt_suffix="> ", show_default=False).strip()
        except click.Abort:
            return
        if text:
            yield text
