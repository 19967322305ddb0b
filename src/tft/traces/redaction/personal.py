"""Finds personal data in a text: email addresses, phone numbers, cards, accounts, keys, and names.

Two libraries recognize numbers: phonenumbers (Google's) and stdnum (check digits). Faker supplies
lists of names. All three are self-contained packages, so nothing is sent over a network.

Alternatives that were tried: Presidio uses the same phonenumbers, downloads the list of public
suffixes to recognize email addresses, misses those in domains that the list lacks (`.internal`),
and finds no names without a spaCy model, which its makers publish in no package index.
detect-secrets says that a line contains a key but not where the key ends, and of the keys of
language models it knows only OpenAI's. benchmarks/redaction.py measures what this module finds and
misses.
"""

import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tft.core.errors import InputError
from tft.traces.config import RedactConfig


class Found(NamedTuple):
    """The place of personal data in a text; `key` is equal for two spellings of one thing."""

    start: int
    end: int
    entity: str
    key: str


Find = Callable[[str], list[Found]]

# Not treated as names although lists contain them: a student could not make sense of a redacted
# "May 5".
NO_NAMES = frozenset(
    "January February March April May June July August September October November December "
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
)

_MAIL = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]{1,64}@(?:\w(?:[\w-]{0,61}\w)?\.)+[^\W\d_]\w*")
_DIGITS = re.compile(r"\d(?:[ .()/-]{0,3}\d){6}")  # phone numbers have at least seven digits
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){11,18}(?![\w-]|\.\d)")
_IBAN = re.compile(r"\b[A-Za-z]{2}\d\d(?: ?[A-Za-z0-9]){11,30}\b")
_SSN = re.compile(r"(?<![\w-])\d{3}-\d\d-\d{4}(?![\w-])")
# Dates and times, which libphonenumber reads as national numbers of some regions.
_MOMENT = re.compile(
    r"(?<!\d)(?:\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.]\d{4})(?:[T ]\d\d?:\d\d\S*)?(?!\d)"
)

_KEY = re.compile(
    r"""
    -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    | (?<!\w)(?:
        (?:sk|pk|rk)[-_][\w-]{16,}                     # OpenAI, Anthropic, Stripe, Langfuse
        | gh[opsur]_\w{20,} | github_pat_\w{20,} | glpat-[\w-]{16,}
        | xox[a-z]-[\w-]{10,}                          # Slack
        | (?:gsk|hf|npm|r8|shpat)_\w{20,} | pypi-[\w-]{20,}
        | (?:AKIA|ASIA)[A-Z0-9]{16}                    # AWS
        | AIza[\w-]{35}                                # Google
        | (?:AC|SK)[0-9a-f]{32}                        # Twilio
        | SG\.[\w-]{16,}\.[\w-]{16,}                   # SendGrid
        | eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*           # JSON web tokens
    )
    | (?<=://)[^\s:/@]+:[^\s/@]+(?=@)                  # user and password of an address
    """,
    re.VERBOSE | re.DOTALL,
)
# What a text calls a secret and looks like one: at least eight characters, including a digit.
_CALLED_KEY = re.compile(
    r"(?:api[ _-]?key|secret|token|bearer|pass(?:word|wd|phrase|code)|pwd)"
    r"(?:\s*[=:]\s*|\s+is:?\s+|\s+)[\"']?((?=\S*\d)[\w!#$%&*+./=?@^~-]{7,}[\w!#$%&*+/=?@^~-])",
    re.IGNORECASE,
)

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
# After these words there is a name, in the lists or not.
_NAMED = re.compile(
    r"\b(?:(?:my|the|full|first|last|his|her) name(?:'s| is|:)|under the name(?: of)?"
    r"|in the name of|mr\.?|mrs\.?|ms\.?|miss|mx\.?|dr\.?|prof\.?)\s+$",
    re.IGNORECASE,
)
# After these words there may be a name.
_ADDRESSED = re.compile(
    r"(?:\b(?:i'm|i am|this is|it's|it is|call me|speaking (?:to|with)|signed(?: by)?|regards,"
    r"|dear|hi|hello|hey|thanks,?|thank you,?|welcome(?: back)?,?|sorry,?|name:))\s+$",
    re.IGNORECASE,
)
# A name within a sentence is a person's unless a preposition or verb suggests a business or town.
_SPOKEN_OF = re.compile(r"(?:^|\W)(?!(?:at|from|in|near|of|on|to|the|try|visit)\s)[a-z]+\s+$")
_BEFORE = 24
"""The number of characters before a word in which such words are searched for."""


def finder(params: RedactConfig) -> Find:
    """A function that finds the kinds of data in `params.entities`, in order, without overlaps.

    Raises:
        InputError: the libraries do not know a region or a locale.
    """
    finders = [_FINDERS[entity](params) for entity in dict.fromkeys(params.entities)]

    def find(text: str) -> list[Found]:
        # Of overlapping candidates the one that starts first is kept; of these, the longest.
        candidates = sorted((candidate for find_kind in finders for candidate in find_kind(text)),
                       key=lambda candidate: (candidate.start, -candidate.end))  # fmt: skip
        kept: list[Found] = []
        for candidate in candidates:
            if not kept or candidate.start >= kept[-1].end:
                kept.append(candidate)
        return kept

    return find


