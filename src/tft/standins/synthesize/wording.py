"""Other words for a message: ones that did the same elsewhere, found in all traces.

A message becomes a template with blanks for values. It may take the place of another one that does
the same (see `acts.Act`) between neighbours of the same kind; of the agent's it is then checked
that it is no mistake in that place.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from rapidfuzz import fuzz

from tft.core.conversation import Conversation, Message, ToolCall, result_of, user
from tft.core.task import RESPOND
from tft.standins.reading.evidence import hear, parameters
from tft.standins.reading.facts import words
from tft.standins.reading.phrases import fill
from tft.standins.reading.speech import CLOSING, NEGATION, mentions_key
from tft.standins.synthesize.acts import Act, Reader, Spot
from tft.standins.synthesize.substitute import speech

FITS = 55.0  # likeness, of 100, of a message's neighbours for another one to take its place
FITTING = 12  # of the most fitting ones one is drawn
COMMON = 3  # conversations in which a word is said, for it to be said anywhere else,
MANY = 50  # if there are so many times as many conversations in all
TRIED = 40  # phrases tried for a message that has to be replaced


class Phrase(NamedTuple):
    """A message's template, and the templates of what stood before and after it."""

    template: str
    before: str
    after: str


class Slot(NamedTuple):
    """A message of a conversation as others may replace it."""

    key: Hashable  # equal where messages may stand for each other
    phrase: Phrase
    values: Mapping[str, str]
    spot: Spot | None  # of the agent's


