"""The contract on real data: the token ids trained on are the ids served, turn by turn."""

import json
from collections.abc import Sequence

import pytest
from fixtures.boats import trained_on
from fixtures.repository import ROOT, qwen3_template
from transformers import PreTrainedTokenizerBase

from tft.core.conversation import Conversation, render_call, to_openai
from tft.core.task import Task
from tft.corpus.config import SgdConfig
from tft.corpus.published import split_published
from tft.corpus.sgd import split_sgd
from tft.predict.students import prompts
from tft.student.encode import encode, encode_prompt
from tft.student.template import END_OF_TURN, load_tokenizer

Corpus = tuple[list[Conversation], Task]

MAX_LENGTH = 8192
BASE = ROOT / "models" / "base"


@pytest.fixture(scope="module", params=["unified", "stock"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    """The shipped tokenizer; `stock`: with the template that Qwen3 ships."""
    if not (BASE / "tokenizer.json").exists():
        pytest.skip("no tokenizer in models/base; git has it")
    tokenizer = load_tokenizer(str(BASE), "unified")
    if request.param == "stock":
        tokenizer.chat_template = qwen3_template()
    return tokenizer


@pytest.fixture(scope="module")
def traces(sgd: Corpus, sgd_params: SgdConfig) -> tuple[list[Conversation], Task]:
    """S1: every trace of the agent that may be trained on."""
    conversations, task = sgd
    train, _ = split_sgd(conversations, sgd_params)
    return [one for one in train if one.source == sgd_params.service], task


def check(
    tokenizer: PreTrainedTokenizerBase, task: Task, conversations: Sequence[Conversation]
) -> int:
    """Compare every turn; returns their number."""
    turns = 0
    for one in conversations:
        trained = trained_on(encode(tokenizer, task, one, MAX_LENGTH))
        for (turn, call), (prompt, answer) in zip(one.turns(), trained, strict=True):
            said = render_call(call) + END_OF_TURN
            where = f"{one.id} at message {turn}"
            assert prompt == encode_prompt(tokenizer, task, one, turn), f"prompt of {where}"
            assert answer == tokenizer.encode(said, add_special_tokens=False), f"answer of {where}"
            assert tokenizer.decode(answer) == said
            turns += 1
    return turns


def test_training_ids_of_s1_equal_the_served_ids(
    tokenizer: PreTrainedTokenizerBase, traces: Corpus
) -> None:
    conversations, task = traces
    assert len(conversations) == 327
    assert check(tokenizer, task, conversations) == 3277, "no conversation without its targets"


def test_prompts_of_held_out_turns_equal_the_training_ids(
    tokenizer: PreTrainedTokenizerBase, sgd: Corpus, sgd_params: SgdConfig
) -> None:
    conversations, task = sgd
    _, test = split_sgd(conversations, sgd_params)
    assert check(tokenizer, task, test) == 360
    asked = {(prompt.conversation, prompt.turn): prompt.ids
             for prompt in prompts(tokenizer, task, test, MAX_LENGTH)}  # fmt: skip
    assert len(asked) == 360
    one = test[0]
    assert all(asked[one.id, turn] == encode_prompt(tokenizer, task, one, turn)
               for turn, _ in one.turns())  # fmt: skip


def test_prompts_of_published_held_out_turns_equal_the_training_ids(
    tokenizer: PreTrainedTokenizerBase, published: Corpus
) -> None:
    conversations, task = published
    _, test = split_published(conversations)
    assert check(tokenizer, task, test) == 359


def test_a_server_that_gets_the_conversation_as_json_renders_the_same_ids(
    tokenizer: PreTrainedTokenizerBase, traces: Corpus
) -> None:
    conversations, task = traces
    for one in conversations[::20]:
        for turn, _ in one.turns():
            # An OpenAI request as a client sends it: arguments are a string, which servers decode.
            body = {"messages": to_openai(one.messages[:turn]), "tools": task.tools_openai()}
            for message in body["messages"]:
                for call in message.get("tool_calls", []):
                    call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
            request = json.loads(json.dumps(body))
            for message in request["messages"]:
                for call in message.get("tool_calls", []):
                    call["function"]["arguments"] = json.loads(call["function"]["arguments"])
            rendered = tokenizer.apply_chat_template(
                [{"role": "system", "content": task.description}, *request["messages"]],
                tools=request["tools"],
                add_generation_prompt=True,
                enable_thinking=False,
                return_dict=True,
            )
            assert rendered["input_ids"] == encode_prompt(tokenizer, task, one, turn)


def test_stock_needs_branches_and_unified_does_not(
    tokenizer: PreTrainedTokenizerBase, traces: Corpus
) -> None:
    conversations, task = traces
    stock = "<think>" in tokenizer.chat_template
    for one in conversations[:5]:
        encoded = encode(tokenizer, task, one, MAX_LENGTH)
        turns = sum(1 for _ in one.turns())
        # Qwen3's template keeps the think block of the answer to the last question in the history.
        assert len(encoded.branches) == (turns - 1 if stock else 0)
        assert len(encoded.targets) == (1 if stock else turns)
