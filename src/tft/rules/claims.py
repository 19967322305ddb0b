"""What a message claims, against what the conversation's tool results say.

A contradiction needs a competing fact: a message that says something nobody has said anything
about is reasonable. References of training traces contradict themselves rarely by these rules,
which is how their precision was measured (docs/LOG.md).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from tft.conversation import Message, ToolCall
from tft.rules.facts import (
    Mention,
    blank,
    find_dates,
    find_numbers,
    find_times,
    find_words,
    number,
    result_items,
    similar,
    words,
)
from tft.task import RESPOND, Task

TRANSACTION = re.compile(
    r"(reserve|book|buy|purchase|order|schedule|make|transfer|pay|send|add|rent|create|cancel)",
    re.IGNORECASE,
)
NAME_KEY = re.compile(r"(^|_)(name|title)$")
NEGATION = re.compile(
    r"\b(not|no|none|without|neither|nor|never|lacks?|cannot|unable)\b"
    r"|\b(do|does|did|is|are|was|were|ca|could|wo|would|has|have|had)n?['\u2019 ]?t\b",
    re.IGNORECASE,
)
DONE = re.compile(
    r"\b(reservation|booking|table|appointment|order|purchase|payment|ticket|transfer)s?\b[^.?!]*"
    r"\b(is|are|was|has|have|been|got)\b[^.?!]*"
    r"\b(confirmed|booked|made|reserved|success\w*|complete\w*|placed|scheduled|set)\b"
    r"|\b(i|we)('ve| have)? (just )?(successfully )?(booked|reserved|made|scheduled|purchased)\b"
    r"|\bsuccessfully\b|\byou('re| are) (all set|confirmed|booked)\b|\bwent through\b",
    re.IGNORECASE,
)
FAILED = re.compile(
    r"\b(unable to|not able to|n't able to|could ?n[o']?t|can ?n[o']?t|failed|unsuccessful)\b"
    r"[^.?!]*\b(reserv\w*|book\w*|mak\w*|made|schedul\w*|purchas\w*|complete\w*|get|go)\b"
    r"|\b(reservation|booking|table|appointment|order|purchase|payment)s?\b[^.?!]*"
    r"\b(failed|unsuccessful|n[o']t (been )?(made|confirmed|booked|successful|go|available))\b"
    r"|\b(fully booked|no (tables?|reservations?|availability|openings?))\b",
    re.IGNORECASE,
)
NOTHING = re.compile(
    r"\b(could ?n[o']?t|can ?n[o']?t|did ?n[o']?t|unable to|not able to|no luck)\b[^.?!]*"
    r"\b(find|found|locate|see|match)\w*|\bfound (no|nothing|none)\b"
    r"|\bthere (are|is|were) (no|none|not any)\b",
    re.IGNORECASE,
)
FOUND = re.compile(
    r"\b(i|we)('ve| have)? (found|see)\b|\bthere (is|are) (a|an|\w+) ", re.IGNORECASE
)
READ_BACK = re.compile(r"\b(confirm|verify|correct|to be|being)\b|\bright\?", re.IGNORECASE)
# Wishes, plans and questions state no fact.
NOT_A_CLAIM = re.compile(
    r"\b(if|whether|once|will|would|shall|should|prefer|looking for|want|like|confirm|let me|try)\b"
    r"|^\W*(do|does|is|are|can|could|what|which|how|have|has|any|need|may)\b",
    re.IGNORECASE,
)
# Words of an attribute's key that name no thing: has_live_music is about live music.
KEY_VERBS = set(words("has have is are serves serve offers accepts allows allowed includes in on"))
ORDINARY = set(
    words(
        "ok okay yes no sure thanks thank you hi hello sorry enjoy please great alright well good "
        "have is are was the an it its their they there your and but or mr mrs monday tuesday "
        "wednesday thursday friday saturday sunday january february march april may june july "
        "august september october november december avenue street road boulevard drive lane way "
        "plaza suite today tomorrow tonight shall should would could can will may correct"
    )
)
MUCH_DIGITS = re.compile(r"\d{3,}")


class Contradiction(NamedTuple):
    """A label with words, and the fact that speaks against the message."""

    reason: str
    evidence: str


@dataclass
class State:
    """What the conversation has established before the message.

    `things` are the tool results' items by name, `fresh` the result that the message answers
    (None when it answers the user), `outcome` that of the latest transaction: none, done, failed
    or changed (something was booked or offered, but not as asked for).
    """

    dialogue: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    things: dict[str, dict[str, str]] = field(default_factory=dict)
    results: list[list[dict[str, str]]] = field(default_factory=list)
    fresh: list[dict[str, str]] | None = None
    outcome: str = "none"
    subject: str | None = None

    @property
    def texts(self) -> list[str]:
        """Everything said, asked of a service or returned by it."""
        results = [" ; ".join(item.values()) for result in self.results for item in result]
        arguments = [" ; ".join(map(str, call.arguments.values())) for call in self.calls]
        return [*self.dialogue, *arguments, *results]


def read_state(prefix: Sequence[Message], task: Task) -> State:
    """The state after `prefix`; a tool result is the user message after a service call."""
    state = State()
    pending: ToolCall | None = None
    for message in prefix:
        state.fresh = None
        call = message.tool_call
        if call is not None and call.name != RESPOND:
            state.calls.append(call)
            _mention(state, " ; ".join(map(str, call.arguments.values())))
        elif call is not None or pending is None:
            text = str(message.content)
            if call is not None:
                text = " ".join(map(str, call.arguments.values()))
            state.dialogue.append(text)
            _mention(state, text)
        else:
            _add_result(state, pending, str(message.content), task)
        pending = call if call is not None and call.name != RESPOND else None
    return state


def _mention(state: State, text: str) -> None:
    for name in state.things:
        if find_words(name, text) is not None:
            state.subject = name


def _add_result(state: State, call: ToolCall, content: str, task: Task) -> None:
    result = result_items(content)
    if result is None:
        return
    items = [{key: str(field) for key, field in item.items()} for item in result]
    state.fresh = items
    state.results.append(items)
    for item in items:
        name = next((value for key, value in item.items() if NAME_KEY.search(key)), None)
        if name is not None:
            state.things[name] = state.things.get(name, {}) | item
    if is_transaction(call.name, task):
        asked = {key: str(value) for key, value in call.arguments.items()}
        if not items:
            state.outcome = "failed"
        elif all(items[0].get(key, value) == value for key, value in asked.items()):
            state.outcome = "done"
        else:
            state.outcome = "changed"


def is_transaction(name: str, task: Task) -> bool:
    """Whether a tool changes the world, by the verb its name or description begins with."""
    tool = task.tool(name)
    return bool(TRANSACTION.match(name) or (tool and TRANSACTION.match(tool.description)))


def contradiction(
    message: str, prefix: Sequence[Message], task: Task, today: date
) -> Contradiction | None:
    """The first fact that `message`, said after `prefix`, contradicts; None if it does none."""
    state = read_state(prefix, task)
    clauses = list(_clauses(message))
    for check in (
        _outcome(clauses, message, state, task),
        _attributes(clauses, message, state),
        _options(clauses, message, state, task),
        _long_numbers(message, state, today),
        _moments(message, state, today),
        _names(message, state, task),
    ):
        for found in check:
            return found
    return None


def _clauses(message: str) -> Iterator[str]:
    """Pieces that carry one claim and one polarity each; questions are no claims."""
    for sentence in re.findall(r"[^.!?\n]+[.!?]*", message):
        parts = re.split(
            r"[;:,]\s|\b(?:but|however|although|though|while)\b"
            r"|\band (?=(?:they|it|there|does|do|is|are|has|have|serves?|offers?|the|your|i)\b)",
            sentence,
            flags=re.IGNORECASE,
        )
        for part in parts:
            if "?" in sentence and part is parts[-1]:
                continue
            if not NOT_A_CLAIM.search(part):
                yield part.strip()


def _outcome(clauses: list[str], message: str, state: State, task: Task) -> Iterator[Contradiction]:
    # "I have booked a table for 2. Is that correct?" reads back a request and claims nothing.
    done = [c for c in clauses if DONE.search(c) and not NEGATION.search(c)]
    if READ_BACK.search(message):
        done = []
    failed = [c for c in clauses if FAILED.search(c)]
    if done and state.outcome in ("none", "failed"):
        fact = "no such call was made" if state.outcome == "none" else "the call returned nothing"
        yield Contradiction(f"claims_success: {done[0]!r}", fact)
    if failed and not done and state.outcome == "done" and state.fresh is not None:
        yield Contradiction(f"claims_failure: {failed[0]!r}", f"the call returned {state.fresh[0]}")
    if state.fresh is not None and not is_transaction(state.calls[-1].name, task):
        nothing = [c for c in clauses if NOTHING.search(c)]
        if nothing and state.fresh and not _about_attribute(nothing[0], state):
            yield Contradiction(
                f"claims_nothing_found: {nothing[0]!r}", f"{len(state.fresh)} found"
            )
        found = [c for c in clauses if FOUND.search(c) and not NEGATION.search(c)]
        if found and not state.fresh:
            yield Contradiction(f"claims_results: {found[0]!r}", "the call returned nothing")


def _subjects(message: str, state: State) -> list[dict[str, str]]:
    """The things a message may be about: those it names, else the topic, else a new result's."""
    named = [thing for name, thing in state.things.items() if find_words(name, message) is not None]
    if named:
        return named
    if state.fresh:
        return state.fresh
    return [state.things[state.subject]] if state.subject else []


