"""Training steps on packed rows: attention by segments, compared with a T x T mask.

Reads: data/direct/baseline/train.parquet, data/split/task.json, the student's base
Run:   python benchmarks/attention.py [--row-tokens 4096] [--rows 6]

Both use the same rows, weights, and SDPA kernels, forward and backward in bf16 autocast. The
gradients of the first row are compared before anything is timed.
"""

from pathlib import Path

import click
import torch
from measure import interleaved, ratio, seconds, setting, show, spread
from torch.nn.functional import cross_entropy

from tft.core.tables import read_conversations
from tft.student.attention import SEGMENTS
from tft.student.checkpoint import load_model
from tft.student.encode import encode, shared_prefix
from tft.student.pack import Row, pack


def gradients(model: torch.nn.Module, row: Row, by: str) -> torch.Tensor:
    """The gradients of one step, without the update."""
    device = next(model.parameters()).device
    inputs = row.inputs()
    if by == "mask":
        inputs |= {"attention_mask": row.mask()[None, None]}
        del inputs["segments"]
    inputs = {k: v.to(device) if torch.is_tensor(v) else v for k, v in inputs.items()}
    labels = inputs.pop("labels").flatten()
    model.set_attn_implementation("sdpa" if by == "mask" else SEGMENTS)
    model.zero_grad()
    with torch.autocast(device.type, torch.bfloat16):
        logits = model(**inputs).logits[0]
    cross_entropy(logits.float(), labels).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


@click.command(help=__doc__)
@click.option("--row-tokens", default=4096, show_default=True)
@click.option("--rows", "number", default=6, show_default=True)
@click.option("--repeats", default=3, show_default=True)
def main(row_tokens: int, number: int, repeats: int) -> None:
    _, student, task, tokenizer = setting()
    conversations = read_conversations(Path("data/direct/baseline/train.parquet"))[: 8 * number]
    encoded = [
        encode(tokenizer, task, by_segments, student.max_length) for by_segments in conversations
    ]
    rows = list(pack(encoded, shared_prefix(encoded), row_tokens))[:number]
    model = load_model(student.base).to("cuda" if torch.cuda.is_available() else "cpu")
    by_segments, by_mask = (gradients(model, rows[0], by) for by in ("segments", "mask"))
    difference = ((by_segments - by_mask).norm() / by_mask.norm()).item()
    assert difference < 0.02, f"gradients differ by {difference:.1%}: more than bf16 explains"

    def steps(by: str) -> float:
        return seconds(lambda: [gradients(model, row, by) for row in rows])

    times = interleaved(
        {"segments": lambda: steps("segments"), "mask": lambda: steps("mask")}, repeats
    )
    tokens = sum(len(row.ids) for row in rows)
    show(
        f"{len(rows)} rows, {tokens:,} tokens, gradients {difference:.1e} apart",
        ["attention", "seconds", "ratio"],
        [
            ["segments", spread(times["segments"]), "1"],
            ["T x T mask", spread(times["mask"]), ratio(times["mask"], times["segments"])],
        ],
    )


if __name__ == "__main__":
    main()
