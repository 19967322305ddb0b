"""What an agent's message does in its place, and whether it fits there.

All evidence is from the traces: the user's next message shows what a question asked for, results
and earlier messages show whether a statement is true, and what most messages in a place mention is
expected of all. Messages of logged traces can thus be used as far as there is evidence for them,
and a message from one place can be tried in another.
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

DENIES = re.compile(r"\W*(no|nope|not|actually|that(['\u2019]s| is) not)\b", re.IGNORECASE)
SORRY = re.compile(r"\b(sorry|unfortunately|afraid|fail\w*|apolog\w+)\b", re.IGNORECASE)
# A word asks for a parameter if at least the share TELLS of the questions with it have answers that
# give the parameter, LIFT times as many as of all questions, among at least SEEN such questions.
TELLS = 0.5
LIFT = 1.3
SEEN = 3
DEFAULT = 0.25  # a value that this share of calls give although nobody mentioned it is a default
EXPECTED = 0.6  # a field that this share of the messages in a place mention belongs there
COUNTED = re.compile(  # "one" is rarely a number
    rf"\b(?:{'|'.join(set(NUMBER) - {'zero', 'one'})}|one(?= (?:person|people|guest|table)))\b",
    re.IGNORECASE,
)
ONE = re.compile(r"\b1\b|\b(for|only|just) one\b|\bone (person|people|guest)\b", re.IGNORECASE)
MOMENT = re.compile(rf"{CLOCK.pattern}|{DATE.pattern}")
COUNT = "count"  # the blank for the number of results of a search

Item = Mapping[str, Any]


class Act(NamedTuple):
    """What a message does; messages that do the same may replace each other."""

    blanks: frozenset[str]  # the names of values that it mentions
    asks: frozenset[str]  # the parameters that it asks for
    states: frozenset[tuple[str, str]]  # (flag, yes or no) that it states
    question: bool
    more: bool  # asks whether there is anything else
    leaves: bool  # says goodbye


class Spot(NamedTuple):
    """A place in a conversation, without the message in it.

    Attributes:
        after: What came before: "user", or the name of a tool, with "!" if its result was empty.
        before: The agent's next call, or END.
        heard: The user message before it, or an empty text.
        answer: The user message after it, or an empty text.
        values: The values that a message may mention, by name.
        told: The parameters that the user gave before.
        tells: The parameters that the answer gives.
        changed: Whether a result has another value than its call requested.
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
    """Reads messages in their places, with what it learned from all conversations."""

    def __init__(self, evidence: Evidence, ordinary: set[str], known: set[str]) -> None:
        """Start with the words of the schemas.

        Args:
            evidence: Statistics of all traces.
            ordinary: Words that are not names although they may be capitalized.
            known: The words of users, results, and tools.
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
        self.defaults: dict[str, str] = {}  # values that agents give although nobody mentioned them
        self.expected: dict[tuple[str, str], set[str]] = {}
        self._said: dict[str, dict[str, str]] = {}

    def learn(self, conversations: Sequence[Conversation]) -> None:
        """Learn what words ask for, which values are defaults, and what each place mentions."""
        self._learn_defaults(conversations)
        told_by_word: dict[str, Counter[str]] = defaultdict(Counter)
        questions_by_word: Counter[str] = Counter()
        spoken: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        places: Counter[tuple[str, str]] = Counter()
        for conversation in conversations:
            for _, spot, text in self.spots(conversation):
                if not text:
                    continue  # the message is lost
                blanks = self.act(text, spot).blanks
                places[spot.after, spot.before] += 1
                spoken[spot.after, spot.before].update(blanks)
                question_words = {
                    word for s in sentences(text) if "?" in s for word in words(s)
                } - COMMON
                if (new := spot.tells - spot.told) and not blanks:
                    for word in [*question_words, ""]:
                        questions_by_word[word] += 1
                        told_by_word[word].update(new)
        usual = {
            name: count / questions_by_word[""]
            for name, count in told_by_word.pop("", Counter()).items()
        }
        for word, counts in told_by_word.items():
            if questions_by_word[word] >= SEEN:
                share = {name: count / questions_by_word[word] for name, count in counts.items()}
                best = max(share, key=lambda name: (share[name] / usual[name], name))
                self.asking.pop(word, None)
                if share[best] >= TELLS and share[best] >= LIFT * usual[best]:
                    self.asking[word] = best
        self.expected = {
            place: {name for name, count in spoken[place].items() if count >= EXPECTED * number}
            for place, number in places.items()
            if number >= SEEN
        }

    def _learn_defaults(self, conversations: Sequence[Conversation]) -> None:
        given_unsaid: dict[str, Counter[str]] = defaultdict(Counter)
        calls: Counter[str] = Counter()
        for conversation in conversations:
            told: set[str] = set()
            for message in conversation.messages:
                call, text = message.tool_call, speech(message)
                if call is not None and call.name != RESPOND:
                    tool = self.evidence.task.tool(call.name)
                    calls.update(parameters(tool).keys() if tool else ())
                    for name in call.arguments.keys() - told:
                        given_unsaid[name][str(call.arguments[name])] += 1
                elif message.role == "user" and text is not None:
                    told |= self.said(text).keys()
        for name, values in given_unsaid.items():
            (value, count), *_ = values.most_common(1)
            if count >= max(SEEN, DEFAULT * calls[name]):
                self.defaults[name] = value

    def said(self, text: str) -> dict[str, str]:
        """The parameters that a text gives, with their values."""
        if text not in self._said:
            alone = Conversation("text", "", (user(clear(text)),))
            last_values = {
                name: self.evidence.spoken_last(name, alone, 1) for name in self.parameters
            }
            self._said[text] = {
                name: value
                for name, value in last_values.items()
                if value is not None and (value != "1" or ONE.search(text))
            }
        return self._said[text]

    def spots(self, conversation: Conversation) -> Iterator[tuple[int, Spot, str]]:
        """Yield (index, place, text) of every message in which the agent talks."""
        messages = conversation.messages
        told: dict[str, str] = {}
        values = dict(self.defaults)  # later values replace earlier ones
        items: list[Item] = []
        changed = False
        values_in_calls = {value for message in messages for _, value in values_of(message)}
        for index, message in enumerate(messages):
            call, result, text = message.tool_call, result_of(message), speech(message)
            if call is not None and call.name != RESPOND:
                values |= _strings(call.arguments)
            elif result is not None:
                call_before = messages[index - 1].tool_call
                items = [self.evidence.renamed(item) for item in result] or items
                values.pop(COUNT, None)
                if result and call_before:
                    changed = any(
                        str(items[0].get(name, value)) != str(value)
                        for name, value in call_before.arguments.items()
                    )
                    values |= _strings(items[0]) | {COUNT: str(len(result))}
            elif text is not None and message.role == "user":
                new = self.said(text)
                told |= new
                values |= self._meant(text, new, values_in_calls)
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
            last = result_of(messages[index - 1])
            caller = _call(messages, index - 2)
            if last is not None and caller is not None:
                after = caller.name if last else f"{caller.name}!"
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

    def _meant(
        self, text: str, values_said: Mapping[str, str], values_in_calls: set[str]
    ) -> dict[str, str]:
        """The values that a text gives, without times that calls and results leave ambiguous."""
        heard = hear(clear(text), self.today)
        meant = dict(values_said)
        for name, value in values_said.items():
            if CLOCK.fullmatch(value) and value not in values_in_calls and heard.times:
                clocks = {f"{t // 60:02}:{t % 60:02}" for t in heard.times[-1]}
                if len(clocks) > 1:
                    meant[name] = min(clocks & values_in_calls, default="")
        return {name: value for name, value in meant.items() if value}

    def template(self, text: str, values: Mapping[str, str]) -> str:
        """A message with blanks for the values that it mentions; "two people" equals "2 people"."""
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
        asking_words = {w for s in sentences(template) if "?" in s or _orders(s) for w in words(s)}
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
        """Whether a template contains a time, date, number, or name that nobody ever mentions."""
        text = re.sub(r"\{\w+\}", "#", template)
        return bool(
            find_times(text)
            or find_dates(text, self.today)
            or find_numbers(text) - {1.0}
            or any(word not in self.known for name in NAME.findall(text) for word in words(name))
        )

    def leftovers(self, template: str) -> bool:
        """Whether a template still contains values: numbers, times, dates, or names."""
        text = re.sub(r"\{\w+\}", "#", template)
        return bool(
            find_times(text)
            or find_dates(text, self.today)
            or find_numbers(text) - {1.0}
            or re.search(r"\d", text)
            or any(word.lower() not in self.ordinary for word in NAME.findall(text))
        )

    def fault(self, text: str, spot: Spot) -> str | None:
        """Why a message does not fit in a place, or None."""
        template = self.template(text, spot.values)
        act = self.act(text, spot, template)
        fields_asked_for = [
            field
            for field in spot.values
            if "?" in spot.heard and mentions_key(field, spot.heard) and field not in act.asks
        ]
        expected = self.expected.get((spot.after, spot.before), set())
        sorry = any(p.search(text) for p in (FAILED, NOTHING, SORRY, NEGATION))
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
            "ignores a question": bool(fields_asked_for) and spot.after == "user" and not any(
                field in act.blanks or mentions_key(field, text) for field in fields_asked_for
            ),
            "states the unknown": any(
                spot.values.get(flag) != value for flag, value in act.states
            ),
            "nothing more": act.more and bool(spot.tells) and not act.blanks
            and not spot.after.endswith("!") and not CLOSING.search(spot.heard),
        }  # fmt: skip
        return next((reason for reason, applies in checks.items() if applies), None)


def _orders(sentence: str) -> bool:
    return bool(
        re.match(r"^\W*(please|kindly) (name|tell|specify|provide|give|let)", sentence, re.I)
    )


def _call(messages: Sequence[Message], index: int) -> ToolCall | None:
    return messages[index].tool_call if 0 <= index < len(messages) else None


def _strings(values: Item) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _spoken_of(text: str, items: Sequence[Item], listed: set[str]) -> Item | None:
    """The item that a message names."""
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
    """The words of a text between spaces, so that whole words can be found in it."""
    return f" {' '.join(words(text))} "
