"""Train the tiny base student on the services that the benchmark does not use.

Reads the SGD archive (`sgd` in params.yaml, TFT_SGD_ARCHIVE); writes models/base. Frozen in
dvc.yaml, because what it made ships in git; `make pretrain` trains that further, or makes another
from nothing, as `pretrain.start` in params.yaml says. A killed run goes on from its last checkpoint
in TFT_CACHE.

    python stages/pretrain.py
"""

import random
from collections import defaultdict
from pathlib import Path

import click

from tft.conversation import Conversation
from tft.corpus.sgd import read_dialogues, read_schemas, task_of, to_conversation
from tft.corpus.vary import slot_values, vary
from tft.params import environment, load_params
from tft.student.card import write_base_card
from tft.student.pretrain import pretrain
from tft.timing import timed


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    archive = environment("TFT_SGD_ARCHIVE", params.sgd.archive)
    schemas = read_schemas(archive, params.sgd)
    services = set(schemas) - set(params.pretrain.exclude)
    dialogues = defaultdict(list)
    for member, dialogue in read_dialogues(archive, params.sgd, services):
        dialogues[dialogue["services"][0]].append((member, dialogue))
    pool = slot_values(dialogue for found in dialogues.values() for _, dialogue in found)

    def draw(service: str, rng: random.Random) -> Conversation:
        member, dialogue = rng.choice(dialogues[service])
        share = params.pretrain.invented_share
        return to_conversation(member, vary(dialogue, schemas[service], pool, share, rng))

    tasks = {service: task_of(schemas[service]) for service in sorted(dialogues)}
    weights = {service: len(dialogues[service]) for service in sorted(dialogues)}
    checkpoints = Path(environment("TFT_CACHE", ".cache")) / "pretrain"
    output = Path("models/base")
    loss = pretrain(tasks, weights, draw, params.pretrain, checkpoints, output)
    write_base_card(output, params, weights, loss)


if __name__ == "__main__":
    timed(main)
