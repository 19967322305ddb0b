"""Keep those traces of one scenario that are relevant to the task and coherent.

Reads data/direct/SCENARIO/train.parquet and data/split/task.json. Writes data/filtered/SCENARIO:
train.parquet (the traces that pass, unchanged), scores.parquet (the scores of every trace, with the
reason), and summary.json.

    python stages/filter.py trace_mixing
"""

from pathlib import Path

from tft.config import Params, load_params
from tft.core.errors import InputError
from tft.core.records import kept_by, relevance_rows
from tft.core.stage import stage
from tft.core.tables import (
    RELEVANCE,
    read_conversations,
    write_conversations,
    write_json,
    write_rows,
)
from tft.core.task import read_task
from tft.filter.choose import choose
from tft.llm import connect


@stage(load_params)
def main(params: Params, scenario: str) -> None:
    """See the module's docstring."""
    params.scenario(scenario)
    threshold = params.filter.thresholds[scenario]
    traces = read_conversations(Path("data/direct") / scenario / "train.parquet")
    models = connect(params.llm)
    score_relevance = choose(params.filter, models, f"filter@{scenario}")
    scores = score_relevance(traces, read_task(Path("data/split/task.json")))
    kept = kept_by(scores, *threshold.both())
    folder = Path("data/filtered") / scenario
    write_rows(folder / "scores.parquet", RELEVANCE, relevance_rows(scores, kept))
    if not kept:
        best = max(scores, key=lambda score: (score.relevance, score.coherence))
        raise InputError(
            f"scenario {scenario!r}: none of {len(scores)} traces reaches relevance "
            f"{threshold.min_relevance} and coherence {threshold.min_coherence}; the best has "
            f"{best.relevance} and {best.coherence} ({best.reason}). Every score is in "
            f"{folder}/scores.parquet; lower filter.thresholds.{scenario}, or check whether the "
            "traces belong to this task"
        )
    write_conversations(folder / "train.parquet", [trace for trace in traces if trace.id in kept])
    counts = {"traces": len(traces), "kept": len(kept), "rejected": len(traces) - len(kept)}
    write_json(folder / "summary.json", counts | models.usage())
    print(f"{scenario}: {len(kept)} of {len(traces)} traces kept")


if __name__ == "__main__":
    main()
