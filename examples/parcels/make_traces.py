"""Invent the logs of a parcel service's agent: traces.jsonl, beside this file.

    python examples/parcels/make_traces.py

Everything in them is made up. The agent is wrong now and then, as real ones are: it calls functions
by names that they had before, takes another customer's numbers, and answers questions of another
trade. One line is broken. The same seed gives the same file.
"""

import json
import random
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

SEED = 7
FIRST_DAY = date(2026, 3, 2)

TOWNS = {
    "Oakhollow": ["Mill Lane Locker", "Harbour Kiosk", "Green Door Books"],
    "Brightwater": ["Station Locker", "Corner Bakery Desk"],
    "Fernley Cross": ["Old Forge Kiosk", "Market Hall Locker", "Tulip Garage"],
    "Saltmere": ["Pier Locker", "Lantern Stationers"],
    "Upper Thistle": ["Schoolyard Locker", "Copper Kettle Desk"],
}
HOURS = ["07:00", "08:00", "09:00"], ["18:00", "20:00", "22:00"]
STATES = ["in the depot", "on the way to the depot", "waiting for the next van"]

HELLO = [
    "Hi, I'm waiting for a parcel and wonder where it is.",
    "Hello, can you tell me what happened to my parcel?",
    "Good morning. A parcel of mine should have come by now.",
    "I'd like to know where my parcel is, please.",
    "My parcel hasn't arrived yet. Can you look it up?",
]
ASK_NUMBER = [
    "Sure. What is the tracking number?",
    "Happy to look. Could you give me the tracking number?",
    "Of course, I need the tracking number for that.",
    "Let me check. Which number is on your receipt?",
]
NUMBER = [
    "It's {number}.",
    "The number is {number}.",
    "Here it is: {number}",
    "I have {number} on my receipt.",
]
FOUND = [
    "Your parcel is {state}, bound for {town}. Would you rather collect it somewhere?",
    "It is {state} right now and goes to {town}. Shall I look for a pickup point instead?",
    "I see it: {state}, with {town} as its destination. Do you want it sent to a pickup point?",
]
WANT_POINTS = [
    "Yes, I'm never at home. What is there in {town}?",
    "A pickup point would be better. I live in {town}.",
    "Please. Which ones do you have in {town}?",
    "That would help. Something in {town}, if you can.",
]
OFFER = [
    "There is {point}, open from {opens} to {closes}. Does that suit you?",
    "{point} takes parcels from {opens} until {closes}. Shall it go there?",
    "You could collect it at {point}, which opens at {opens} and closes at {closes}.",
]
OTHERS = ["Is there another one?", "Anything else nearby?", "What else is there?"]
ANOTHER = [
    "There is also {point}, until {closes}.",
    "Yes, {point}, which closes at {closes}.",
]
COST = ["Does that cost extra?", "Do I have to pay for that?", "What will I pay for it?"]
FREE = ["No, redirecting is free.", "It costs nothing.", "There is no charge for it."]
PAPERS = ["Do I need to bring anything?", "What do they want to see there?"]
CARD = ["Bring the receipt, please.", "They will ask for the tracking number, nothing more."]
CHOOSE = [
    "{point} is fine. I can come on {day}.",
    "Let's take {point}, on {day} please.",
    "Send it to {point}. I'll collect it on {day}.",
    "Good, {point} then. {day} works for me.",
]
CONFIRM = [
    "So {number} goes to {point} for {day}. Is that right?",
    "Please confirm: parcel {number}, {point}, on {day}.",
    "I will redirect {number} to {point}, ready on {day}. Shall I?",
]
YES = ["Yes, that's right.", "Correct.", "Yes please.", "Exactly, go ahead."]
DONE = [
    "Done. Your code is {code}. Can I do anything else?",
    "It is on its way to {point}; the code is {code}. Is there anything else?",
    "All set, the code for the door is {code}. Anything else?",
]
NOTHING = ["No, that's all. Thanks!", "That was it, thank you.", "Nothing else, thanks a lot."]
BYE = ["You're welcome. Goodbye!", "Glad to help. Have a good day!", "Any time. Bye!"]
KEEP = ["No, the address is fine.", "No thanks, I'll be at home.", "Leave it as it is, please."]
ASK_POINTS = [
    "Hello, where can I collect parcels in {town}?",
    "Hi! Which pickup points are there in {town}?",
    "I'm looking for a place in {town} that takes parcels.",
]
NAMED = [
    "In {town} there is {point}, open from {opens} to {closes}. Shall a parcel go there?",
    "{point} is in {town} and closes at {closes}. Shall I send a parcel there?",
]
SEND = ["Yes, {number}.", "Yes please, the parcel {number}.", "I do. Its number is {number}."]

