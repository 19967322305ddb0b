"""Relevance and coherence of traces, scored by a language model."""

from collections.abc import Sequence

from tft.core.conversation import Conversation
from tft.core.records import Relevance
from tft.core.task import Task
from tft.llm.chat import Chat, Outcome, Refusal
from tft.llm.prompts import TEXT, ask, block, numbered, read, record, why

INSTRUCTIONS = """\
You grade logged conversations between users and an agent. Those that pass will teach a new \
agent the task below.

relevance: do the user's wishes belong to this task? Judge by what users ask for and by what \
results contain, not by the agent's calls: a wrong call, or a function or argument under another \
name, is mended later.
5: all of it is what this task is for. 4: nearly all. 3: the main wish is. 2: a neighbouring \
service, little of it fits. 1: something else.

coherence: do the messages make one conversation in this order?
5: each follows from those before. 4: one does not. 3: several do not, and the course is clear. \
2: the course is hard to tell. 1: the order makes no sense.

Answer with a JSON object, the reason being one sentence: \
{"reason": ..., "relevance": ..., "coherence": ...}"""
SCORE = {"type": "integer", "enum": [1, 2, 3, 4, 5]}
SCHEMA = record(reason=TEXT, relevance=SCORE, coherence=SCORE)


def score_relevance(
    conversations: Sequence[Conversation],
    task: Task,
    chat: Chat,
    model: str,
    max_tokens: int,
    stage: str,
) -> list[Relevance]:
    """Score each trace against the task, with one request per trace.

    A trace without an answer scores 0 for both, with the reason.

    Args:
        conversations: The traces to score.
        task: The task that they should belong to.
        chat: Sends the requests.
        model: A name in `llm.models` of params.yaml.
        max_tokens: Upper bound on the length of an answer, in tokens.
        stage: Name of the requests in ledger and progress bar.
    """
    requests = [
        ask(
            model,
            INSTRUCTIONS,
            task,
            f"{block('trace', numbered(conversation))}\n\nGrade this trace.",
            SCHEMA,
            max_tokens=max_tokens,
        )
        for conversation in conversations
    ]
    outcomes = chat(requests, stage)
    return [
        parse(conversation.id, outcome)
        for conversation, outcome in zip(conversations, outcomes, strict=True)
    ]


def parse(conversation: str, outcome: Outcome) -> Relevance:
    """Parse the scores in an answer."""
    answer = read(outcome, SCHEMA)
    if isinstance(answer, Refusal):
        return Relevance(conversation, 0, 0, f"no score: {why(answer)}")
    return Relevance(conversation, answer["relevance"], answer["coherence"], answer["reason"])
