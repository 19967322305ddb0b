"""The services that the simulator plays: what they find, what they book, which values there are.

Restaurants_1, Restaurants_2 and Hotels_1 have the tools, parameters and result fields of the
services of the same name in Schema-Guided Dialogue (Rastogi et al. 2020), so that every scenario
runs on them unchanged. All descriptions and values are ours.
"""

from dataclasses import dataclass
from typing import Literal

from tft.core.conversation import Tool
from tft.core.task import RESPOND, Task, talking_tool

Kind = Literal["city", "name", "category", "flag", "count", "date", "time", "text"]
"""How values of a slot are made and said; agents only tell a `text`, such as a phone number."""

FLAGS = ("True", "False")
PRICES = ("inexpensive", "moderate", "expensive", "very expensive")
CUISINES = tuple(
    "Georgian|Peruvian|Basque|Lebanese|Korean|Ethiopian|Vegan|Barbecue|Noodles|Pancakes|Tapas|Curry".split(
        "|"
    )
)
CATEGORIES = tuple(
    "Dumplings|Ramen|Soup kitchen|Greek|Moroccan|Fish|Burger|Bakery|Polish|Indonesian".split("|")
)
SPECIALTIES = tuple("Dentist|Dermatologist|Eye doctor|General practitioner|Orthopedist".split("|"))


@dataclass(frozen=True)
class Slot:
    """One parameter or result field.

    Attributes:
        name: The name in the tools.
        kind: The kind of its values.
        description: The description in the tool's schema.
        values: All values, if they form a closed set.
        open_values: Values of an open set, for slots of kind `category`.
    """

    name: str
    kind: Kind
    description: str
    values: tuple[str, ...] = ()
    open_values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Service:
    """A search tool, a booking tool, and the things they are about.

    Attributes:
        name: The `source` of its conversations.
        purpose: What the assistant of this service does, as a clause.
        thing: What is searched for, such as "restaurant".
        slots: All parameters and result fields, by name.
        entity: The slot that names a thing.
        place: The slot that says where a thing is.
        search: Name, required parameters, and optional parameters of the search tool.
        book: The same for the booking tool, whose first required parameter is the entity.
        defaults: Values of optional booking parameters that nobody mentioned.
        told: Fields that users ask about.
    """

    name: str
    purpose: str
    thing: str
    slots: dict[str, Slot]
    entity: str
    place: str
    search: tuple[str, tuple[str, ...], tuple[str, ...]]
    book: tuple[str, tuple[str, ...], tuple[str, ...]]
    defaults: dict[str, str]
    told: tuple[str, ...]

    def task(self) -> Task:
        """The task of serving it: a tool to talk with, one to search and one to book."""
        talk = talking_tool(
            "Talks to the user: a question, an offer, an answer, a confirmation, a goodbye. "
            "Returns nothing; what the user says next is the next message.",
            "The words to say.",
        )
        search = self._tool(self.search, f"Finds {self.thing}s that fit the user's wishes.")
        book = self._tool(self.book, f"Books the chosen {self.thing}, once the user has agreed.")
        description = (
            f"You are the assistant of a service that {self.purpose}. Answer each message with "
            f"exactly one function call. Search with {search.name} as soon as its required "
            f"arguments are known. Repeat all details of a booking and wait for the user's "
            f"agreement before you call {book.name}. What a function returns comes as the next "
            f"user message, in JSON; an empty list means that nothing was found or booked. Use "
            f"{RESPOND} for everything else, and say nothing that results or user did not."
        )
        rubric = (
            "You see the function call that was expected at one turn and the one that was made. "
            "Say good or bad.\n"
            "- Bad if it is another function.\n"
            f"- Any function but {RESPOND}: good if its arguments mean the same as those "
            "expected, however dates, times, numbers or names are spelt; bad if one names "
            "something else or was made up.\n"
            f"- {RESPOND}: good if the message is a reasonable next step, whatever its words. Bad "
            "only if it contradicts what users or function results said before."
        )
        return Task(description, (talk, search, book), rubric)

    def _tool(self, tool: tuple[str, tuple[str, ...], tuple[str, ...]], description: str) -> Tool:
        name, required, optional = tool
        properties: dict[str, dict[str, object]] = {}
        for slot in (self.slots[key] for key in (*required, *optional)):
            properties[slot.name] = {"type": "string", "description": slot.description}
            if slot.values:
                properties[slot.name]["enum"] = list(slot.values)
        schema = {"type": "object", "properties": properties, "required": list(required)}
        return Tool(name, description, schema)


def _service(name: str, purpose: str, thing: str, slots: list[Slot], **fields: object) -> Service:
    by_name = {slot.name: slot for slot in slots}
    (entity,) = (slot.name for slot in slots if slot.kind == "name")
    (place,) = (slot.name for slot in slots if slot.kind == "city")
    return Service(name, purpose, thing, by_name, entity, place, **fields)  # type: ignore[arg-type]


def _counts(last: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(1, last + 1))


PHONE = Slot("phone_number", "text", "Telephone number")
DATE = Slot("date", "date", "Day of the booking")
TIME = Slot("time", "time", "Hour of the booking")

