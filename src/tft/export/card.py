"""Model cards: what a model was made from, how, and with what licence."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import fill, wrap
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from tabulate import tabulate
from transformers import AutoConfig

from tft.config import Params
from tft.core.conversation import Conversation
from tft.core.tables import write_text
from tft.core.task import RESPOND, Task
from tft.export.server import ENVIRONMENT, server_arguments

# What SGD's licence covers: the tiny base, which was made from it, and two of the corpora.
OF_SGD = {"models/base", "sgd", "published"}
SGD_LICENCE = (
    "Trained on the Schema-Guided Dialogue dataset (Rastogi et al. 2020, "
    "https://github.com/google-research-datasets/dstc8-schema-guided-dialogue), licensed CC BY-SA "
    "4.0; the weights are given under the same licence."
)

# From the student's folder.
IN_PYTHON = """\
```python
import json

from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("merged")
model = AutoModelForCausalLM.from_pretrained("merged")

job = json.load(open("job_description.json", encoding="utf-8"))
messages = [
    {"role": "system", "content": job["task_description"]},
    {"role": "user", "content": "Hello."},
]
inputs = tokenizer.apply_chat_template(
    messages, tools=job["tools"], add_generation_prompt=True, return_dict=True, return_tensors="pt"
)
answer = model.generate(**inputs, max_new_tokens=256, do_sample=False)
print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1] :]))
```"""


def write_base_card(
    folder: Path, params: Params, dialogues: Mapping[str, int], loss: float
) -> None:
    """Write the tiny base's README.md; `dialogues` counts them per service, `loss` is in nats."""
    settings = params.pretrain
    config = AutoConfig.from_pretrained(folder)
    paragraphs = [
        f"A {config.model_type} of {config.num_hidden_layers} layers, hidden size "
        f"{config.hidden_size} and {config.vocab_size:,} tokens, with its own byte-level BPE "
        "tokenizer and chat template: small enough to be fine-tuned on two CPU cores in minutes. "
        "It stands in for a real base such as Qwen/Qwen3-1.7B when the pipeline is tried, and is "
        "of no use as a general language model.",
        f"Made by `stages/pretrain.py` from {sum(dialogues.values()):,} single-domain dialogues of "
        f"{len(dialogues)} services of SGD (commit {params.sgd.commit}), without the benchmark's: "
        f"{', '.join(settings.exclude)}. Slot values are replaced by other real ones or by "
        "invented words, anew each time a dialogue is drawn, and copying is taught on random spans "
        f"that come again. {settings.steps:,} steps of about {settings.row_tokens:,} tokens, "
        f"{'going on from an earlier base' if settings.start else 'from nothing'}; loss over the "
        f"last tenth {loss:.3f} nats a token. All settings: `pretrain` in params.yaml.",
        SGD_LICENCE,
        f"Services: {', '.join(dialogues)}.",
    ]
    data = ModelCardData(
        license="cc-by-sa-4.0", library_name="transformers", pipeline_tag="text-generation"
    )
    _write(folder, data, "TFT tiny base", [_filled(paragraph) for paragraph in paragraphs])


