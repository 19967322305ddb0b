"""What sentences do, by their words: claim, ask, read back, report an outcome, say goodbye."""

import re
from collections.abc import Iterator

from tft.standins.reading.facts import words

NEGATION = re.compile(
    r"\b(not|no|none|without|neither|nor|never|lacks?|cannot|unable)\b"
    r"|\b(do|does|did|is|are|was|were|ca|could|wo|would|has|have|had)n?['\u2019 ]?t\b",
    re.IGNORECASE,
)
ORDERED = "booked|reserved|made|scheduled|purchased|confirmed|placed"
DONE = re.compile(
    r"\b(your \w+|(reservation|booking|table|appointment|order|purchase|payment|ticket|transfer)s?)"
    r"\b[^.?!]*"
    rf"\b(is|are|was|has|have|been|got)\b[^.?!]*\b({ORDERED}|success\w*|complete\w*|set)\b"
    rf"|\b(i|we)('ve| have)? (just )?(successfully )?({ORDERED})\b"
    r"|\b(reservation|booking|order|purchase|payment|transfer) (confirmed|success\w*|complete\w*)\b"
    r"|\bit('s| is| was) (successful|done|confirmed|booked)\b|\bable to (book|reserve|make)\b"
    r"|\b(has|have) been (booked|reserved|purchased|confirmed|scheduled)\b"
    r"|\bsuccessfully\b|\byou('re| are) (all set|confirmed|booked)\b|\bwent through\b",
    re.IGNORECASE,
)
FAILED = re.compile(
    r"\b(unable to|not able to|n't able to|could ?n[o']?t|can ?n[o']?t|failed|unsuccessful)\b"
    r"[^.?!]*\b(reserv\w*|book\w*|mak\w*|made|schedul\w*|purchas\w*|complete\w*|get|go)\b"
    r"|\b(reservation|booking|table|appointment|order|purchase|payment)s?\b[^.?!]*"
    r"\b(failed|unsuccessful|n[o']t (be |been )?(made|confirmed|booked|successful|go|available))\b"
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
OFFER = re.compile(
    r"\b((how|what) about|i('ve| have)? found|there('s| is| are)|called|named|recommend)\b",
    re.IGNORECASE,
)
READ_BACK = re.compile(
    r"\b(confirm|verify|correct|accurate|to be|being)\b|\bright\?|\byou(['\u2019]d| would) like\b"
    r"|(?<!do )\byou (want|wish|need) (to|a)\b|^\W*so\b",
    re.IGNORECASE,
)
FAREWELL = re.compile(
    r"\b(good ?bye|bye|farewell|enjoy (your|the) \w+"
    r"|have an? (very )?(good|great|nice|wonderful|lovely|pleasant|fantastic|safe|fun) "
    r"(rest|day|afternoon|evening|night|weekend|time|one|trip|meal))\b",
    re.IGNORECASE,
)
CLOSING = re.compile(
    r"\b(thank\w*|thx|bye|goodbye|nothing( else)?|no more|enough|need any\w*"
    r"|that('?s| is| was| will be|'ll be| would be)? (all|it|everything|ok|okay)"
    r"|(i'm|i am|we're|we are) (good|done|fine|all set))\b"
    r"|^\W*(\w+\W+)?(no|nope)\W*(\w+\W*)?$",
    re.IGNORECASE,
)
ELSE = re.compile(r"\b(any|some)(thing)? (else|more|further|other)\b", re.IGNORECASE)
# Wishes, plans, and questions, which state no fact.
NOT_A_CLAIM = re.compile(
    r"\b(if|whether|once|will|would|shall|should|prefer|looking for|want|like|confirm|let me|try)\b"
    r"|^\W*(do|does|is|are|can|could|what|which|how|have|has|any|need|may)\b",
    re.IGNORECASE,
)
# Words that occur in conversations with any service.
COMMON = set(
    words(
        "a able about above accurate actually add after again ahead all already alright also "
        "always am an and another any anyone anything apologies apologize are around as ask "
        "assist assistance at available away awesome back be because been before being best "
        "better between both but by bye can cannot cant care certainly check cheers choice "
        "choose come confirm correct could couldnt course currently day detail details did "
        "different do does doesnt doing done dont down else enjoy enough even evening ever every "
        "everything exactly excellent fantastic feel few find fine first following for found "
        "free from further get give glad go goes going gone good goodbye got great had happy has "
        "have havent having he hear hello help her here hi him his hold how however i id if ill "
        "im in information instead interested into is isnt it its ive just keep kind know last "
        "later leave leaving let lets like list little long look looking lot lovely madam made "
        "make many may maybe me meet mind minute moment more most much must my name need new "
        "next nice night no none nope not nothing now of off offer ok okay on once one only "
        "option or other our out over own part particular perfect perhaps pick plan planning "
        "please pleasure possible prefer preference problem process provide put question quite "
        "rather ready really request rest right safe said same say see seem set several shall "
        "she should show sir so some somebody someone something somewhere sorry specific stay "
        "still such sure take tell than thank thanks that thats the their them then there theres "
        "these they theyre thing think this those though through time to today together too "
        "toward tried try two type under unfortunately until up us use very wait want was wasnt "
        "way we weekend welcome well went were what whats when where whether which while who "
        "whole whom whose why will wish with within without wonderful wont work would wouldnt "
        "wrong yeah year yep yes yet you youd youll your youre yours yourself youve"
    )
)
# Words in the key of an attribute that do not name it: has_live_music is about live music.
KEY_VERBS = set(words("has have is are serves serve offers accepts allows allowed includes in on"))


def sentences(message: str) -> list[str]:
    """Split a message after each period, question mark, or exclamation mark."""
    return re.findall(r"[^.!?\n]+[.!?]*", message)


def clauses(message: str) -> Iterator[str]:
    """Yield parts with one claim and one polarity each; questions are not claims."""
    for sentence in sentences(message):
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


def mentions_key(key: str, text: str) -> bool:
    """Whether a text mentions an attribute, by the last word of the attribute's key."""
    thing = [word for word in key.lower().split("_") if word not in KEY_VERBS]
    return bool(thing) and thing[-1].rstrip("s") in {word.rstrip("s") for word in words(text)}


def key_words(key: str) -> list[str]:
    """The words of a snake_case or camelCase key."""
    return words(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_|-", " ", key))
