"""What a user takes away is by itself what was trained: rendered, loaded, started."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, qwen3_template
from peft import PeftModel
from test_card import MEASURED, card, metrics
from test_student import STOCK, TASK, boats
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from tft.config import load_params
from tft.core.conversation import Tool, to_openai
from tft.core.task import write_task
from tft.export.takeaway import take_away
from tft.student.checkpoint import save_adapter
from tft.student.config import LoraConfig
from tft.student.encode import encode_prompt
from tft.student.finetune import adapted
from tft.student.template import load_tokenizer

BASE = ROOT / "models" / "base"

needs_base = pytest.mark.skipif(
    not (BASE / "model.safetensors").exists(), reason="no model in models/base"
)


def template(name: str) -> str | None:
    """The chat template of a base; None: the student gets `unified`."""
    if name == "qwen3":
        return qwen3_template()
    return STOCK if name == "stock" else None


def taken_away(
    folder: Path, of_base: str | None, talk: Tool | None = None, noise: float = 0.0
) -> PreTrainedTokenizerBase:
    """Write the shipped base and an adapter, packaged into `folder`; the tokenizer of training.

    Args:
        folder: of the student; what it is made from lies beside it.
        of_base: its base's chat template; None: it is trained with `unified`.
        talk: as `take_away` wants it.
        noise: of the adapter's weights; without it the student answers as its base.
    """
    base, adapter = folder.with_name("base"), folder.with_name("trained")
    shutil.copytree(BASE, base)
    if of_base:
        (base / "chat_template.jinja").write_text(of_base)
    student = load_params(ROOT / "params.yaml").students["tiny"].seeded(1)
    changes = {"base": str(base), "lora": LoraConfig(r=8, alpha=8, dropout=0.0)}
    student = student.model_copy(update=changes | {"template": "stock" if of_base else "unified"})
    tokenizer = load_tokenizer(student.base, student.template)
    model = adapted(student)
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # zero in a new adapter
            torch.nn.init.normal_(weight, std=noise)
    save_adapter(model, tokenizer, adapter)
    take_away(folder, student, adapter, talk)
    return tokenizer


@needs_base
@pytest.mark.parametrize("name", ["unified", "stock", "qwen3"])
def test_the_saved_template_by_itself_renders_what_was_trained_on(
    name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "s-tft"
    trained = taken_away(folder, template(name))
    for part in ("adapter", "merged"):
        shipped = AutoTokenizer.from_pretrained(folder / part)
        for one in boats(4):
            for turn, _ in one.turns():
                messages = to_openai(one.messages[:turn])
                rendered = shipped.apply_chat_template(
                    [{"role": "system", "content": TASK.description}, *messages],
                    tools=TASK.tools_openai(),
                    add_generation_prompt=True,
                    return_dict=True,
                )
                assert rendered["input_ids"] == encode_prompt(trained, TASK, one, turn)


@needs_base
def test_the_card_loads_the_student_in_transformers_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "low_data-tft"
    taken_away(folder, None, noise=0.1)
    write_task(folder / "job_description.json", TASK)
    made = card(folder, metrics("m", MEASURED), base=str(tmp_path / "base"))
    merged, adapter = re.findall(r"```python\n(.*?)```", made.text, re.DOTALL)

    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(merged, names)
    assert capsys.readouterr().out.strip(), "the student's answer"
    with torch.no_grad():
        logits = names["model"](**names["inputs"]).logits.float()
        exec(adapter, names)
        assert isinstance(names["model"], PeftModel)
        same = names["model"](**names["inputs"]).logits.float()
        untuned = AutoModelForCausalLM.from_pretrained(BASE)(**names["inputs"]).logits.float()
    assert (logits - same).abs().mean() < (logits - untuned).abs().mean() / 5
