"""All held-out turns by one student: vLLM as we run it, without prefix cache, transformers.

Reads: data/split/, the student's base, models/adapters/CELL-SEED, for the first of `seeds`, and
       models/students/CELL/merged
Run:   python benchmarks/prediction.py [--cell baseline-direct] [--compare-only]

transformers' `generate` gets batches of 8, padded on the left and in the same order, and the merged
weights, which spare it the adapter's products. Both engines are started once and alternate, with an
empty prefix cache at the start of each repeat; their start is in a column of its own.

Then the greedy answers of vLLM are set against transformers' on one prompt at a time, with the same
base and adapter in bf16. Where the token ids part, the two candidates are scored in float32 after
the ids both agreed on. `rounding` is the largest difference there between the logits in bf16 and in
float32 over the vocabulary: two candidates closer than twice that are a tie that rounding decides;
anything wider would be an error.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import torch
from measure import ask_afresh, interleaved, ratio, seconds, setting, show, spread
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from tft.core.tables import read_conversations
from tft.llm.engine import start_vllm
from tft.predict.parse import parse
from tft.predict.students import Answer, Prompt, by_transformers, engine_options, prompts
from tft.student.config import SeededStudentConfig
from tft.student.template import END_OF_TURN

OURS, NO_CACHE, PEER = "ours: vLLM", "vLLM without prefix cache", "transformers, batches of 8"
BATCH = 8
SHOWN = 20  # differences listed one by one


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Prompt],
    new_tokens: int,
) -> None:
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    for start in range(0, len(asked), BATCH):
        ids = [prompt.ids for prompt in asked[start : start + BATCH]]
        batch = tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt")
        model.generate(
            **batch.to(model.device),
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
        )


class Difference(NamedTuple):
    """Two answers to one prompt part at token `at` of the answer."""

    prompt: Prompt
    at: int
    ours: int
    theirs: int
    logits: tuple[float, float]  # of the two tokens, in float32
    rounding: float

    @property
    def gap(self) -> float:
        return abs(self.logits[0] - self.logits[1])

    @property
    def is_tie(self) -> bool:
        return self.gap < 2 * self.rounding


@torch.no_grad()
def differences(
    student: SeededStudentConfig,
    adapter: Path,
    asked: Sequence[Prompt],
    ours: Sequence[Answer],
    theirs: Sequence[Answer],
) -> list[Difference]:
    def next_logits(dtype: torch.dtype, ids: list[int]) -> torch.Tensor:
        return models[dtype](input_ids=torch.tensor([ids]), logits_to_keep=1).logits[0, -1].float()

    models = {}
    for dtype in (torch.float32, torch.bfloat16):
        base = AutoModelForCausalLM.from_pretrained(student.base, dtype=dtype)
        models[dtype] = PeftModel.from_pretrained(base, str(adapter)).eval()
    found = []
    for prompt, one, other in zip(asked, ours, theirs, strict=True):
        pairs = zip(one.ids, other.ids, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if at is None:
            assert one.ids == other.ids, "neither goes on after the end of its turn"
            continue
        exact = next_logits(torch.float32, prompt.ids + one.ids[:at])
        rounded = next_logits(torch.bfloat16, prompt.ids + one.ids[:at])
        a, b = one.ids[at], other.ids[at]
        logits = exact[a].item(), exact[b].item()
        found.append(Difference(prompt, at, a, b, logits, (rounded - exact).abs().max().item()))
    return found


def compare(
    student: SeededStudentConfig,
    tokenizer: PreTrainedTokenizerBase,
    adapter: Path,
    asked: Sequence[Prompt],
    ours: Sequence[Answer],
    theirs: Sequence[Answer],
) -> None:
    def call(answer: Answer) -> object:
        return parse(tokenizer.decode(answer.ids).removesuffix(END_OF_TURN))

    pairs = list(zip(ours, theirs, strict=True))
    parted = differences(student, adapter, asked, ours, theirs)
    show(
        "vLLM against transformers, one prompt at a time, both greedy in bf16",
        ["turns", "equal ids", "equal calls", "parted", "of these ties within rounding"],
        [
            [
                len(pairs),
                sum(one.ids == other.ids for one, other in pairs),
                sum(call(one) == call(other) for one, other in pairs),
                len(parted),
                sum(one.is_tie for one in parted),
            ]
        ],
    )
    show(
        f"Where they part (the {SHOWN} largest gaps); logits in float32",
        ["conversation", "turn", "token", "vLLM", "logit", "transformers", "logit", "gap",
         "rounding"],
        [
            [one.prompt.conversation, one.prompt.turn, one.at, repr(tokenizer.decode([one.ours])),
             f"{one.logits[0]:.3f}", repr(tokenizer.decode([one.theirs])), f"{one.logits[1]:.3f}",
             f"{one.gap:.3f}", f"{one.rounding:.3f}"]
            for one in sorted(parted, key=lambda one: -one.gap)[:SHOWN]
        ],
    )  # fmt: skip


@click.command(help=__doc__)
@click.option("--cell", default="baseline-direct", show_default=True)
@click.option("--conversations", type=int, help="the first so many of the held-out ones  [all]")
@click.option("--repeats", default=3, show_default=True)
@click.option("--compare-only", is_flag=True, help="no timing, only the greedy comparison")
@click.option("--time-only", is_flag=True, help="no greedy comparison")
def main(
    cell: str, conversations: int | None, repeats: int, compare_only: bool, time_only: bool
) -> None:
    params, student, task, tokenizer = setting()
    tests = read_conversations(Path("data/split/test.parquet"))[:conversations]
    new_tokens = params.predict.max_new_tokens
    asked = prompts(tokenizer, task, tests, student.max_length - new_tokens)
    adapter = Path("models/adapters") / f"{cell}-{params.training_seeds[0]}"
    longest = max(len(prompt.ids) for prompt in asked)

    engines, starts, answers = {}, {}, {}

    def start(name: str, prefix_cache: bool) -> None:
        options = engine_options(student, longest, params.predict)
        options["enable_prefix_caching"] = prefix_cache
        engines[name] = start_vllm(student.base, "install it: it is what is measured", **options)

    def run_engine(name: str) -> float:
        return seconds(
            lambda: answers.update(
                {name: ask_afresh(engines[name], tokenizer, asked, adapter, params.predict)}
            )
        )

    starts[OURS] = seconds(lambda: start(OURS, True))
    if compare_only:
        run_engine(OURS)
    else:
        starts[NO_CACHE] = seconds(lambda: start(NO_CACHE, False))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        merged = AutoModelForCausalLM.from_pretrained(
            Path("models/students") / cell / "merged", dtype=torch.bfloat16
        ).to(device)
        starts[PEER] = 0.0
        times = interleaved(
            {
                OURS: lambda: run_engine(OURS),
                NO_CACHE: lambda: run_engine(NO_CACHE),
                PEER: lambda: seconds(lambda: generate(merged, tokenizer, asked, new_tokens)),
            },
            repeats,
        )
        show(
            f"{len(asked)} turns of {len(tests)} conversations, "
            f"{sum(len(prompt.ids) for prompt in asked):,} prompt tokens, "
            f"{sum(len(answer.ids) for answer in answers[OURS]):,} generated; cell {cell}",
            ["", "answering, s", "times ours", "engine start, s", "both, times ours"],
            [
                [
                    name,
                    spread(times[name]),
                    ratio(times[name], times[OURS]),
                    f"{starts[name]:.1f}",
                    ratio([starts[name] + statistics.median(times[name])],
                          [starts[OURS] + statistics.median(times[OURS])]),
                ]
                for name in times
            ],
        )  # fmt: skip
        same = sum(map(Answer.__eq__, answers[OURS], answers[NO_CACHE]))
        print(f"\n{same} of {len(asked)} answers are the same with and without prefix cache.")
    if not time_only:
        reference = by_transformers(student, tokenizer, asked, {cell: adapter}, params.predict)
        compare(student, tokenizer, adapter, asked, answers[OURS], dict(reference)[cell])


if __name__ == "__main__":
    main()
