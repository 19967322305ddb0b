"""Does a student copy a name it has never seen into a call, and over what distance?

    python -m experiments.pretrain.copying_probe [--model models/students/baseline-direct/merged]

The conversation is with a service that is in no training data. A user mentions an invented person
or place, small talk without names follows, and then a call that needs the name; the prompt ends
after `"name": "`. Distance is counted in tokens, from the name's first token in the user's message
to its first token in the call. Each token is predicted given the right ones before it. Scores are
the share of name tokens that are right, and the share of names that are completely right, including
the quotation mark at the end, which is when greedy decoding copies the name.
"""

import math
import random
from collections.abc import Iterator
from typing import NamedTuple

import click
import torch
from tabulate import tabulate
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from experiments.pretrain.vary import invented_value
from tft.core.conversation import Message, Tool, ToolCall, assistant, render_call, user
from tft.core.task import RESPOND, Task
from tft.student.template import load_tokenizer, render

DISTANCES = (50, 100, 200, 500, 1000, 2000)
LONGEST_NAME = 24  # tokens; a byte-level tokenizer may need more for a name

TEXT = {"type": "string"}
TASK = Task(
    "You keep the visitors' book of an observatory and sign people in.",
    (
        Tool(RESPOND, "Say something to the user.",
             {"type": "object", "properties": {"message": TEXT}, "required": ["message"]}),
        Tool("SignVisitor", "Enter a visitor into the book.",
             {"type": "object", "properties": {"name": {**TEXT, "description": "who it is"}},
              "required": ["name"]}),
    ),
    "unused",
)  # fmt: skip
OPENINGS = (
    "Please put {} into the book.",
    "I would like to sign in {} for tonight.",
    "Hello, {} is coming to see the telescope, can you note that?",
    "We are expecting {} this evening.",
)
ASIDES = (
    "Is the dome open when it rains?",
    "How long does the walk up the hill take?",
    "I hope the clouds go away before it gets dark.",
    "Do you sell tea and biscuits, or should we bring our own?",
    "What can be seen at this time of the year?",
    "Are the stairs steep? One of us has a bad knee.",
    "Is it all right to take pictures in there?",
    "Thanks, that is good to know.",
)
ANSWERS = (
    "Yes, it is, there is no need to worry about that.",
    "It takes a quarter of an hour, and there is a bench half way up.",
    "There is a small shop next to the entrance, it closes at eight.",
    "Most people like the rings best, and the moon is worth a look too.",
    "You are welcome. Is there anything else before we go on?",
    "No, I am afraid not, but there is a room downstairs where you can wait.",
    "That depends on the weather, we will know more in the evening.",
)


class Probe(NamedTuple):
    """Token ids up to the quotation mark after the name; the last `targets` of them are scored."""

    ids: list[int]
    targets: int
    distance: int


def probe(tokenizer: PreTrainedTokenizerBase, distance: int, rng: random.Random) -> Probe:
    """A conversation in which a name must be copied over at least `distance` tokens."""
    name = invented_value(rng)
    opening = rng.choice(OPENINGS)
    messages: list[Message] = [user(opening.format(name))]
    call = ToolCall("SignVisitor", {"name": name})
    while True:
        text = render(tokenizer, TASK, messages, prompt=True) + render_call(call)
        encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = encoding["input_ids"], encoding["offset_mapping"]

        def token_at(position: int, offsets: list[tuple[int, int]] = offsets) -> int:
            return next(i for i, (_, end) in enumerate(offsets) if end > position)

        mention = text.index(opening.format(name)) + opening.index("{")
        copied = text.rindex(name)
        first, quote = token_at(copied), token_at(copied + len(name))
        measured = first - token_at(mention)
        if measured >= distance:
            return Probe(ids[: quote + 1], quote + 1 - first, measured)
        messages += [
            assistant(RESPOND, {"message": rng.choice(ANSWERS)}),
            user(rng.choice(ASIDES)),
        ]


@torch.no_grad()
def hits(model: PreTrainedModel, probed: Probe) -> list[bool]:
    """For each scored token, whether it is the most likely one."""
    ids = torch.tensor([probed.ids], device=model.device)
    logits = model(input_ids=ids[:, :-1], logits_to_keep=probed.targets).logits[0]
    return logits.argmax(-1).eq(ids[0, -probed.targets :]).tolist()


def names(
    tokenizer: PreTrainedTokenizerBase, distance: int, number: int, seed: int
) -> Iterator[Probe]:
    """Yield `number` probes with different names, `distance` tokens from mention to call."""
    rng = random.Random(f"{seed}/{distance}")
    while number:
        candidate = probe(tokenizer, distance, rng)
        if candidate.targets <= LONGEST_NAME:
            number -= 1
            yield candidate


@click.command(help=__doc__)
@click.option("--model", "folder", default="models/base", show_default=True)
@click.option("--template", default="unified", show_default=True)
@click.option("--number", default=100, show_default=True, help="Names per distance.")
@click.option("--seed", default=0, show_default=True)
def main(folder: str, template: str, number: int, seed: int) -> None:
    """See the module's docstring."""
    disable_progress_bar()
    tokenizer = load_tokenizer(folder, template)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device).eval()
    rows = []
    for distance in DISTANCES:
        probes = list(names(tokenizer, distance, number, seed))
        right = [hits(model, probed) for probed in probes]
        of_names = [hit for name_hits in right for hit in name_hits[:-1]]
        whole = sum(map(all, right)) / number
        rows.append(
            [
                f"{sum(probed.distance for probed in probes) / number:.0f}",
                f"{sum(map(len, right)) / number:.1f}",
                f"{sum(name_hits[0] for name_hits in right) / number:.3f}",
                f"{sum(of_names) / len(of_names):.3f}",
                f"{whole:.3f} ± {math.sqrt(whole * (1 - whole) / number):.3f}",
            ]
        )
    head = ["distance, tokens", "tokens per name", "first token", "all name tokens", "whole names"]
    print(f"{folder}: {number} unseen names per distance\n")
    print(tabulate(rows, head, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
