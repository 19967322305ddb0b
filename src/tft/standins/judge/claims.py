"""Checks whether a message contradicts the conversation's tool results.

The precision of these rules was measured on the references of training traces, which by these rules
rarely contradict their conversations (docs/log).
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from datetime import date

from tft.core.task import Task
from tft.standins.judge.state import Fault, Item, State, is_transaction, subjects
from tft.standins.reading.evidence import hear
from tft.standins.reading.facts import (
    Mention,
    blank,
    find_dates,
    find_numbers,
    find_times,
    find_words,
    number,
    similar,
    words,
)
from tft.standins.reading.speech import (
    COMMON,
    DONE,
    FAILED,
    FOUND,
    NEGATION,
    NOTHING,
    OFFER,
    READ_BACK,
    clauses,
    mentions_key,
    sentences,
)

# Words that may be capitalized without being names of things that a service could return.
ORDINARY = COMMON | set(
    words(
        "mr mrs monday tuesday wednesday thursday friday saturday sunday january february march "
        "april may june july august september october november december tomorrow tonight avenue "
        "street road boulevard drive lane way plaza suite"
    )
)
OF_A_THING = re.compile(r"^\W*((yes|no)\W+)?(it|they|this|that|there)\b", re.IGNORECASE)
FLAGS = ("True", "False")
WITHOUT = re.compile(r"\b(without|until|unless|before|yet)\b", re.IGNORECASE)
MUCH_DIGITS = re.compile(r"\d{3,}")
COUNTED = re.compile(
    r"\b(?:party|group|table) (?:of|for) (?P<party>\w+)"
    r"|\b(?P<heads>\w+) (?:people|persons?|guests?|adults?|diners?|passengers?|riders?)\b",
    re.IGNORECASE,
)
PART_FIRST = re.compile(r"\b(morning|afternoon|evening) (\d\d?)\b(?!:)", re.IGNORECASE)
PROPOSAL = re.compile(
    r"\b(instead|available|how about|what about|such as|for (example|instance)|e\.?g)\b",
    re.IGNORECASE,
)


def contradiction(
    message: str, reference: str, state: State, task: Task, today: date
) -> Fault | None:
    """The first fact of the conversation that a message contradicts, or None.

    The content of the reference message is considered known.
    """
    claims = list(clauses(message))
    for check in (
        _outcome(claims, message, reference, state, task),
        _attributes(claims, message, state, task),
        _options(claims, message, state, task),
        _long_numbers(message, reference, state, today),
        _moments(message, reference, state, today),
        _counts(message, reference, state),
        _names(message, reference, state, task),
    ):
        for fault in check:
            return fault
    return None


def told(message: str, state: State, today: date) -> list[str]:
    """The facts in a message that calls, results, or speech contained before, as key=value."""
    heard = hear(message, today)
    calls = [{key: str(value) for key, value in call.arguments.items()} for call in state.calls]
    about = subjects(message, state)
    facts = {
        f"{key}={value}"
        for item in [*calls, *itertools.chain(*state.results)]
        for key, value in item.items()
        if value not in FLAGS and heard.mentions(value)
    }
    facts |= {
        f"{key}={thing[key]}"
        for key in _boolean_keys(about)
        for thing in about
        if key in thing and mentions_key(key, message)
    }
    if state.outcome != "none" and (DONE.search(message) or FAILED.search(message)):
        facts.add(f"outcome={state.outcome}")
    text, said = (
        _with_readable_times(message),
        " . ".join(map(_with_readable_times, state.dialogue)),
    )
    known = _meanings([*find_times(said), *find_dates(said, today)]) | {today}
    moments = [*find_times(text), *find_dates(text, today)]
    return sorted(facts) + [text[m.start : m.end] for m in moments if m.meanings & known]


def _outcome(
    claims: list[str], message: str, reference: str, state: State, task: Task
) -> Iterator[Fault]:
    # "I have booked a table for 2. Is that correct?" reads back a request and claims nothing.
    done = [] if READ_BACK.search(message) else _done(claims)
    failed = [c for c in claims if FAILED.search(c) and not WITHOUT.search(c)]
    if done and state.outcome in ("none", "failed"):
        fact = "no such call was made" if state.outcome == "none" else "the call returned nothing"
        yield Fault(f"claims_success: {done[0]!r}", fact)
    if failed and not done and state.outcome == "none":
        yield Fault(f"claims_failure: {failed[0]!r}", "no such call was made")
    # A booking other than requested may be reported as success or failure; follow the reference.
    booked = state.outcome == "done" or (state.outcome == "changed" and _done(clauses(reference)))
    if failed and not done and booked and state.fresh:
        yield Fault(f"claims_failure: {failed[0]!r}", f"the call returned {state.fresh[0]}")
    if state.fresh is not None and not is_transaction(state.calls[-1].name, task):
        nothing = [c for c in claims if NOTHING.search(c)]
        if nothing and state.fresh and not _about_attribute(nothing[0], state):
            yield Fault(f"claims_nothing_found: {nothing[0]!r}", f"{len(state.fresh)} found")
        claimed_results = [c for c in claims if FOUND.search(c) and not NEGATION.search(c)]
        if claimed_results and not state.fresh:
            yield Fault(f"claims_results: {claimed_results[0]!r}", "the call returned nothing")


def _done(claims: Iterable[str]) -> list[str]:
    return [claim for claim in claims if DONE.search(claim) and not NEGATION.search(claim)]


def _attributes(claims: list[str], message: str, state: State, task: Task) -> Iterator[Fault]:
    things = subjects(message, state)
    if not state.results:
        for key in _flags(task):
            for clause in claims:
                if mentions_key(key, clause) and OF_A_THING.search(clause):
                    yield Fault(f"unsupported: {clause!r}", "nothing was looked up")
    for key in _boolean_keys(things):
        facts = {thing[key].lower() == "true" for thing in things if key in thing}
        for clause in _attribute_clauses(key, claims, state):
            claim = not NEGATION.search(clause)
            if facts == {not claim}:
                yield Fault(f"contradicts_fact: {clause!r}", f"{key}={not claim}")


def _attribute_clauses(key: str, claims: list[str], state: State) -> Iterator[str]:
    about = [clause for clause in claims if mentions_key(key, clause)]
    yield from (re.sub(r"^\W*no\b\W+(?=(?:it|they|there|the)\b)", "", c, flags=re.I) for c in about)
    # "No." or "Yes, they do" answers the user's question about the attribute.
    answer = claims and re.match(r"\W*(yes|yeah|no|nope)\b", claims[0], re.IGNORECASE)
    if not about and answer and state.fresh is None and state.dialogue:
        question = state.dialogue[-1]
        if mentions_key(key, question) and "?" in question and len(_asked(question, state)) == 1:
            yield claims[0] if answer[1].lower().startswith("y") else "no"


def _asked(question: str, state: State) -> set[str]:
    keys = _boolean_keys(list(state.things.values()))
    return {key for key in keys if mentions_key(key, question)}


def _about_attribute(clause: str, state: State) -> bool:
    return any(mentions_key(key, clause) for key in _boolean_keys(list(state.things.values())))


def _boolean_keys(things: list[Item]) -> list[str]:
    keys = {key for thing in things for key, value in thing.items() if value in FLAGS}
    return sorted(keys)


def _options(claims: list[str], message: str, state: State, task: Task) -> Iterator[Fault]:
    """Values of an enumeration of words that differ from the subject's."""
    things = subjects(message, state)
    for key, options in _word_enums(task).items():
        facts = {thing[key].lower() for thing in things if key in thing}
        if len(facts) != 1:
            continue
        (fact,) = facts
        for clause in claims:
            if NEGATION.search(clause):
                continue
            # Longest first, so that "very expensive" is not read as "expensive".
            for option in sorted(options, key=len, reverse=True):
                if re.search(rf"\b{re.escape(option)}(ly)?\b", clause, re.IGNORECASE):
                    if option != fact and option not in fact and fact not in clause.lower():
                        yield Fault(f"contradicts_fact: {clause!r}", f"{key}={fact}")
                    break


