"""Other words for a message: messages of all traces that did the same elsewhere.

A message becomes a template with blanks for values. It may replace another one that does the same
(see `acts.Act`) between neighbors of the same kind. For messages of the agent it is also checked
that they fit in their place.
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

FITS = 55.0  # the least similarity, up to 100, of the neighbors of a message and its replacement
FITTING = 12  # the replacement is drawn from this many phrases that fit best
# A word is used elsewhere if it occurs in COMMON conversations, or in fewer if there are fewer than
# COMMON * MANY conversations.
COMMON = 3
MANY = 50
TRIED = 40  # the number of phrases that are tried for a message that must be replaced


class Phrase(NamedTuple):
    """The template of a message, and the templates of the messages before and after it."""

    template: str
    before: str
    after: str


class Slot(NamedTuple):
    """A message of a conversation, with what decides which others may replace it."""

    key: Hashable  # equal for messages that may replace each other
    phrase: Phrase
    values: Mapping[str, str]
    spot: Spot | None  # None for user messages


class Wording:
    """All phrases of some traces, by what they do."""

    def __init__(self, reader: Reader, fields: Iterable[str]) -> None:
        """Start without phrases; `fields` are those of results, about which users ask."""
        self.reader, self.fields = reader, sorted(fields)
        self.phrases: dict[Hashable, list[Phrase]] = defaultdict(list)
        self.sources: dict[str, str] = {}  # the first trace of each template
        self.borrowed: dict[str, str] = {}  # the trace of each message that `mend` inserted
        self.heard: dict[str, Counter[str]] = {"user": Counter(), "assistant": Counter()}
        self.least = 0
        self.places: dict[Hashable, list[tuple[Phrase, frozenset[str]]]] = defaultdict(list)
        talk = reader.evidence.task.tool(RESPOND)
        self.argument = next(iter(parameters(talk)), "message") if talk else "message"

    def listen(self, conversations: Sequence[Conversation]) -> None:
        """Count who says which words, so that rare words are not used elsewhere.

        "They do ramen" is about one restaurant, although it contains no name.
        """
        for conversation in conversations:
            for role in ("user", "assistant"):
                texts = [speech(m) or "" for m in conversation.messages if m.role == role]
                self.heard[role].update({word for text in texts for word in words(text)})
        self.least = min(COMMON, len(conversations) // MANY)

    def _is_common(self, phrase: Phrase, role: str) -> bool:
        template_words = words(re.sub(r"\{\w+\}", " ", phrase.template))
        return all(self.heard[role][word] >= self.least for word in template_words)

    def add(self, trace: Conversation, wrong: set[int]) -> None:
        """Add the phrases of a trace, except for the agent's messages that are wrong."""
        understood = self._understood(trace.messages)
        for index, slot in self.slots(trace).items():
            text = speech(trace.messages[index]) or ""
            veiled = slot.spot is None and index not in understood
            common = self._is_common(slot.phrase, trace.messages[index].role)
            if (
                index in wrong
                or veiled
                or not text
                or not common
                or self.reader.leftovers(slot.phrase.template)
            ):
                continue
            self.phrases[slot.key].append(slot.phrase)
            self.sources.setdefault(slot.phrase.template, trace.id)
            if slot.spot:
                blanks = frozenset(re.findall(r"\{(\w+)\}", slot.phrase.template))
                self.places[slot.spot.after, slot.spot.before].append((slot.phrase, blanks))

    def slots(self, conversation: Conversation) -> dict[int, Slot]:
        """The slots of all messages that are talk, by index."""
        reader, messages = self.reader, conversation.messages
        spots = {index: spot for index, spot, _ in reader.spots(conversation)}
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
        slots_by_index = {}
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
            slots_by_index[index] = Slot(key, phrase, values[index], spot)
        return slots_by_index

    def acts(self, conversation: Conversation) -> dict[int, Hashable]:
        """What each message of the agent does, as far as the user's next message depends on it."""
        acts_by_index: dict[int, Hashable] = {}
        for index, spot, text in self.reader.spots(conversation):
            act = self.reader.act(text, spot)
            parameters_given = act.blanks & set(self.reader.parameters)
            acts_by_index[index] = parameters_given, act.asks, act.question, act.more, act.leaves
        return acts_by_index

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
        self, conversation: Conversation, share: float, rng: random.Random
    ) -> tuple[Conversation, dict[int, str]]:
        """(the conversation with some messages in other words, the traces that these are from).

        Traces are by message index, including messages that `mend` replaced before.
        """
        messages, understood = list(conversation.messages), self._understood(conversation.messages)
        sources = {
            index: self.borrowed[text]
            for index, message in enumerate(messages)
            if (text := speech(message)) in self.borrowed
        }
        for index, slot in self.slots(conversation).items():
            veiled = slot.spot is None and index not in understood
            if rng.random() >= share or veiled or self.reader.leftovers(slot.phrase.template):
                continue
            alternatives = {p for p in self.phrases[slot.key] if p.template != slot.phrase.template}
            ranked = sorted((-_fit(slot.phrase, p), p) for p in alternatives)
            best = [p for fit, p in ranked if -fit >= FITS][:FITTING]
            if not best:
                continue
            template = rng.choice(best).template
            text = _filled(template, slot.values)
            if slot.spot is not None and self.reader.fault(text, slot.spot) is not None:
                continue
            messages[index] = user(text) if slot.spot is None else self.talk(text)
            sources[index] = self.sources[template]
        return Conversation(
            conversation.id, conversation.source, tuple(messages), conversation.provenance
        ), sources

    def _understood(self, messages: Sequence[Message]) -> set[int]:
        """The indices of messages before service calls all of whose arguments were said literally.

        Other messages may contain a value in other words ("something Southern" for American).
        """
        indices: set[int] = set()
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
                indices.update(range(begin, at))
            begin = at
        return indices.union(range(begin, len(messages)))

    def _says(self, text: str, name: str, value: str) -> bool:
        if name in self.reader.flags:
            return mentions_key(name, text)
        return hear(text, self.reader.today).mentions(value)

    def mend(
        self, conversation: Conversation, wrong: Iterable[int]
    ) -> tuple[Conversation, set[int]]:
        """(the conversation with wrong messages replaced, the indices for which none was found)."""
        messages, left = list(conversation.messages), set()
        for index, slot in self.slots(conversation).items():
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
        return Conversation(
            conversation.id, conversation.source, tuple(messages), conversation.provenance
        ), left

    def doubtful_call(self, conversation: Conversation, index: int) -> bool:
        """Whether a call has an argument that nobody said, while the user gave another value."""
        call = conversation.messages[index].tool_call
        if call is None or call.name == RESPOND:
            return False
        texts = [
            text
            for message in conversation.messages[:index]
            if (text := speech(message)) is not None
        ]
        told: dict[str, str] = {}
        for message in conversation.messages[:index]:
            if message.role == "user" and (text := speech(message)) is not None:
                told |= self.reader.said(text)
        return any(
            name in told and not any(self._says(text, name, str(value)) for text in texts)
            for name, value in call.arguments.items()
        )

    def talk(self, text: str) -> Message:
        """A message in which the agent says `text`."""
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
        for conversation in conversations
        for message in conversation.messages
        for item in result_of(message) or []
        for name in reader.evidence.renamed(item)
    }
