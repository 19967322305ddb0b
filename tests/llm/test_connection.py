import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiolimiter import AsyncLimiter
from fixtures.llm_server import (
    COMPLETION_TOKENS,
    PROMPT_TOKENS,
    Action,
    Server,
    answer,
    body,
    busy_until,
    cut,
    hang,
    status,
    trickle,
)
from fixtures.repository import ROOT
from hypothesis import given
from hypothesis import strategies as st

from tft.config import load_params
from tft.core.errors import InputError
from tft.llm import connect
from tft.llm.cache import cache_key
from tft.llm.chat import Refusal, Reply, Request, flaw
from tft.llm.config import LlmConfig, ModelConfig
from tft.llm.engine import fingerprint, stop_engine
from tft.llm.ledger import prompt_bound
from tft.llm.vllm_batch import ask_vllm

SECRET = "sk-secret-123"
SCHEMA = {"type": "object", "properties": {"good": {"type": "boolean"}}, "required": ["good"]}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("TFT_TEST_KEY", SECRET)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        yield server


def llm(
    url: str, attempts: int = 3, timeout: float = 30, budget: Any = None, **model: Any
) -> LlmConfig:
    known = {
        "backend": "openai",
        "model": "big-1",
        "base_url": url,
        "key_variable": "TFT_TEST_KEY",
        "requests_at_once": 4,
        "price": {"input": 0.0, "output": 1.0e6},  # a completion token costs 1
    }
    return LlmConfig.model_validate(
        {
            "models": {"big": known | model},
            "attempts": attempts,
            "timeout_seconds": timeout,
            "budget": budget,
        }
    )


def request(question: str, **changes: Any) -> Request:
    return Request("big", ({"role": "user", "content": question},), **changes)


def requests(count: int, **changes: Any) -> list[Request]:
    return [request(f"q{number}", **changes) for number in range(count)]


def texts(outcomes: list[Reply | Refusal]) -> list[str]:
    return [item.content if isinstance(item, Reply) else item.reason for item in outcomes]


def test_answers_come_in_order_once_each_and_few_at_a_time(server: Server, tmp_path: Path) -> None:
    chat = connect(llm(server.url), tmp_path)
    outcomes = chat([*requests(30), request("q3")], "judge")
    assert texts(outcomes) == [f"to q{number}" for number in [*range(30), 3]]
    assert sorted(server.questions) == sorted(f"q{number}" for number in range(30))
    assert server.most_active <= 4
    assert server.sent[0]["model"] == "big-1"
    assert server.sent[0]["key"] == f"Bearer {SECRET}"
    assert chat.metrics() == {
        "judge": {
            "big": {
                "requests": 30,
                "prompt_tokens": server.prompt_tokens,
                "completion_tokens": server.completion_tokens,
                "cost": server.completion_tokens,
                "refusals": {},
            }
        }
    }


def test_samples_are_asked_for_by_seed(server: Server, tmp_path: Path) -> None:
    connect(llm(server.url), tmp_path)([request("q", seed=seed) for seed in (0, 1, 1)], "s")
    assert sorted(sent["seed"] for sent in server.sent) == [0, 1]


RECOVERABLE: dict[str, list[Action]] = {
    "429": [status(429), status(429)],
    "500 then 503": [status(500), status(503)],
    "502": [status(502)],
    "Retry-After in seconds": [status(429, retry_after="1")],
    "Retry-After as a date": [busy_until],
    "cut connection": [cut],
    "no JSON": [body(b"{"), body(b"")],
    "HTML": [body(b"<html>", "text/html")],
    "no choices": [body(b'{"choices": [], "error": {"message": "busy"}}')],
    "no content": [answer(""), answer(" \n")],
    "cut off": [answer('{"good": true}', finish_reason="length")],
    "wrong schema": [answer('{"good": 1}'), answer('{"bad": true}')],
    "not JSON": [answer("good"), answer('{"good": true, "x": NaN}')],
    "lone surrogate": [answer('{"good": true, "x": "\\ud800"}')],
}


