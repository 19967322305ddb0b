"""All held-out turns answered by one student: our vLLM, vLLM without prefix cache, transformers.

Reads: data/split/, the student's base, models/adapters/CELL-SEED for the first training seed, and
       models/students/CELL/merged
Run:   python benchmarks/prediction.py [--cell baseline-direct] [--compare-only]

transformers' `generate` gets batches of 8 in the same order, padded on the left, and merged
weights, which save it the products of the adapter. All alternate, with an empty prefix cache at the
start of each repeat. Engines are started once, and their start is in a separate column.

Then the greedy answers of vLLM are compared with those of transformers on one prompt at a time,
with the same base and adapter in bf16. At the first token id that differs, the two candidates are
scored in float32 after the ids on which both agree. `rounding` is the greatest difference between
logits in bf16 and in float32 there, over the vocabulary. If the candidates are closer than twice
that, they are a tie that rounding decides; a larger gap would be an error.
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
SHOWN = 20  # the number of differences that are listed


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    turn_prompts: Sequence[Prompt],
    new_tokens: int,
) -> None:
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    for start in range(0, len(turn_prompts), BATCH):
        ids = [prompt.ids for prompt in turn_prompts[start : start + BATCH]]
        batch = tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt")
        model.generate(
            **batch.to(model.device),
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
        )


class Difference(NamedTuple):
    """Two answers to one prompt that first differ at token `at` of the answer."""

    prompt: Prompt
    at: int
    ours: int
    theirs: int
    logits: tuple[float, float]  # logits of the two tokens, in float32
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
    turn_prompts: Sequence[Prompt],
    ours: Sequence[Answer],
    theirs: Sequence[Answer],
) -> list[Difference]:
    def next_logits(dtype: torch.dtype, ids: list[int]) -> torch.Tensor:
        return models[dtype](input_ids=torch.tensor([ids]), logits_to_keep=1).logits[0, -1].float()

    models = {}
    for dtype in (torch.float32, torch.bfloat16):
        base = AutoModelForCausalLM.from_pretrained(student.base, dtype=dtype)
        models[dtype] = PeftModel.from_pretrained(base, str(adapter)).eval()
    differing = []
    for prompt, our_answer, their_answer in zip(turn_prompts, ours, theirs, strict=True):
        pairs = zip(our_answer.ids, their_answer.ids, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if at is None:
            assert our_answer.ids == their_answer.ids, "neither continues after the end of its turn"
            continue
        exact = next_logits(torch.float32, prompt.ids + our_answer.ids[:at])
        rounded = next_logits(torch.bfloat16, prompt.ids + our_answer.ids[:at])
        a, b = our_answer.ids[at], their_answer.ids[at]
        logits = exact[a].item(), exact[b].item()
        differing.append(Difference(prompt, at, a, b, logits, (rounded - exact).abs().max().item()))
    return differing


def compare(
    student: SeededStudentConfig,
    tokenizer: PreTrainedTokenizerBase,
    adapter: Path,
    turn_prompts: Sequence[Prompt],
    ours: Sequence[Answer],
    theirs: Sequence[Answer],
) -> None:
    def call(answer: Answer) -> object:
        return parse(tokenizer.decode(answer.ids).removesuffix(END_OF_TURN))

    pairs = list(zip(ours, theirs, strict=True))
    parted = differences(student, adapter, turn_prompts, ours, theirs)
    show(
        "vLLM compared with transformers, one prompt at a time, both greedy in bf16",
        ["turns", "equal ids", "equal calls", "different ids", "of these, ties within rounding"],
        [
            [
                len(pairs),
                sum(first.ids == second.ids for first, second in pairs),
                sum(call(first) == call(second) for first, second in pairs),
                len(parted),
                sum(difference.is_tie for difference in parted),
            ]
        ],
    )
    show(
        f"First differences (the {SHOWN} largest gaps); logits in float32",
        ["conversation", "turn", "token", "vLLM", "logit", "transformers", "logit", "gap",
         "rounding"],
        [
            [d.prompt.conversation, d.prompt.turn, d.at, repr(tokenizer.decode([d.ours])),
             f"{d.logits[0]:.3f}", repr(tokenizer.decode([d.theirs])), f"{d.logits[1]:.3f}",
             f"{d.gap:.3f}", f"{d.rounding:.3f}"]
            for d in sorted(parted, key=lambda difference: -difference.gap)[:SHOWN]
        ],
    )  # fmt: skip


@click.command(help=__doc__)
@click.option("--cell", default="baseline-direct", show_default=True)
@click.option("--conversations", type=int, help="Number of held-out conversations.  [all]")
@click.option("--repeats", default=3, show_default=True)
@click.option("--compare-only", is_flag=True, help="Only compare greedy answers.")
@click.option("--time-only", is_flag=True, help="Only measure times.")
def main(
    cell: str, conversations: int | None, repeats: int, compare_only: bool, time_only: bool
) -> None:
    params, student, task, tokenizer = setting()
    tests = read_conversations(Path("data/test/conversations.parquet"))[:conversations]
    new_tokens = params.predict.max_new_tokens
    turn_prompts = prompts(tokenizer, task, tests, student.max_length - new_tokens)
    adapter = Path("models/adapters") / f"{cell}-{params.training_seeds[0]}"
    longest = max(len(prompt.ids) for prompt in turn_prompts)

    engines, starts, answers = {}, {}, {}

    def start(name: str, prefix_cache: bool) -> None:
        options = engine_options(student, longest, params.predict)
        options["enable_prefix_caching"] = prefix_cache
        otherwise = "install it, because it is measured here"
        engines[name] = start_vllm(student.base, otherwise, **options)

    def run_engine(name: str) -> float:
        return seconds(
            lambda: answers.update(
                {name: ask_afresh(engines[name], tokenizer, turn_prompts, adapter, params.predict)}
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
                PEER: lambda: seconds(
                    lambda: generate(merged, tokenizer, turn_prompts, new_tokens)
                ),
            },
            repeats,
        )
        show(
            f"{len(turn_prompts)} turns of {len(tests)} conversations, "
            f"{sum(len(prompt.ids) for prompt in turn_prompts):,} prompt tokens, "
            f"{sum(len(answer.ids) for answer in answers[OURS]):,} generated; cell {cell}",
            ["", "answering, s", "relative to ours", "engine start, s", "both, relative to ours"],
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
        equal = sum(map(Answer.__eq__, answers[OURS], answers[NO_CACHE]))
        print(
            f"\n{equal} of {len(turn_prompts)} answers are the same with and without prefix cache."
        )
    if not time_only:
        reference = by_transformers(
            student, tokenizer, turn_prompts, {cell: adapter}, params.predict
        )
        compare(student, tokenizer, adapter, turn_prompts, answers[OURS], dict(reference)[cell])


if __name__ == "__main__":
    main()
