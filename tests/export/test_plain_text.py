"""Agents that answer in plain text: text outside, calls of the tool that talks inside."""

import copy
import importlib.util
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from fixtures import logs
from fixtures.strategies import calls, texts
from fixtures.students import BASE, needs_base, taken_away, template
from fixtures.vllm_server import DEADLINE, serve
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from tft.cli.serve import server_command
from tft.core.conversation import (
    Conversation,
    Message,
    Tool,
    ToolCall,
    assistant,
    render_call,
    to_openai,
    user,
)
from tft.core.task import RESPOND, Task
from tft.predict.parse import parse
from tft.student.encode import encode_prompt
from tft.student.template import END_OF_TURN, load_tokenizer
from tft.traces.talk import TALK, with_talk, without_talk

WEATHER = Tool(
    "GetWeather", "Get the weather of a city",
    {"type": "object", "properties": {"city": {"type": "string", "description": "The city"}},
     "required": ["city"]},
)  # fmt: skip
OWN = Task("You are the assistant of this service: weather.", (WEATHER,), "good or bad")
"""As the agent's owner gave it: no tool that talks."""
TALK_OF_BERLIN = Conversation(
    "talk", "s",
    (user("Hi."), assistant(RESPOND, {"message": "Which city do you want me to look in?"}),
     user("What is the weather in Berlin?"), assistant("GetWeather", {"city": "Berlin"}),
     user('[{"temperature": "20"}]'), assistant(RESPOND, {"message": "Ähm, 20 degrees."})),
)  # fmt: skip

needs_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"
)


def test_the_tool_for_plain_text_can_be_added_and_removed() -> None:
    assert with_talk(OWN).tools == (WEATHER, TALK)
    assert without_talk(with_talk(OWN)) == OWN
    own_tool = Tool(RESPOND, "Talk.", {"type": "object", "properties": {"text": {}}})
    declared = replace(OWN, tools=(own_tool, WEATHER))
    assert without_talk(with_talk(declared)) == declared


def as_logged(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """OpenAI messages in which what the agent says is content."""
    return [
        {"role": "assistant", "content": message.tool_call.arguments["message"]}
        if message.tool_call is not None and message.tool_call.name == RESPOND
        else sent
        for message, sent in zip(messages, to_openai(messages), strict=True)
    ]


# --- what is sent to the student ---------------------------------------------------------------
@pytest.fixture(scope="module", params=["unified", "stock", "qwen3"])
def tokenizers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase]:
    """(as trained with, as packaged); `qwen3`: with the template that Qwen3 ships."""
    if not (BASE / "model.safetensors").exists():
        pytest.skip("no model in models/base; `make pretrain` makes it")
    folder = tmp_path_factory.mktemp(request.param) / "own-tft"
    trained = taken_away(folder, template(request.param), TALK)
    return trained, AutoTokenizer.from_pretrained(folder / "merged")


@given(logs.dialogues)
def test_plain_text_is_rendered_like_the_calls_in_training(
    tokenizers: tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase],
    messages: tuple[Message, ...],
) -> None:
    trained, shipped = tokenizers
    one = Conversation("x", "s", messages)
    for turn, _ in one.turns():
        rendered = shipped.apply_chat_template(
            [{"role": "system", "content": OWN.description}, *as_logged(messages[:turn])],
            tools=OWN.tools_openai(),
            add_generation_prompt=True,
            return_dict=True,
        )
        assert rendered["input_ids"] == encode_prompt(trained, with_talk(OWN), one, turn)


def test_a_client_that_declares_the_tool_itself_is_rendered_unchanged(
    tokenizers: tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase],
) -> None:
    trained, shipped = tokenizers
    text = [
        tokenizer.apply_chat_template(
            to_openai(TALK_OF_BERLIN.messages), tools=with_talk(OWN).tools_openai(), tokenize=False
        )
        for tokenizer in (trained, shipped)
    ]
    assert text[0] == text[1]