SERVICES = {
    service.name: service
    for service in (
        _service(
            "Restaurants_1",
            "finds restaurants and reserves tables in them",
            "restaurant",
            [
                Slot("restaurant_name", "name", "What the restaurant is called"),
                Slot("city", "city", "City to eat in"),
                Slot("cuisine", "category", "Kind of food", open_values=CUISINES),
                Slot("price_range", "category", "How expensive a meal is", PRICES),
                Slot("has_live_music", "flag", "Whether musicians play", FLAGS),
                Slot("serves_alcohol", "flag", "Whether there is alcohol", FLAGS),
                Slot("party_size", "count", "Number of guests", _counts(6)),
                DATE,
                TIME,
                PHONE,
                Slot("street_address", "text", "Street and number"),
            ],
            search=(
                "FindRestaurants",
                ("cuisine", "city"),
                ("price_range", "has_live_music", "serves_alcohol"),
            ),
            book=(
                "ReserveRestaurant",
                ("restaurant_name", "city", "time"),
                ("date", "party_size"),
            ),
            defaults={"party_size": "2"},
            told=(
                "phone_number",
                "street_address",
                "price_range",
                "has_live_music",
                "serves_alcohol",
            ),
        ),
        _service(
            "Restaurants_2",
            "helps people find somewhere to eat and books seats",
            "restaurant",
            [
                Slot("restaurant_name", "name", "The restaurant's name"),
                Slot("location", "city", "Where to eat"),
                Slot("category", "category", "What sort of restaurant", open_values=CATEGORIES),
                Slot("price_range", "category", "Level of prices", PRICES),
                Slot("has_seating_outdoors", "flag", "Whether one can sit outside", FLAGS),
                Slot("has_vegetarian_options", "flag", "Whether there is food without meat", FLAGS),
                Slot("number_of_seats", "count", "Seats to book", _counts(6)),
                DATE,
                TIME,
                PHONE,
                Slot("address", "text", "Where exactly it is"),
                Slot("rating", "text", "Guests' rating out of five"),
            ],
            search=(
                "FindRestaurants",
                ("category", "location"),
                ("price_range", "has_seating_outdoors", "has_vegetarian_options"),
            ),
            book=(
                "ReserveRestaurant",
                ("restaurant_name", "location", "time"),
                ("date", "number_of_seats"),
            ),
            defaults={"number_of_seats": "2"},
            told=("phone_number", "address", "rating", "price_range", "has_vegetarian_options"),
        ),
        _service(
            "Hotels_1",
            "searches hotels and books rooms",
            "hotel",
            [
                Slot("hotel_name", "name", "Name of the hotel"),
                Slot("destination", "city", "City to stay in"),
                Slot("star_rating", "count", "Number of stars", _counts(5)),
                Slot("smoking_allowed", "flag", "Whether guests may smoke", FLAGS),
                Slot("number_of_rooms", "count", "Rooms needed", _counts(3)),
                Slot("check_in_date", "date", "Day of arrival"),
                Slot("number_of_days", "count", "Nights to stay", _counts(7)),
                PHONE,
                Slot("street_address", "text", "Street and number"),
                Slot("price_per_night", "text", "Price of a night"),
                Slot("has_wifi", "flag", "Whether there is a wireless network", FLAGS),
            ],
            search=(
                "SearchHotel",
                ("destination",),
                ("number_of_rooms", "star_rating", "smoking_allowed"),
            ),
            book=(
                "ReserveHotel",
                ("hotel_name", "destination", "check_in_date", "number_of_days"),
                ("number_of_rooms",),
            ),
            defaults={"number_of_rooms": "1"},
            told=("phone_number", "street_address", "price_per_night", "has_wifi"),
        ),
        _service(
            "Doctors_1",
            "finds doctors and makes appointments with them",
            "doctor",
            [
                Slot("doctor_name", "name", "The doctor's name"),
                Slot("town", "city", "Town of the practice"),
                Slot("specialty", "category", "Field of medicine", SPECIALTIES),
                Slot("speaks_spanish", "flag", "Whether Spanish is spoken", FLAGS),
                Slot("appointment_date", "date", "Day of the appointment"),
                Slot("appointment_time", "time", "Hour of the appointment"),
                PHONE,
                Slot("street_address", "text", "Street and number"),
            ],
            search=("FindDoctor", ("specialty", "town"), ("speaks_spanish",)),
            book=(
                "BookAppointment",
                ("doctor_name", "town", "appointment_date", "appointment_time"),
                (),
            ),
            defaults={},
            told=("phone_number", "street_address", "speaks_spanish"),
        ),
        _service(
            "Concerts_1",
            "looks for concerts and sells tickets",
            "concert",
            [
                Slot("concert_name", "name", "Who plays"),
                Slot("city", "city", "City of the concert"),
                Slot(
                    "genre",
                    "category",
                    "Kind of music",
                    ("Jazz", "Folk", "Opera", "Punk", "Choir", "Electronic"),
                ),
                Slot("is_outdoors", "flag", "Whether it is in the open air", FLAGS),
                Slot("number_of_tickets", "count", "Tickets to buy", _counts(6)),
                Slot("date", "date", "Day of the concert"),
                PHONE,
                Slot("street_address", "text", "Street and number of the venue"),
                Slot("price_per_ticket", "text", "Price of a ticket"),
            ],
            search=("FindConcerts", ("genre", "city"), ("is_outdoors",)),
            book=("BuyTickets", ("concert_name", "city", "date", "number_of_tickets"), ()),
            defaults={},
            told=("price_per_ticket", "street_address", "phone_number", "is_outdoors"),
        ),
    )
}
