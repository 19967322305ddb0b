"""Tool-call metrics of one turn, as the published benchmark defines them.

A test compares them with the published values per turn: staged, binary, and equivalence agree
exactly, and ROUGE-L to its ten published digits.
"""

from collections.abc import Mapping
from typing import Any

from rouge_score.rouge_scorer import RougeScorer

from tft.core.conversation import ParseError, ToolCall, Turn, canonical_json, render_call
from tft.core.task import Task

_ROUGE = RougeScorer(["rougeL"], use_stemmer=True)


def staged_tool_call(reference: ToolCall, prediction: ToolCall | ParseError) -> float:
    """0 unparseable, 0.25 wrong function, 0.5 wrong argument keys, 0.75 wrong values, 1 equal."""
    if isinstance(prediction, ParseError):
        return 0.0
    if prediction.name != reference.name:
        return 0.25
    if prediction.arguments.keys() != reference.arguments.keys():
        return 0.5
    return 1.0 if _equal(reference.arguments, prediction.arguments) else 0.75


def binary_tool_call(reference: ToolCall, prediction: ToolCall | ParseError) -> float:
    """1 if name and arguments are equal, otherwise 0."""
    return float(staged_tool_call(reference, prediction) == 1.0)


def tool_call_equivalence(
    reference: ToolCall, prediction: ToolCall | ParseError, task: Task
) -> float:
    """`binary_tool_call` after filling in the defaults that the tool's schema declares."""
    if isinstance(prediction, ParseError) or prediction.name != reference.name:
        return 0.0
    tool = task.tool(reference.name)
    properties = tool.parameters.get("properties", {}) if tool else {}
    defaults = {key: schema["default"] for key, schema in properties.items() if "default" in schema}
    return float(_equal(defaults | reference.arguments, defaults | prediction.arguments))


def rouge_l(answer: str, prediction: str) -> float:
    """ROUGE-L F-measure of the raw strings, including tags, with stemming."""
    return float(_ROUGE.score(answer, prediction)["rougeL"].fmeasure)


def score(turn: Turn, task: Task) -> dict[str, Any]:
    """The row of `tables.SCORES` for a turn, without the column `judge`."""
    reference, prediction = turn.reference, turn.prediction
    name = None if isinstance(prediction, ParseError) else prediction.name
    return {
        "conversation": turn.conversation,
        "turn": turn.index,
        "tool": reference.name,
        "predicted_tool": name,
        "staged_tool_call": staged_tool_call(reference, prediction),
        "binary_tool_call": binary_tool_call(reference, prediction),
        "tool_call_equivalence": tool_call_equivalence(reference, prediction, task),
        "rouge": rouge_l(render_call(reference), turn.raw),
        "name_accuracy": float(name == reference.name),
        "parse_failure": name is None,
    }


def _equal(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    # Compared as JSON, because True == 1 in Python.
    return canonical_json(dict(a)) == canonical_json(dict(b))
