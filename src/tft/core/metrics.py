"""The JSON files that stages write to data/, with one record type for each kind of file.

They are dictionaries as read, typed for readers and the type checker. Scores are between 0 and 1.
Intervals are 95 % intervals, [low, high], or None if there is none.
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

Interval = list[float] | None
Usage = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""The use of language models: {stage: {model: counts, tokens, cost}}, see `llm.ledger`."""


class Asked(TypedDict):
    """A file of a stage that may use language models; without `llm` it used none."""

    llm: NotRequired[Usage]


class FilterSummary(Asked):
    """data/filtered/S/summary.json: the number of traces that the filter kept."""

    traces: int
    kept: int
    rejected: int


class RelabelSummary(Asked):
    """data/relabeled/S/summary.json: `decisions` counts turns by the reason of the decision."""

    traces: int
    rejected: int
    turns: int
    disputed: int
    decisions: dict[str, int]


SynthesizeSummary = TypedDict(
    "SynthesizeSummary",
    {
        "seeds": int,
        "context": int,
        "generated": int,
        "kept": int,
        "yield": float,
        "reasons": dict[str, int],
        "messages_per_conversation": float,
        "llm": NotRequired[Usage],
    },
)
"""data/tft/S/summary.json: `reasons` counts drafts by the reason for keeping or rejecting them."""


class TestSummary(Asked):
    """data/test/summary.json: who labeled the test conversations, and their number."""

    labeled_by: str
    held_out: int
    test: int
    turns: int
    rejected_by_filter: NotRequired[int]
    rejected_by_relabel: NotRequired[int]


class ClosestPair(TypedDict):
    """The most similar training and test conversation; a similarity of 1 means equal."""

    training: str
    test: str
    similarity: float


class Overlap(TypedDict):
    """How much of the test conversations one training set contains."""

    conversations: int
    closest: ClosestPair
    closest_without_calls: ClosestPair
    user_utterances: float | None
    agent_messages: float | None
    entities: dict[str, float | None]


class Curation(TypedDict):
    """The summaries of each curation step, by scenario."""

    filter: dict[str, FilterSummary]
    relabel: dict[str, RelabelSummary]
    synthesize: dict[str, SynthesizeSummary]
    audit: dict[str, Mapping[str, Any]]


class Audit(TypedDict):
    """data/audit/S.json: curation compared with the truth, and `contamination` by pipeline."""

    curation: Mapping[str, Any]
    contamination: dict[str, Overlap]


class Means(TypedDict):
    """Mean scores over turns."""

    n: int
    parse_failures: float
    judge: float
    staged_tool_call: float
    binary_tool_call: float
    tool_call_equivalence: float
    rouge: float
    name_accuracy: float


class Summary(Means):
    """Mean scores of one or several students, with intervals over conversations."""

    service_call_exact: float | None
    standard_errors: dict[str, float | None]
    intervals: dict[str, Interval]
    tools: dict[str, Means]


class JudgeErrors(TypedDict):
    """The judge's sensitivity and specificity on `n` published verdicts."""

    judged_by: str
    n: int
    sensitivity: float
    specificity: float


class CellMetrics(Summary):
    """data/scores/cells/CELL.json.

    With several training seeds the scores are means over `students`, and `spread` is their standard
    deviation.
    """

    judged_by: str
    no_verdict: int
    judge_corrected: float | None
    judge_measured: JudgeErrors
    spread: NotRequired[dict[str, float]]
    students: NotRequired[dict[str, Summary]]


class Difference(TypedDict):
    """TFT minus Direct, paired over conversations."""

    tft: float
    direct: float
    difference: float
    interval: Interval


class Comparison(Difference):
    """A scenario in data/scores/comparison.json: judge scores, and exact service calls.

    `p_holm` is corrected for the number of scenarios. With several training seeds, `differences`
    has the difference for each seed, and `spread` is their standard deviation.
    """

    p: float
    p_holm: float
    service_call_exact: NotRequired[Difference | None]
    differences: NotRequired[list[float]]
    spread: NotRequired[float]


class Breakdown(TypedDict):
    """data/scores/breakdown/NAME.json, see `evaluation.breakdown`."""

    confusion: dict[str, dict[str, int]]
    arguments: dict[str, dict[str, dict[str, int]]]
    by_turn: list[dict[str, Any]]
    by_length: list[dict[str, Any]]
