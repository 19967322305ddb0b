"""The tool through which an agent talks that answers its users in plain text.

The student has it, its owner never declared it: a task gets it on the way in and loses it on the
way out.
"""

from dataclasses import replace

from tft.core.task import RESPOND, Task, talking_tool

TALK = talking_tool(
    "Say something to the user: ask a question, tell a result, confirm, or say goodbye. It returns "
    "nothing; the user's next message follows.",
    "What to say",
)


def with_talk(task: Task) -> Task:
    """The task with `respond_to_user` among its tools: its own, or else TALK at the end."""
    return task if task.tool(RESPOND) else replace(task, tools=(*task.tools, TALK))


def without_talk(task: Task) -> Task:
    """The task as its owner gave it, without TALK if `with_talk` added it."""
    return replace(task, tools=tuple(tool for tool in task.tools if tool != TALK))
