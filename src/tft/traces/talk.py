"""`respond_to_user` for agents that answer their users in plain text.

The owner of such an agent does not declare this tool, but the student has it: a task gets it on
import and loses it on export.
"""

from dataclasses import replace

from tft.core.task import RESPOND, Task, talking_tool

TALK = talking_tool(
    "Say something to the user: ask a question, tell a result, confirm, or say goodbye. It returns "
    "nothing; the user's next message follows.",
    "What to say",
)


def with_talk(task: Task) -> Task:
    """The task with `respond_to_user` among its tools; if it has none, TALK is appended."""
    return task if task.tool(RESPOND) else replace(task, tools=(*task.tools, TALK))


def without_talk(task: Task) -> Task:
    """The task as its owner declared it, without TALK if `with_talk` added it."""
    return replace(task, tools=tuple(tool for tool in task.tools if tool != TALK))