Each = Callable[[str], Iterator[Found]]


def _mails(_: RedactConfig) -> Each:
    def find(text: str) -> Iterator[Found]:
        if "@" in text:
            for match in _MAIL.finditer(text):
                yield Found(*match.span(), "EMAIL", match[0].casefold())

    return find


def _phones(params: RedactConfig) -> Each:
    import phonenumbers  # noqa: PLC0415 - every stage imports this module, few need it

    for region in params.regions:
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise InputError(
                f"traces.redact.regions: {region!r} is no region with phone numbers; they are "
                "countries by two letters, such as US and GB"
            )

    def find(text: str) -> Iterator[Found]:
        if not _DIGITS.search(text):
            return
        dull = _MOMENT.sub(lambda match: "\n" * len(match[0]), text)
        for region in params.regions or ["ZZ"]:  # libphonenumber's code for no region
            for match in phonenumbers.PhoneNumberMatcher(dull, region):
                form = phonenumbers.PhoneNumberFormat.E164
                key = phonenumbers.format_number(match.number, form)
                yield Found(match.start, match.end, "PHONE", key)

    return find


def _numbers(pattern: re.Pattern[str], entity: str, module: str) -> Each:
    """Numbers that stdnum considers valid, for example by their check digits."""
    number = importlib.import_module(f"stdnum.{module}")

    def find(text: str) -> Iterator[Found]:
        for match in pattern.finditer(text):
            # Words in capitals may follow an account number, so try ever shorter prefixes.
            for end in range(match.end(), match.start() + 10, -1):
                bare = re.sub("[ -]", "", text[match.start() : end])
                if text[end - 1].isalnum() and number.is_valid(bare):
                    yield Found(match.start(), end, entity, bare.upper())
                    break
                if entity != "IBAN":
                    break

    return find


def _keys(_: RedactConfig) -> Each:
    def find(text: str) -> Iterator[Found]:
        for match in _KEY.finditer(text):
            yield Found(*match.span(), "KEY", match[0])
        for match in _CALLED_KEY.finditer(text):
            yield Found(*match.span(1), "KEY", match[1])

    return find


def _people(params: RedactConfig) -> Each:
    first, last = names(params.names)
    # Names with fewer than three letters are more often words ("In", "So").
    known = {name.casefold() for name in first | last if len(name) > 2}

    def find(text: str) -> Iterator[Found]:
        words = list(_WORD.finditer(text))
        at = 0
        while at < len(words):
            run = _run(text, words, at)
            start = words[at].start()
            before = text[max(0, start - _BEFORE) : start]
            size = 0
            if _NAMED.search(before):
                # Some people write names in lower case.
                size = len(run) or _listed(text, words, at, known)
            elif run and run[0] in first and len(run) > 1 and run[1] in last:
                size = min(len(run), 3)
            elif run and run[0] in first and _SPOKEN_OF.search(before):
                size = len(run)
            elif run and run[0] in first and _ADDRESSED.search(before):
                size = 1
            if size:
                end = words[at + size - 1].end()
                yield Found(start, end, "PERSON", text[start:end].casefold())
            at += size or 1

    return find


def _run(text: str, words: Sequence[re.Match[str]], at: int) -> list[str]:
    """Up to three capitalized words from `at` on, separated by a space or an initial's dot."""
    run: list[str] = []
    for word in words[at : at + 3]:
        between = text[words[at + len(run) - 1].end() : word.start()] if run else " "
        initial = bool(run) and len(run[-1]) == 1
        if between != " " and not (initial and between == ". "):
            break
        if not word[0][0].isupper() or word[0] in NO_NAMES:
            break
        run.append(word[0])
    return run


def _listed(text: str, words: Sequence[re.Match[str]], at: int, known: set[str]) -> int:
    """The number of consecutive words from `at` on, up to three, that are known names."""
    for size in range(3):
        if at + size == len(words) or words[at + size][0].casefold() not in known:
            return size
        if size and text[words[at + size - 1].end() : words[at + size].start()] != " ":
            return size
    return 3


def names(locales: Sequence[str]) -> tuple[set[str], set[str]]:
    """(first names, last names) that Faker has for locales such as en_US.

    Raises:
        InputError: Faker has no names for one of the locales.
    """
    first_and_last: tuple[set[str], set[str]] = set(), set()
    for locale in locales:
        try:
            module = importlib.import_module(f"faker.providers.person.{locale}")
        except ModuleNotFoundError as error:
            raise InputError(
                f"traces.redact.names: {locale!r} is no locale of Faker's that has names; some "
                "are en_US, en_GB, de_DE, es_ES, fr_FR"
            ) from error
        for key, value in vars(module.Provider).items():
            for names, beginning in zip(first_and_last, ("first_name", "last_name"), strict=True):
                if key.startswith(beginning) and not callable(value):
                    names.update(set(value) - NO_NAMES)
    return first_and_last


_FINDERS: dict[str, Callable[[RedactConfig], Each]] = {
    "EMAIL": _mails,
    "PHONE": _phones,
    "CARD": lambda _: _numbers(_CARD, "CARD", "luhn"),
    "IBAN": lambda _: _numbers(_IBAN, "IBAN", "iban"),
    "SSN": lambda _: _numbers(_SSN, "SSN", "us.ssn"),
    "KEY": _keys,
    "PERSON": _people,
}
