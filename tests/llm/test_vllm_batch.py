"""Language models in this process: batches, and one engine at a time."""

import json
import multiprocessing
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fixtures.endpoint import SCHEMA, folder_of, in_process, llm, request, texts
from fixtures.repository import ROOT

from tft.config import load_params
from tft.llm import connect
from tft.llm.chat import Refusal, Reply, Request
from tft.llm.config import LlmConfig, ModelConfig
from tft.llm.engine import stop_engine
from tft.llm.vllm_batch import ask_vllm


class Engine:
    """Like vLLM's: answers what was enqueued with the next texts, and refuses what is long."""

    def __init__(self, texts: list[str]) -> None:
        self.texts, self.queue, self.batches = texts, [], []

    def enqueue_chat(self, messages: list[dict[str, str]], sampling: Any, **_: Any) -> None:
        if messages[-1]["content"] == "long":
            raise ValueError("longer than the maximum model length")
        self.queue.append(sampling)

    def wait_for_completion(self, use_tqdm: bool) -> list[Any]:
        self.batches.append([sampling.seed for sampling in self.queue])
        outputs = []
        while self.queue:
            self.queue.pop()
            text = self.texts.pop(0)
            part = SimpleNamespace(text=text, token_ids=[0] * 3, finish_reason="stop")
            outputs.append(SimpleNamespace(prompt_token_ids=[0] * 7, outputs=[part]))
        return outputs


@pytest.fixture
def vllm_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for what is imported of vLLM, which takes many seconds."""
    types = {
        "vllm": {"SamplingParams": SimpleNamespace},
        "vllm.exceptions": {"VLLMClientError": KeyError},
        "vllm.sampling_params": {"StructuredOutputsParams": SimpleNamespace},
    }
    for name, content in types.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**content))


def ask_engine(engine: Engine, asked: dict[str, Request], settle: Any) -> None:
    model = ModelConfig(backend="vllm", model="m", requests_at_once=2)
    ask_vllm(asked, engine, model, 3, settle)


@pytest.mark.usefixtures("vllm_types")
def test_an_engine_gets_requests_in_batches_and_invalid_answers_again() -> None:
    engine = Engine(["x", '{"good": true}', '{"good": false}', "a", "b", "c"])
    questions = {"first": 0, "second": 1, "long": 2, "never": 3}
    asked = {name: request(name, schema=SCHEMA, seed=seed) for name, seed in questions.items()}
    outcomes: dict[str, Reply | Refusal] = {}
    ask_engine(engine, asked, outcomes.__setitem__)
    assert outcomes == {
        "first": Reply('{"good": false}', 14, 6),
        "second": Reply('{"good": true}', 7, 3),
        "long": Refusal("bad request", "longer than the maximum model length"),
        "never": Refusal("not JSON", "c", 21, 9),
    }
    assert engine.batches == [[0, 1], [1 << 20], [3], [3 + (1 << 20)], [3 + (2 << 20)]]


@pytest.mark.usefixtures("vllm_types")
def test_a_batch_is_settled_before_the_next_is_asked() -> None:
    engine = Engine(["a", "b"])  # and then it breaks
    outcomes: dict[str, Reply | Refusal] = {}
    with pytest.raises(IndexError):
        ask_engine(engine, {str(n): request(str(n)) for n in range(4)}, outcomes.__setitem__)
    assert texts(list(outcomes.values())) == ["a", "b"]


@pytest.fixture
def engines(vllm_types: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which engines start and stop, by the names of their models' folders."""
    events: list[str] = []

    class Llm(Engine):
        def __init__(self, model: str, **_: Any) -> None:
            super().__init__(["a"] * 9)
            events.append(f"start {Path(model).name}")
            core = SimpleNamespace(shutdown=lambda: events.append(f"stop {Path(model).name}"))
            self.llm_engine = SimpleNamespace(engine_core=core)

        def generate(self, prompts: list[Any], *_: Any, lora_request: int, **__: Any) -> list[Any]:
            part = SimpleNamespace(token_ids=[lora_request], finish_reason="stop")
            return [SimpleNamespace(outputs=[part]) for _ in prompts]

    monkeypatch.setattr(sys.modules["vllm"], "LLM", Llm, raising=False)
    monkeypatch.setattr("tft.llm.engine._running", [])
    return events


def test_only_one_engine_runs_at_a_time(engines: list[str], tmp_path: Path) -> None:
    models = {name: in_process(folder_of(tmp_path / name)) for name in "ab"}
    models["again"] = models["a"].model_copy(update={"requests_at_once": 1})
    models["other"] = models["a"].model_copy(update={"options": {"dtype": "float32"}})
    params = LlmConfig(models=models, attempts=1, timeout_seconds=1, budget=1)
    first, second = (connect(params, tmp_path) for _ in range(2))
    message = {"role": "user", "content": "q"}
    models_asked = ["a", "a", "again", "b", "a", "other"]
    for seed, (chat, model) in enumerate(zip([first, second] * 3, models_asked, strict=True)):
        chat([Request(model, (message,), seed=seed)], "s")
    assert engines == ["start a", "stop a", "start b", "stop b", "start a", "stop a", "start a"]
    stop_engine()
    stop_engine()
    assert engines[7:] == ["stop a"]


def test_a_student_s_engine_is_stopped_before_its_judge_s_starts(
    engines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tft.predict.students import Prompt, by_vllm

    types = SimpleNamespace(TokensPrompt=SimpleNamespace, LoRARequest=lambda _, number, __: number)
    for module in ("vllm.inputs", "vllm.lora.request"):
        monkeypatch.setitem(sys.modules, module, types)
    params = load_params(ROOT / "params.yaml")
    student = params.students["tiny"].model_copy(update={"base": folder_of(tmp_path / "student")})
    tokenizer = SimpleNamespace(convert_tokens_to_ids=lambda _: 0)
    asked = [Prompt("one", 1, [5, 6])]
    numbers = [
        answers[0].ids[0]
        for name in "xy"
        for _, answers in by_vllm(student, tokenizer, asked, {name: Path(name)}, params.predict)
    ]
    assert len({*numbers}) == 2  # or the engine would answer for x where y is meant
    judge = {"big": in_process(folder_of(tmp_path / "judge"))}
    chat = connect(LlmConfig(models=judge, attempts=1, timeout_seconds=1, budget=None), tmp_path)
    chat([request("q")], "s")
    assert engines == ["start student", "stop student", "start judge"]


@pytest.mark.vllm
def test_a_real_engine_answers_by_schema_and_its_answers_are_cached(tmp_path: Path) -> None:
    choice = {"type": "object", "properties": {"x": {"enum": ["yes", "no"]}}, "required": ["x"]}
    choice["additionalProperties"] = False
    options = {"max_model_len": 256, "dtype": "bfloat16"}
    place = {"backend": "vllm", "model": str(ROOT / "models" / "base"), "base_url": None}
    params = llm("", key_variable=None, price=None, options=options, **place)
    asked = [
        request("Is it?", schema=choice, max_tokens=40),
        request("Is it? " * 300),
        *(request("And?", temperature=1.0, max_tokens=9, seed=seed) for seed in range(3)),
    ]
    chat = connect(params, tmp_path)
    outcomes = chat(asked, "s")
    assert json.loads(outcomes[0].content)["x"] in ("yes", "no")
    assert outcomes[1].reason == "bad request"
    assert texts(connect(params, tmp_path)([asked[0]], "s")) == texts(outcomes[:1])
    [process] = multiprocessing.active_children()
    stop_engine()
    process.join()