@pytest.mark.parametrize("trouble", RECOVERABLE)
def test_what_can_be_recovered_is(server: Server, tmp_path: Path, trouble: str) -> None:
    server.default = answer('{"good": true}')
    server.script["q1"] = list(RECOVERABLE[trouble])
    chat = connect(llm(server.url), tmp_path)
    assert texts(chat(requests(3, schema=SCHEMA), "s")) == ['{"good": true}'] * 3
    assert Counter(server.questions) == {"q0": 1, "q1": 1 + len(RECOVERABLE[trouble]), "q2": 1}
    row = chat.metrics()["s"]["big"]
    assert row["prompt_tokens"] == server.prompt_tokens
    assert row["completion_tokens"] == server.completion_tokens
    assert server.sent[0]["response_format"]["json_schema"]["schema"] == SCHEMA


def test_retry_after_is_waited_for(server: Server, tmp_path: Path) -> None:
    server.script["q"] = [status(429, retry_after="1")]
    connect(llm(server.url), tmp_path)([request("q")], "s")
    first, second = server.times
    assert second - first >= 1


def test_the_rate_is_kept_by_attempts_too(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaced: list[float] = []

    class Limiter(AsyncLimiter):
        async def acquire(self, amount: float = 1) -> None:
            spaced.append(self.time_period / self.max_rate)
            await super().acquire(amount)

    monkeypatch.setattr("tft.llm.openai_api.AsyncLimiter", Limiter)
    server.script["q0"] = [status(500), answer("")]
    connect(llm(server.url, requests_per_minute=6000), tmp_path)(requests(4), "s")
    assert spaced == [0.01] * len(server.sent) == [0.01] * 6


@pytest.mark.parametrize("silent", [hang, trickle])
def test_an_answer_that_does_not_come_in_time_is_asked_for_again(
    server: Server, tmp_path: Path, silent: Action
) -> None:
    server.script["q"] = [silent]
    assert texts(connect(llm(server.url, timeout=1), tmp_path)([request("q")], "s")) == ["to q"]
    assert server.questions == ["q", "q"]


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (answer("{}"), "against its schema"),
        (answer("no"), "not JSON"),
        (answer(""), "no content"),
        (answer("{", finish_reason="length"), "cut off at max_tokens"),
        (body(b"{"), "no chat completion"),
        (status(500), "server error"),
    ],
)
def test_what_is_always_wrong_is_refused_and_asked_again_by_the_next_run(
    server: Server, tmp_path: Path, trouble: Action, reason: str
) -> None:
    server.default = answer('{"good": true}')
    for asked in (1, 2):
        server.script["q1"] = [trouble] * 3
        chat = connect(llm(server.url), tmp_path)
        assert texts(chat(requests(3, schema=SCHEMA), "s"))[1] == reason
        assert Counter(server.questions) == {"q0": 1, "q1": 3 * asked, "q2": 1}
        assert chat.metrics()["s"]["big"]["refusals"] == {reason: 1}
    # All tokens count: of this run's attempts in vain, and of the answers that the first bought.
    wasted = server.completion_tokens - 2 * COMPLETION_TOKENS
    row = chat.metrics()["s"]["big"]
    assert row["completion_tokens"] == 2 * COMPLETION_TOKENS + wasted / 2


