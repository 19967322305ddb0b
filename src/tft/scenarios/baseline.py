"""S1 baseline: the traces as they are."""

from collections.abc import Sequence

from tft.core.conversation import Conversation
from tft.scenarios.common import of_source, record
from tft.scenarios.config import Baseline


def build(pool: Sequence[Conversation], params: Baseline, seed: int) -> list[Conversation]:
    """All traces of `params.source`, unchanged.

    Raises:
        InputError: the source has no traces.
    """
    return [record(trace, "baseline", {}) for trace in of_source(pool, "source", params.source)]