def _flags(task: Task) -> list[str]:
    properties = [tool.parameters.get("properties", {}) for tool in task.tools]
    return [
        key
        for slots in properties
        for key, slot in slots.items()
        if slot.get("type") == "boolean" or "True" in slot.get("enum", ())
    ]


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


def _long_numbers(message: str, reference: str, state: State, today: date) -> Iterator[Fault]:
    """Phone and street numbers that occur nowhere, or are not those of the message's subject."""
    text = blank(message, find_dates(message, today) + find_times(message))
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    known = "|".join(map(_digits, [*state.log, reference]))
    named = [name for name in state.things if find_words(name, message) is not None]
    for digits in MUCH_DIGITS.findall(text):
        if digits not in known:
            yield Fault(f"unknown_number: {digits}", "in no result and never mentioned")
        elif len(named) == 1:
            own = "|".join(
                map(_digits, [*state.things[named[0]].values(), *state.dialogue, reference])
            )
            if digits not in own:
                yield Fault(f"wrong_number: {digits}", f"not of {named[0]!r}")


def _digits(text: str) -> str:
    return re.sub(r"(?<=\d)([\s().+-]+|,(?=\d{3}))(?=\d)", "", text)


def _moments(message: str, reference: str, state: State, today: date) -> Iterator[Fault]:
    """Times and dates that nobody mentioned, or that are read back although another followed."""
    message = _with_readable_times(message)
    for name, find in (("time", find_times), ("date", lambda text: find_dates(text, today))):
        spoken, in_reference = find(message), find(_with_readable_times(reference))
        mentions_by_text = [
            mentions for text in state.log if (mentions := find(_with_readable_times(text)))
        ]
        known = _meanings([*in_reference, *itertools.chain(*mentions_by_text)]) | {today}
        for mention in spoken:
            if not mention.meanings & known and not _offered(message, mention):
                quoted = message[mention.start : mention.end]
                yield Fault(f"unknown_{name}: {quoted!r}", "nobody mentioned it")
        if mentions_by_text and spoken and READ_BACK.search(message):
            last = _meanings([*mentions_by_text[-1], *in_reference])
            if not any(mention.meanings & last or _offered(message, mention) for mention in spoken):
                yield Fault(f"outdated_{name}: {message!r}", "another one was mentioned since")


