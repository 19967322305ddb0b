"""Collect the scores of all experiments that `make sweep` ran.

Reads data/scores/cells of every experiment in experiments/sweep/params.yaml. Writes
experiments/sweep/sweep.json, whose curves the page shows.

    python -m experiments.sweep.run
"""

from functools import partial
from pathlib import Path

from experiments.sweep.config import SweepConfig
from experiments.sweep.doses import collect
from tft.config import load_params
from tft.core.config import read_config
from tft.core.stage import stage
from tft.core.tables import write_json

HERE = Path("experiments/sweep")


@stage(partial(read_config, HERE / "params.yaml", SweepConfig))
def main(params: SweepConfig) -> None:
    """See the module's docstring."""
    scenarios = collect(Path.cwd(), params.scenarios, load_params().pipelines)
    write_json(HERE / "sweep.json", scenarios)
    for scenario, swept in scenarios.items():
        for row in swept["rows"]:
            print(f"{scenario} {row['dose']} {row['pipeline']}: judge {row['judge']:.3f}")


if __name__ == "__main__":
    main()
