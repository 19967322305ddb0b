"""Train the tiny base student on the SGD services that the benchmark does not use.

Reads the SGD archive (`sgd` in params.yaml, or TFT_SGD_ARCHIVE) and the model to start from. Writes
experiments/pretrain/base, which `make pretrain` copies to models/base for the pipeline to use. A
killed run resumes from its last checkpoint in TFT_CACHE.

    python -m experiments.pretrain.run
"""

import random
from collections import defaultdict
from functools import partial
from pathlib import Path

from experiments.pretrain.card import write_base_card
from experiments.pretrain.config import PretrainConfig
from experiments.pretrain.pretrain import pretrain
from experiments.pretrain.vary import slot_values, vary
from tft.config import load_params
from tft.core.config import cache_folder, environment, read_config
from tft.core.conversation import Conversation
from tft.core.stage import stage
from tft.corpus.sgd import read_dialogues, read_schemas, task_of, to_conversation

HERE = Path("experiments/pretrain")


@stage(partial(read_config, HERE / "params.yaml", PretrainConfig))
def main(params: PretrainConfig) -> None:
    """See the module's docstring."""
    sgd = load_params().sgd
    archive = environment("TFT_SGD_ARCHIVE", sgd.archive)
    schemas = read_schemas(archive, sgd)
    services = set(schemas) - set(params.exclude)
    dialogues = defaultdict(list)
    for member, dialogue in read_dialogues(archive, sgd, services):
        dialogues[dialogue["services"][0]].append((member, dialogue))
    pool = slot_values(dialogue for of_service in dialogues.values() for _, dialogue in of_service)

    def draw(service: str, rng: random.Random) -> Conversation:
        member, dialogue = rng.choice(dialogues[service])
        share = params.invented_share
        return to_conversation(member, vary(dialogue, schemas[service], pool, share, rng))

    tasks = {service: task_of(schemas[service]) for service in sorted(dialogues)}
    weights = {service: len(dialogues[service]) for service in sorted(dialogues)}
    loss = pretrain(tasks, weights, draw, params, cache_folder("pretrain"), HERE / "base")
    write_base_card(HERE / "base", params, sgd.commit, weights, loss)


if __name__ == "__main__":
    main()
