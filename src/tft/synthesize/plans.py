"""Which traces are seed conversations, and a plan for each conversation to generate."""

import random
from collections.abc import Sequence

from tft.core.conversation import Conversation
from tft.core.errors import InputError
from tft.core.records import Plan
from tft.synthesize.config import SynthesizeConfig


def choose_seeds(
    relabeled: Sequence[Conversation], logged: Sequence[Conversation], number: int, seed: int
) -> tuple[list[Conversation], list[Conversation]]:
    """Draw the seed conversations from the relabeled traces; the other traces are context.

    Args:
        relabeled: The traces that relabeling kept.
        logged: The traces that the filter kept, as they were logged.
        number: The number of seed conversations. If there are fewer traces, all of them are drawn.
        seed: Random seed of the draw.

    Returns:
        (seed conversations, context).
    """
    drawn = random.Random(f"{seed}/seeds").sample(relabeled, min(number, len(relabeled)))
    ids = {conversation.id for conversation in drawn}
    seeds = sorted(drawn, key=lambda conversation: conversation.id)
    return seeds, [conversation for conversation in logged if conversation.id not in ids]


def draw_plan(
    number: int,
    seeds: Sequence[Conversation],
    context: Sequence[Conversation],
    params: SynthesizeConfig,
    seed: int,
) -> Plan:
    """Draw the plan of conversation `number`. It depends on nothing but the arguments.

    Raises:
        InputError: there are fewer seed conversations than `params.exemplars`.
    """
    if len(seeds) < params.exemplars:
        raise InputError(
            f"synthesize.exemplars: each plan shows {params.exemplars} seed conversations, but "
            f"there are only {len(seeds)} relabeled traces; lower it, or provide more traces"
        )
    rng = random.Random(f"{seed}/plan {number}")
    return Plan(
        id=f"tft-{number:05}",
        exemplars=tuple(rng.sample(seeds, params.exemplars)),
        context=tuple(rng.sample(context, min(params.context, len(context)))),
        mutations={name: rng.choice(topics) for name, topics in params.mutations.items()},
        seed=rng.getrandbits(31),
    )
