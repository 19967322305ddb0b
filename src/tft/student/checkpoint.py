"""Models on disk: load a base and save a student."""

from pathlib import Path

import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from tft.core.errors import InputError
from tft.student.attention import SEGMENTS


def load_model(folder: str) -> PreTrainedModel:
    """A causal language model from a local folder or Hugging Face id, in float32.

    It uses the attention by segments.

    Raises:
        InputError: the model does not exist.
    """
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise InputError(f"no causal language model at {folder!r}: {error}") from error
    model.set_attn_implementation(SEGMENTS)
    return model


def save_adapter(model: PeftModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write the adapter without its base, with the tokenizer and its template."""
    for config in model.peft_config.values():  # a set, which peft would write in an arbitrary order
        config.target_modules = sorted(config.target_modules)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()  # peft writes an empty form; tft.export.card writes ours
    tokenizer.save_pretrained(folder)


def merge(base: str, adapter: Path, folder: Path) -> None:
    """Write base and adapter as one model in bf16, with the adapter's tokenizer and template.

    Raises:
        InputError: the base does not exist.
    """
    merged = PeftModel.from_pretrained(load_model(base), str(adapter)).merge_and_unload()
    merged.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(adapter).save_pretrained(folder)