class Wording:
    """All phrases of some traces, by what they do."""

    def __init__(self, reader: Reader, fields: Iterable[str]) -> None:
        """Begin without any; `fields` are those of results, which users ask about."""
        self.reader, self.fields = reader, sorted(fields)
        self.phrases: dict[Hashable, list[Phrase]] = defaultdict(list)
        self.sources: dict[str, str] = {}  # the first trace of each template
        self.borrowed: dict[str, str] = {}  # what `mend` said, and the trace it is from
        self.heard: dict[str, Counter[str]] = {"user": Counter(), "assistant": Counter()}
        self.least = 0
        self.places: dict[Hashable, list[tuple[Phrase, frozenset[str]]]] = defaultdict(list)
        talk = reader.evidence.task.tool(RESPOND)
        self.argument = next(iter(parameters(talk)), "message") if talk else "message"

    def listen(self, conversations: Sequence[Conversation]) -> None:
        """Count who says which words, so that what hardly anybody says is not said again.

        "They do ramen" is about one restaurant, although it names nothing.
        """
        for one in conversations:
            for role in ("user", "assistant"):
                texts = [speech(m) or "" for m in one.messages if m.role == role]
                self.heard[role].update({word for text in texts for word in words(text)})
        self.least = min(COMMON, len(conversations) // MANY)

    def _is_common(self, phrase: Phrase, role: str) -> bool:
        said = words(re.sub(r"\{\w+\}", " ", phrase.template))
        return all(self.heard[role][word] >= self.least for word in said)

    def add(self, one: Conversation, wrong: set[int]) -> None:
        """Take in a trace's messages, but for those of the agent that are wrong, and all users'."""
        plain = self._understood(one.messages)
        for index, slot in self.slots(one).items():
            text = speech(one.messages[index]) or ""
            veiled = slot.spot is None and index not in plain
            common = self._is_common(slot.phrase, one.messages[index].role)
            if (
                index in wrong
                or veiled
                or not text
                or not common
                or self.reader.leftovers(slot.phrase.template)
            ):
                continue
            self.phrases[slot.key].append(slot.phrase)
            self.sources.setdefault(slot.phrase.template, one.id)
            if slot.spot:
                blanks = frozenset(re.findall(r"\{(\w+)\}", slot.phrase.template))
                self.places[slot.spot.after, slot.spot.before].append((slot.phrase, blanks))

    def slots(self, one: Conversation) -> dict[int, Slot]:
        """Every message that is talk, by index."""
        reader, messages = self.reader, one.messages
        spots = {index: spot for index, spot, _ in reader.spots(one)}
        values: dict[int, Mapping[str, str]] = {index: s.values for index, s in spots.items()}
        texts = [speech(message) for message in messages]
        for index, text in enumerate(texts):
            if text is not None and index not in spots:
                before = spots[index - 1].values if index - 1 in spots else {}
                values[index] = {**before, **reader.said(text)}
        templates = {
            index: reader.template(text, values[index])
            for index, text in enumerate(texts)
            if text is not None
        }
        acts = {
            index: reader.act(str(texts[index]), spot, templates[index])
            for index, spot in spots.items()
        }
        found = {}
        for index, template in templates.items():
            phrase = Phrase(template, templates.get(index - 1, ""), templates.get(index + 1, ""))
            spot = spots.get(index)
            if spot:
                key: Hashable = (
                    spot.after, spot.before, acts[index], self._asked(spot.heard),
                    _coarse(acts.get(index + 2)), bool(CLOSING.search(spot.answer)),
                )  # fmt: skip
            else:
                key = self._user_key(messages, index, template, acts)
            found[index] = Slot(key, phrase, values[index], spot)
        return found

    def acts(self, one: Conversation) -> dict[int, Hashable]:
        """What each of the agent's messages does, as far as users' next words depend on it."""
        found: dict[int, Hashable] = {}
        for index, spot, text in self.reader.spots(one):
            act = self.reader.act(text, spot)
            given = act.blanks & set(self.reader.parameters)
            found[index] = given, act.asks, act.question, act.more, act.leaves
        return found

    def _user_key(
        self, messages: Sequence[Message], index: int, template: str, acts: Mapping[int, Act]
    ) -> Hashable:
        following = messages[index + 1].tool_call if index + 1 < len(messages) else None
        reply = acts.get(index + 1) or acts.get(index + 3)
        asked = self._asked(template)
        exact = (reply.blanks, reply.states) if reply and "?" in template else None
        return (
            "user", frozenset(re.findall(r"\{(\w+)\}", template)), asked, "?" in template,
            bool(NEGATION.search(template)), bool(CLOSING.search(template)),
            following.name if following else "", _coarse(acts.get(index - 1)), _coarse(reply),
            exact,
        )  # fmt: skip

    def _asked(self, text: str) -> frozenset[str]:
        return frozenset(
            field for field in self.fields if "?" in text and mentions_key(field, text)
        )

    def swap(
        self, one: Conversation, share: float, rng: random.Random
    ) -> tuple[Conversation, dict[int, str]]:
        """(the conversation with some of its messages in other words, whose words these are).

        The traces are named by message index, also of messages that `mend` replaced before.
        """
        messages, plain = list(one.messages), self._understood(one.messages)
        sources = {
            index: self.borrowed[text]
            for index, message in enumerate(messages)
            if (text := speech(message)) in self.borrowed
        }
        for index, slot in self.slots(one).items():
            veiled = slot.spot is None and index not in plain
            if rng.random() >= share or veiled or self.reader.leftovers(slot.phrase.template):
                continue
            others = {p for p in self.phrases[slot.key] if p.template != slot.phrase.template}
            ranked = sorted((-_fit(slot.phrase, p), p) for p in others)
            best = [p for fit, p in ranked if -fit >= FITS][:FITTING]
            if not best:
                continue
            template = rng.choice(best).template
            text = _filled(template, slot.values)
            if slot.spot is not None and self.reader.fault(text, slot.spot) is not None:
                continue
            messages[index] = user(text) if slot.spot is None else self.talk(text)
            sources[index] = self.sources[template]
        return Conversation(one.id, one.source, tuple(messages), one.provenance), sources

    def _understood(self, messages: Sequence[Message]) -> set[int]:
        """Where users say all that the next service call gives in its own words, or nobody does.

        Elsewhere a message may hold a value in other words ("something Southern" for American).
        """
        found: set[int] = set()
        begin, texts = 0, list[str]()
        for at, message in enumerate(messages):
            if (text := speech(message)) is not None:
                texts.append(text)
            call = message.tool_call
            if call is None or call.name == RESPOND:
                continue
            if all(
                any(self._says(text, name, str(value)) for text in texts)
                or self.reader.defaults.get(name) == str(value)
                for name, value in call.arguments.items()
            ):
                found.update(range(begin, at))
            begin = at
        return found.union(range(begin, len(messages)))

    def _says(self, text: str, name: str, value: str) -> bool:
        if name in self.reader.flags:
            return mentions_key(name, text)
        return hear(text, self.reader.today).mentions(value)

    def mend(self, one: Conversation, wrong: Iterable[int]) -> tuple[Conversation, set[int]]:
        """(the conversation with right messages for wrong ones, where none was found)."""
        messages, left = list(one.messages), set()
        for index, slot in self.slots(one).items():
            if index not in wrong or slot.spot is None:
                continue
            candidates = {
                phrase
                for phrase, blanks in self.places[slot.spot.after, slot.spot.before]
                if blanks <= slot.spot.values.keys()
            }
            ranked = sorted(candidates, key=lambda p: (-_fit(slot.phrase, p), p))[:TRIED]
            for phrase in ranked:
                text = _filled(phrase.template, slot.spot.values)
                if self.reader.fault(text, slot.spot) is None:
                    messages[index] = self.talk(text)
                    self.borrowed[text] = self.sources[phrase.template]
                    break
            else:
                left.add(index)
        return Conversation(one.id, one.source, tuple(messages), one.provenance), left

    def doubtful_call(self, one: Conversation, index: int) -> bool:
        """Whether a service call gives what nobody said, where the user said something else."""
        call = one.messages[index].tool_call
        if call is None or call.name == RESPOND:
            return False
        texts = [text for message in one.messages[:index] if (text := speech(message)) is not None]
        told: dict[str, str] = {}
        for message in one.messages[:index]:
            if message.role == "user" and (text := speech(message)) is not None:
                told |= self.reader.said(text)
        return any(
            name in told and not any(self._says(text, name, str(value)) for text in texts)
            for name, value in call.arguments.items()
        )

    def talk(self, text: str) -> Message:
        """The agent says something."""
        return Message("assistant", tool_call=ToolCall(RESPOND, {self.argument: text}))


def _coarse(act: Act | None) -> Hashable:
    return act and (act.asks, act.question, act.more, act.leaves, bool(act.blanks))


def _filled(template: str, values: Mapping[str, str]) -> str:
    text = re.sub(r"\b1 (people|persons)\b", "1 person", fill(template, values))
    return re.sub(r"\b(\d\d|[02-9]) person\b", r"\1 people", text)


def _fit(a: Phrase, b: Phrase) -> float:
    return (_alike(a.before, b.before) + _alike(a.after, b.after)) / 2


@lru_cache(maxsize=1_000_000)
def _alike(a: str, b: str) -> float:
    return 100.0 if a == b else fuzz.token_sort_ratio(a, b)


def fields_of(conversations: Iterable[Conversation], reader: Reader) -> set[str]:
    """The fields of all results, under declared names."""
    return {
        name
        for one in conversations
        for message in one.messages
        for item in result_of(message) or []
        for name in reader.evidence.renamed(item)
    }
