"""Relabel the traces that the filter kept: decide the agent's right call at every turn.

Reads data/filtered/SCENARIO/train.parquet and data/split/task.json. Writes data/relabeled/SCENARIO:
train.parquet (the relabeled traces), decisions.parquet (votes, decision, and reason for every turn,
including those of rejected traces), and summary.json.

    python stages/relabel.py noisy_labels
"""

from collections import Counter
from pathlib import Path

from tft.config import Params, load_params
from tft.core.errors import InputError
from tft.core.records import decision_rows, disputed, relabeled_traces
from tft.core.stage import stage
from tft.core.tables import (
    DECISIONS,
    read_conversations,
    write_conversations,
    write_json,
    write_rows,
)
from tft.core.task import read_task
from tft.llm import connect
from tft.relabel.choose import choose


@stage(load_params)
def main(params: Params, scenario: str) -> None:
    """See the module's docstring."""
    params.scenario(scenario)
    traces = read_conversations(Path("data/filtered") / scenario / "train.parquet")
    models = connect(params.llm)
    relabel = choose(params.relabel, models, f"relabel@{scenario}")
    results = relabel(traces, read_task(Path("data/split/task.json")))
    folder = Path("data/relabeled") / scenario
    rows = decision_rows(traces, results)
    write_rows(folder / "decisions.parquet", DECISIONS, rows)
    kept = relabeled_traces(traces, results)
    if not kept:
        reasons = Counter(result.rejection for result in results).most_common(1)
        raise InputError(
            f"scenario {scenario!r}: relabeling rejected all traces, most often for: {reasons}; "
            f"every vote is in {folder}/decisions.parquet"
        )
    write_conversations(folder / "train.parquet", kept)
    reasons = Counter(str(row["reason"]).split(":")[0] for row in rows)
    summary = {
        "traces": len(traces),
        "rejected": len(traces) - len(kept),
        "turns": len(rows),
        "disputed": sum(
            disputed(decision.votes) for result in results for decision in result.decisions
        ),
        "decisions": dict(sorted(reasons.items())),
        **models.usage(),
    }
    write_json(folder / "summary.json", summary)
    print(f"{scenario}: {len(kept)} of {len(traces)} traces relabeled, {len(rows)} turns decided")


if __name__ == "__main__":
    main()
