import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiolimiter import AsyncLimiter
from fixtures.endpoint import SCHEMA, SECRET, llm, request, requests, texts
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

from tft.core.errors import InputError
from tft.llm import connect
from tft.llm.chat import Request, flaw
from tft.llm.ledger import prompt_bound


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("TFT_TEST_KEY", SECRET)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        yield server


def test_answers_keep_the_order_of_requests_with_few_requests_at_once(
    server: Server, tmp_path: Path
) -> None:
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


def test_samples_of_a_request_differ_by_seed(server: Server, tmp_path: Path) -> None:
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
def test_recoverable_errors_are_retried(server: Server, tmp_path: Path, trouble: str) -> None:
    server.default = answer('{"good": true}')
    server.script["q1"] = list(RECOVERABLE[trouble])
    chat = connect(llm(server.url), tmp_path)
    assert texts(chat(requests(3, schema=SCHEMA), "s")) == ['{"good": true}'] * 3
    assert Counter(server.questions) == {"q0": 1, "q1": 1 + len(RECOVERABLE[trouble]), "q2": 1}
    row = chat.metrics()["s"]["big"]
    assert row["prompt_tokens"] == server.prompt_tokens
    assert row["completion_tokens"] == server.completion_tokens
    assert server.sent[0]["response_format"]["json_schema"]["schema"] == SCHEMA


def test_the_client_waits_as_long_as_retry_after_says(server: Server, tmp_path: Path) -> None:
    server.script["q"] = [status(429, retry_after="1")]
    connect(llm(server.url), tmp_path)([request("q")], "s")
    first, second = server.times
    assert second - first >= 1


def test_retries_count_toward_the_rate_limit(
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
def test_a_request_is_repeated_after_a_timeout(
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
def test_a_request_without_a_valid_answer_is_refused_and_repeated_by_the_next_run(
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


def test_http_errors_and_invalid_answers_both_count_as_attempts(
    server: Server, tmp_path: Path
) -> None:
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
def test_permanent_errors_are_not_retried(
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
def test_an_error_of_all_requests_is_raised_once_and_names_the_model(
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


def test_an_error_names_the_endpoint_that_cannot_be_reached(tmp_path: Path, server: Server) -> None:
    gone = Server()
    gone.server_close()
    with pytest.raises(InputError, match=rf"{gone.url} .*: out of reach in 2 attempts"):
        connect(llm(gone.url, attempts=2), tmp_path)(requests(2), "s")


def test_an_endpoint_that_refuses_every_request_is_soon_given_up(
    server: Server, tmp_path: Path
) -> None:
    server.default = status(400, "response_format is not supported")
    with pytest.raises(InputError, match=r"none answered: .*response_format is not supported"):
        connect(llm(server.url), tmp_path)(requests(100), "s")
    assert len(server.sent) <= 24


@pytest.mark.parametrize("value", [None, "", " \n", "sk-\u2026"])
def test_a_missing_api_key_is_an_error_before_any_request(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.setenv("TFT_TEST_KEY", value) if value else monkeypatch.delenv("TFT_TEST_KEY")
    with pytest.raises(InputError, match=r"llm\.models\.big: .*TFT_TEST_KEY holds no key"):
        connect(llm(server.url), tmp_path)(requests(2), "s")
    assert not server.sent


def test_no_api_key_is_sent_to_a_server_that_needs_none(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    connect(llm(server.url, key_variable=None), tmp_path)([request("q")], "s")
    assert SECRET not in str(server.sent)


def test_an_error_names_the_unknown_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"llm\.models has no 'small'; it has: big"):
        connect(llm("http://127.0.0.1:9/v1"), tmp_path)([Request("small", ())], "s")


def test_a_repeated_run_sends_no_request_and_reports_the_same(
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


def test_a_run_stops_within_its_budget_and_resumes_with_a_larger_one(
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


def test_reserved_but_unspent_budget_is_released(server: Server, tmp_path: Path) -> None:
    # At most 1 in flight fits, and all 12 fit one after another.
    chat = connect(llm(server.url, budget=12 * COMPLETION_TOKENS + 7), tmp_path)
    assert len(chat(requests(12, max_tokens=10), "s")) == 12
    assert server.most_active <= 4


def test_failed_attempts_count_against_the_budget(server: Server, tmp_path: Path) -> None:
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


def test_a_reply_without_usage_counts_as_max_tokens(server: Server, tmp_path: Path) -> None:
    server.default = answer(usage=False)
    [reply] = connect(llm(server.url), tmp_path)([request("q", max_tokens=50)], "s")
    assert (reply.prompt_tokens, reply.completion_tokens) == (prompt_bound(request("q")), 50)


def test_each_model_is_asked_at_its_own_address(server: Server, tmp_path: Path) -> None:
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
from fixtures.endpoint import llm, requests
from tft.llm import connect
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs begin by ignoring it
connect(llm(sys.argv[1]), Path(sys.argv[2]))(requests(20), "s")
"""


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_repeats_only_the_requests_in_flight(
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


def test_the_api_key_appears_only_in_the_request_header(
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


def test_an_error_names_the_cache_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_text("this is no database, but long enough to be one" * 30)
    with pytest.raises(InputError, match=r"answers\.sqlite: .*TFT_CACHE"):
        connect(llm("http://127.0.0.1:9/v1"), tmp_path)(requests(1), "s")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="TFT_CACHE"):
        connect(llm("http://127.0.0.1:9/v1"), tmp_path / "file" / "folder")(requests(1), "s")


@pytest.mark.parametrize("content", ["{}", '{"good": true, "more": [1, null]}', "[" * 100_000])
def test_the_flaw_of_an_answer_says_why_it_does_not_fit_its_schema(content: str) -> None:
    assert flaw(content, None, cut_off=False) is None
    expected = {"{": "against its schema", "[": "not JSON"}[content[0]]
    fits = "good" in content
    assert flaw(content, SCHEMA, cut_off=False) == (None if fits else expected)