# --- what the student answers ------------------------------------------------------------------
@needs_vllm
@given(texts, st.booleans())
def test_streamed_text_only_grows(message: str, escaped: bool) -> None:
    from tft.export.plain_text_parser import OPEN, said

    answer = render_call(ToolCall(RESPOND, {"message": message}))
    if escaped:  # \u and what JSON may escape besides
        answer = f"{OPEN}\n{json.dumps({'name': RESPOND, 'arguments': {'message': message}})}"
    parts = [said(answer[:end]) for end in range(len(answer) + 1)]
    assert parts[-1] == message
    assert all(
        later is not None and earlier is not None and later.startswith(earlier)
        for earlier, later in itertools.pairwise(parts)
    )


@needs_vllm
@given(calls)
def test_service_calls_stream_no_text(call: ToolCall) -> None:
    from tft.export.plain_text_parser import said

    answer = render_call(call)
    if call.name != RESPOND:
        assert said(answer) is None
        assert {said(answer[:end]) for end in range(len(answer))} <= {None, ""}


SAY = render_call(ToolCall(RESPOND, {"message": "Rome </tool_call>?"}))
GET = render_call(ToolCall("GetWeather", {"city": "Rome"}))


@needs_vllm
@needs_base
@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("answer", "content", "called"),
    [
        (SAY, "Rome </tool_call>?", []),
        (f" {SAY}\n", "Rome </tool_call>?", []),
        (SAY[: SAY.index("call>?")], "Rome </tool_", []),  # no token was left for the rest
        (f"{SAY}\n{GET}", f"Rome </tool_call>?{GET}", []),
        (GET, None, ["GetWeather"]),
        (f"{GET}\n{GET}", None, ["GetWeather", "GetWeather"]),
        (render_call(ToolCall("respond", {"message": "x"})), None, ["respond"]),
        (render_call(ToolCall(RESPOND, {"text": "x"})), None, [RESPOND]),
        (render_call(ToolCall(RESPOND, {"message": 3})), None, [RESPOND]),
        ("Rome?", "Rome?", []),
    ],
)
def test_a_streamed_reply_equals_the_whole_reply(
    answer: str, content: str | None, called: list[str], size: int
) -> None:
    assert replied(answer) == (content, called)
    assert streamed(answer, size) == (content, called)


def replied(answer: str) -> tuple[str | None, list[str]]:
    """(content, names of the functions called) in one piece."""
    parser, request = asked()
    reply = parser.extract_tool_calls(answer, request)
    return reply.content, [call.function.name for call in reply.tool_calls]


def streamed(answer: str, size: int) -> tuple[str | None, list[str]]:
    """The same from a stream, `size` characters at a time."""
    parser, request = asked()
    said, names = "", []
    for start in range(0, len(answer), size):
        now = answer[: start + size]
        delta = parser.extract_tool_calls_streaming(
            answer[:start], now, now[start:], [], [], [], request
        )
        if delta is not None:
            said += delta.content or ""
            names += [call.function.name for call in delta.tool_calls if call.function.name]
    return said or None, names


def asked() -> tuple[Any, Any]:
    """A parser for the reply to a request with the owner's tools, and the request."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    from tft.export.plain_text_parser import PlainTextParser

    request = ChatCompletionRequest(
        model="m", messages=[{"role": "user", "content": "Hi."}], tools=OWN.tools_openai()
    )
    return PlainTextParser(load_tokenizer(str(BASE), "unified"), request.tools), request


@needs_vllm
@needs_base
def test_an_unfinished_stream_is_text_without_a_call() -> None:
    answer = SAY.replace("}}", ', "", ""}}')
    assert streamed(answer, 1) == ("Rome </tool_call>?", [])


# --- a server ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An OpenAI client of a packaged student that answers in plain text, started as `make serve`.

    Its adapter changes nothing: the base knows how to look up the weather.
    """
    from openai import OpenAI

    folder = tmp_path_factory.mktemp("students") / "own-tft"
    taken_away(folder, None, TALK)
    command = server_command(folder, "", 0)
    options = command[command.index("--model") : command.index("--host")]
    # Without the prefix cache, equal prompts are computed equally, to the last bit.
    options += "--dtype bfloat16 --max-model-len 4096 --no-enable-prefix-caching".split()
    options += ["--trust-request-chat-template"]  # to ask with those of other students
    with serve(tmp_path_factory.mktemp("server") / "log", [*options, "--enforce-eager"]) as url:
        yield OpenAI(base_url=url, api_key="none", timeout=DEADLINE)


