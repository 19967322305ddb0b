"""Invented places and their back end: searches, bookings, and bookings that fail."""

import random
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from tft.standins.simulation.services import Service, Slot

CITIES = 24
PER_CATEGORY = (0, 7)  # minimum and maximum number of things of one category in one city
RESULTS = 10  # the maximum number of results of a search
FULL = 0.2  # the share of (thing, date, time) that cannot be booked

_ONSETS = "b br c cl d dr f g gr h k l m n p r s sh st t tr v w".split()
_VOWELS = "a e i o u a e i o u ea ie oa".split()
_CODAS = "l ll m n nd r rn s st th ck".split()
_TOWN_ENDS = "ford ham mere port haven wick ton bury field mouth stead gate".split()
_TOWN_WORDS = "North South East Upper Old New Saint Port".split()
_ROADS = "Street Road Lane Avenue Square Hill Row Terrace".split()
_TREES = "Alder Birch Cedar Elm Hazel Juniper Larch Maple Rowan Willow Station Harbour Mill".split()
_ADJECTIVES = "Blue Little Golden Quiet Crooked Green Silver Happy Second Red Laughing".split()
_NOUNS = "Heron Anchor Lantern Orchard Kettle Tortoise Window Bridge Fox Oven Pear Barrel".split()
_ENDINGS = {
    "restaurant": "Kitchen|Table|House|Bistro|Diner|Grill|Garden|Canteen".split("|"),
    "hotel": "Hotel|Inn|Lodge|Palace|Guest House|Suites".split("|"),
    "concert": "Quartet|Trio|Band|Ensemble|Sisters|Orchestra".split("|"),
}
_FIRST = "Ada Bela Carla Dario Edna Fritz Greta Hugo Ines Jonas Kamil Lena Mira Nils Olga".split()


def invented_word(rng: random.Random) -> str:
    """A capitalized, invented word of one to three syllables."""
    syllables = (
        rng.choice(_ONSETS)
        + rng.choice(_VOWELS)
        + (rng.choice(_CODAS) if rng.random() < 0.4 else "")
        for _ in range(rng.choice((1, 2, 2, 2, 3)))
    )
    return "".join(syllables).capitalize()


class World:
    """The things of one service, and searches and bookings; depends only on seed and service."""

    def __init__(self, service: Service, seed: int, today: date) -> None:
        """Invent cities and the things in them."""
        self.service, self.seed, self.today = service, seed, today
        rng = random.Random(f"{seed}/{service.name}/world")
        self.cities = sorted({_town(rng) for _ in range(CITIES)})
        self.things: list[dict[str, str]] = []
        self.groups = self._groups()
        names: set[str] = set()
        for city in self.cities:
            for group in self.groups:
                for _ in range(rng.randint(*PER_CATEGORY)):
                    name = _name(service.thing, rng)
                    if name not in names:
                        names.add(name)
                        self.things.append(self._thing(name, city, group, rng))

    def search(self, wanted: Mapping[str, str]) -> list[dict[str, str]]:
        """The things that have all of these values, up to RESULTS.

        Parameters that things do not have, such as a number of rooms, are repeated in the results.
        """
        _, required, optional = self.service.search
        matching = [
            thing
            for thing in self.things
            if all(thing.get(name, value) == value for name, value in wanted.items())
        ]
        searched = {name: wanted[name] for name in (*required, *optional) if name in wanted}
        return [dict(sorted((thing | searched).items())) for thing in matching[:RESULTS]]

    def book(self, wanted: Mapping[str, str]) -> list[dict[str, str]]:
        """The booked thing with the details of the booking, or no result if it is full."""
        entity, place = self.service.entity, self.service.place
        for thing in self.things:
            if (thing[entity], thing[place]) == (wanted[entity], wanted[place]):
                moment = [
                    value
                    for name, value in sorted(wanted.items())
                    if self.service.slots[name].kind in ("date", "time")
                ]
                rng = random.Random(f"{self.seed}/{thing[entity]}/{moment}")
                return [] if rng.random() < FULL else [dict(sorted({**thing, **wanted}.items()))]
        return []

    def draw(self, slot: Slot, rng: random.Random) -> str:
        """A value of a slot that a user may want."""
        match slot.kind:
            case "city":
                return rng.choice(self.cities)
            case "date":
                return str(self.today + timedelta(rng.randint(0, 13)))
            case "time":
                return f"{rng.randint(9, 20):02}:{rng.choice(('00', '00', '30', '15', '45'))}"
            case "flag":
                return "True" if rng.random() < 0.8 else "False"
            case "name" | "text":
                raise ValueError(f"users do not choose a {slot.name}")
        return rng.choice(slot.values or slot.open_values)

    def _groups(self) -> list[dict[str, str]]:
        """Groups of things, by the first required search parameter besides the city."""
        for name in self.service.search[1]:
            slot = self.service.slots[name]
            if slot.kind == "category":
                return [{name: value} for value in slot.values or slot.open_values]
        return [{}]

    def _thing(
        self, name: str, city: str, group: Mapping[str, str], rng: random.Random
    ) -> dict[str, str]:
        service = self.service
        booked = {*service.book[1], *service.book[2]} - {service.entity, service.place}
        thing = {service.entity: name, service.place: city, **group}
        for slot in service.slots.values():
            if slot.name not in thing and slot.name not in booked:
                thing[slot.name] = _detail(slot, rng)
        return thing


def _detail(slot: Slot, rng: random.Random) -> str:
    if slot.kind != "text":
        return rng.choice(slot.values or slot.open_values)
    invented: dict[str, Any] = {
        "phone": f"{rng.randint(200, 899)}-555-{rng.randint(100, 9999):04}",
        "price": f"${rng.randint(18, 240)}",
        "rating": f"{rng.uniform(2.5, 5):.1f}",
    }
    for key, value in invented.items():
        if key in slot.name:
            return str(value)
    return f"{rng.randint(1, 399)} {rng.choice(_TREES)} {rng.choice(_ROADS)}"


def _town(rng: random.Random) -> str:
    word = invented_word(rng)
    form = rng.random()
    if form < 0.5:
        return word + rng.choice(_TOWN_ENDS)
    return f"{rng.choice(_TOWN_WORDS)} {word}" if form < 0.8 else word


def _name(thing: str, rng: random.Random) -> str:
    if thing == "doctor":
        return f"{rng.choice(_FIRST)} {invented_word(rng)}"
    ending = rng.choice(_ENDINGS[thing])
    return rng.choice(
        (
            f"The {rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)}",
            f"{rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)} {ending}",
            f"{invented_word(rng)} {ending}",
            f"{rng.choice(_FIRST)}'s {ending}",
            f"{invented_word(rng)} & {invented_word(rng)}",
            f"{invented_word(rng)} {invented_word(rng)}",
            invented_word(rng),
        )
    )