def test_attempts_of_all_kinds_count(server: Server, tmp_path: Path) -> None:
    server.script["q"] = [answer(""), status(500), status(500)]
    assert texts(connect(llm(server.url), tmp_path)([request("q")], "s")) == ["server error"]
    assert len(server.sent) == 3


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (status(400, "too long"), "bad request"),
        (answer(finish_reason="content_filter"), "content filter"),
        (answer(refusal="I must not"), "content filter"),
    ],
)
def test_what_asking_again_cannot_mend_is_asked_once(
    server: Server, tmp_path: Path, trouble: Action, reason: str
) -> None:
    server.script["q1"] = [trouble]
    assert texts(connect(llm(server.url), tmp_path)(requests(2), "s")) == ["to q0", reason]
    assert Counter(server.questions) == {"q0": 1, "q1": 1}


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (status(401), "set TFT_TEST_KEY to a key"),
        (status(403), "set TFT_TEST_KEY to a key"),
        (status(404), "no model 'big-1' there"),
        (status(429), "lower requests_per_minute"),
        (status(429, retry_after="3600"), "come back after 3600"),
        (status(503), "Error code: 503"),
        (cut, "out of reach in 3 attempts"),
    ],
)
def test_what_concerns_all_requests_is_one_error_that_names_the_model(
    server: Server, tmp_path: Path, trouble: Action, message: str
) -> None:
    server.script["q5"] = [trouble] * 3
    with pytest.raises(InputError, match=message) as caught:
        connect(llm(server.url), tmp_path)(requests(30), "s")
    assert f"params.yaml: llm.models.big: {server.url}" in caught.value.message
    # What was answered meanwhile is not asked again.
    asked = Counter(server.questions)
    server.script.clear()
    connect(llm(server.url), tmp_path)(requests(30), "s")
    again = Counter(server.questions) - asked
    assert set(again) == {"q5"} | {f"q{number}" for number in range(30)} - set(asked)
    assert set(again.values()) == {1}


def test_an_endpoint_that_is_not_there_is_named(tmp_path: Path, server: Server) -> None:
    gone = Server()
    gone.server_close()
    with pytest.raises(InputError, match=rf"{gone.url} .*: out of reach in 2 attempts"):
        connect(llm(gone.url, attempts=2), tmp_path)(requests(2), "s")


def test_an_endpoint_that_refuses_everything_is_not_asked_everything(
    server: Server, tmp_path: Path
) -> None:
    server.default = status(400, "response_format is not supported")
    with pytest.raises(InputError, match=r"none answered: .*response_format is not supported"):
        connect(llm(server.url), tmp_path)(requests(100), "s")
    assert len(server.sent) <= 24


@pytest.mark.parametrize("value", [None, "", " \n", "sk-\u2026"])
def test_no_key_is_an_error_before_anything_is_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.setenv("TFT_TEST_KEY", value) if value else monkeypatch.delenv("TFT_TEST_KEY")
    with pytest.raises(InputError, match=r"llm\.models\.big: .*TFT_TEST_KEY holds no key"):
        connect(llm(server.url), tmp_path)(requests(2), "s")
    assert not server.sent


def test_a_server_without_key_is_not_sent_the_key_for_another(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    connect(llm(server.url, key_variable=None), tmp_path)([request("q")], "s")
    assert SECRET not in str(server.sent)


def test_an_unknown_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"llm\.models has no 'small'; it has: big"):
        connect(llm("http://127.0.0.1:9/v1"), tmp_path)([Request("small", ())], "s")


