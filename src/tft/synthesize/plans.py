"""What is generated from what: which traces are seeds, and a plan for each conversation."""

import random
from collections.abc import Sequence

from tft.core.conversation import Conversation
from tft.core.errors import InputError
from tft.core.records import Plan
from tft.synthesize.config import SynthesizeConfig


def choose_seeds(
    relabeled: Sequence[Conversation], logged: Sequence[Conversation], number: int, seed: int
) -> tuple[list[Conversation], list[Conversation]]:
    """(seeds, context): relabeled traces drawn by the seed, and the others as they were logged.

    Args:
        relabeled: the traces that relabeling kept.
        logged: the traces that the filter kept, before relabeling.
        number: of seeds; all there are where they are fewer.
        seed: of the draw.
    """
    drawn = random.Random(f"{seed}/seeds").sample(relabeled, min(number, len(relabeled)))
    ids = {one.id for one in drawn}
    seeds = sorted(drawn, key=lambda one: one.id)
    return seeds, [one for one in logged if one.id not in ids]


def draw_plan(
    number: int,
    seeds: Sequence[Conversation],
    context: Sequence[Conversation],
    params: SynthesizeConfig,
    seed: int,
) -> Plan:
    """The plan of the conversation of that number; it depends on nothing but the arguments.

    Raises:
        InputError: fewer seeds than exemplars are shown at a time.
    """
    if len(seeds) < params.exemplars:
        raise InputError(
            f"synthesize.exemplars: {params.exemplars} are shown at a time, but there are only "
            f"{len(seeds)} relabeled traces; lower it, or bring more traces"
        )
    rng = random.Random(f"{seed}/plan {number}")
    return Plan(
        id=f"tft-{number:05}",
        exemplars=tuple(rng.sample(seeds, params.exemplars)),
        context=tuple(rng.sample(context, min(params.context, len(context)))),
        mutations={name: rng.choice(topics) for name, topics in params.mutations.items()},
        seed=rng.getrandbits(31),
    )