def _with_readable_times(text: str) -> str:
    """A text with times of day in the forms that `find_times` reads; users also write evening 6."""
    return PART_FIRST.sub(r"\2 in the \1", text.replace('o"clock', "o'clock"))


def _meanings(mentions: Iterable[Mention]) -> set[date | int]:
    return {meaning for mention in mentions for meaning in mention.meanings}


def _offered(message: str, mention: Mention) -> bool:
    """Whether a time or date is a proposal: an example, or in a question that is no read-back."""
    before = re.split(r"[.!?]\s", message[: mention.start])[-1]
    after = re.search(r"[.!?](\s|$)", message[mention.end :])
    sentence = before + message[mention.start : mention.end + (after.end() if after else 0)]
    asks = bool(after and after[0][0] == "?") and not READ_BACK.search(sentence)
    return asks or bool(PROPOSAL.search(sentence))


def _counts(message: str, reference: str, state: State) -> Iterator[Fault]:
    """Numbers of people that differ from all numbers mentioned before, if there are any."""
    known = {n for text in [*state.log, reference] for n in _counted(text)}
    known |= {n for call in state.calls for v in call.arguments.values() if (n := number(str(v)))}
    spoken = [_with_readable_times(text) for text in state.dialogue]
    mentioned = set[float]().union(
        *(find_numbers(blank(text, find_times(text))) for text in spoken)
    )
    for value in _counted(message):
        if known and value not in known | mentioned:
            yield Fault(f"unknown_count: {value}", f"mentioned: {sorted(known)}")


def _counted(text: str) -> list[int]:
    counts = (match["party"] or match["heads"] for match in COUNTED.finditer(text))
    return [value for word in counts if (value := number(word)) is not None]


def _names(message: str, reference: str, state: State, task: Task) -> Iterator[Fault]:
    """Proper names that occur nowhere, in messages that offer something or follow results."""
    keys = [key.replace("_", " ") for thing in state.things.values() for key in thing]
    tools = [str(tool.to_openai()) for tool in task.tools]
    texts = [*state.log, reference, *keys, *tools, task.description]
    known = {word for text in texts for word in words(text)}
    for sentence in sentences(message):
        if not state.things and not OFFER.search(sentence):
            continue
        for match in re.finditer(r"(?<=[a-z,'] )(?!I\b)[A-Z][\w'&-]*[a-z][\w'&-]*", sentence):
            for word in words(match[0]):
                stem = re.sub(r"s$", "", word)
                if len(word) < 3 or {word, stem} & (known | ORDINARY) or number(word):
                    continue
                if not any(similar(word, known_word) for known_word in known):
                    yield Fault(f"unknown_name: {match[0]!r}", "in no result, never mentioned")
