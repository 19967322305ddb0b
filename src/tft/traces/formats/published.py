"""The published benchmark's lines: {"context": JSON of messages}, {"question": ..., "answer": ...}.

In these files a tool result is a user message, and calls have no ids; see `tft.corpus.published`.
The messages may be any OpenAI chat messages.
"""

from pydantic import AliasChoices, Field, Json

from tft.traces.formats.events import Arguments, Logged, called
from tft.traces.formats.model import LogModel, Record
from tft.traces.formats.openai_chat import Dialogue, Message, declared, events_of


class Trace(LogModel):
    """A line of traces.jsonl: {"context": JSON}."""

    context: Json[Dialogue | list[Message]]


class Answer(LogModel):
    """{"name": "FindRoom", "parameters": {}}."""

    name: str
    arguments: Arguments = Field(None, validation_alias=AliasChoices("parameters", "arguments"))


class Question(LogModel):
    """A line of test.jsonl: {"question": JSON, "answer": JSON}."""

    question: Json[list[Message]]
    answer: Json[Answer]


def parse(record: Record) -> Logged:
    """Parse one line: a trace, or a test conversation, whose answer is its last call.

    Raises:
        InputError: the line is malformed; says what is wrong.
    """
    if isinstance(record.get("context"), str):
        trace = Trace.read(record)
        context = trace.context
        line = (
            context if isinstance(context, Dialogue) else Dialogue.model_construct(messages=context)
        )
        return Logged(
            events_of(line.messages), line.id, declared(line.tools), dict(trace.left_out())
        )
    test = Question.read(record)
    answer = called(len(test.question), test.answer.name, test.answer.arguments, None)
    return Logged([*events_of(test.question), answer], more=dict(test.left_out()))
