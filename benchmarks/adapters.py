"""Ten adapters on one engine, compared with ten engine starts: seconds and peak memory.

Reads: data/split/, the student's base, models/adapters (used in turn until there are ten)
Run:   python benchmarks/adapters.py [--number 10]

Each run is a separate process that calls `tft.predict.students.predict` with an empty cache, as the
stage does. Times include imports and the start of the engine. Ten starts are ten times the median
of one; the two runs alternate. Memory is the peak of the process and its children together
(proportional set size, which counts shared pages once).
"""

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import psutil
from measure import interleaved, setting, show, spread

from tft.core.errors import InputError
from tft.core.tables import read_conversations
from tft.predict.students import predict, prompts

GIB = 2**30
POLL = 0.2  # seconds


def answer(number: int, conversations: int | None) -> None:
    """The measured run: `number` adapters answer every turn on one engine."""
    params, student, task, tokenizer = setting()
    tests = read_conversations(Path("data/test/conversations.parquet"))[:conversations]
    room = student.max_length - params.predict.max_new_tokens
    folders = sorted(Path("models/adapters").iterdir())
    if not folders:
        raise InputError("no adapter in models/adapters; `dvc repro finetune` makes them")
    adapters = {
        f"adapter-{index}": path
        for index, path in zip(range(number), itertools.cycle(folders), strict=False)
    }
    with tempfile.TemporaryDirectory() as cache:
        predict(student, tokenizer, prompts(tokenizer, task, tests, room), adapters,
                params.predict, Path(cache))  # fmt: skip


def held_by(process: psutil.Process) -> int:
    """The memory of a process and its children, in bytes."""
    total = 0
    for member in (process, *process.children(recursive=True)):
        try:
            total += member.memory_full_info().pss
        except psutil.NoSuchProcess:  # it ended after it was listed
            continue
    return total


@click.command(help=__doc__)
@click.option("--number", default=10, show_default=True, help="Number of adapters.")
@click.option("--conversations", type=int, help="Number of held-out conversations.  [all]")
@click.option("--repeats", default=3, show_default=True)
@click.option("--measured", is_flag=True, hidden=True)
def main(number: int, conversations: int | None, repeats: int, measured: bool) -> None:
    if measured:
        answer(number, conversations)
        return
    peaks: dict[int, list[int]] = {number: [], 1: []}

    def run(adapters: int) -> float:
        command = [sys.executable, __file__, "--measured", "--number", str(adapters)]
        if conversations:
            command += ["--conversations", str(conversations)]
        start = time.perf_counter()
        with tempfile.TemporaryFile() as output:
            child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
            process, peak = psutil.Process(child.pid), 0
            while child.poll() is None:
                peak = max(peak, held_by(process))
                time.sleep(POLL)
            if child.returncode:
                output.seek(0)
                raise InputError(f"{' '.join(command)} failed:\n{output.read().decode()}")
        peaks[adapters].append(peak)
        return time.perf_counter() - start

    together, alone = f"{number} on one engine", "1 on one engine"
    times = interleaved({together: lambda: run(number), alone: lambda: run(1)}, repeats)
    starts = number * statistics.median(times[alone])
    show(
        f"{number} adapters: one engine compared with {number} engine starts",
        ["", "seconds", "peak GiB"],
        [
            [name, spread(times[name]), spread([peak / GIB for peak in peaks[adapters]])]
            for name, adapters in ((together, number), (alone, 1))
        ],
    )
    seconds = statistics.median(times[together])
    memory = statistics.median(peaks[number]) / statistics.median(peaks[1])
    print(f"\n{number} starts take {starts:.1f} s: {starts / seconds:.2f} times one engine's "
          f"{seconds:.1f} s; its peak memory is {memory:.2f} times that of one.")  # fmt: skip


if __name__ == "__main__":
    main()
