"""Rewording: messages are replaced by messages of other traces that do the same.

Every message becomes a template with blanks for values. A template may replace another one that
does the same (see `acts.Act`) between neighbors of the same kind. An agent's message is also
checked for faults in its new place.
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

FITS = 55.0  # a phrase may replace another one if their neighbors are at least this similar (0-100)
FITTING = 12  # a new wording is drawn from at most this many phrases, the most similar ones
COMMON = 3  # each word of a phrase must occur in this many conversations,
MANY = 50  # or in one per this many conversations if that is fewer
TRIED = 40  # the maximum number of phrases that are tried in place of a wrong message


class Phrase(NamedTuple):
    """The template of a message, and those of the messages before and after it."""

    template: str
    before: str
    after: str


class Slot(NamedTuple):
    """A message of a conversation, with what decides which phrases may replace it."""

    key: Hashable  # messages with equal keys may replace each other
    phrase: Phrase
    values: Mapping[str, str]  # the values for its blanks, by name
    spot: Spot | None  # None for a user's message


class Wording:
    """The phrases of all traces, by what they do."""

    def __init__(self, reader: Reader, fields: Iterable[str]) -> None:
        """Start without phrases; `fields` are the fields of results, which users ask about."""
        self.reader, self.fields = reader, sorted(fields)
        self.phrases: dict[Hashable, list[Phrase]] = defaultdict(list)
        self.sources: dict[str, str] = {}  # the id of the first trace with each template
        self.borrowed: dict[str, str] = {}  # the id of the trace behind each text from `mend`
        # For each role, the number of conversations in which it says a word.
        self.heard: dict[str, Counter[str]] = {"user": Counter(), "assistant": Counter()}
        self.least = 0  # the minimum of that number for every word of a phrase
        # The agent's phrases with the names of their blanks, by what came before and comes next.
        self.places: dict[Hashable, list[tuple[Phrase, frozenset[str]]]] = defaultdict(list)
        talk = reader.evidence.task.tool(RESPOND)
        self.argument = next(iter(parameters(talk)), "message") if talk else "message"

    def listen(self, conversations: Sequence[Conversation]) -> None:
        """Count the conversations in which each role says a word, to exclude rare words.

        "They do ramen" is about one restaurant, although it contains no name.
        """
        for conversation in conversations:
            for role in ("user", "assistant"):
                texts = [
                    speech(message) or ""
                    for message in conversation.messages
                    if message.role == role
                ]
                self.heard[role].update({word for text in texts for word in words(text)})
        self.least = min(COMMON, len(conversations) // MANY)

    def _is_common(self, phrase: Phrase, role: str) -> bool:
        phrase_words = words(re.sub(r"\{\w+\}", " ", phrase.template))
        return all(self.heard[role][word] >= self.least for word in phrase_words)

    def add(self, conversation: Conversation, wrong: set[int]) -> None:
        """Add the phrases of a trace, except those that cannot be used elsewhere.

        These are empty or wrong messages, user messages that may paraphrase a value, and phrases
        with rare words or with values left in the template.
        """
        understood = self._understood(conversation.messages)
        for index, slot in self.slots(conversation).items():
            text = speech(conversation.messages[index]) or ""
            paraphrases = slot.spot is None and index not in understood
            common = self._is_common(slot.phrase, conversation.messages[index].role)
            if (
                index in wrong
                or paraphrases
                or not text
                or not common
                or self.reader.leftovers(slot.phrase.template)
            ):
                continue
            self.phrases[slot.key].append(slot.phrase)
            self.sources.setdefault(slot.phrase.template, conversation.id)
            if slot.spot:
                blanks = frozenset(re.findall(r"\{(\w+)\}", slot.phrase.template))
                self.places[slot.spot.after, slot.spot.before].append((slot.phrase, blanks))

    def slots(self, conversation: Conversation) -> dict[int, Slot]:
        """Every message between user and agent, by index."""
        reader, messages = self.reader, conversation.messages
        spots = {index: spot for index, spot, _ in reader.spots(conversation)}
        values: dict[int, Mapping[str, str]] = {index: spot.values for index, spot in spots.items()}
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
        slots = {}
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
            slots[index] = Slot(key, phrase, values[index], spot)
        return slots

    def acts(self, conversation: Conversation) -> dict[int, Hashable]:
        """The part of every act of the agent on which the user's answer depends, by index."""
        acts: dict[int, Hashable] = {}
        for index, spot, text in self.reader.spots(conversation):
            act = self.reader.act(text, spot)
            mentioned = act.blanks & set(self.reader.parameters)
            acts[index] = mentioned, act.asks, act.question, act.more, act.leaves
        return acts

    def _user_key(
        self, messages: Sequence[Message], index: int, template: str, acts: Mapping[int, Act]
    ) -> Hashable:
        """The key of a user's message: what it says, and what the agent does before and after."""
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
        """The fields about which a text asks."""
        return frozenset(
            field for field in self.fields if "?" in text and mentions_key(field, text)
        )

    def swap(
        self, conversation: Conversation, share: float, rng: random.Random
    ) -> tuple[Conversation, dict[int, str]]:
        """(the conversation with about `share` of its messages reworded, the ids of the sources).

        The ids are those of the traces with the new wordings, by message index. They include the
        messages that `mend` replaced before.
        """
        messages = list(conversation.messages)
        understood = self._understood(conversation.messages)
        sources = {
            index: self.borrowed[text]
            for index, message in enumerate(messages)
            if (text := speech(message)) in self.borrowed
        }
        for index, slot in self.slots(conversation).items():
            paraphrases = slot.spot is None and index not in understood
            if rng.random() >= share or paraphrases or self.reader.leftovers(slot.phrase.template):
                continue
            others = {
                phrase
                for phrase in self.phrases[slot.key]
                if phrase.template != slot.phrase.template
            }
            ranked = sorted((-_fit(slot.phrase, phrase), phrase) for phrase in others)
            best = [phrase for misfit, phrase in ranked if -misfit >= FITS][:FITTING]
            if not best:
                continue
            template = rng.choice(best).template
            text = _filled(template, slot.values)
            if slot.spot is not None and self.reader.fault(text, slot.spot) is not None:
                continue
            messages[index] = user(text) if slot.spot is None else self.talk(text)
            sources[index] = self.sources[template]
        reworded = Conversation(
            conversation.id, conversation.source, tuple(messages), conversation.provenance
        )
        return reworded, sources

    def _understood(self, messages: Sequence[Message]) -> set[int]:
        """The messages that paraphrase no argument of the next service call, by index.

        Before such a call, every argument was said literally or is a default. Elsewhere a message
        may paraphrase a value ("something Southern" for American).
        """
        understood: set[int] = set()
        begin, texts = 0, list[str]()
        for index, message in enumerate(messages):
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
                understood.update(range(begin, index))
            begin = index
        return understood.union(range(begin, len(messages)))

    def _says(self, text: str, name: str, value: str) -> bool:
        """Whether a text mentions an argument: a flag by its name, all others by their value."""
        if name in self.reader.flags:
            return mentions_key(name, text)
        return hear(text, self.reader.today).mentions(value)

    def mend(
        self, conversation: Conversation, wrong: Iterable[int]
    ) -> tuple[Conversation, set[int]]:
        """(the conversation with wrong agent messages replaced, those that no phrase fits)."""
        messages, left = list(conversation.messages), set()
        for index, slot in self.slots(conversation).items():
            if index not in wrong or slot.spot is None:
                continue
            candidates = {
                phrase
                for phrase, blanks in self.places[slot.spot.after, slot.spot.before]
                if blanks <= slot.spot.values.keys()
            }
            ranked = sorted(candidates, key=lambda phrase: (-_fit(slot.phrase, phrase), phrase))[
                :TRIED
            ]
            for phrase in ranked:
                text = _filled(phrase.template, slot.spot.values)
                if self.reader.fault(text, slot.spot) is None:
                    messages[index] = self.talk(text)
                    self.borrowed[text] = self.sources[phrase.template]
                    break
            else:
                left.add(index)
        mended = Conversation(
            conversation.id, conversation.source, tuple(messages), conversation.provenance
        )
        return mended, left

    def doubtful_call(self, conversation: Conversation, index: int) -> bool:
        """Whether a service call gives a value that nobody said for a parameter the user told."""
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
        """A message from the agent to the user."""
        return Message("assistant", tool_call=ToolCall(RESPOND, {self.argument: text}))


def _coarse(act: Act | None) -> Hashable:
    """An act without the names of its blanks and flags."""
    return act and (act.asks, act.question, act.more, act.leaves, bool(act.blanks))


def _filled(template: str, values: Mapping[str, str]) -> str:
    """A template with its blanks filled, and "person" or "people" to suit the number."""
    text = re.sub(r"\b1 (people|persons)\b", "1 person", fill(template, values))
    return re.sub(r"\b(\d\d|[02-9]) person\b", r"\1 people", text)


def _fit(a: Phrase, b: Phrase) -> float:
    """The mean similarity, 0 to 100, of the messages before and after two phrases."""
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
