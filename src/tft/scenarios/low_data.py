"""S4 low data: a handful of clean traces."""

from collections.abc import Sequence

from tft.core.conversation import Conversation
from tft.scenarios.common import choose, of_source, record
from tft.scenarios.config import LowData


def build(pool: Sequence[Conversation], params: LowData, seed: int) -> list[Conversation]:
    """`params.traces` traces of `params.source`, unchanged.

    Raises:
        InputError: the source has fewer traces.
    """
    traces = of_source(pool, "source", params.source)
    chosen = choose(traces, "traces", params.traces, seed, "low_data")
    return [record(trace, "low_data", {}) for trace in chosen]