def _attributes(clauses: list[str], message: str, state: State) -> Iterator[Contradiction]:
    subjects = _subjects(message, state)
    for key in _boolean_keys(subjects):
        facts = {thing[key].lower() == "true" for thing in subjects if key in thing}
        for clause in _attribute_clauses(key, clauses, state):
            claim = not NEGATION.search(clause)
            if facts == {not claim}:
                yield Contradiction(f"contradicts_fact: {clause!r}", f"{key}={not claim}")


def _attribute_clauses(key: str, clauses: list[str], state: State) -> Iterator[str]:
    about = [clause for clause in clauses if _mentions_key(key, clause)]
    yield from (re.sub(r"^\W*no\b\W+(?=(?:it|they|there|the)\b)", "", c, flags=re.I) for c in about)
    # "No." or "Yes, they do" answers the user's question about the attribute.
    answer = clauses and re.match(r"\W*(yes|yeah|no|nope)\b", clauses[0], re.IGNORECASE)
    if not about and answer and state.fresh is None and state.dialogue:
        question = state.dialogue[-1]
        if _mentions_key(key, question) and "?" in question and len(_asked(question, state)) == 1:
            yield clauses[0] if answer[1].lower().startswith("y") else "no"


def _asked(question: str, state: State) -> set[str]:
    keys = _boolean_keys(list(state.things.values()))
    return {key for key in keys if _mentions_key(key, question)}


