"""What an agent's message does in its place, and whether it may stand there.

Read from the traces alone: what users tell next says what a question asked for, results and what
was said before say whether a statement is true, and what most messages in a place speak of is
expected of all. So messages of logged traces can be used as far as there is evidence for them, and
one that stood elsewhere can be tried in another place.
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
TELLS = 0.5  # share of questions with a word whose answers tell a parameter: it asks for that,
LIFT = 1.3  # if that is so many times the share of all questions
SEEN = 3  # such questions at least
DEFAULT = 0.25  # share of calls that give a value nobody asked for: it is given by default
EXPECTED = 0.6  # share of the messages in a place that speak of a field: it belongs there
COUNTED = re.compile(  # "one" is hardly ever a number
    rf"\b(?:{'|'.join(set(NUMBER) - {'zero', 'one'})}|one(?= (?:person|people|guest|table)))\b",
    re.IGNORECASE,
)
ONE = re.compile(r"\b1\b|\b(for|only|just) one\b|\bone (person|people|guest)\b", re.IGNORECASE)
MOMENT = re.compile(rf"{CLOCK.pattern}|{DATE.pattern}")
COUNT = "count"  # the blank for how many things a search found

Item = Mapping[str, Any]


class Act(NamedTuple):
    """What a message does; messages that do the same may stand for each other."""

    blanks: frozenset[str]  # values it speaks of, by name
    asks: frozenset[str]  # parameters it asks for
    states: frozenset[tuple[str, str]]  # yes or no of a flag
    question: bool
    more: bool  # asks whether there is anything else
    leaves: bool


class Spot(NamedTuple):
    """A place in a conversation, without the message in it.

    Attributes:
        after: what came before: "user", or a tool, with "!" if its result was empty.
        before: the agent's next call, or END.
        heard: what the user said before, or nothing.
        answer: what the user says next, or nothing.
        values: what a message may speak of, by name.
        told: parameters that the user told before.
        tells: parameters that the answer tells.
        changed: whether a result gives another value than its call asked for.
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
    """Reads messages in their places; what it learnt is the same for all conversations."""

    def __init__(self, evidence: Evidence, ordinary: set[str], known: set[str]) -> None:
        """Begin with the schemas' words.

        Args:
            evidence: of all traces.
            ordinary: words that are no names although they may be written with a capital.
            known: words of users, results and tools.
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
        self.defaults: dict[str, str] = {}  # what agents give that nobody asked for
        self.expected: dict[tuple[str, str], set[str]] = {}
        self._said: dict[str, dict[str, str]] = {}

    def learn(self, conversations: Sequence[Conversation]) -> None:
        """Learn what words ask for, what is given unsaid, what is spoken of in which place."""
        self._learn_defaults(conversations)
        told: dict[str, Counter[str]] = defaultdict(Counter)
        seen: Counter[str] = Counter()
        spoken: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        places: Counter[tuple[str, str]] = Counter()
        for one in conversations:
            for _, spot, text in self.spots(one):
                if not text:
                    continue  # lost
                blanks = self.act(text, spot).blanks
                places[spot.after, spot.before] += 1
                spoken[spot.after, spot.before].update(blanks)
                asked = {word for s in sentences(text) if "?" in s for word in words(s)} - COMMON
                if (new := spot.tells - spot.told) and not blanks:
                    for word in [*asked, ""]:
                        seen[word] += 1
                        told[word].update(new)
        usual = {name: count / seen[""] for name, count in told.pop("", Counter()).items()}
        for word, counts in told.items():
            if seen[word] >= SEEN:
                share = {name: count / seen[word] for name, count in counts.items()}
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
        given: dict[str, Counter[str]] = defaultdict(Counter)
        calls: Counter[str] = Counter()
        for one in conversations:
            told: set[str] = set()
            for message in one.messages:
                call, text = message.tool_call, speech(message)
                if call is not None and call.name != RESPOND:
                    tool = self.evidence.task.tool(call.name)
                    calls.update(parameters(tool).keys() if tool else ())
                    for name in call.arguments.keys() - told:
                        given[name][str(call.arguments[name])] += 1
                elif message.role == "user" and text is not None:
                    told |= self.said(text).keys()
        for name, values in given.items():
            (value, count), *_ = values.most_common(1)
            if count >= max(SEEN, DEFAULT * calls[name]):
                self.defaults[name] = value

    def said(self, text: str) -> dict[str, str]:
        """The parameters whose values a text tells."""
        if text not in self._said:
            alone = Conversation("text", "", (user(clear(text)),))
            found = {name: self.evidence.spoken_last(name, alone, 1) for name in self.parameters}
            self._said[text] = {
                name: value
                for name, value in found.items()
                if value is not None and (value != "1" or ONE.search(text))
            }
        return self._said[text]

    def spots(self, one: Conversation) -> Iterator[tuple[int, Spot, str]]:
        """(index, place, text) of every message in which the agent talks."""
        messages = one.messages
        told: dict[str, str] = {}
        values = dict(self.defaults)  # the latest word counts
        items: list[Item] = []
        changed = False
        own = {value for message in messages for _, value in values_of(message)}
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
                new = self.said(text)
                told |= new
                values |= self._meant(text, new, own)
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

    def _meant(self, text: str, said: Mapping[str, str], own: set[str]) -> dict[str, str]:
        """What a text tells, moments only where calls and results leave no doubt: "at 6"."""
        heard = hear(clear(text), self.today)
        meant = dict(said)
        for name, value in said.items():
            if CLOCK.fullmatch(value) and value not in own and heard.times:
                clocks = {f"{t // 60:02}:{t % 60:02}" for t in heard.times[-1]}
                if len(clocks) > 1:
                    meant[name] = min(clocks & own, default="")
        return {name: value for name, value in meant.items() if value}

    def template(self, text: str, values: Mapping[str, str]) -> str:
        """A message with blanks for the values it speaks of; "two people" like "2 people"."""
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
        asked = {w for s in sentences(template) if "?" in s or _orders(s) for w in words(s)}
        asks = {self.asking[word] for word in asked & self.asking.keys()} - blanks
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
        """Whether a template holds a moment, a number or a name that nobody ever mentions."""
        rest = re.sub(r"\{\w+\}", "#", template)
        return bool(
            find_times(rest)
            or find_dates(rest, self.today)
            or find_numbers(rest) - {1.0}
            or any(word not in self.known for name in NAME.findall(rest) for word in words(name))
        )

    def leftovers(self, template: str) -> bool:
        """Whether values are left in a template: numbers, moments, names."""
        rest = re.sub(r"\{\w+\}", "#", template)
        return bool(
            find_times(rest)
            or find_dates(rest, self.today)
            or find_numbers(rest) - {1.0}
            or re.search(r"\d", rest)
            or any(word.lower() not in self.ordinary for word in NAME.findall(rest))
        )

    def fault(self, text: str, spot: Spot) -> str | None:
        """Why a message may not stand in a place, or None."""
        template = self.template(text, spot.values)
        act = self.act(text, spot, template)
        wanted = [
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
            "ignores a question": bool(wanted) and spot.after == "user" and not any(
                field in act.blanks or mentions_key(field, text) for field in wanted
            ),
            "states the unknown": any(
                spot.values.get(flag) != value for flag, value in act.states
            ),
            "nothing more": act.more and bool(spot.tells) and not act.blanks
            and not spot.after.endswith("!") and not CLOSING.search(spot.heard),
        }  # fmt: skip
        return next((reason for reason, found in checks.items() if found), None)


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
    """The words of a text between blanks, so that whole words are found in it."""
    return f" {' '.join(words(text))} "
