"""Talk to a served student in the terminal, with simulated tools or Python functions."""

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

CALLS = 8  # consecutive calls before it is the user's turn again
FOUND = 3  # invented results of a simulated search

Complete = Callable[[list[dict[str, Any]]], dict[str, Any]]
"""Maps messages in OpenAI's format to the assistant's message."""
Function = Callable[..., Any]


def chat(
    complete: Complete,
    task: Task,
    functions: Mapping[str, Function],
    heard: Iterator[str],
    show: Callable[[str], None],
) -> None:
    """Pass on what the user says, run the functions that the student calls, and show everything.

    Results, and errors of functions, go back as user messages with JSON, as the student was
    trained. A call that violates the tools' schemas is shown but not added to the history, because
    a server might then refuse all further requests. A student without `respond_to_user` among its
    tools answers in plain text.

    Args:
        complete: Gets the student's answer.
        task: The task, whose description opens the conversation.
        functions: Functions by tool name. Calls of `respond_to_user` are shown instead.
        heard: What the user says, line by line.
        show: Prints a line.
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
                functions_called = [function["function"] for function in reply["tool_calls"]]
                calls = ", ".join(
                    f"{function['name']}({function['arguments']})" for function in functions_called
                )
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
    """The one call in a reply.

    Raises:
        InputError: the reply is not exactly one call, or the call violates its tool's schema.
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
    """A function's result as JSON, or its error: it is the user's code and may raise anything."""
    try:
        return json.dumps(function(**arguments), ensure_ascii=False, allow_nan=False)
    except Exception as error:
        return json.dumps({"error": f"{type(error).__name__}: {error}"}, ensure_ascii=False)


def simulated(task: Task, seed: int = 0) -> dict[str, Function]:
    """Functions that find invented things and book whatever is requested.

    A result repeats the arguments. If another function needs a name, the result contains one, so
    that a search finds things that can be booked.
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
    """The functions in a Python file, by tool name.

    Raises:
        InputError: the file has no function for one of the task's tools.
    """
    defined = runpy.run_path(str(file))
    names = [tool.name for tool in task.tools if tool.name != RESPOND]
    missing = [name for name in names if not callable(defined.get(name))]
    if missing:
        raise InputError(f"{file}: no function {', '.join(missing)}; each tool needs its own")
    return {name: defined[name] for name in names}


def completer(url: str, model: str, task: Task, key: str) -> Complete:
    """A function that gets greedy answers from an OpenAI-compatible server.

    The function raises InputError if the server does not answer or refuses.
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
    """Yield the lines that are typed, without empty ones, until end of input or an interrupt."""
    while True:
        try:
            text = click.prompt("you", default="", prompt_suffix="> ", show_default=False).strip()
        except click.Abort:
            return
        if text:
            yield text