def test_a_finished_run_repeated_asks_nothing_and_reports_the_same(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    server.script["q1"] = [answer(""), answer("")]
    first = connect(llm(server.url), tmp_path)
    outcomes = first(requests(5), "s")
    cost = f"{server.completion_tokens}.0000"
    assert f"0 from the cache, 0 refused; cost {cost}, {cost} of it now" in capsys.readouterr().out
    asked = len(server.sent)
    monkeypatch.delenv("TFT_TEST_KEY")
    second = connect(llm(server.url), tmp_path)
    for _ in range(2):  # the same stage may ask the same twice; it is counted once
        assert second(requests(5), "s") == outcomes
    assert f"5 from the cache, 0 refused; cost {cost}, 0.0000 of it now" in capsys.readouterr().out
    assert len(server.sent) == asked
    assert json.dumps(second.metrics()) == json.dumps(first.metrics())


def test_the_budget_is_never_exceeded_and_a_larger_one_goes_on(
    server: Server, tmp_path: Path
) -> None:
    # Each answer may cost 10 and does: 3 fit into 35. 6 are left for a budget of 100.
    server.default = answer(completion_tokens=10)
    asked = requests(9, max_tokens=10)
    with pytest.raises(
        InputError, match=r"budget: 30\.0000 of 35\.0 is spent, .*; 6 of 9 are left"
    ):
        connect(llm(server.url, budget=35), tmp_path)(asked, "s")
    assert server.completion_tokens == 30
    with pytest.raises(InputError, match=r"30\.0000 of 39\.9 is spent"):  # reruns do not add up
        connect(llm(server.url, budget=39.9), tmp_path)(asked, "s")
    assert server.completion_tokens == 30
    chat = connect(llm(server.url, budget=100), tmp_path)
    assert texts(chat(asked, "s")) == [f"to q{number}" for number in range(9)]
    assert server.completion_tokens == chat.metrics()["s"]["big"]["cost"] == 90


def test_what_was_set_aside_and_not_spent_can_be_spent(server: Server, tmp_path: Path) -> None:
    # At most 1 in flight fits, and all 12 fit one after another.
    chat = connect(llm(server.url, budget=12 * COMPLETION_TOKENS + 7), tmp_path)
    assert len(chat(requests(12, max_tokens=10), "s")) == 12
    assert server.most_active <= 4


def test_attempts_in_vain_count_against_the_budget(server: Server, tmp_path: Path) -> None:
    server.default = answer("", completion_tokens=10)
    with pytest.raises(InputError, match=r"budget: 30\.0000 of 35\.0 is spent"):
        connect(llm(server.url, attempts=9, budget=35), tmp_path)(requests(1, max_tokens=10), "s")
    assert server.completion_tokens == 30


def test_a_budget_needs_prices(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a price"):
        connect(llm(server.url, budget=1, price=None), tmp_path)(requests(1), "s")
    assert not server.sent


def test_without_a_price_tokens_are_counted_and_the_cost_is_null(
    server: Server, tmp_path: Path
) -> None:
    chat = connect(llm(server.url, price=None), tmp_path)
    chat(requests(2), "s")
    row = chat.metrics()["s"]["big"]
    assert (row["cost"], row["prompt_tokens"]) == (None, 2 * PROMPT_TOKENS)


def test_a_server_that_does_not_count_is_taken_to_have_used_all(
    server: Server, tmp_path: Path
) -> None:
    server.default = answer(usage=False)
    [reply] = connect(llm(server.url), tmp_path)([request("q", max_tokens=50)], "s")
    assert (reply.prompt_tokens, reply.completion_tokens) == (prompt_bound(request("q")), 50)


def test_two_models_are_asked_each_at_its_own_address(server: Server, tmp_path: Path) -> None:
    with Server() as other:
        params = llm(server.url)
        two = params.models["big"].model_copy(update={"base_url": other.url, "model": "other-1"})
        params = params.model_copy(update={"models": params.models | {"other": two}})
        messages = ({"role": "user", "content": "q"},)
        chat = connect(params, tmp_path)
        chat([Request("big", messages), Request("other", messages)], "s")
        assert [sent["model"] for sent in server.sent + other.sent] == ["big-1", "other-1"]
        assert list(chat.metrics()["s"]) == ["big", "other"]
        # One wrong address stops the whole call: what is in flight comes in, no more is sent.
        refused = threading.Event()

        def refuse(handler: Any) -> None:
            status(401)(handler)
            refused.set()

        def slow(handler: Any) -> None:
            refused.wait()
            time.sleep(0.5)  # until the client has read it
            answer()(handler)

        other.default, server.default = refuse, slow
        with pytest.raises(InputError, match=r"llm\.models\.other"):
            chat([*requests(9), Request("other", messages, seed=1)], "s")
        assert len(server.sent) == 1 + 4
        assert chat.metrics()["s"]["big"]["requests"] == 1 + 4


RUN = """
import signal
import sys
from pathlib import Path
from test_llm import connect, llm, requests
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs begin by ignoring it
connect(llm(sys.argv[1]), Path(sys.argv[2]))(requests(20), "s")
"""


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_asks_again_only_for_what_was_in_flight(
    server: Server, tmp_path: Path, signal_number: int
) -> None:
    stuck = threading.Event()
    answered, hanging = Counter[str](), Counter[str]()

    def first_ten(handler: Any) -> None:
        with server.lock:
            full = len(answered) == 10
            (hanging if full else answered)[handler.question] += 1
            # With 4 at once, all other answers are stored when a 4th request hangs. Requests that
            # are under way do not tell: one may be answered and not yet over.
            if hanging.total() == 4:
                stuck.set()
        (hang if full else answer())(handler)

    server.default = first_ten
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", RUN, server.url, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        assert stuck.wait(60)
        process.send_signal(signal_number)
        process.communicate()
    assert process.returncode
    assert len(server.sent) == 14
    server.default = answer()
    assert len(connect(llm(server.url), tmp_path)(requests(20), "s")) == 20
    assert Counter(server.questions[14:]) == Counter(
        f"q{number}" for number in range(20) if f"q{number}" not in answered
    )


def test_the_key_is_nowhere_but_in_the_header(
    server: Server,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f"you sent Bearer {SECRET}"
    server.script["q0"] = [status(400, echo)]
    server.script["q1"] = [answer(f"{{{SECRET}")] * 3
    server.script["q2"] = [cut]
    server.script["q3"] = [body(echo.encode())] * 3
    outcomes = connect(llm(server.url), tmp_path)(requests(5, schema=SCHEMA), "s")
    told = repr(outcomes)
    for trouble in (status(401, echo), status(503, echo), cut):
        server.default = trouble
        with pytest.raises(InputError) as caught:
            connect(llm(server.url, attempts=1), tmp_path)([request("new")], "s")
        told += str(caught.getrepr(showlocals=False, style="native"))
    output, errors = capfd.readouterr()
    assert SECRET not in told + output + errors + caplog.text
    assert "***" in told
    for path in tmp_path.rglob("*"):
        assert SECRET.encode() not in path.read_bytes()


def test_a_cache_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_text("this is no database, but long enough to be one" * 30)
    with pytest.raises(InputError, match=r"answers\.sqlite: .*TFT_CACHE"):
        connect(llm("http://127.0.0.1:9/v1"), tmp_path)(requests(1), "s")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="TFT_CACHE"):
        connect(llm("http://127.0.0.1:9/v1"), tmp_path / "file" / "folder")(requests(1), "s")


# --- in this process ----------------------------------------------------------------------------


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
def test_an_engine_is_asked_batch_by_batch_and_again_for_what_does_not_fit() -> None:
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


def folder_of(path: Path, weights: bytes = b"w") -> str:
    path.mkdir(exist_ok=True)
    (path / "model.safetensors").write_bytes(weights)
    return str(path)


def in_process(folder: str, **changes: Any) -> ModelConfig:
    place = {"backend": "vllm", "model": folder, "requests_at_once": 9} | changes
    return ModelConfig.model_validate(place)


def test_one_engine_runs_at_a_time_whoever_asks(engines: list[str], tmp_path: Path) -> None:
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
def test_a_real_engine_answers_by_schema_and_is_asked_once(tmp_path: Path) -> None:
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


# --- the cache's key ---------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
asked = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["user", "system"]), "content": st.text(max_size=5)}
            ),
            max_size=3,
        ).map(tuple),
        "schema": st.none() | st.dictionaries(st.text(max_size=3), json_values, max_size=3),
        "temperature": st.sampled_from([0, 0.0, 1, 1.0, 0.7]),
        "max_tokens": st.integers(1, 9),
        "seed": st.none() | st.integers(0, 9),
    }
)  # fmt: skip
where = st.fixed_dictionaries(
    {
        "backend": st.just("openai"),
        "model": st.sampled_from(["a", "b"]),
        "base_url": st.sampled_from(["http://a/v1", "http://b/v1", "http://b/v1/"]),
        "options": st.dictionaries(st.text(max_size=3), json_values, max_size=2),
        "requests_at_once": st.integers(1, 3),
    }
)