def _mentions_key(key: str, text: str) -> bool:
    thing = [word for word in key.lower().split("_") if word not in KEY_VERBS]
    return bool(thing) and thing[-1].rstrip("s") in {word.rstrip("s") for word in words(text)}


def _about_attribute(clause: str, state: State) -> bool:
    return any(_mentions_key(key, clause) for key in _boolean_keys(list(state.things.values())))


def _boolean_keys(things: list[dict[str, str]]) -> list[str]:
    keys = {key for thing in things for key, value in thing.items() if value in ("True", "False")}
    return sorted(keys)


def _options(clauses: list[str], message: str, state: State, task: Task) -> Iterator[Contradiction]:
    """A value of a closed list (an enum of words) other than the subject's."""
    subjects = _subjects(message, state)
    for key, options in _word_enums(task).items():
        facts = {thing[key].lower() for thing in subjects if key in thing}
        if len(facts) != 1:
            continue
        (fact,) = facts
        for clause in clauses:
            if NEGATION.search(clause):
                continue
            # Longest first, so that "very expensive" is not read as "expensive".
            for option in sorted(options, key=len, reverse=True):
                if re.search(rf"\b{re.escape(option)}(ly)?\b", clause, re.IGNORECASE):
                    if option != fact and option not in fact and fact not in clause.lower():
                        yield Contradiction(f"contradicts_fact: {clause!r}", f"{key}={fact}")
                    break


