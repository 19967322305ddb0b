"""One dialogue: a user with a goal, an agent that follows a policy, and a back end that answers.

The user wants a thing with certain values, gives them at once or when asked, looks at alternatives,
asks about details, changes their mind, and perhaps books. The agent asks for what a search needs,
offers results one by one, has bookings confirmed, and reports their outcome. Wording is left to the
grammar: with another grammar the dialogue takes the same course in other words.
"""

import json
import random
from collections.abc import Iterable, Mapping

from tft.core.conversation import Conversation, Message, assistant, user
from tft.core.task import RESPOND
from tft.standins.simulation.grammar import Grammar, number_word, tidy
from tft.standins.simulation.services import Service, Slot
from tft.standins.simulation.world import World

# Probabilities of what happens in a dialogue.
DIRECT = 0.35  # the user names a thing, and nothing is searched
KNOWN_AT_ONCE = 0.3  # a detail of a search or booking is given before the agent asks
OPTIONAL = 0.3  # the user wants an optional detail
POSSIBLE = 0.85  # the user searches for something that exists
BOOKS = 0.9  # the user books what was found
CORRECTS = 0.2  # the user changes a booking that is read back
ASKS_AFTERWARDS = 0.5  # the user asks another question after booking
MOST_SEARCHES = 3
MOST_BOOKINGS = 3


def simulate(
    name: str, service: Service, world: World, grammar: Grammar, rng: random.Random
) -> Conversation:
    """A whole dialogue, from the first wish to the goodbye, with all randomness from `rng`."""
    return _Dialogue(service, world, grammar, rng).play(name)


