"""What a text says, in comparable form: words, dates, times of day, and numbers.

Dates and times are sets of candidates, because text is ambiguous: "6" may be in the morning or the
evening, and "the 5th" in this month or the next. Two mentions agree if their candidates intersect.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

from dateutil.relativedelta import relativedelta

UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBER = {word: value for value, word in enumerate(UNITS.split())} | {
    word: 10 * (value + 2) for value, word in enumerate(TENS.split())
}
MONTHS = "january february march april may june july august september october november december"
MONTH = {name[:3]: number for number, name in enumerate(MONTHS.split(), 1)}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
    "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
ORDINAL = {word: value for value, word in enumerate(ORDINALS.split())} | {"thirtieth": 30}


class Mention(NamedTuple):
    """A date or time at text[start:end], with everything that it can mean."""

    start: int
    end: int
    meanings: frozenset[date] | frozenset[int]


def words(text: str) -> list[str]:
    """Lower-case words without accents and punctuation; "&" is read as "and"."""
    text = unicodedata.normalize("NFKD", text).casefold().replace("&", " and ")
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return re.findall(r"\w+", re.sub(r"['\u2019`]", "", text))


def similar(a: str, b: str) -> bool:
    """Equal up to case, accents, punctuation, and small misspellings, except in numbers."""
    return _similar("".join(words(a)), "".join(words(b)))


@lru_cache(maxsize=100_000)
def _similar(a: str, b: str) -> bool:
    if a == b:
        return True
    # Check cheap upper bounds of the ratio first, which nearly all pairs fail.
    if min(len(a), len(b)) <= 3 or 2 * min(len(a), len(b)) < 0.85 * (len(a) + len(b)):
        return False
    if re.sub(r"\D", "", a) != re.sub(r"\D", "", b):
        return False
    matcher = SequenceMatcher(None, a, b)
    return matcher.quick_ratio() >= 0.85 and matcher.ratio() >= 0.85


def find_words(needle: str, text: str) -> int | None:
    """The index in `words(text)` of the last similar run of equally many words, or None."""
    target, within = words(needle), words(text)
    joined = "".join(target)
    for start in range(len(within) - len(target), -1, -1) if target else ():
        if _similar(joined, "".join(within[start : start + len(target)])):
            return start
    return None


# --- dates ------------------------------------------------------------------------------------
_DAYWORD = rf"(?P<dayword>(?:(?:twenty|thirty)[- ])?(?:{'|'.join(ORDINAL)}))"
_DAY = rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?|{_DAYWORD}"
_MONTH = rf"(?P<month>(?:{'|'.join(MONTH)})[a-z]*)\.?"
_DATES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?P<year>\d{4})-(?P<m>\d{1,2})-(?P<day>\d{1,2})\b",
        r"\b(?P<m>\d{1,2})/(?P<day>\d{1,2})(?:/(?P<year>\d{4}))?\b",
        rf"\b{_MONTH}\s+(?:the\s+)?(?:{_DAY})\b(?:,?\s+(?P<year>\d{{4}})\b)?",
        rf"\b(?:the\s+)?(?:{_DAY})\s+(?:of\s+)?{_MONTH}(?:,?\s+(?P<year>\d{{4}}))?\b",
        r"\b(?P<relative>day after tomorrow|tomorrow|today|tonight|"
        r"this (?:evening|afternoon|morning))\b",
        rf"\b(?P<next>next\s+)?(?P<weekday>{'|'.join(WEEKDAYS)})\b",
        r"\b(?P<day>\d{1,2})(?:st|nd|rd|th)\b(?!\s+(?:street|st|ave|avenue|floor|(?-i:[A-Z])[a-z]))",
        rf"\bthe\s+{_DAYWORD}\b(?=\s*(?:[.,!?]|$|at|of|for))",
    )
]  # fmt: skip
_MONTH_NAMES = {name for full in MONTHS.split() for name in (full, full[:3])} | {"sept"}


def find_dates(text: str, today: date) -> list[Mention]:
    """Dates in `text` as said on the day `today`, in the order of the patterns."""
    return list(_find(_DATES, text, lambda match: _dates(match, today)))


def _dates(match: re.Match[str], today: date) -> frozenset[date]:
    groups = match.groupdict()
    if relative := groups.get("relative"):
        days = {"tomorrow": 1, "day after tomorrow": 2}.get(relative.lower(), 0)
        return frozenset({today + timedelta(days)})
    if weekday := groups.get("weekday"):
        ahead = (WEEKDAYS.index(weekday.lower()) - today.weekday()) % 7
        weeks = (0, 1) if not groups["next"] else (0, 1, 2)
        return frozenset(today + timedelta(ahead + 7 * week) for week in weeks)
    day = int(groups["day"]) if groups.get("day") else _ordinal(groups["dayword"])
    month = groups.get("m") or groups.get("month")
    if month is None:
        starts = [today.replace(day=1) + relativedelta(months=ahead) for ahead in (0, 1)]
        return frozenset(d for start in starts if (d := _day(start.year, start.month, day)))
    if not month.isdigit():
        if month.lower() not in _MONTH_NAMES:
            return frozenset()
        month = str(MONTH[month[:3].lower()])
    years = [int(groups["year"])] if groups.get("year") else [today.year, today.year + 1]
    return frozenset(d for year in years if (d := _day(year, int(month), day)))


def _ordinal(text: str) -> int:
    *tens, last = re.split(r"[- ]", text.lower())
    return ORDINAL[last] + (NUMBER[tens[0]] if tens else 0)


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


# --- times of day, in minutes -----------------------------------------------------------------
_HOUR = rf"(?P<hour>\d{{1,2}}|{'|'.join(UNITS.split()[1:13])})"
_HALF = r"(?P<half>[ap])\.?\s?m\b\.?"
_AM = r"[ap]\.?\s?m\b"
_PART = r"(?:\s+(?:in the|this|at)\s+(?P<part>morning|afternoon|evening|night))"
_MINUTES = "oh five|ten|fifteen|twenty|thirty|forty|fifty"
_TIMES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?P<past>half|quarter|\d{{1,2}}|{'|'.join(UNITS.split()[1:])})\s+(?:minutes\s+)?"
        rf"(?P<to>past|after|to|till)\s+{_HOUR}\b(?:\s*{_HALF}|\s*o'?clock)?{_PART}?",
        rf"\b(?P<hour>\d{{1,2}})(?::|\.(?=\d{{2}}\s*{_AM}))(?P<minute>\d{{2}})\b(?:\s*{_HALF}|{_PART})?",
        rf"\b{_HOUR}\s+(?P<minuteword>(?:{_MINUTES})(?:[- ]five)?)\b(?:\s*{_HALF}|{_PART})?",
        rf"\b{_HOUR}\s*(?:o'?\s?clock)?\s*{_HALF}",
        rf"\b{_HOUR}\s*o'?\s?clock\b{_PART}?",
        rf"\b{_HOUR}{_PART}",
        rf"\b(?:at|around|by)\s+{_HOUR}\b(?=\s*(?:[.,?!]|$|today|tomorrow|tonight|on\b|for\b))",
        r"\b(?P<noon>noon|midday|midnight)\b",
    )
]


def find_times(text: str) -> list[Mention]:
    """Times of day in `text`, in minutes since midnight; both meanings without am or pm."""
    return list(_find(_TIMES, text, _times))


def _times(match: re.Match[str]) -> frozenset[int]:
    groups = match.groupdict()
    if noon := groups.get("noon"):
        return frozenset({0 if noon.lower() == "midnight" else 720})
    hour = number(groups["hour"])
    minute = int(groups["minute"]) if groups.get("minute") else 0
    if groups.get("minuteword"):
        minute = sum(NUMBER.get(word, 0) for word in re.split("[- ]", groups["minuteword"].lower()))
    shift = 0
    if past := groups.get("past"):
        shift = {"half": 30, "quarter": 15}.get(past.lower()) or number(past) or 0
        shift = -shift if groups["to"].lower() in ("to", "till") else shift
    if hour is None or hour > 24 or minute > 59:
        return frozenset()
    half = (groups.get("half") or "").lower()
    if not half and groups.get("part"):
        half = "a" if groups["part"].lower() == "morning" else "p"
    if hour > 12 or groups["hour"].startswith("0"):
        hours = [hour % 24]
    elif half:
        hours = [hour % 12 + (12 if half == "p" else 0)]
    else:
        hours = [hour % 12, hour % 12 + 12]
    return frozenset((60 * h + minute + shift) % 1440 for h in hours)


# --- numbers ----------------------------------------------------------------------------------
def number(text: str) -> int | None:
    """The integer that a text consists of, in digits or in words up to ninety-nine, or None."""
    text = text.strip().lower()
    if re.fullmatch(r"\d{1,15}", text):
        return int(text)
    parts = re.split(r"[- ]", text)
    if any(part not in NUMBER for part in parts):
        return None
    if len(parts) == 2 and NUMBER[parts[0]] >= 20 and 0 < NUMBER[parts[1]] < 10:
        return NUMBER[parts[0]] + NUMBER[parts[1]]
    return NUMBER[parts[0]] if len(parts) == 1 else None


_DIGITS = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?!\w)")


def find_numbers(text: str) -> set[float]:
    """All numbers in `text`, in digits (-1,250.5 is one number) or as single words."""
    spoken = {float(NUMBER[word]) for word in words(text) if word in NUMBER}
    return spoken | {float(match[0].replace(",", "")) for match in _DIGITS.finditer(text)}


def blank(text: str, mentions: list[Mention]) -> str:
    """`text` with the mentions replaced by spaces."""
    for mention in mentions:
        text = text[: mention.start] + " " * (mention.end - mention.start) + text[mention.end :]
    return text


def _find(
    patterns: list[re.Pattern[str]],
    text: str,
    read: Callable[[re.Match[str]], frozenset[date] | frozenset[int]],
) -> Iterator[Mention]:
    for pattern in patterns:
        for match in pattern.finditer(text):
            if meanings := read(match):
                mention = Mention(match.start(), match.end(), meanings)
                yield mention
                text = blank(text, [mention])
