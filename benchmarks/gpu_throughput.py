"""Tokens per second and model FLOP utilization of packed LoRA training, in Qwen3-1.7B's shape.

Run:   python benchmarks/gpu_throughput.py            (on a GPU; random weights, no downloads)
       python benchmarks/gpu_throughput.py --device cpu --layers 2 --row-tokens 1024 --steps 3

Conversations are random tokens in the shape of S1's (a shared prompt, and a fifth of the other
tokens as targets), packed by `tft.student.pack` and attended to by segments, as in `finetune`. A
step is forward, loss, backward, and AdamW. Only what the model requires counts as work (the formula
is printed), so padding, masked attention, or recomputation would lower the result. Frozen weights
have no gradient, so they take 4 instead of 6 FLOPs per weight and token.

The floor is the time of this work at the speed of a large bf16 matrix product, which is measured
first, and at the manufacturer's speed if `--peak` gives it (dense bf16 TFLOP/s: H100 and H200 SXM
989, A100 312).
"""

import math
import random
import statistics
import time
from collections.abc import Callable, Sequence

import click
import torch
from measure import show
from peft import LoraConfig, get_peft_model
from transformers import Qwen3Config, Qwen3ForCausalLM

from tft.student.attention import SEGMENTS
from tft.student.encode import Encoded
from tft.student.finetune import row_loss
from tft.student.pack import Row, pack

FORMULA = """\
FLOPs of a step = 4 F T + 6 A T + 4 h V P + 12 L H d S
  F  frozen weights of the linear layers; FLOPs per token: 2 forward, 2 for the input's gradient
  A  LoRA weights; FLOPs per token: 2 forward, 2 for the input's gradient, 2 for the weight's
  T  tokens of the row; P of them are predicted, and only on these runs the head (hidden size h,
     vocabulary V)
  S  pairs of tokens where one attends to the other; L layers, H heads of size d: two products
     forward, four backward, 2 FLOPs each"""
PREFIX, CONVERSATION, TURNS = (
    700,
    900,
    10,
)  # tokens, tokens, turns: similar to S1 with Qwen's tokenizer


def conversations(vocabulary: int, number: int) -> list[Encoded]:
    rng = random.Random(0)
    prefix = rng.choices(range(vocabulary), k=PREFIX)
    result = []
    for index in range(number):
        length = round(CONVERSATION * rng.uniform(0.6, 1.4))
        ends = [length * (turn + 1) // TURNS + PREFIX for turn in range(TURNS)]
        targets = [(end - length // TURNS // 5, end) for end in ends]
        trunk = prefix + rng.choices(range(vocabulary), k=length)
        result.append(Encoded(str(index), trunk, targets, []))
    return result


def work(row: Row, config: Qwen3Config, frozen: int, adapted: int) -> dict[str, float]:
    """The FLOPs of a training step by the formula, by part of the model."""
    tokens = len(row.ids)
    pairs = 0
    for start, end, sees in row.segments:
        own = end - start
        pairs += own * (own + 1) // 2 + own * sum(stop - begin for begin, stop in sees)
    heads = config.num_attention_heads * config.head_dim
    return {
        "frozen linear layers": 4 * frozen * tokens,
        "LoRA": 6 * adapted * tokens,
        "head": 4 * config.hidden_size * config.vocab_size * len(row.labels),
        "attention": 12 * config.num_hidden_layers * heads * pairs,
    }


def matrix_speed(device: torch.device, size: int) -> float:
    """The median speed of a bf16 matrix product of random data, in FLOP/s."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / statistics.median(timed(device, lambda: a @ b) for _ in range(7))


def timed(device: torch.device, action: Callable[[], object]) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, row: Row) -> None:
    inputs = {
        name: value.to(model.device) if isinstance(value, torch.Tensor) else value
        for name, value in row.inputs().items()
    }
    labels = inputs.pop("labels")
    with torch.autocast(model.device.type, torch.bfloat16):
        loss = row_loss(model(**inputs), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@click.command(help=__doc__)
@click.option("--device", "name", default="cuda", show_default=True)
@click.option("--layers", default=28, show_default=True)
@click.option("--row-tokens", default=16384, show_default=True)
@click.option("--steps", default=20, show_default=True, help="Timed steps, after 3 untimed ones.")
@click.option("--peak", type=float, help="The manufacturer's dense bf16 TFLOP/s.")
@click.option("--checkpointing", is_flag=True, help="Recompute activations to save memory.")
def main(
    name: str, layers: int, row_tokens: int, steps: int, peak: float | None, checkpointing: bool
) -> None:
    device = torch.device(name)
    config = Qwen3Config(
        vocab_size=151936, hidden_size=2048, intermediate_size=6144, num_hidden_layers=layers,
        num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
        max_position_embeddings=40960,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6}, use_cache=False,
    )  # fmt: skip
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with device:
        base = Qwen3ForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    base.set_attn_implementation(SEGMENTS)
    frozen = sum(
        module.weight.numel()
        for path, module in base.named_modules()
        if isinstance(module, torch.nn.Linear) and path != "lm_head"
    )
    adaptation = LoraConfig(r=64, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM")
    if checkpointing:
        base.gradient_checkpointing_enable()
        base.enable_input_require_grads()
    model = get_peft_model(base, adaptation).train()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    adapted = sum(weight.numel() for weight in trained)
    optimizer = torch.optim.AdamW(trained, lr=5e-5, weight_decay=0.0)

    number = 2 * (steps + 3) * max(1, row_tokens // CONVERSATION)
    rows: Sequence[Row] = list(pack(conversations(1000, number), PREFIX, row_tokens))[: steps + 3]
    assert len(rows) == steps + 3
    for row in rows[:3]:
        step(model, optimizer, row)
    times = [timed(device, lambda row=row: step(model, optimizer, row)) for row in rows[3:]]

    parts = [work(row, config, frozen, adapted) for row in rows[3:]]
    total = sum(sum(part.values()) for part in parts)
    tokens = sum(len(row.ids) for row in rows[3:])
    took = sum(times)
    measured = matrix_speed(device, 8192 if device.type == "cuda" else 1024)
    print(FORMULA)
    show(
        f"Work of {steps} steps, rows of {row_tokens:,}: {tokens:,} tokens, "
        f"{frozen / 1e6:,.0f} M frozen and {adapted / 1e6:,.0f} M LoRA weights",
        ["", "TFLOPs", "share"],
        [
            [kind, f"{sum(part[kind] for part in parts) / 1e12:.1f}",
             f"{sum(part[kind] for part in parts) / total:.1%}"]
            for kind in parts[0]
        ],
    )  # fmt: skip
    speeds = {"measured matrix product": measured} | (
        {"manufacturer's figure": peak * 1e12} if peak else {}
    )
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else math.nan
    show(
        f"{layers} layers, LoRA rank 64, bf16{', checkpointing' if checkpointing else ''}",
        ["floor", "TFLOP/s", "floor, s", "measured, s", "utilization", "tokens/s",
         "step, s: median", "peak GiB"],
        [
            [floor, f"{speed / 1e12:,.2f}", f"{total / speed:.2f}", f"{took:.2f}",
             f"{total / speed / took:.1%}", f"{tokens / took:,.0f}",
             f"{statistics.median(times):.3f}", f"{memory:.1f}"]
            for floor, speed in speeds.items()
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