def write_student_card(
    folder: Path,
    cell: tuple[str, str],
    params: Params,
    task: Task,
    conversations: Sequence[Conversation],
    losses: Mapping[str, float],
    metrics: Mapping[str, Any],
    labelled_by: str,
) -> None:
    """Write a fine-tuned student's README.md with the numbers of its own run.

    `merged` gets a copy: whoever publishes the weights alone publishes where they come from.

    Args:
        folder: of the student, with `merged` and `adapter` in it.
        cell: (scenario, pipeline).
        params: of the run.
        task: as a client knows it; without `respond_to_user` the student answers in plain text.
        conversations: what it was trained on, those for evaluation included.
        losses: {split: last loss in nats a target token, mean over rows}.
        metrics: of the cell, see `evaluation.summary`. With several training seeds the student is
            the first's, and so are the scores on its card.
        labelled_by: who says what is right in the test conversations: the corpus or a machine.
    """
    scenario, pipeline = cell
    name = f"{scenario}-{pipeline}"
    student = params.students[params.student].seeded(params.training_seeds[0])
    among = ""
    if others := metrics.get("students"):
        among = (
            f" This student is that of seed {params.training_seeds[0]}; over {len(others)} that differ in "
            f"the seed alone, the judge's score is {metrics['judge']:.3f} on average, with a "
            f"standard deviation of {metrics['spread']['judge']:.3f}."
        )
        own = others[f"{name}-{params.training_seeds[0]}"]
        metrics = {**metrics, **own, "judge_corrected": None}  # that is of the mean
    turns = sum(len(list(one.turns())) for one in conversations)
    settings = {**student.train.model_dump(), **student.lora.model_dump()}
    scores = [key for key in metrics["intervals"] if metrics[key] is not None]
    of_sgd = bool(OF_SGD & {student.base, params.corpus})
    licence = SGD_LICENCE if of_sgd else "Licence: that of the base, as far as the traces allow."
    replies = "OpenAI's `tool_calls`"
    plain_text = not task.tool(RESPOND)
    if plain_text:
        replies += f" or plain text, which for the student itself is a call of `{RESPOND}`"
    local = Path(student.base).is_dir()
    origin = "a folder of the project that made this student" if local else "from the Hub"
    sections = [
        _filled(
            f"`{student.base}`, LoRA-tuned to answer every turn with one tool call. `adapter/` "
            "holds the LoRA weights, `merged/` the model as a whole (bf16); both hold tokenizer "
            f"and chat template. The adapter needs its base, `{student.base}`, {origin}."
        ),
        "## Training",
        _filled(
            f"Scenario `{scenario}` ({params.scenario(scenario).kind}) of corpus "
            f"`{params.corpus}`, pipeline `{pipeline}`: {len(conversations):,} conversations with "
            f"{turns:,} assistant turns, of which {student.train.eval_fraction:.0%} were kept for "
            "evaluation. Last loss in nats a target token, mean over rows: "
            + ", ".join(f"{split} {loss:.4f}" for split, loss in losses.items())
            + f". Template: `{student.template}`."
        ),
        _table(["setting", "value"], settings.items()),
        "## Scores",
        _filled(
            f"On {metrics['n']} held-out turns, decoded greedily; judged by "
            f"{metrics['judged_by']}; {metrics['parse_failures']} answers held no call. Intervals "
            "are over conversations, whose turns may err together; exact ones where all score 0 or "
            f"all 1. {_correction(metrics)}The scores are defined in src/tft/evaluation."
            + among
            + (
                f" The right calls were labelled by {labelled_by}; nobody checked them."
                if labelled_by.startswith("machine")
                else ""
            )
        ),
        _table(
            ["score", "mean", "95 % interval"],
            [(key, f"{metrics[key]:.3f}", _interval(metrics["intervals"][key])) for key in scores],
        ),
        "## Tools",
        _table(
            ["tool", "what it does", "arguments"],
            [
                (tool.name, tool.description, ", ".join(tool.parameters.get("properties", {})))
                for tool in task.tools
            ],
        ),
        "## Serving",
        _filled(
            "Give the tools of job_description.json in every request, as the system message its "
            "task_description, both to the letter:"
        ),
        *(f"> {_filled(part)}".replace("\n", "\n> ") for part in task.description.split("\n\n")),
        _filled(f"From the folder that holds `merged`, vLLM's server answers with {replies}:"),
        _shell(["python", *server_arguments(name, Path(), plain_text)]),
        _filled(
            "In transformers, from that folder too, the student answers with the text of a call, "
            "`<tool_call>` and JSON:"
        ),
        IN_PYTHON,
        _filled(
            "The model from base and adapter"
            + (", with the path of your copy of the base:" if local else ":")
        ),
        "```python\nfrom peft import PeftModel\n\n"
        f'base = AutoModelForCausalLM.from_pretrained("{student.base}")\n'
        'model = PeftModel.from_pretrained(base, "adapter")\n```',
        _filled(licence),
    ]
    data = ModelCardData(
        license="cc-by-sa-4.0" if of_sgd else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=None if local else student.base,  # the Hub takes ids only
        model_name=name,
        tags=["tool-use", "lora"],
        eval_results=[
            EvalResult(
                task_type="text-generation",
                dataset_type=params.corpus,
                dataset_name=f"held-out turns of corpus {params.corpus}",
                metric_type=key,
                metric_name=f"{key} ({metrics['judged_by']})" if "judge" in key else key,
                metric_value=metrics[key],
            )
            for key in scores
        ],
    )
    for place in (folder, folder / "merged"):
        _write(place, data, f"TFT student {name}", sections)


def _correction(metrics: Mapping[str, Any]) -> str:
    if metrics["judge_corrected"] is None:
        return ""
    measured = metrics["judge_measured"]
    return (
        f"`judge_corrected`: as if the judge erred here as against {measured['n']} published "
        f"verdicts on students (sensitivity {measured['sensitivity']:.3f}, specificity "
        f"{measured['specificity']:.3f}). "
    )


def _interval(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def _filled(text: str) -> str:
    return fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _shell(command: Sequence[str]) -> str:
    """A command in vLLM's environment, its lines joined by backslashes."""
    words = [*(f"{key}={value}" for key, value in ENVIRONMENT.items()), shlex.join(command)]
    lines = wrap(" ".join(words), 96, break_long_words=False, break_on_hyphens=False)
    return "```sh\n" + " \\\n    ".join(lines) + "\n```"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    return tabulate(list(rows), head, tablefmt="github", disable_numparse=True)


def _write(folder: Path, data: ModelCardData, title: str, sections: Sequence[str]) -> None:
    text = "\n\n".join(sections)
    write_text(folder / "README.md", f"---\n{data.to_yaml()}\n---\n\n# {title}\n\n{text}\n")