class _Dialogue:
    def __init__(
        self, service: Service, world: World, grammar: Grammar, rng: random.Random
    ) -> None:
        self.service, self.world, self.grammar, self.rng = service, world, grammar, rng
        self.words = random.Random(rng.random())  # separate, so that wording does not change events
        self.messages: list[Message] = []
        self.asked: set[str] = set()
        self.wanted: dict[str, str] = {}  # what the user has said about the search
        self.results: list[dict[str, str]] = []

    def play(self, name: str) -> Conversation:
        if self._chance(DIRECT):
            named = self.rng.choice(self.world.things)
            thing: dict[str, str] | None = named
            booked = self._book(named, named=False)
        else:
            self._open()
            thing = self._choose()
            booked = thing is not None and self._chance(BOOKS) and self._book(thing)
        if thing is not None and not booked and not self._agent_spoke_last():
            self._respond(self._phrase("anything_else"))
        self._part(thing, booked)
        return Conversation(name, self.service.name, tuple(self.messages), {"simulated": True})

    # --- searching ---------------------------------------------------------------------------

    def _open(self) -> None:
        """The user says what they want, and answers until a search is possible."""
        _, required, optional = self.service.search
        model = self.rng.choice(self.world.things)  # so that most searches find something
        exists = self.rng.random() < POSSIBLE
        goal = {
            name: model[name]
            if exists and name in model
            else self.world.draw(self.service.slots[name], self.rng)
            for name in [*required, *(name for name in optional if self._chance(OPTIONAL))]
        }
        given_at_once = [name for name in goal if self._chance(KNOWN_AT_ONCE)]
        self._tell(
            self._phrase(f"open@{self.service.name}"), {name: goal[name] for name in given_at_once}
        )
        self.wanted |= {name: goal[name] for name in given_at_once}
        self._answer_until(required, goal, self.wanted)

    def _choose(self) -> dict[str, str] | None:
        """Search, look at results, and change the search; returns the chosen thing, if any."""
        searches, at, changes = 0, 0, 0
        self._search()
        while True:
            searches += 1
            if not self.results:
                if searches == MOST_SEARCHES:
                    return None
                self._respond(self._phrase("nothing_found"))
                self._change(possible=True)
                continue
            at = 0
            while True:
                thing = self.results[at]
                self._offer(thing)
                while self._chance(0.5) and self._ask_about(thing):
                    pass
                if self._chance(0.65) or searches == MOST_SEARCHES:
                    return thing
                if changes < 1 and self._chance(0.2):
                    changes += 1
                    break
                self._hear(self._phrase("another"))
                at += 1
                if at == len(self.results):
                    self._respond(self._phrase("no_more"))
                    break
            self._change(possible=self._chance(POSSIBLE))

    def _search(self) -> None:
        name, required, optional = self.service.search
        arguments = {key: self.wanted[key] for key in (*required, *optional) if key in self.wanted}
        self.results = self.world.search(arguments)
        self._call(name, arguments, self.results)

    def _change(self, possible: bool) -> None:
        """The user wants something else, and the agent searches again."""
        _, required, optional = self.service.search
        extras = [name for name in optional if name in self.wanted]
        if not self.results and extras and self._chance(0.5):
            for name in extras:
                del self.wanted[name]
            self._hear(self._phrase("drop"))
        else:
            name = self.rng.choice(required)
            slot = self.service.slots[name]
            possible_values = [
                thing[name]
                for thing in self.world.things
                if thing[name] != self.wanted[name]
                and all(
                    thing.get(key, value) == value
                    for key, value in self.wanted.items()
                    if key != name
                )
            ]
            while (value := self.world.draw(slot, self.rng)) == self.wanted[name]:
                pass
            if possible and possible_values:
                value = self.rng.choice(possible_values)
            self.wanted[name] = value
            self._hear(self._about("change", slot, value))
        self._search()

    def _offer(self, thing: Mapping[str, str]) -> None:
        count = len(self.results)
        values = {"count": number_word(str(count)), **self._named(thing)}
        self._respond(self._phrase("offer=1" if count == 1 else "offer", values))

    def _ask_about(self, thing: Mapping[str, str]) -> bool:
        """The user asks for one or two details; False if there is nothing left to ask."""
        left = [name for name in self.service.told if name not in self.asked | self.wanted.keys()]
        if not left:
            return False
        names = self.rng.sample(left, min(len(left), self.rng.choice((1, 1, 1, 2))))
        self.asked.update(names)
        slots = [self.service.slots[name] for name in names]
        self._hear(" ".join(self._about("question", slot, "") for slot in slots))
        self._respond(" ".join(self._about("tell", slot, thing[slot.name]) for slot in slots))
        return True

    # --- booking -----------------------------------------------------------------------------

    def _book(self, thing: dict[str, str], named: bool = True) -> bool:
        """Agree on details and book, retrying after failures; returns whether a booking succeeded.

        `named` says whether the thing was mentioned before.
        """
        _, required, optional = self.service.book
        identity = self._identity(thing)
        known = {name: value for name, value in self.wanted.items() if name in optional}
        goal = {
            name: self.world.draw(self.service.slots[name], self.rng)
            for name in (*required, *optional)
            if name not in identity | known and (name in required or self._chance(0.6))
        }
        # The agent does not ask for optional details, so the user gives them at once or never.
        given_at_once = {
            name: value
            for name, value in goal.items()
            if name in optional or self._chance(KNOWN_AT_ONCE)
        }
        book = self._phrase(f"book@{self.service.name}")
        if named:
            known |= identity
            opening = f"{self._phrase('accept')} {book}"
        else:
            goal |= identity
            entity = self.service.entity
            known[entity] = thing[entity]
            detail = self._about("detail", self.service.slots[entity], thing[entity])
            opening = f"{self._phrase('hello')} {book.removesuffix(' there')} {detail}"
            if self._chance(0.6):
                given_at_once = {self.service.place: thing[self.service.place]} | given_at_once
        self._tell(opening, given_at_once)
        details = known | given_at_once
        self._answer_until(required, goal, details)
        details = {name: value for name, value in details.items() if name not in identity}
        for name in optional:
            default = self.service.defaults.get(name, str(self.world.today))
            details.setdefault(name, default)
        for attempt in range(1, MOST_BOOKINGS + 1):
            self._confirm(thing, details)
            arguments = {**self._identity(thing), **details}
            booked = self.world.book(arguments)
            self._call(self.service.book[0], arguments, booked)
            if booked:
                self._respond(self._phrase("booked") + self._perhaps(" ", "anything_else", 0.3))
                while self._chance(ASKS_AFTERWARDS) and self._ask_about(thing):
                    pass
                return True
            self._respond(self._phrase("full"))
            if attempt == MOST_BOOKINGS or self._chance(0.2):
                self._hear(self._phrase("give_up"))
                return False
            thing = self._try_otherwise(thing, details)
        raise AssertionError("every attempt ends in one of the above")

    def _try_otherwise(self, thing: dict[str, str], details: dict[str, str]) -> dict[str, str]:
        """After a failure, choose another time or date, or another of the results."""
        other_results = [result for result in self.results if result != thing]
        if other_results and self._chance(0.3):
            thing = self.rng.choice(other_results)
            slot = self.service.slots[self.service.entity]
            self._hear(self._about("instead", slot, thing[slot.name]))
        else:
            slot = self.rng.choice(
                [slot for slot in self._slots(details) if slot.kind in ("date", "time")]
            )
            details[slot.name] = self._other(slot, details[slot.name])
            self._hear(self._about("retry", slot, details[slot.name]))
        return thing

    def _confirm(self, thing: Mapping[str, str], details: dict[str, str]) -> None:
        """Read the booking back and apply corrections until the user agrees."""
        while True:
            slots = [self.service.slots[name] for name in self._identity(thing)]
            pieces = [self._about("detail", slot, thing[slot.name]) for slot in slots]
            moments = self._slots(details)
            self.rng.shuffle(moments)
            pieces += [self._about("detail", slot, details[slot.name]) for slot in moments]
            text = f"{self._phrase('confirm')} {' '.join(pieces)}. {self._phrase('correct?')}"
            self._respond(text)
            if not self._chance(CORRECTS):
                self._hear(self._phrase("yes"))
                return
            slot = self.rng.choice(moments)
            details[slot.name] = self._other(slot, details[slot.name])
            changed = self._about("detail", slot, details[slot.name])
            self._hear(self._phrase("correction", {"value": changed}))

    def _identity(self, thing: Mapping[str, str]) -> dict[str, str]:
        return {name: thing[name] for name in (self.service.entity, self.service.place)}

    def _other(self, slot: Slot, value: str) -> str:
        while (new_value := self.world.draw(slot, self.rng)) == value:
            pass
        return new_value

    # --- speaking ----------------------------------------------------------------------------

    def _part(self, thing: Mapping[str, str] | None, booked: bool) -> None:
        if thing is None:
            self._respond(self._phrase("nothing_found"))
            self._hear(f"{self._phrase('give_up')} {self._phrase('thanks')}")
        elif booked and self._chance(0.5):
            self._hear(self._phrase("thanks"))
            self._respond(self._phrase("anything_else"))
            self._hear(self._phrase("no_thanks"))
        elif self._agent_spoke_last():
            self._hear(f"{self._phrase('thanks')} {self._phrase('no_thanks')}")
        else:
            raise AssertionError("the agent has the last word before users part")
        self._respond(self._phrase("goodbye"))

    def _agent_spoke_last(self) -> bool:
        return self.messages[-1].role == "assistant"

    def _answer_until(
        self, required: Iterable[str], goal: Mapping[str, str], known: dict[str, str]
    ) -> None:
        """The agent asks for missing details, one at a time, and the user answers."""
        missing = [name for name in required if name not in known]
        while missing:
            slot = self.service.slots[missing.pop(0)]
            self._respond(self._about("ask", slot, ""))
            answered = [slot.name]
            if missing and self._chance(0.2):
                answered.append(missing.pop(0))
            known |= {name: goal[name] for name in answered}
            self._hear(" ".join(self._about("say", s, goal[s.name]) for s in self._slots(answered)))

    def _tell(self, opening: str, details: Mapping[str, str]) -> None:
        """The user says an opening, with details in the same sentence or after it."""
        slots = self._slots(details)
        beside = [slot for slot in slots if self._chance(0.8) or slot.kind in ("date", "time")]
        pieces = [self._about("with", slot, details[slot.name]) for slot in beside]
        after = [slot for slot in slots if slot not in beside]
        first = opening.rstrip(".?! ").rsplit(". ", 1)[-1].split()[0].lower()
        end = "?" if first in ("can", "could", "are", "where", "do", "is") else "."
        sentences = [" ".join([opening.rstrip(".?! "), *pieces]) + end]
        sentences += [self._about("say", slot, details[slot.name]) for slot in after]
        self._hear(" ".join(sentences))

    def _slots(self, names: Iterable[str]) -> list[Slot]:
        return [self.service.slots[name] for name in names]

    def _about(self, act: str, slot: Slot, value: str) -> str:
        """A phrase about one slot."""
        role = {self.service.entity: "entity", self.service.place: "place"}.get(
            slot.name, slot.kind
        )
        today = value == str(self.world.today)
        name = self.service.name
        rules = [f"{act}/{role}=0"] if today else []
        rules += [f"{act}/{slot.name}={value}", f"{act}/{slot.name}"]
        rules += [f"{act}/{role}@{name}", f"{act}/{role}", act]
        return self.grammar.say(rules, {"value": value}, self.words)

    def _phrase(self, act: str, values: Mapping[str, str] | None = None) -> str:
        thing = {"thing": self.service.thing, "things": f"{self.service.thing}s"}
        rules = [f"{act}@{self.service.name}", act]
        return self.grammar.say(rules, {**thing, **(values or {})}, self.words)

    def _perhaps(self, before: str, act: str, share: float) -> str:
        return before + self._phrase(act) if self._chance(share) else ""

    def _named(self, thing: Mapping[str, str]) -> dict[str, str]:
        return {"entity": thing[self.service.entity], "place": thing[self.service.place]}

    def _hear(self, text: str) -> None:
        self.messages.append(user(tidy(text)))

    def _respond(self, text: str) -> None:
        self.messages.append(assistant(RESPOND, {"message": tidy(text)}))

    def _call(self, tool: str, arguments: dict[str, str], results: list[dict[str, str]]) -> None:
        self.messages.append(assistant(tool, arguments))
        self.messages.append(user(json.dumps(results)))

    def _chance(self, share: float) -> bool:
        return self.rng.random() < share
