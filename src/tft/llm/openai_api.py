"""Any OpenAI-compatible endpoint: concurrent requests at a bounded rate, with retries.

The official client retries after status 408, 409, 429, and 5xx, time-outs, and broken connections.
It waits as `Retry-After` says (seconds or a date, if at most two minutes) or with a growing delay.
This module adds what it leaves out: the rate, a deadline for a body that trickles in, and retries
after bodies that are no completion and answers that are empty, cut off, or against their schema.
`attempts` counts all of these.
"""

import asyncio
import os
from collections import deque
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import openai
from aiolimiter import AsyncLimiter
from pydantic import BaseModel, Field, ValidationError

from tft.core.errors import InputError
from tft.llm.cache import OPENAI, address
from tft.llm.chat import OVER_BUDGET, Outcome, Refusal, Reply, Request, Settle, flaw
from tft.llm.config import LlmConfig
from tft.llm.ledger import Ledger, prompt_bound


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class _Completion(BaseModel):
    """The part of a chat completion that is read; the client's own type validates nothing."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def ask_openai(
    requests: Mapping[str, Mapping[str, Request]], llm: LlmConfig, ledger: Ledger, settle: Settle
) -> None:
    """Send requests, given by model and key, and settle each as soon as its outcome is known.

    Returns early, leaving requests unsettled, if further requests could exceed the budget.

    Raises:
        InputError: a problem concerns all requests of a model. Requests in flight are settled
            first.
    """
    endpoints = {name: _Endpoint(name, llm, ledger) for name in requests}
    asyncio.run(_ask_all(endpoints, requests, settle))


async def _ask_all(
    endpoints: "Mapping[str, _Endpoint]",
    requests: Mapping[str, Mapping[str, Request]],
    settle: Settle,
) -> None:
    queues = {name: deque(waiting.items()) for name, waiting in requests.items()}

    async def work(name: str, client: openai.AsyncOpenAI) -> None:
        queue, endpoint = queues[name], endpoints[name]
        try:
            # If the budget does not allow one more request in flight, this worker ends. The others
            # continue if their answers cost less than was reserved.
            while queue and endpoint.ledger.hold(*queue[0]):
                key, request = queue.popleft()
                settle(key, await endpoint.ask(client, key, request))
        except BaseException:
            # Send no more, but wait for requests in flight, which may already be paid for.
            for waiting in queues.values():
                waiting.clear()
            raise

    async with AsyncExitStack() as stack:
        workers = []
        for name, endpoint in endpoints.items():
            client = await stack.enter_async_context(endpoint.client())
            workers += [work(name, client) for _ in range(endpoint.model.requests_at_once)]
        for result in await asyncio.gather(*workers, return_exceptions=True):
            if result is not None:
                raise result


class _Endpoint:
    """One model of params.yaml and its address."""

    def __init__(self, name: str, llm: LlmConfig, ledger: Ledger) -> None:
        self.name, self.llm, self.ledger = name, llm, ledger
        self.model = llm.models[name]
        self.address = str(address(self.model))
        # Not None: then the client would send OPENAI_API_KEY to wherever base_url points.
        self._key = "no-key"
        if llm.budget is not None and self.model.price is None:
            raise self._error(f"llm.budget is {llm.budget}, so it needs a price; 0 if it is free")
        if variable := self.model.key_variable:
            self._key = os.environ.get(variable, "").strip()
            if not (self._key.isascii() and self._key.isprintable() and self._key):
                raise self._error(
                    f"the environment variable {variable} holds no key; set it, or "
                    f"llm.models.{name}.key_variable to null if none is needed"
                )

    def client(self) -> openai.AsyncOpenAI:
        """A client that keeps to the rate, including its own retries, and to the deadline."""
        seconds, rate = self.llm.timeout_seconds, self.model.requests_per_minute
        # Evenly spaced, because a bucket of a minute's requests would be spent in one burst.
        limiter = AsyncLimiter(1, 60 / rate) if rate else None

        async def keep_to_rate(_: httpx2.Request) -> None:
            if limiter:
                await limiter.acquire()

        async def read_in_time(response: httpx2.Response) -> None:
            # The client's time-out applies to each read, so servers that send blanks to keep the
            # connection open would never reach it.
            try:
                async with asyncio.timeout(seconds):
                    await response.aread()
            except TimeoutError:
                raise httpx2.ReadTimeout("body too slow", request=response.request) from None

        hooks: dict[str, list[Any]] = {"request": [keep_to_rate], "response": [read_in_time]}
        http = openai.DefaultAsyncHttpxClient(event_hooks=hooks)
        return openai.AsyncOpenAI(
            api_key=self._key, base_url=self.address, timeout=seconds, http_client=http
        )

    async def ask(self, client: openai.AsyncOpenAI, key: str, request: Request) -> Outcome:
        """An answer that fits its schema, or why there is none.

        Raises:
            InputError: the reason concerns all requests.
        """
        prompt_tokens = completion_tokens = sent = 0
        while True:
            patient = client.with_options(max_retries=self.llm.attempts - sent - 1)
            body = self._body(request, sent)
            try:
                raw = await patient.chat.completions.with_raw_response.create(**body)
            except openai.APIError as error:
                reason = self._reason(error)
                return Refusal(
                    reason, self._without_key(error.message), prompt_tokens, completion_tokens
                )
            sent += 1 + raw.retries_taken
            problem: str | None
            try:
                completion = _Completion.model_validate_json(raw.text)
            except ValidationError:
                problem, answer = "no chat completion", raw.text
            else:
                choice, usage = completion.choices[0], completion.usage
                # If a server does not count tokens, assume the upper bounds.
                prompt_tokens += usage.prompt_tokens if usage else prompt_bound(request)
                completion_tokens += usage.completion_tokens if usage else request.max_tokens
                answer = choice.message.refusal or choice.message.content or ""
                if choice.message.refusal or choice.finish_reason == "content_filter":
                    problem, sent = "content filter", self.llm.attempts
                else:
                    cut_off = choice.finish_reason == "length"
                    problem = flaw(choice.message.content, request.schema, cut_off=cut_off)
            if problem is None:
                return Reply(answer, prompt_tokens, completion_tokens)
            if sent >= self.llm.attempts:
                return Refusal(problem, self._without_key(answer), prompt_tokens, completion_tokens)
            if not self.ledger.hold(key, request, prompt_tokens, completion_tokens):
                return Refusal(OVER_BUDGET, "", prompt_tokens, completion_tokens)

    def _body(self, request: Request, attempt: int) -> dict[str, Any]:
        # OpenAI's newer models refuse max_tokens; other servers may not know its successor.
        bound = "max_completion_tokens" if self.address == OPENAI else "max_tokens"
        body: dict[str, Any] = {
            "model": self.model.model,
            "messages": list(request.messages),
            "temperature": request.temperature,
            bound: request.max_tokens,
            "extra_body": self.model.options,
        }
        if request.seed is not None:
            body["seed"] = request.seed_of(attempt)
        if request.schema is not None:
            # Not strict, which OpenAI supports only for a subset of JSON Schema; `flaw` checks.
            schema = {"name": "answer", "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _reason(self, error: openai.APIError) -> str:
        """Why one request has no answer. Raises InputError if the reason concerns all requests."""
        attempts = self.llm.attempts
        if isinstance(error, openai.APITimeoutError):
            problem = f"no answer within {self.llm.timeout_seconds} s in {attempts} attempts"
            fix = "raise llm.timeout_seconds, or try later"
        elif not isinstance(error, openai.APIStatusError):
            cause = self._without_key(str(error.__cause__))
            problem = f"out of reach in {attempts} attempts ({cause})"
            fix = "fix base_url or the network"
        else:
            problem = f"says {self._without_key(error.message)!r}"  # which begins with the status
            match error.status_code:
                case 400 | 413 | 422:
                    return "content filter" if error.code == "content_filter" else "bad request"
                case 500:
                    return "server error"  # which may concern this request only
                case 401 | 403:
                    variable = self.model.key_variable or "the variable that key_variable names"
                    fix = f"set {variable} to a key that is valid there"
                case 404:
                    fix = f"no model {self.model.model!r} there? Fix model or base_url"
                case _ if wait := error.response.headers.get("retry-after"):
                    fix = f"it says to come back after {wait} (seconds, or a date)"
                case 429:
                    fix = "lower requests_per_minute or requests_at_once, or raise llm.attempts"
                case _:
                    fix = "try later"
        raise self._error(
            f"{problem}; {fix}. Answers so far are kept, and the next run resumes from there"
        ) from None

    def _error(self, problem: str) -> InputError:
        key = self.model.key_variable or "none"
        return InputError(
            f"params.yaml: llm.models.{self.name}: {self.address} (key: {key}): {problem}"
        )

    def _without_key(self, text: str) -> str:
        """The text without the key, which servers may quote, cut to 500 characters."""
        return text.replace(self._key, "***")[:500]
