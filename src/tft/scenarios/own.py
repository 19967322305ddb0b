"""Your own traces, with whatever is wrong with them; nothing is added."""

from collections.abc import Sequence

from tft.core.conversation import Conversation
from tft.scenarios.common import record


def build(pool: Sequence[Conversation]) -> list[Conversation]:
    """All traces, unchanged."""
    return [record(trace, "own", {}) for trace in pool]
