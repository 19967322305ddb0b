"""How the times of training and prediction grow with the number of conversations and turns.

Reads: data/direct/baseline/train.parquet, data/split/task.json, the student's base
Run:   python benchmarks/growth.py [--plot docs/growth.svg]     (needs the extra `bench`)

Training: one epoch over 100, 300, and 900 conversations of S1, repeated under new ids if there are
too few. Prediction: 100, 359, and 1,000 different turns of S1 by the untuned student on one engine,
with an empty prefix cache each time. An exponent is the slope of a least-squares line through log
median seconds over log size; 1 means linear.
"""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from matplotlib import pyplot, rcParams
from measure import (
    ask_afresh,
    interleaved,
    pack_epoch,
    seconds,
    setting,
    show,
    spread,
    train_packed,
)

from tft.core.tables import atomic_path, read_conversations
from tft.llm.engine import start_vllm
from tft.predict.students import engine_options, prompts
from tft.student.encode import encode

rcParams["svg.hashsalt"] = "tft"  # equal numbers give equal bytes

Times = dict[int, list[float]]


def exponent(times: Times) -> float:
    medians = [statistics.median(values) for values in times.values()]
    return float(np.polyfit(np.log(list(times)), np.log(medians), 1)[0])


def plot(path: Path, panels: Sequence[tuple[str, str, Times]]) -> None:
    figure, axes = pyplot.subplots(1, len(panels), figsize=(4.5 * len(panels), 3.5), squeeze=False)
    for axis, (title, unit, times) in zip(axes.flat, panels, strict=True):
        sizes = np.array(list(times))
        medians = np.array([statistics.median(values) for values in times.values()])
        for size, values in times.items():
            axis.loglog([size] * len(values), values, "o", color="tab:blue", alpha=0.5)
        slope = exponent(times)
        middle = np.exp(np.log(medians).mean() - slope * np.log(sizes).mean())
        axis.loglog(sizes, middle * sizes**slope, "-", color="tab:orange")
        axis.set(title=f"{title}: exponent {slope:.2f}", xlabel=unit, ylabel="seconds")
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.minorticks_off()
    figure.tight_layout()
    with atomic_path(path) as beside:
        figure.savefig(beside, format="svg", metadata={"Date": None})


@click.command(help=__doc__)
@click.option("--train-sizes", default="100,300,900", show_default=True)
@click.option("--predict-sizes", default="100,359,1000", show_default=True, help="Empty for none.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--plot", "path", default="docs/growth.svg", show_default=True,
              type=click.Path(path_type=Path, dir_okay=False))  # fmt: skip
def main(train_sizes: str, predict_sizes: str, repeats: int, path: Path) -> None:
    params, student, task, tokenizer = setting()
    traces = read_conversations(Path("data/direct/baseline/train.parquet"))
    sizes = [int(size) for size in train_sizes.split(",")]
    encoded = [encode(tokenizer, task, trace, student.max_length) for trace in traces]
    repeated = [
        replace(encoded_trace, id=f"{encoded_trace.id}/{copy}")
        for copy in range(-(-max(sizes) // len(encoded)))
        for encoded_trace in encoded
    ]
    rows = {size: pack_epoch(repeated[:size], student) for size in sizes}
    rate = student.train.learning_rate
    times = interleaved(
        {f"{size}": lambda size=size: train_packed(rows[size], student, rate, 1)[0]
         for size in sizes},
        repeats,
    )  # fmt: skip
    panels = [("Training", "conversations", {int(size): took for size, took in times.items()})]

    if predict_sizes:
        room = student.max_length - params.predict.max_new_tokens
        turn_prompts = prompts(tokenizer, task, traces, room)
        sizes = [int(size) for size in predict_sizes.split(",")]
        assert max(sizes) <= len(turn_prompts), f"S1 has {len(turn_prompts)} turns"
        longest = max(len(prompt.ids) for prompt in turn_prompts[: max(sizes)])
        options = engine_options(student, longest, params.predict)
        engine = start_vllm(student.base, "install it, because it is measured here", **options)

        def run(size: int) -> float:
            return seconds(
                lambda: ask_afresh(engine, tokenizer, turn_prompts[:size], None, params.predict)
            )

        times = interleaved({f"{size}": lambda size=size: run(size) for size in sizes}, repeats)
        panels.append(("Prediction", "turns", {int(size): took for size, took in times.items()}))

    for title, unit, times_by_size in panels:
        base = next(iter(times_by_size.values()))
        show(
            f"{title}: exponent {exponent(times_by_size):.2f}",
            [unit, "seconds", "relative to the first"],
            [
                [f"{size:,}", spread(took),
                 f"{statistics.median(took) / statistics.median(base):.2f}"]
                for size, took in times_by_size.items()
            ],
        )  # fmt: skip
    plot(path, panels)
    print(f"\nplot: {path}")


if __name__ == "__main__":
    main()