def _told(request: dict[str, Any], model: dict[str, Any]) -> str:
    """What can change an answer, spelt in another way than the key spells it."""
    pairs = json.dumps(request["schema"])  # with its order
    rest = {name: request[name] for name in ("messages", "max_tokens", "seed")}
    place = [model["model"], model["base_url"].rstrip("/"), model["options"]]
    return repr([json.dumps([rest, place], sort_keys=True), pairs, float(request["temperature"])])


@given(asked, where, asked, where)
def test_keys_are_equal_exactly_where_all_that_can_change_an_answer_is(
    one: dict[str, Any], here: dict[str, Any], two: dict[str, Any], there: dict[str, Any]
) -> None:
    pairs = [(one, here), (two, there), (one, there)]
    for field in one:
        pairs.append((one | {field: two[field]}, here))
    keys = [
        cache_key(Request("name", **request), ModelConfig.model_validate(model))
        for request, model in pairs
    ]
    for (request, model), key in zip(pairs, keys, strict=True):
        assert (key == keys[0]) == (_told(request, model) == _told(one, here))


def test_the_order_of_a_schema_is_part_of_the_key_and_that_of_a_message_is_not() -> None:
    model = llm("http://a/v1").models["big"]
    there = {"a": {}, "b": {}}, {"role": "user", "content": "q"}
    here = {"b": {}, "a": {}}, {"content": "q", "role": "user"}

    def key(schema: dict[str, Any], message: dict[str, str]) -> str:
        return cache_key(Request("big", (message,), {"properties": schema}), model)

    assert key(*there) == key(there[0], here[1])
    assert key(*there) != key(here[0], there[1])


