"""Gather what the experiments of `make sweep` came to: scores over the dose.

Reads metrics/cells of every experiment that `sweep` in params.yaml asks for. Writes
metrics/sweep.json, which the page draws. Frozen: `dvc repro` takes the file as it is.

    python stages/sweep.py
"""

from pathlib import Path

import click

from tft.params import load_params
from tft.report.sweep import collect
from tft.tables import write_json
from tft.timing import timed


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    found = collect(Path.cwd(), params.sweep, params.pipelines)
    write_json(Path("metrics/sweep.json"), found)
    for scenario, one in found.items():
        for row in one["rows"]:
            print(f"{scenario} {row['dose']} {row['pipeline']}: judge {row['judge']:.3f}")


if __name__ == "__main__":
    timed(main)
