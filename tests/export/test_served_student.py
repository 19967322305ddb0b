"""A base and an adapter of ours in vLLM's own server, asked by an OpenAI client with tools."""

import importlib.util
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import torch
from fixtures.boats import TASK, boats, trained_on
from fixtures.repository import ROOT
from fixtures.vllm_server import DEADLINE, serve
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tft.config import load_params
from tft.core.conversation import Conversation, Message, ParseError, ToolCall, to_openai
from tft.core.task import Task
from tft.predict.parse import parse
from tft.predict.students import prompts
from tft.student.config import LoraConfig
from tft.student.encode import encode, encode_prompt
from tft.student.finetune import adapted
from tft.student.template import END_OF_TURN, load_tokenizer

BASE = ROOT / "models" / "base"
MAX_LENGTH = 8192

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
    pytest.mark.skipif(not (BASE / "model.safetensors").exists(), reason="no model in models/base"),
]


@pytest.fixture(scope="module")
def turns() -> list[tuple[tuple[Message, ...], list[int]]]:
    """What the student is to answer: the messages, and the ids that it is trained to answer."""
    tokenizer = load_tokenizer(str(BASE), "unified")
    return [
        (one.messages[:turn], encode_prompt(tokenizer, TASK, one, turn))
        for one in boats(4)
        for turn, _ in one.turns()
    ]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained adapter that says something else than the base."""
    tiny = load_params(ROOT / "params.yaml").students["tiny"].seeded(1)
    lora = LoraConfig(r=8, lora_alpha=8, lora_dropout=0.0)
    model = adapted(tiny.model_copy(update={"base": str(BASE), "lora": lora}))
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # zero in a new adapter
            torch.nn.init.normal_(weight, std=0.1)
    folder = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def client(adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An OpenAI client of a server with the models `base` and `student`, the adapter."""
    from openai import OpenAI

    # Without the prefix cache, equal prompts are computed equally, to the last bit.
    options = f"""--model {BASE} --served-model-name base --dtype bfloat16 --max-model-len 4096
        --enable-auto-tool-choice --tool-call-parser hermes --no-enable-prefix-caching
        --enable-lora --max-lora-rank 8 --lora-modules student={adapter}"""
    with serve(tmp_path_factory.mktemp("server") / "log", options.split()) as url:
        yield OpenAI(base_url=url, api_key="none", timeout=DEADLINE)


def request(task: Task, messages: tuple[Message, ...]) -> dict[str, Any]:
    """Messages and tools of a chat request."""
    sent = [{"role": "system", "content": task.description}, *to_openai(messages)]
    for message in sent:
        for call in message.get("tool_calls", []):  # the API wants arguments as text
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    return {"messages": sent, "tools": task.tools_openai()}


def chat(client: Any, model: str, messages: tuple[Message, ...]) -> Any:
    return client.chat.completions.create(
        model=model, temperature=0, max_tokens=100, extra_body={"return_token_ids": True},
        **request(TASK, messages),
    )  # fmt: skip


def complete(client: Any, model: str, ids: list[int], **extra: Any) -> Any:
    (choice,) = client.completions.create(
        model=model, prompt=ids, temperature=0, max_tokens=100, extra_body=extra
    ).choices
    return choice


def test_a_chat_request_becomes_the_ids_that_are_trained_on(client: Any, turns: Any) -> None:
    for messages, ids in turns:
        assert chat(client, "base", messages).prompt_token_ids == ids


def test_every_published_turn_becomes_the_ids_that_are_trained_on(
    client: Any, published: tuple[list[Conversation], Task]
) -> None:
    conversations, task = published
    tokenizer = load_tokenizer(str(BASE), "unified")
    traces = [one for one in conversations if one.source == "published/scenario-1-baseline"]
    test = {one.id: one for one in conversations if one.source == "published/test"}
    expected = [
        (one.messages[:turn], prompt)
        for one in traces
        for (turn, _), (prompt, _) in zip(
            one.turns(), trained_on(encode(tokenizer, task, one, MAX_LENGTH)), strict=True
        )
    ]
    assert len(expected) == 3277
    asked = prompts(tokenizer, task, list(test.values()), MAX_LENGTH)
    assert len(asked) == 359
    expected += [(test[one.conversation].messages[: one.turn], one.ids) for one in asked]

    address = f"{client.base_url}".removesuffix("/v1/") + "/tokenize"

    def rendered(messages: tuple[Message, ...]) -> list[int]:
        body = {"model": "base", "add_generation_prompt": True, **request(task, messages)}
        reply = requests.post(address, json=body, timeout=DEADLINE)
        reply.raise_for_status()
        ids: list[int] = reply.json()["tokens"]
        return ids

    with ThreadPoolExecutor(4) as pool:
        served = pool.map(rendered, (messages for messages, _ in expected))
        for (messages, ids), found in zip(expected, served, strict=True):
            assert found == ids, messages


def test_a_tool_call_arrives_as_our_parser_reads_it(client: Any, turns: Any) -> None:
    calls = 0
    for messages, ids in turns:
        (choice,) = chat(client, "base", messages).choices
        raw = complete(client, "base", ids, skip_special_tokens=False, return_token_ids=True)
        assert choice.token_ids == raw.token_ids
        expected = parse(raw.text.removesuffix(END_OF_TURN))
        if not isinstance(expected, ParseError):
            assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
            (call,) = choice.message.tool_calls
            assert ToolCall(call.function.name, json.loads(call.function.arguments)) == expected
            calls += 1
    assert calls > 0, "no answer of the base is a tool call"


def test_an_adapter_is_served_beside_its_base(client: Any, turns: Any, adapter: Path) -> None:
    assert {model.id for model in client.models.list()} == {"base", "student"}
    messages, ids = turns[-1]
    assert chat(client, "student", messages).prompt_token_ids == ids

    base = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    with torch.no_grad():
        logits = PeftModel.from_pretrained(base, str(adapter))(torch.tensor([ids])).logits[0]
    expected = logits.log_softmax(-1)[range(len(ids) - 1), ids[1:]]
    errors = {}
    for model in ("base", "student"):
        scores = complete(client, model, ids, prompt_logprobs=0).prompt_logprobs[1:]
        served = [one[str(token)]["logprob"] for token, one in zip(ids[1:], scores, strict=True)]
        errors[model] = (torch.tensor(served) - expected).abs().mean().item()
    assert errors["student"] < errors["base"] / 5, "the answers are the adapter's"
