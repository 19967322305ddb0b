"""The corpus that needs no download: simulated dialogues, all of whose wording is ours."""

import random
from collections.abc import Sequence

from tft.core.conversation import Conversation
from tft.core.errors import InputError
from tft.core.task import Task
from tft.corpus.config import BuiltinConfig
from tft.standins.simulation.dialogue import simulate
from tft.standins.simulation.grammar import built_in
from tft.standins.simulation.services import SERVICES
from tft.standins.simulation.world import World


def read_builtin(params: BuiltinConfig) -> tuple[list[Conversation], Task]:
    """All conversations, `counts` per service, and the task of `service`.

    Conversation i of a service depends only on the seed, the service, and i.

    Raises:
        InputError: a service is unknown.
    """
    grammar = built_in(params.today)
    conversations = []
    for name in (*params.counts, params.service):
        if name not in SERVICES:
            raise InputError(
                f"params.yaml: builtin: unknown service {name!r}; there are {', '.join(SERVICES)}"
            )
    for name, count in params.counts.items():
        service = SERVICES[name]
        world = World(service, params.seed, params.today)
        conversations += [
            simulate(
                f"{name}/{index:04}",
                service,
                world,
                grammar,
                random.Random(f"{params.seed}/{name}/{index}"),
            )
            for index in range(count)
        ]
    return conversations, SERVICES[params.service].task()


def split_builtin(
    conversations: Sequence[Conversation], params: BuiltinConfig
) -> tuple[list[Conversation], list[Conversation]]:
    """(train, test), where the first `held_out` conversations of `service` are the test.

    Raises:
        InputError: holding them out leaves no conversations of the service to train on.
    """
    own = [conversation for conversation in conversations if conversation.source == params.service]
    if len(own) <= params.held_out:
        raise InputError(
            f"params.yaml: builtin.held_out: {params.held_out} of {len(own)} conversations of "
            f"{params.service} leave none to train on; lower it or raise builtin.counts"
        )
    test = sorted(own, key=lambda conversation: conversation.id)[: params.held_out]
    held_out_ids = {conversation.id for conversation in test}
    return [
        conversation for conversation in conversations if conversation.id not in held_out_ids
    ], test
