"""From the params of a scenario to its traces."""

from collections.abc import Sequence

from tft.core.conversation import Conversation
from tft.core.errors import InputError
from tft.scenarios import baseline, low_data, noisy_labels, own, schema_drift, trace_mixing
from tft.scenarios.common import of_source
from tft.scenarios.config import (
    Baseline,
    LowData,
    NoisyLabels,
    Own,
    Scenario,
    SchemaDrift,
    TraceMixing,
)


def corrupt(
    name: str, scenario: Scenario, pool: Sequence[Conversation], data_seed: int
) -> list[Conversation]:
    """The traces of a scenario, drawn from all training conversations.

    Raises:
        InputError: a number of the scenario does not fit the pool; names its key in params.yaml.
    """
    try:
        match scenario:
            case Own():
                return own.build(pool)
            case Baseline():
                return baseline.build(pool, scenario, data_seed)
            case NoisyLabels():
                return noisy_labels.build(pool, scenario, data_seed)
            case SchemaDrift():
                return schema_drift.build(pool, scenario, data_seed)
            case LowData():
                return low_data.build(pool, scenario, data_seed)
            case TraceMixing():
                return trace_mixing.build(pool, scenario, data_seed)
    except InputError as error:
        raise InputError(f"params.yaml: scenarios.{name}.{error.message}") from error


def truth_for(scenario: Scenario, pool: Sequence[Conversation]) -> list[Conversation] | None:
    """The correct conversations behind a scenario's traces, or None for your own traces."""
    if isinstance(scenario, Own):
        return None
    return of_source(pool, "source", scenario.source)
