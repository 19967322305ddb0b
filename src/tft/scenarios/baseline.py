"""S1 baseline: the traces as they are."""

from collections.abc import Sequence

from tft.conversation import Conversation
from tft.params import Baseline
from tft.scenarios.common import of_source, record


def build(pool: Sequence[Conversation], params: Baseline, seed: int) -> list[Conversation]:
    """All traces of `params.source`, unchanged.

    Raises:
        InputError: there are none.
    """
    return [record(trace, "baseline", {}) for trace in of_source(pool, "source", params.source)]