OLD_NAMES = {
    "TrackParcel": ("get_shipment", {"tracking_number": "shipment_id"}),
    "FindPickupPoints": ("list_lockers", {"town": "place"}),
    "RedirectParcel": ("change_delivery", {"pickup_point": "locker", "date": "day"}),
}
OTHER_TRADE = [
    ("What is the balance of my savings?", "get_balance", {"account": "savings"},
     {"account": "savings", "balance": "410"}, "Your savings hold 410."),
    ("Please block my bank card.", "block_card", {"card": "blue"},
     {"card": "blue", "blocked": "yes"}, "The blue card is blocked now."),
    ("How warm will it be at the lake?", "get_weather", {"lake": "Mirror Lake"},
     {"lake": "Mirror Lake", "degrees": "17"}, "It will be 17 degrees at Mirror Lake."),
]  # fmt: skip

Message = dict[str, Any]


class Dialogue:
    """The messages of one dialogue in the making, as the OpenAI API exchanges them."""

    def __init__(self, rng: random.Random) -> None:
        """Begin with nothing said; `rng` draws the phrases."""
        self.rng = rng
        self.messages: list[Message] = []
        self.calls = 0

    def user(self, phrases: list[str], **values: str) -> None:
        """What the customer says."""
        self.messages.append({"role": "user", "content": self._say(phrases, values)})

    def agent(self, phrases: list[str], **values: str) -> None:
        """What the agent answers."""
        self.messages.append({"role": "assistant", "content": self._say(phrases, values)})

    def ask(self, *requests: tuple[str, dict[str, str], Any], text: str | None = None) -> None:
        """Calls at once, each (name, arguments, result), and what came back."""
        calls, results = [], []
        for name, arguments, result in requests:
            self.calls += 1
            function = {"name": name, "arguments": json.dumps(arguments)}
            key = f"call_{self.calls}"
            calls.append({"id": key, "type": "function", "function": function})
            results.append({"role": "tool", "tool_call_id": key, "content": json.dumps(result)})
        self.messages.append({"role": "assistant", "content": text, "tool_calls": calls})
        self.messages += results

    def _say(self, phrases: list[str], values: dict[str, str]) -> str:
        return self.rng.choice(phrases).format(**values)


def number_of(rng: random.Random) -> str:
    """A tracking number."""
    return f"KX{rng.randint(10000, 99999)}"


def spoken(day: date) -> str:
    """A day as people say it."""
    return f"{day:%B} {day.day}"


def points_of(town: str, rng: random.Random) -> list[dict[str, str]]:
    """What FindPickupPoints returns."""
    names = rng.sample(TOWNS[town], len(TOWNS[town]))
    return [
        {"town": town, "pickup_point": name, "opens": rng.choice(HOURS[0]),
         "closes": rng.choice(HOURS[1])}
        for name in names
    ]  # fmt: skip


def small_talk(talk: Dialogue, most: int) -> None:
    """Up to `most` questions on which nothing later rests."""
    for asked, answered in talk.rng.sample(
        [(COST, FREE), (PAPERS, CARD)], talk.rng.randint(0, most)
    ):
        talk.user(asked)
        talk.agent(answered)


def redirect(talk: Dialogue, number: str, point: str) -> None:
    """From the choice of a pickup point to the goodbye."""
    rng = talk.rng
    day = FIRST_DAY + timedelta(rng.randint(1, 26))
    talk.user(CHOOSE, point=point, day=spoken(day))
    talk.agent(CONFIRM, number=number, point=point, day=spoken(day))
    talk.user(YES)
    arguments = {"tracking_number": number, "pickup_point": point, "date": day.isoformat()}
    code = str(rng.randint(1000, 9999))
    talk.ask(("RedirectParcel", arguments, {**arguments, "code": code}))
    talk.agent(DONE, point=point, code=code)
    small_talk(talk, 1)
    talk.user(NOTHING)
    talk.agent(BYE)


def track(talk: Dialogue, town: str) -> str:
    """From the greeting to where the parcel is; its number."""
    number = number_of(talk.rng)
    talk.user(HELLO)
    talk.agent(ASK_NUMBER)
    talk.user(NUMBER, number=number)
    state = talk.rng.choice(STATES)
    result = {"tracking_number": number, "state": state, "town": town}
    # Some models say what they are about to do.
    text = "One moment." if talk.rng.random() < 0.1 else None
    talk.ask(("TrackParcel", {"tracking_number": number}, result), text=text)
    talk.agent(FOUND, state=state, town=town)
    return number