def ask(client: Any, messages: Sequence[Message], task: Task = OWN, **more: Any) -> Any:
    sent = copy.deepcopy(as_logged(messages))
    for message in sent:
        for call in message.get("tool_calls", []):
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    return client.chat.completions.create(
        model="own-tft", messages=[{"role": "system", "content": task.description}, *sent],
        tools=task.tools_openai(), temperature=0, max_tokens=100, **more,
    )  # fmt: skip


@pytest.mark.vllm
@needs_vllm
@needs_base
def test_a_served_student_reads_and_writes_plain_text(client: Any) -> None:
    tokenizer = load_tokenizer(str(BASE), "unified")
    answered = set()
    for turn, _ in TALK_OF_BERLIN.turns():
        messages = TALK_OF_BERLIN.messages[:turn]
        reply = ask(client, messages, extra_body={"return_token_ids": True})
        assert reply.prompt_token_ids == encode_prompt(
            tokenizer, with_talk(OWN), TALK_OF_BERLIN, turn
        )
        (choice,) = reply.choices
        answer = parse(tokenizer.decode(choice.token_ids).removesuffix(END_OF_TURN))
        assert isinstance(answer, ToolCall)
        answered.add(answer.name)
        called = [call.function.name for call in choice.message.tool_calls or []]
        if answer.name == RESPOND:
            assert choice.message.content == answer.arguments["message"]
            assert (choice.finish_reason, called) == ("stop", [])
        else:
            assert choice.message.content is None
            assert (choice.finish_reason, called) == ("tool_calls", [answer.name])

        chunks = [chunk.choices[0] for chunk in ask(client, messages, stream=True)]
        said = [chunk.delta.content for chunk in chunks if chunk.delta.content]
        assert ("".join(said) or None) == choice.message.content
        assert len(said) == 0 or len(said) > 3, "bit by bit"
        assert chunks[-1].finish_reason == choice.finish_reason
    assert answered == {RESPOND, "GetWeather"}


@pytest.mark.vllm
@needs_vllm
@needs_base
def test_a_client_that_declares_the_tool_gets_calls(client: Any) -> None:
    messages = TALK_OF_BERLIN.messages[:1]
    text = ask(client, messages).choices[0].message.content
    reply = ask(client, messages, with_talk(OWN), extra_body={"return_token_ids": True})
    tokenizer = load_tokenizer(str(BASE), "unified")
    assert reply.prompt_token_ids == encode_prompt(tokenizer, with_talk(OWN), TALK_OF_BERLIN, 1)
    assert reply.choices[0].message.content is None
    (call,) = reply.choices[0].message.tool_calls
    assert call.function.name == RESPOND
    assert json.loads(call.function.arguments) == {"message": text}


@pytest.mark.vllm
@needs_vllm
@needs_base
def test_the_server_renders_a_student_s_own_template_as_trained(
    client: Any, tokenizers: tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase]
) -> None:
    trained, shipped = tokenizers
    asked = {"return_token_ids": True, "chat_template": shipped.chat_template}
    for turn, _ in TALK_OF_BERLIN.turns():
        reply = ask(client, TALK_OF_BERLIN.messages[:turn], extra_body=asked)
        expected = encode_prompt(trained, with_talk(OWN), TALK_OF_BERLIN, turn)
        assert reply.prompt_token_ids == expected
