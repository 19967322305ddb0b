"""`python -m tft`: questions about the data that the stages wrote."""

from pathlib import Path

import click

from tft.explain import explain
from tft.params import load_params


@click.group("tft")
def main() -> None:
    """Ask about the data that the stages wrote; run it from the repository's root."""


@main.command("explain")
@click.argument("row")
def explain_row(row: str) -> None:
    """Tell where a row comes from, what each step decided about it and why.

    ROW is PIPELINE/SCENARIO/ID, as in the data folder: tft/noisy_labels/tft-00012. Rows that a step
    rejected are explained too.
    """
    click.echo(explain(row, load_params(), Path("data")))


if __name__ == "__main__":
    main(prog_name="python -m tft")