def short(talk: Dialogue) -> None:
    """A customer who only wants to know."""
    track(talk, talk.rng.choice(list(TOWNS)))
    small_talk(talk, 1)
    talk.user(KEEP)
    talk.agent(BYE)


def long(talk: Dialogue) -> None:
    """A parcel is found, then sent elsewhere."""
    town = talk.rng.choice(list(TOWNS))
    number = track(talk, town)
    talk.user(WANT_POINTS, town=town)
    points = points_of(town, talk.rng)
    talk.ask(("FindPickupPoints", {"town": town}, points))
    talk.agent(OFFER, point=points[0]["pickup_point"], **hours(points[0]))
    chosen = points[0]
    if talk.rng.random() < 0.4:
        chosen = points[1]
        talk.user(OTHERS)
        talk.agent(ANOTHER, point=chosen["pickup_point"], **hours(chosen))
    small_talk(talk, 1)
    redirect(talk, number, chosen["pickup_point"])


def medium(talk: Dialogue) -> None:
    """A customer who asks for pickup points first."""
    town = talk.rng.choice(list(TOWNS))
    talk.user(ASK_POINTS, town=town)
    points = points_of(town, talk.rng)
    talk.ask(("FindPickupPoints", {"town": town}, points))
    talk.agent(NAMED, town=town, point=points[0]["pickup_point"], **hours(points[0]))
    number = number_of(talk.rng)
    talk.user(SEND, number=number)
    talk.agent(["And when will you collect it?", "For which day?", "When can you be there?"])
    redirect(talk, number, points[0]["pickup_point"])


def two_parcels(talk: Dialogue) -> None:
    """Two parcels at once: the agent calls in parallel."""
    town = talk.rng.choice(list(TOWNS))
    numbers = [number_of(talk.rng), number_of(talk.rng)]
    states = [talk.rng.choice(STATES) for _ in numbers]
    talk.user(["Where are my parcels {first} and {second}?"], first=numbers[0], second=numbers[1])
    talk.ask(
        *(
            ("TrackParcel", {"tracking_number": number},
             {"tracking_number": number, "state": state, "town": town})
            for number, state in zip(numbers, states, strict=True)
        )
    )  # fmt: skip
    talk.agent(["The first is {first}, the second {second}."], first=states[0], second=states[1])
    talk.user(NOTHING)
    talk.agent(BYE)


def other_trade(talk: Dialogue) -> None:
    """What has nothing to do with parcels but came over the same line."""
    question, name, arguments, result, answer = talk.rng.choice(OTHER_TRADE)
    talk.user([question])
    talk.ask((name, arguments, result))
    talk.agent([answer])
    talk.user(NOTHING)
    talk.agent(BYE)


def hours(point: dict[str, str]) -> dict[str, str]:
    """When a pickup point is open."""
    return {key: point[key] for key in ("opens", "closes")}


def spoil(messages: list[Message], rng: random.Random) -> None:
    """Make an agent's calls wrong: of an older version, or with another customer's numbers."""
    old = rng.random() < 0.5
    for message in messages:
        for call in message.get("tool_calls", []):
            function = call["function"]
            arguments = json.loads(function["arguments"])
            if old:
                function["name"], renamed = OLD_NAMES[function["name"]]
                arguments = {renamed.get(key, key): value for key, value in arguments.items()}
            elif "tracking_number" in arguments:
                arguments["tracking_number"] = number_of(rng)
            function["arguments"] = json.dumps(arguments)


def invent(seed: int) -> list[str]:
    """The lines of the log."""
    kinds: list[tuple[Callable[[Dialogue], None], int]] = [
        (long, 26), (medium, 16), (short, 12), (two_parcels, 3), (other_trade, 3),
    ]  # fmt: skip
    plan = [kind for kind, number in kinds for _ in range(number)]
    random.Random(f"{seed}/order").shuffle(plan)
    lines = []
    for index, kind in enumerate(plan):
        rng = random.Random(f"{seed}/{index}")
        talk = Dialogue(rng)
        kind(talk)
        if kind is not other_trade and rng.random() < 0.2:
            spoil(talk.messages, rng)
        lines.append(json.dumps({"id": f"chat-{index:03}", "messages": talk.messages}))
    # A log that was cut while it was written.
    lines.insert(40, lines[40][:200])
    return lines


if __name__ == "__main__":
    path = Path(__file__).with_name("traces.jsonl")
    path.write_text("\n".join(invent(SEED)) + "\n", encoding="utf-8")
