"""What benchmarks share: alternating repeats, tables of medians, our training, our engine."""

import io
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from transformers import PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from tft.config import Params, load_params
from tft.core.task import Task, read_task
from tft.predict.config import PredictConfig
from tft.predict.students import Answer, Prompt, ask_engine
from tft.student.config import SeededStudentConfig
from tft.student.encode import Encoded, shared_prefix
from tft.student.finetune import adapted, fit, training_arguments
from tft.student.pack import Row, epochs
from tft.student.template import load_tokenizer


def setting() -> tuple[Params, SeededStudentConfig, Task, PreTrainedTokenizerBase]:
    """Params, student, task, and tokenizer of params.yaml; data are the outputs of `dvc repro`."""
    disable_progress_bar()
    params = load_params()
    student = params.students[params.student].seeded(params.training_seeds[0])
    task = read_task(Path("data/split/task.json"))
    return params, student, task, load_tokenizer(student.base, student.template)


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def seconds_of_trainer(train: Callable[[], object]) -> float:
    with redirect_stdout(io.StringIO()):  # the Trainer prints its log there
        return seconds(train)


def interleaved(runs: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Repeat runs alternately (A B A B A B), so that drift affects all alike; returns seconds."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats):
        for name, run in runs.items():
            times[name].append(run())
            print(f"  {repeat + 1}/{repeats} {name}: {times[name][-1]:.1f} s", flush=True)
    return times


def spread(values: Sequence[float]) -> str:
    """The median, with the range in parentheses."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def ratio(slow: Sequence[float], fast: Sequence[float]) -> str:
    return f"{statistics.median(slow) / statistics.median(fast):.2f}"


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table below the machine on which it was measured."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    print(f"\n{title}\n{device}, {os.cpu_count()} cores, torch {torch.__version__}\n")
    print(tabulate(rows, head, tablefmt="github", disable_numparse=True))


def pack_epoch(encoded: Sequence[Encoded], student: SeededStudentConfig) -> list[Row]:
    settings = student.train
    prefix = shared_prefix(encoded)
    return list(epochs(encoded, prefix, settings.row_tokens, 1, settings.seed))


def train_packed(
    rows: Sequence[Row], student: SeededStudentConfig, learning_rate: float, accumulate: int
) -> tuple[float, float]:
    """One pass over the rows, as in `finetune`, without loading and merging the model.

    Returns:
        (seconds, first logged loss).
    """
    settings = student.train
    model = adapted(student)
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(
            Path(folder),
            settings.seed,
            settings.bf16,
            save_steps=10**9,
            gradient_accumulation_steps=accumulate,
            learning_rate=learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=settings.warmup_steps,
            weight_decay=settings.weight_decay,
            logging_steps=1,
            disable_tqdm=True,
        )
        history: list[dict[str, Any]] = []
        took = seconds_of_trainer(lambda: history.extend(fit(model, rows, arguments)))
    return took, history[0]["loss"]


def ask_afresh(
    engine: Any,
    tokenizer: PreTrainedTokenizerBase,
    turn_prompts: Sequence[Prompt],
    adapter: Path | None,
    params: PredictConfig,
) -> list[Answer]:
    """Greedy answers of an engine whose prefix cache is empty at the start."""
    assert engine.reset_prefix_cache(), "requests are still running"
    return ask_engine(engine, tokenizer, turn_prompts, params, adapter, "adapter")
