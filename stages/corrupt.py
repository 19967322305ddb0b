"""Make the traces of one scenario, with the damage that the scenario describes.

Reads data/split/train.parquet. Writes data/direct/SCENARIO/train.parquet, whose provenance records
every changed call with the kind of change and the original.

    python stages/corrupt.py noisy_labels
"""

from collections import Counter
from pathlib import Path

from tft.config import Params, load_params
from tft.core.stage import stage
from tft.core.tables import read_conversations, write_conversations
from tft.corpus.published import published_traces
from tft.scenarios.choose import corrupt


@stage(load_params)
def main(params: Params, scenario: str) -> None:
    """See the module's docstring."""
    settings = params.scenario(scenario)
    pool = read_conversations(Path("data/split/train.parquet"))
    if params.corpus == "published":  # these traces are already corrupted
        traces = published_traces(scenario, pool, params.published)
    else:
        traces = corrupt(scenario, settings, pool, params.data_seed)
    write_conversations(Path("data/direct") / scenario / "train.parquet", traces)
    turns = sum(1 for trace in traces for _ in trace.turns())
    kinds = Counter(
        change["kind"] for trace in traces for change in trace.provenance.get("changes", [])
    )
    changed = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items())) or "none"
    print(f"{scenario}: {len(traces)} traces, {turns} turns; changed: {changed}")


if __name__ == "__main__":
    main()