def _word_enums(task: Task) -> dict[str, list[str]]:
    result = {}
    for tool in task.tools:
        for key, slot in tool.parameters.get("properties", {}).items():
            options = [str(option).lower() for option in slot.get("enum", ())]
            if options and not any(
                o in ("true", "false") or number(o) is not None for o in options
            ):
                result[key] = options
    return result


def _long_numbers(message: str, state: State, today: date) -> Iterator[Contradiction]:
    """Phone and street numbers must be somebody's, and those of whom the message is about."""
    if not state.things:
        return
    text = blank(message, find_dates(message, today) + find_times(message))
    known = "|".join(_digits(text) for text in state.texts)
    named = [name for name in state.things if find_words(name, message) is not None]
    for digits in MUCH_DIGITS.findall(text):
        if digits not in known:
            yield Contradiction(f"unknown_number: {digits}", "in no result and never mentioned")
        elif len(named) == 1:
            own = "|".join(map(_digits, [*state.things[named[0]].values(), *state.dialogue]))
            if digits not in own:
                yield Contradiction(f"wrong_number: {digits}", f"not of {named[0]!r}")


def _digits(text: str) -> str:
    return re.sub(r"(?<=\d)[\s().+-]+(?=\d)", "", text)


def _moments(message: str, state: State, today: date) -> Iterator[Contradiction]:
    """Times, dates and counts that differ from every one that the conversation mentions."""
    texts = state.texts
    for name, find in (("time", find_times), ("date", lambda text: find_dates(text, today))):
        known: set[Any] = set()
        for text in texts:
            known.update(*(mention.meanings for mention in find(text)))
        for mention in find(message):
            if (
                known
                and not mention.meanings & (known | {today})
                and not _offered(message, mention)
            ):
                said = message[mention.start : mention.end]
                yield Contradiction(f"unknown_{name}: {said!r}", "the conversation has others")
    counted = re.compile(r"\bfor (\w+) (?:people|persons?|guests?|adults?)\b", re.IGNORECASE)
    known_numbers = set().union(*(find_numbers(text) for text in texts))
    for match in counted.finditer(message):
        value = number(match[1])
        asked = {
            n for call in state.calls for v in call.arguments.values() if (n := number(str(v)))
        }
        if value is not None and value not in known_numbers and asked:
            yield Contradiction(f"unknown_count: {match[0]!r}", f"asked for: {sorted(asked)}")


def _offered(message: str, mention: Mention) -> bool:
    sentence_end = re.search(r"[.!?]", message[mention.end :])
    return bool(sentence_end and sentence_end[0] == "?")


def _names(message: str, state: State, task: Task) -> Iterator[Contradiction]:
    """Proper names that occur nowhere, once the results have named the things there are."""
    if not state.things:
        return
    keys = [key.replace("_", " ") for thing in state.things.values() for key in thing]
    known = {word for text in [*state.texts, *keys, task.description] for word in words(text)}
    for sentence in re.findall(r"[^.!?\n]+[.!?]*", message):
        for match in re.finditer(r"(?<=[a-z,'] )(?!I\b)[A-Z][\w'&-]*[a-z][\w'&-]*", sentence):
            for word in words(match[0]):
                stem = re.sub(r"s$", "", word)
                if len(word) < 3 or {word, stem} & (known | ORDINARY) or number(word):
                    continue
                if not any(similar(word, other) for other in known):
                    yield Contradiction(
                        f"unknown_name: {match[0]!r}", "in no result, never mentioned"
                    )
