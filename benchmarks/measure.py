"""What the benchmarks share: interleaved repeats, medians in a table, our training, our engine."""

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
from peft import LoraConfig, get_peft_model
from tabulate import tabulate
from transformers import PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from tft.params import Params, Predict, Student, load_params
from tft.student.checkpoint import load_model
from tft.student.encode import Encoded, shared_prefix
from tft.student.pack import Row, epochs
from tft.student.predict import VLLM_RANKS, Answer, Prompt
from tft.student.template import END_OF_TURN, load_tokenizer
from tft.student.train import Rows, fit, training_arguments
from tft.task import Task, read_task


def setting() -> tuple[Params, Student, Task, PreTrainedTokenizerBase]:
    """What params.yaml chooses; the data are those that `dvc repro` left in data/."""
    disable_progress_bar()
    params = load_params()
    student = params.students[params.student]
    task = read_task(Path("data/split/task.json"))
    return params, student, task, load_tokenizer(student.base, student.template)


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def seconds_of_trainer(train: Callable[[], object]) -> float:
    with redirect_stdout(io.StringIO()):  # it prints its log there
        return seconds(train)


def interleaved(runs: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """A B A B A B: what each run returned (its own seconds), so that drift hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats):
        for name, run in runs.items():
            times[name].append(run())
            print(f"  {repeat + 1}/{repeats} {name}: {times[name][-1]:.1f} s", flush=True)
    return times


def spread(values: Sequence[float]) -> str:
    """The median, and the range in brackets."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def ratio(slow: Sequence[float], fast: Sequence[float]) -> str:
    return f"{statistics.median(slow) / statistics.median(fast):.2f}"


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A markdown table under the machine it was measured on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    print(f"\n{title}\n{device}, {os.cpu_count()} cores, torch {torch.__version__}\n")
    print(tabulate(rows, head, tablefmt="github", disable_numparse=True))


def lora(student: Student) -> LoraConfig:
    """What `tft.student.train.finetune` adapts with."""
    return LoraConfig(
        r=student.lora.r,
        lora_alpha=student.lora.alpha,
        lora_dropout=student.lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def pack_epoch(encoded: Sequence[Encoded], student: Student) -> list[Row]:
    settings = student.train
    prefix = shared_prefix(encoded)
    return list(epochs(encoded, prefix, settings.row_tokens, 1, settings.seed))


def train_packed(
    rows: Sequence[Row], student: Student, learning_rate: float, accumulate: int
) -> tuple[float, float]:
    """One pass over the rows as `finetune` does it, model load and merge left out.

    Returns:
        Seconds, and the first logged loss.
    """
    settings = student.train
    torch.manual_seed(settings.seed)
    model = get_peft_model(load_model(student.base), lora(student))
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(
            Path(folder),
            settings.seed,
            settings.bf16,
            save_steps=10**9,
            gradient_accumulation_steps=accumulate,
            learning_rate=learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=settings.warmup_fraction,
            weight_decay=settings.weight_decay,
            logging_steps=1,
            disable_tqdm=True,
        )
        history: list[dict[str, Any]] = []
        took = seconds_of_trainer(lambda: history.extend(fit(model, Rows(rows), arguments)))
    return took, history[0]["loss"]


def start_engine(student: Student, longest: int, params: Predict, **changes: Any) -> Any:
    """A vLLM engine with the settings of `tft.student.predict`, but for `changes`."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    from vllm import LLM  # noqa: PLC0415 (reads the environment when it is imported)

    options = {
        "max_model_len": longest + params.max_new_tokens,
        "dtype": "bfloat16",
        "enable_prefix_caching": True,
        "enable_lora": True,
        "max_lora_rank": min(rank for rank in VLLM_RANKS if rank >= student.lora.r),
        "max_loras": 1,
        "seed": 0,
    }
    return LLM(student.base, **(options | changes))


def ask(
    engine: Any,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Prompt],
    adapter: Path | None,
    params: Predict,
) -> list[Answer]:
    """Greedy answers of an engine whose prefix cache is empty at the start."""
    from vllm import SamplingParams  # noqa: PLC0415
    from vllm.inputs import TokensPrompt  # noqa: PLC0415
    from vllm.lora.request import LoRARequest  # noqa: PLC0415

    assert engine.reset_prefix_cache(), "requests are still running"
    sampling = SamplingParams(
        temperature=0,
        max_tokens=params.max_new_tokens,
        stop_token_ids=[tokenizer.convert_tokens_to_ids(END_OF_TURN)],
        detokenize=False,
    )
    outputs = engine.generate(
        [TokensPrompt(prompt_token_ids=prompt.ids) for prompt in asked],
        sampling,
        lora_request=LoRARequest("adapter", 1, str(adapter)) if adapter else None,
        use_tqdm=False,
    )
    return [
        Answer(list(output.outputs[0].token_ids), str(output.outputs[0].finish_reason))
        for output in outputs
    ]
