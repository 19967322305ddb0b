"""The filter played by a language model."""

from typing import Any

from fixtures.boat_roles import TASK, FakeChat, opened, trace

from tft.filter.llm import score_relevance
from tft.llm.chat import Refusal, Request


def test_prompts_of_all_traces_share_the_system_message() -> None:
    chat = FakeChat(lambda _: "")
    score_relevance([trace(0), trace(1, "Hello.")], TASK, chat, "m", 9, "s")
    first, second = chat.requests
    assert first.messages[0] == second.messages[0]
    system = first.messages[0]["content"]
    assert TASK.description in system
    assert [rows for tag, rows in opened(system) if tag == "tools"] == [TASK.tools_openai()]


def test_scores_keep_the_order_of_traces_and_refusals_score_zero() -> None:
    def say(request: Request) -> Any:
        if "Hello." in request.messages[-1]["content"]:
            return Refusal("content filter", "it \ud800 says no")
        return {"reason": "A boat is asked for.", "relevance": 5, "coherence": 4}

    chat = FakeChat(say)
    asked = [trace(0), trace(1, "Hello."), trace(2)]
    scores = score_relevance(asked, TASK, chat, "m", 77, "filter@s")
    assert scores[0] == scores[2]._replace(conversation="boat/0")
    assert scores[0] == ("boat/0", 5, 4, "A boat is asked for.")
    assert scores[1] == ("boat/1", 0, 0, "no score: content filter (it ? says no)")
    assert chat.stages == ["filter@s"]
    assert {(one.model, one.max_tokens, one.temperature) for one in chat.requests} == {("m", 77, 0)}
    assert next(iter(chat.requests[0].schema["properties"])) == "reason"
