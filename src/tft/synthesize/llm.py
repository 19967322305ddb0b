"""New conversations by a language model: one request each, from a few traces and topics."""

from collections.abc import Sequence
from typing import Any

from tft.core.conversation import Conversation, Message, user
from tft.core.records import Draft, Plan
from tft.core.task import Task
from tft.llm.chat import Chat, Outcome, Refusal
from tft.llm.prompts import (
    CALL,
    TEXT,
    ask,
    block,
    plain,
    read,
    read_call,
    record,
    why,
    with_calls,
)

INSTRUCTIONS = """\
You write conversations between a user and an agent, from which a new agent will learn the task \
below. You play both sides and the service.

Messages alternate, the user begins, and the last one is the agent's, talking to the user. Every \
assistant message is one call of a function below, with arguments that it declares and that the \
conversation holds. After a call of the service the user's next message is its result: JSON, in \
the form that results have in the examples, with the fields of this service. After a call that \
talks it is what the user says, in the words of people, not of functions. The agent never states \
what no result and no user said, and never calls for something it does not know yet.

The examples are right. Write another conversation of their kind, not a copy: other people with \
other wishes, other names, places, times and results, other words, another course. The logged \
conversations show what else users ask for; the calls in them may be wrong, so learn none from \
them.

Answer with a JSON object: {"messages": [{"role": "user", "content": ...}, \
{"role": "assistant", "tool_call": {"name": ..., "arguments": {...}}}, ...]}"""


def synthesize(
    plans: Sequence[Plan],
    task: Task,
    chat: Chat,
    model: str,
    temperature: float,
    max_tokens: int,
    stage: str,
) -> list[Draft]:
    """Generate a conversation, not yet validated, for each plan, in the order of the plans.

    Args:
        plans: The plans. Each is one request, sampled with the plan's seed.
        task: The task, with the declared tools.
        chat: Sends the requests.
        model: A name in `llm.models` of params.yaml.
        temperature: Sampling temperature.
        max_tokens: Upper bound on the length of an answer, in tokens.
        stage: Name of the requests in ledger and progress bar.
    """
    schema = answer_schema(task)
    requests = [
        ask(
            model,
            INSTRUCTIONS,
            task,
            question(plan),
            schema,
            temperature=temperature,
            max_tokens=max_tokens,
            seed=plan.seed,
        )
        for plan in plans
    ]
    outcomes = chat(requests, stage)
    return [parse(plan, outcome, schema) for plan, outcome in zip(plans, outcomes, strict=True)]


def question(plan: Plan) -> str:
    """The user message of a plan's request: its exemplars, context, and topics."""
    parts = [
        "Examples:",
        *(block("example", map(plain, conversation.messages)) for conversation in plan.exemplars),
    ]
    if plan.context:
        parts.append("Logged conversations; their calls may be wrong:")
        parts += [
            block("logged", map(plain, conversation.messages)) for conversation in plan.context
        ]
    parts.append("Write one new conversation.")
    parts += [f"{name}: {topic}" for name, topic in plan.mutations.items()]
    return "\n\n".join(parts)


def answer_schema(task: Task) -> dict[str, Any]:
    """The JSON Schema of an answer: a list of messages in the form that the prompt shows."""
    said = record(role={"type": "string", "const": "user"}, content=TEXT)
    called = record(role={"type": "string", "const": "assistant"}, tool_call=CALL)
    messages = {"type": "array", "items": {"anyOf": [said, called]}, "minItems": 1}
    return with_calls(record(messages=messages), task)


def parse(plan: Plan, outcome: Outcome, schema: dict[str, Any]) -> Draft:
    """Parse the conversation in an answer."""
    answer = read(outcome, schema)
    if isinstance(answer, Refusal):
        return Draft(plan, None, why(answer))
    messages = tuple(
        user(item["content"])
        if item["role"] == "user"
        else Message("assistant", tool_call=read_call(item["tool_call"]))
        for item in answer["messages"]
    )
    provenance = {
        "exemplars": [conversation.id for conversation in plan.exemplars],
        "context": [conversation.id for conversation in plan.context],
        "mutations": plan.mutations,
    }
    return Draft(plan, Conversation(plan.id, "synthetic", messages, provenance), None)
