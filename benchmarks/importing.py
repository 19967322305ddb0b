"""Time and peak memory of importing logs, by the number of traces.

Reads: examples/parcels
Run:   python benchmarks/importing.py [--traces 1000 --traces 10000]

A log repeats the traces of the example under new ids. Each step is a separate process: importing
modules only, reading (each conversation is discarded), the stage fetch (reads and writes), the
stage split (reads three times: to draw, and for each part), and the stages traces and filter, which
hold all conversations in memory. Seconds are CPU time, and memory is the largest resident set of
the process.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from ruamel.yaml import YAML
from tabulate import tabulate

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples/parcels"
STEPS = {
    "nothing": "import tft.corpus.choose, tft.core.stream",
    "read": "from tft.config import load_params; from tft.corpus.choose import load_corpus\n"
    "print(sum(1 for _ in load_corpus(load_params())[0]))",
    "fetch": str(ROOT / "stages/fetch.py"),
    "split": str(ROOT / "stages/split.py"),
    "traces": str(ROOT / "stages/traces.py"),
    "filter": str(ROOT / "stages/filter.py"),
}
OF_A_SCENARIO = ("traces", "filter")


def write_log(folder: Path, traces: int) -> None:
    folder.mkdir()
    shutil.copy(EXAMPLE / "job_description.json", folder)
    lines = (EXAMPLE / "traces.jsonl").read_text(encoding="utf-8").splitlines()
    whole = [line for line in lines if line.endswith("}")]
    with (folder / "traces.jsonl").open("w", encoding="utf-8") as file:
        for number in range(traces):
            line = whole[number % len(whole)]
            file.write(line.replace('"id": "chat-', f'"id": "{number}-', 1) + "\n")


def measured(step: str, folder: Path) -> tuple[float, float]:
    """(seconds, MiB) of a step in a separate process."""
    code = STEPS[step]
    arguments = [code] if code.endswith(".py") else ["-c", code]
    arguments += ["own"] if step in OF_A_SCENARIO else []
    child = subprocess.Popen([sys.executable, *arguments], cwd=folder)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise click.ClickException(f"{step} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


@click.command(help=__doc__)
@click.option("--traces", type=int, multiple=True, default=(1_000, 10_000, 100_000))
@click.option("--steps", type=click.Choice(list(STEPS)), multiple=True, default=list(STEPS))
def main(traces: tuple[int, ...], steps: tuple[str, ...]) -> None:
    rows = []
    for number in traces:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            write_log(folder / "logs", number)
            content = YAML(typ="safe").load(ROOT / "params.yaml")
            content |= {"corpus": "traces", "run": ["own"]}
            content["traces"]["path"] = "logs"
            YAML().dump(content, folder / "params.yaml")
            size = (folder / "logs/traces.jsonl").stat().st_size / 2**20
            for step in steps:
                seconds, memory = measured(step, folder)
                rows.append([f"{number:,}", f"{size:.0f}", step, f"{seconds:.1f}", f"{memory:.0f}"])
                print(*rows[-1], flush=True)
    print(tabulate(rows, ["traces", "MiB of log", "step", "seconds", "MiB"], tablefmt="github"))


if __name__ == "__main__":
    main()