def test_null_means_the_clients_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(url: str | None) -> str:
        return cache_key(request("q"), llm("http://a/v1", base_url=url).models["big"])

    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert key(None) == key("https://api.openai.com/v1")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://b/v1")
    assert key(None) == key("http://b/v1")


def test_what_was_paid_for_keeps_its_key() -> None:
    """As of the first release; another key here means that all answers are bought again."""
    key = cache_key(request("q", schema=SCHEMA, seed=1), llm("http://a/v1").models["big"])
    assert key == "c6f86930fa58cdc36e6fb546b89255d8f449abc200bf9dc1e396273e1e127be5"


def test_in_this_process_the_key_is_of_the_weights_wherever_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(folder: str) -> str:
        return cache_key(request("q"), in_process(folder))

    first = key(folder_of(tmp_path / "base"))
    assert key(folder_of(tmp_path / "copy")) == first
    (tmp_path / "base" / "README.md").write_text("A card.")
    folder_of(tmp_path / "base", b"others")
    assert key(str(tmp_path / "base")) == first  # read once in a process
    fingerprint.cache_clear()
    assert key(str(tmp_path / "base")) != first
    folder_of(tmp_path / "base")
    fingerprint.cache_clear()
    assert key(str(tmp_path / "base")) == first
    (tmp_path / "copy" / "chat_template.jinja").write_text("{{ messages }}")
    fingerprint.cache_clear()
    assert key(str(tmp_path / "copy")) != first
    monkeypatch.setattr("tft.llm.cache.vllm_version", lambda: "vllm 0.99")
    assert key(str(tmp_path / "base")) != first


COMMIT = "0123456789abcdef0123456789abcdef01234567"
OF_THE_HUB = """
import sys
from tft.llm.engine import fingerprint
print(fingerprint("some/model"), *{"torch", "transformers", "vllm"} & set(sys.modules))
"""


def test_a_model_of_the_hub_is_known_by_its_commit_without_slow_imports(tmp_path: Path) -> None:
    stored = tmp_path / "models--some--model"
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text(COMMIT)
    (stored / "snapshots" / COMMIT).mkdir(parents=True)
    (stored / "snapshots" / COMMIT / "config.json").write_text("{}")
    environment = {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", OF_THE_HUB]
    told = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, check=True)
    assert told.stdout.decode().split() == [COMMIT]


def test_a_model_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"llm\.models: '.*/gone' is no folder"):
        cache_key(request("q"), in_process(str(tmp_path / "gone")))


@pytest.mark.parametrize("content", ["{}", '{"good": true, "more": [1, null]}', "[" * 100_000])
def test_an_answer_fits_its_schema_or_says_why_not(content: str) -> None:
    assert flaw(content, None, cut_off=False) is None
    expected = {"{": "against its schema", "[": "not JSON"}[content[0]]
    fits = "good" in content
    assert flaw(content, SCHEMA, cut_off=False) == (None if fits else expected)
