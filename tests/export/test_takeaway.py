"""What a user takes away is by itself what was trained: rendered, loaded, started."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.boats import TASK, boats
from fixtures.card import MEASURED, card, metrics
from fixtures.students import BASE, needs_base, taken_away, template
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tft.core.conversation import to_openai
from tft.core.task import write_task
from tft.student.encode import encode_prompt


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
