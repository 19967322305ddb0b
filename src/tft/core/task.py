"""The task: what the agent is for, which tools it has, and the rubric by which it is judged."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tft.core.conversation import Tool, ToolCall
from tft.core.errors import InputError
from tft.core.tables import write_json

RESPOND = "respond_to_user"
"""The tool with which an agent talks. It returns nothing; the user's next message follows."""


def talking_tool(description: str, message: str) -> Tool:
    """The tool RESPOND; each corpus has its own words for it and for its one argument."""
    return Tool(
        RESPOND,
        description,
        {
            "type": "object",
            "properties": {"message": {"type": "string", "description": message}},
            "required": ["message"],
        },
    )


@dataclass(frozen=True)
class Task:
    """A task. Students see the description and the tools; only judges see the rubric."""

    description: str
    tools: tuple[Tool, ...]
    judge_instructions: str

    def tool(self, name: str) -> Tool | None:
        """The declared tool with this name, or None."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def tools_openai(self) -> list[dict[str, Any]]:
        """The tools as OpenAI's `tools` list."""
        return [tool.to_openai() for tool in self.tools]


def call_flaw(call: ToolCall, task: Task) -> str | None:
    """How a call violates the schema of its tool, or None. Undeclared arguments violate it."""
    tool = task.tool(call.name)
    if tool is None:
        return f"undeclared tool: {call.name}"
    schema: dict[str, Any] = {"additionalProperties": False} | tool.parameters
    problem = next(iter(Draft202012Validator(schema).iter_errors(call.arguments)), None)
    return f"against the schema: {call.name}: {problem.message:.200}" if problem else None


def write_task(path: Path, task: Task) -> None:
    """Write a task in the published format of `job_description.json`."""
    write_json(
        path,
        {
            "task_description": task.description,
            "llm_as_a_judge_instructions": task.judge_instructions,
            "tools": task.tools_openai(),
        },
    )


def read_task(path: Path) -> Task:
    """Read a `job_description.json`.

    Raises:
        InputError: names the file and the key that is missing or malformed.
    """
    try:
        return parse_task(str(path), path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error


def parse_task(where: str, text: bytes) -> Task:
    """Parse the content of a `job_description.json`; `where` names it in errors."""
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{where}: expected an object, got {content!r:.80}")
    for key, kind in (
        ("task_description", str),
        ("llm_as_a_judge_instructions", str),
        ("tools", list),
    ):
        if not isinstance(content.get(key), kind) or not content[key]:
            raise InputError(f"{where}: key {key!r} must be a non-empty {kind.__name__}")
    try:
        tools = tuple(Tool.from_openai(entry) for entry in content["tools"])
    except InputError as error:
        raise InputError(f"{where}: {error.message}") from error
    return Task(content["task_description"], tools, content["llm_as_a_judge_instructions"])
