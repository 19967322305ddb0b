"""Check a scenario's training data: how well curation worked, and whether test data leaked.

Compares the decisions of filter and committee with the correct calls, which a benchmark knows, and
the training conversations of every pipeline with the test conversations; fails if one is a near
copy. Nothing that trains, labels, or generates reads any of this.

Reads data/split/train.parquet (the truth), data/direct/SCENARIO/train.parquet,
data/filtered/SCENARIO/scores.parquet, data/relabeled/SCENARIO/decisions.parquet,
data/PIPELINE/SCENARIO/train.parquet, and data/test/conversations.parquet. Writes
data/audit/SCENARIO.json.

    python stages/audit.py noisy_labels
"""

import json
from pathlib import Path

from tft.config import Params, load_params
from tft.core.stage import stage
from tft.core.tables import DECISIONS, RELEVANCE, read_conversations, read_rows, write_json
from tft.corpus.published import published_traces
from tft.evaluation.audit import NOT_AUDITED, audit, decided_calls
from tft.evaluation.contamination import contamination
from tft.scenarios.choose import truth_for


@stage(load_params)
def main(params: Params, scenario: str) -> None:
    """See the module's docstring."""
    settings = params.scenario(scenario)
    pool = read_conversations(Path("data/split/train.parquet"))
    if params.corpus == "published":
        truth = published_traces("baseline", pool, params.published)
    else:
        truth = truth_for(settings, pool)
    curation = NOT_AUDITED
    if truth is not None:
        scores = read_rows(Path("data/filtered") / scenario / "scores.parquet", RELEVANCE)
        decisions = read_rows(Path("data/relabeled") / scenario / "decisions.parquet", DECISIONS)
        curation = audit(
            read_conversations(Path("data/direct") / scenario / "train.parquet"),
            truth,
            {row["conversation"]: row["kept"] for row in scores},
            decided_calls(decisions),
        )
    print(f"{scenario}: {json.dumps(curation)}")

    tests = read_conversations(Path("data/test/conversations.parquet"))
    overlaps = {}
    for pipeline in params.pipelines:
        path = Path("data") / pipeline / scenario / "train.parquet"
        overlaps[pipeline] = contamination(path, read_conversations(path), tests, params.audit)
        print(f"{path}: no near copy of a test conversation")
    write_json(
        Path("data/audit") / f"{scenario}.json", {"curation": curation, "contamination": overlaps}
    )


if __name__ == "__main__":
    main()
