"""What an agent's message does in its place, and whether it is right there.

All evidence comes from the traces. The user's answer shows what a question asked for. Results and
earlier messages show whether a statement is true. A field that most messages in a place mention is
expected of every message there. The same checks apply to a logged message in its own place and to
a message that is moved to another place.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from tft.core.conversation import Conversation, Message, ToolCall, result_of, user
from tft.core.task import RESPOND
from tft.standins.reading.evidence import (
    CLOCK,
    DATE,
    Evidence,
    enumerated,
    hear,
    is_flag,
    parameters,
    services,
)
from tft.standins.reading.facts import NUMBER, find_dates, find_numbers, find_times, words
from tft.standins.reading.phrases import END, NAME, with_blanks
from tft.standins.reading.speech import (
    CLOSING,
    COMMON,
    DONE,
    ELSE,
    FAILED,
    FAREWELL,
    NEGATION,
    NOTHING,
    READ_BACK,
    mentions_key,
    sentences,
)
from tft.standins.synthesize.substitute import clear, is_name, speech, values_of

# An answer that begins by denying.
DENIES = re.compile(r"\W*(no|nope|not|actually|that(['\u2019]s| is) not)\b", re.IGNORECASE)
# An apology, or a report of a failure.
SORRY = re.compile(r"\b(sorry|unfortunately|afraid|fail\w*|apolog\w+)\b", re.IGNORECASE)
TELLS = 0.5  # a word asks for a parameter if at least this share of the answers to it tell it,
LIFT = 1.3  # and if that share is at least this multiple of the share among all answers
SEEN = 3  # the minimum number of questions, messages, or calls from which anything is learned
DEFAULT = 0.25  # a value that no user told is a default if at least this share of calls give it
EXPECTED = 0.6  # a field is expected in a place if at least this share of messages there mention it
# Numbers in words. "one" is hardly ever a number, except before people and tables.
COUNTED = re.compile(
    rf"\b(?:{'|'.join(set(NUMBER) - {'zero', 'one'})}|one(?= (?:person|people|guest|table)))\b",
    re.IGNORECASE,
)
# The contexts in which a user means the number 1.
ONE = re.compile(r"\b1\b|\b(for|only|just) one\b|\bone (person|people|guest)\b", re.IGNORECASE)
MOMENT = re.compile(rf"{CLOCK.pattern}|{DATE.pattern}")
COUNT = "count"  # the blank for the number of items in a result

Item = Mapping[str, Any]


class Act(NamedTuple):
    """What a message does; messages with the same act may replace each other."""

    blanks: frozenset[str]  # the names of the values that it mentions
    asks: frozenset[str]  # the parameters that it asks for
    states: frozenset[tuple[str, str]]  # (flag, "True" or "False") for each flag that it states
    question: bool  # whether it has a question mark
    more: bool  # whether it mentions "anything else"
    leaves: bool  # whether it says goodbye


class Spot(NamedTuple):
    """The place of an agent's message in its conversation, without the message.

    Attributes:
        after: What came before it: "user", or the name of a tool with a result, "!" if empty.
        before: The name of the tool that the agent calls next, or END.
        heard: The user message before it, or "".
        answer: The user message after it, or "".
        values: The values that a message here may mention, by name.
        told: The parameters whose values the user told before.
        tells: The parameters whose values the answer tells.
        changed: Whether the latest result differs from what its call asked for.
    """

    after: str
    before: str
    heard: str
    answer: str
    values: Mapping[str, str]
    told: frozenset[str]
    tells: frozenset[str]
    changed: bool


class Reader:
    """Reads agents' messages in their places, by what it learned from all traces."""

    def __init__(self, evidence: Evidence, ordinary: set[str], known: set[str]) -> None:
        """Start from the words in the schemas; `learn` adds what the traces show.

        Args:
            evidence: The evidence collected from all traces.
            ordinary: Words that also occur in lower case and therefore do not identify a name.
            known: Every word of users, results, and tool schemas.
        """
        self.evidence, self.today = evidence, evidence.today
        self.ordinary, self.known = ordinary, known
        listed = enumerated(evidence.task)
        self.listed = {field for field, values in listed.items() if values}
        self.flags = sorted(field for field, values in listed.items() if values and is_flag(values))
        self.parameters = sorted({name for tool in services(evidence.task)
                                  for name in parameters(tool)})  # fmt: skip
        self.asking: dict[str, str] = {
            word: name
            for name in self.parameters
            for word in words(name.replace("_", " "))
            if sum(word in words(other.replace("_", " ")) for other in self.parameters) == 1
        }
        self.defaults: dict[str, str] = {}  # arguments that agents give without being told
        self.expected: dict[tuple[str, str], set[str]] = {}
        self._said: dict[str, dict[str, str]] = {}

    def learn(self, conversations: Sequence[Conversation]) -> None:
        """Learn the words that ask for parameters, the defaults, and the expected fields."""
        self._learn_defaults(conversations)
        answers: Counter[str] = Counter()  # by word of the question; "" counts every answer
        answers_telling: dict[str, Counter[str]] = defaultdict(Counter)  # by word, by parameter
        messages_in: Counter[tuple[str, str]] = Counter()  # by place
        messages_mentioning: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for conversation in conversations:
            for _, spot, text in self.spots(conversation):
                if not text:
                    continue  # the trace lost this message
                blanks = self.act(text, spot).blanks
                messages_in[spot.after, spot.before] += 1
                messages_mentioning[spot.after, spot.before].update(blanks)
                asking_words = {
                    word
                    for sentence in sentences(text)
                    if "?" in sentence
                    for word in words(sentence)
                } - COMMON
                if (new_parameters := spot.tells - spot.told) and not blanks:
                    for word in [*asking_words, ""]:
                        answers[word] += 1
                        answers_telling[word].update(new_parameters)
        usual_share = {
            name: count / answers[""] for name, count in answers_telling.pop("", Counter()).items()
        }
        for word, counts in answers_telling.items():
            if answers[word] >= SEEN:
                share = {name: count / answers[word] for name, count in counts.items()}
                best = max(share, key=lambda name: (share[name] / usual_share[name], name))
                self.asking.pop(word, None)
                if share[best] >= TELLS and share[best] >= LIFT * usual_share[best]:
                    self.asking[word] = best
        self.expected = {
            place: {
                name
                for name, count in messages_mentioning[place].items()
                if count >= EXPECTED * number
            }
            for place, number in messages_in.items()
            if number >= SEEN
        }

    def _learn_defaults(self, conversations: Sequence[Conversation]) -> None:
        untold_values: dict[str, Counter[str]] = defaultdict(Counter)  # by parameter
        calls: Counter[str] = Counter()  # of tools with a parameter, by parameter
        for conversation in conversations:
            told: set[str] = set()
            for message in conversation.messages:
                call, text = message.tool_call, speech(message)
                if call is not None and call.name != RESPOND:
                    tool = self.evidence.task.tool(call.name)
                    calls.update(parameters(tool).keys() if tool else ())
                    for name in call.arguments.keys() - told:
                        untold_values[name][str(call.arguments[name])] += 1
                elif message.role == "user" and text is not None:
                    told |= self.said(text).keys()
        for name, values in untold_values.items():
            (value, count), *_ = values.most_common(1)
            if count >= max(SEEN, DEFAULT * calls[name]):
                self.defaults[name] = value

    def said(self, text: str) -> dict[str, str]:
        """The values that a text tells, by parameter."""
        if text not in self._said:
            conversation = Conversation("text", "", (user(clear(text)),))
            values = {
                name: self.evidence.spoken_last(name, conversation, 1) for name in self.parameters
            }
            self._said[text] = {
                name: value
                for name, value in values.items()
                if value is not None and (value != "1" or ONE.search(text))
            }
        return self._said[text]

    def spots(self, conversation: Conversation) -> Iterator[tuple[int, Spot, str]]:
        """Yield (index, place, text) of every message from the agent to the user."""
        messages = conversation.messages
        told: dict[str, str] = {}
        values = dict(self.defaults)  # a later value replaces an earlier one
        items: list[Item] = []
        changed = False
        logged = {value for message in messages for _, value in values_of(message)}
        for index, message in enumerate(messages):
            call, result, text = message.tool_call, result_of(message), speech(message)
            if call is not None and call.name != RESPOND:
                values |= _strings(call.arguments)
            elif result is not None:
                asked = messages[index - 1].tool_call
                items = [self.evidence.renamed(item) for item in result] or items
                values.pop(COUNT, None)
                if result and asked:
                    changed = any(
                        str(items[0].get(name, value)) != str(value)
                        for name, value in asked.arguments.items()
                    )
                    values |= _strings(items[0]) | {COUNT: str(len(result))}
            elif text is not None and message.role == "user":
                new_values = self.said(text)
                told |= new_values
                values |= self._meant(text, new_values, logged)
            elif text is not None:
                values |= _strings(_spoken_of(text, items, self.listed) or {})
                following = _call(messages, index + 2)
                agreed = following.arguments if following and following.name != RESPOND else {}
                known = values | _strings(agreed)
                if not result_of(messages[index - 1]):
                    known.pop(COUNT, None)
                spot = self._spot(messages, index, known, told, changed)
                yield index, spot, text

    def _spot(
        self,
        messages: Sequence[Message],
        index: int,
        values: Mapping[str, str],
        told: Mapping[str, str],
        changed: bool,
    ) -> Spot:
        after, heard = "user", ""
        if index:
            result = result_of(messages[index - 1])
            caller = _call(messages, index - 2)
            if result is not None and caller is not None:
                after = caller.name if result else f"{caller.name}!"
            else:
                heard = messages[index - 1].content or ""
        answer = messages[index + 1].content or "" if index + 1 < len(messages) else ""
        following = _call(messages, index + 2)
        return Spot(
            after,
            following.name if following else END,
            heard,
            answer,
            dict(values),
            frozenset(told),
            frozenset(self.said(answer)),
            changed,
        )

    def _meant(self, text: str, told: Mapping[str, str], logged: set[str]) -> dict[str, str]:
        """The values that a text tells, without times that remain ambiguous.

        "At 6" is 06:00 or 18:00: it means the one that a call or result of the trace contains.
        """
        heard = hear(clear(text), self.today)
        meant = dict(told)
        for name, value in told.items():
            if CLOCK.fullmatch(value) and value not in logged and heard.times:
                clocks = {f"{minute // 60:02}:{minute % 60:02}" for minute in heard.times[-1]}
                if len(clocks) > 1:
                    meant[name] = min(clocks & logged, default="")
        return {name: value for name, value in meant.items() if value}

    def template(self, text: str, values: Mapping[str, str]) -> str:
        """A message with blanks for the values that it mentions, as digits or in words."""
        numbers = {value for value in values.values() if value.isdecimal()}

        def digits(match: re.Match[str]) -> str:
            value = str(NUMBER[match[0].lower()])
            return value if value in numbers else match[0]

        text = COUNTED.sub(digits, clear(text))
        plain, heard = plainly(text), hear(text, self.today)
        mentioned = {
            name: value
            for name, value in values.items()
            if (
                plainly(value) in plain
                if not MOMENT.fullmatch(value)
                else heard.times
                if CLOCK.fullmatch(value)
                else heard.dates
            )
        }
        return with_blanks(text, mentioned, self.today)

    def act(self, text: str, spot: Spot, template: str | None = None) -> Act:
        """What a message does in a place."""
        template = template or self.template(text, spot.values)
        blanks = frozenset(re.findall(r"\{(\w+)\}", template))
        asking_words = {
            word
            for sentence in sentences(template)
            if "?" in sentence or _orders(sentence)
            for word in words(sentence)
        }
        asks = {self.asking[word] for word in asking_words & self.asking.keys()} - blanks
        states = {
            (flag, str(not NEGATION.search(sentence)))
            for sentence in sentences(template)
            for flag in self.flags
            if "?" not in sentence and mentions_key(flag, sentence)
        }
        return Act(
            blanks,
            frozenset() if blanks else frozenset(asks),
            frozenset(states),
            "?" in text,
            bool(ELSE.search(text)),
            bool(FAREWELL.search(text)),
        )

    def _unheard_of(self, template: str) -> bool:
        """Whether a template has a time, date, or number left, or a name that is not known."""
        rest = re.sub(r"\{\w+\}", "#", template)
        return bool(
            find_times(rest)
            or find_dates(rest, self.today)
            or find_numbers(rest) - {1.0}
            or any(word not in self.known for name in NAME.findall(rest) for word in words(name))
        )

    def leftovers(self, template: str) -> bool:
        """Whether a template has a value left: a time, date, number, or name."""
        rest = re.sub(r"\{\w+\}", "#", template)
        return bool(
            find_times(rest)
            or find_dates(rest, self.today)
            or find_numbers(rest) - {1.0}
            or re.search(r"\d", rest)
            or any(word.lower() not in self.ordinary for word in NAME.findall(rest))
        )

    def fault(self, text: str, spot: Spot) -> str | None:
        """The first reason why a message is wrong in a place, or None if there is none."""
        template = self.template(text, spot.values)
        act = self.act(text, spot, template)
        wanted = [
            field
            for field in spot.values
            if "?" in spot.heard and mentions_key(field, spot.heard) and field not in act.asks
        ]
        expected = self.expected.get((spot.after, spot.before), set())
        sorry = any(pattern.search(text) for pattern in (FAILED, NOTHING, SORRY, NEGATION))
        checks = {
            "values from nowhere": self._unheard_of(template),
            "leaves too early": act.leaves and spot.before != END,
            "ends with a question": spot.before == END and act.question,
            "takes no leave": spot.before == END and bool(act.blanks or act.asks or act.states),
            "nothing of what belongs here": bool(expected) and not expected & act.blanks,
            "no failure": spot.after.endswith("!") and not sorry,
            "a success": spot.after == "user" and not act.question and bool(DONE.search(text))
            and not READ_BACK.search(text),
            "denies what nobody asked": "?" not in spot.heard and spot.after == "user"
            and bool(re.match(r"no\b", text, re.IGNORECASE)) and not act.blanks,
            "a failure": spot.after not in ("user", f"{spot.after[:-1]}!") and not spot.changed
            and bool(FAILED.search(text) or NOTHING.search(text)),
            "asks what was told": bool(act.asks & spot.told),
            "asks for something else": bool(act.asks and spot.tells and not act.asks & spot.tells),
            "asks what is never told": bool(act.asks) and spot.before == END,
            "no answer to it": bool(act.asks and DENIES.match(spot.answer)),
            "ignores a result": spot.after not in ("user", f"{spot.after[:-1]}!")
            and act.question and not act.blanks and not sorry and not DONE.search(text),
            "ignores a question": bool(wanted) and spot.after == "user" and not any(
                field in act.blanks or mentions_key(field, text) for field in wanted
            ),
            "states the unknown": any(
                spot.values.get(flag) != value for flag, value in act.states
            ),
            "nothing more": act.more and bool(spot.tells) and not act.blanks
            and not spot.after.endswith("!") and not CLOSING.search(spot.heard),
        }  # fmt: skip
        return next((reason for reason, applies in checks.items() if applies), None)


def _orders(sentence: str) -> bool:
    """Whether a sentence asks for something without a question mark ("Please tell me ...")."""
    return bool(
        re.match(r"^\W*(please|kindly) (name|tell|specify|provide|give|let)", sentence, re.I)
    )


def _call(messages: Sequence[Message], index: int) -> ToolCall | None:
    return messages[index].tool_call if 0 <= index < len(messages) else None


def _strings(values: Item) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _spoken_of(text: str, items: Sequence[Item], listed: set[str]) -> Item | None:
    """The first item that a message identifies by a name that no other item has."""
    plain = plainly(text)
    for item in items:
        for field, value in item.items():
            if (
                plainly(str(value)) in plain
                and is_name(field, str(value), listed)
                and sum(str(other.get(field)) == str(value) for other in items) == 1
            ):
                return item
    return None


@lru_cache(maxsize=100_000)
def plainly(text: str) -> str:
    """The words of a text with a space around each, so that a search finds whole words."""
    return f" {' '.join(words(text))} "
