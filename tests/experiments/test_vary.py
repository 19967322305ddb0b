"""Dialogues with other values keep their meaning: what a call says is what was said."""

import random
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from experiments.pretrain.vary import slot_values, vary

SCHEMA = {
    "slots": [
        {"name": "pier", "is_categorical": False},
        {"name": "class", "is_categorical": True},
        {"name": "when", "is_categorical": False},
        {"name": "day", "is_categorical": False},
    ]
}


def turn(utterance: str, call: dict[str, str] | None = None, **said: tuple[str, str]) -> Any:
    actions = [
        {"slot": slot, "values": [value], "canonical_values": [canonical]}
        for slot, (value, canonical) in said.items()
    ]
    frame: dict[str, Any] = {"actions": actions}
    if call:
        frame |= {"service_call": {"method": "RentBoat", "parameters": call}}
        frame["service_results"] = [{**call, "owner": "Ms. Ferry"}]
    return {"speaker": "USER", "utterance": utterance, "frames": [frame]}


def dialogue(time_said: str = "half past 6 in the evening", time: str = "18:30") -> dict[str, Any]:
    call = {"pier": "Long Wharf", "class": "Rowing", "when": time, "day": "2019-03-08"}
    return {
        "turns": [
            turn(f"A Rowing boat at long wharf, {time_said}.", pier=("long wharf", "Long Wharf"),
                 when=(time_said, time)),
            turn("Which day?"),
            turn("Next Friday, at Long Wharf.", day=("Next Friday", "2019-03-08")),
            turn("Here you are.", call),
        ]
    }  # fmt: skip


OTHERS = [
    dialogue("a quarter to 9 pm", "20:45"),
    dialogue("6:30 pm", "18:30"),
    {"turns": [turn("On the 11th", day=("the 11th", "2019-03-11"))]},
]
POOL = slot_values([dialogue(), *OTHERS])


@given(st.integers())
def test_names_and_times_change_consistently_in_a_dialogue(seed: int) -> None:
    varied = vary(dialogue(), SCHEMA, POOL, 1.0, random.Random(seed))
    first, _, third, last = varied["turns"]
    (frame,) = last["frames"]
    call = frame["service_call"]["parameters"]
    assert call["class"] == "Rowing", "an enumerated value stays"
    assert call["pier"] != "Long Wharf"
    assert frame["service_results"][0].items() >= call.items()
    assert call["pier"].lower() in first["utterance"]
    assert call["pier"] in third["utterance"]

    (said,) = re.findall(r", (.*)\.$", first["utterance"])
    ways = {"18:30": ["half past 6 in the evening", "6:30 pm"], "20:45": ["a quarter to 9 pm"]}
    assert said in ways[call["when"]]
    days = {"2019-03-08": "Next Friday", "2019-03-11": "the 11th"}
    assert third["utterance"].startswith(days[call["day"]])


@given(st.integers())
def test_a_time_that_the_text_does_not_mention_stays(seed: int) -> None:
    """ "six" may be a number of people, and one text with two meanings cannot be replaced."""
    for said in ("six", "6"):
        varied = vary(dialogue(said, "18:00"), SCHEMA, POOL, 1.0, random.Random(seed))
        call = varied["turns"][3]["frames"][0]["service_call"]["parameters"]
        assert call["when"] == "18:00"
        assert varied["turns"][0]["utterance"].endswith(f", {said}.")
    ambiguous = dialogue("6:30", "18:30")
    ambiguous["turns"].append(turn("Or 6:30?", when=("6:30", "06:30")))
    varied = vary(ambiguous, SCHEMA, POOL, 1.0, random.Random(seed))
    assert varied["turns"][3]["frames"][0]["service_call"]["parameters"]["when"] == "18:30"


def test_names_come_from_other_dialogues_or_are_invented() -> None:
    rng = random.Random(1)
    piers = {
        vary(dialogue(), SCHEMA, POOL, share, rng)["turns"][2]["utterance"]
        for share in (0.0, 1.0)
        for _ in range(20)
    }
    assert sum("Long Wharf" in text for text in piers) <= 2, "the pool's only pier, on two days"
    assert len(piers) > 15
