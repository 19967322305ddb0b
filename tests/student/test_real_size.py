"""The published student's true size on the CPU: Qwen3-1.7B's configuration with random weights."""

import gc
import json
from pathlib import Path

import pytest
import torch
from fixtures.boats import TASK, boats
from fixtures.repository import ROOT, qwen3_template
from safetensors import safe_open
from transformers import AutoModelForCausalLM, Qwen3Config

from experiments.pretrain.base import train_tokenizer
from tft.config import load_params
from tft.predict.config import PredictConfig
from tft.predict.students import predict, prompts
from tft.student.checkpoint import merge
from tft.student.config import SeededStudentConfig
from tft.student.encode import encode
from tft.student.finetune import finetune
from tft.student.template import load_tokenizer

pytestmark = pytest.mark.slow

CONFIG = {
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40960,
    "tie_word_embeddings": True,
}
LAYERS = CONFIG["num_hidden_layers"]
# Embeddings 151936 x 2048. A layer: queries and output 2 x 2048 x 2048, keys and values 2 x 2048 x
# 1024, MLP 3 x 2048 x 6144, two norms of 2048 and two of 128. One norm of 2048 at the end.
PARAMETERS = 311_164_928 + LAYERS * 50_336_000 + 2_048


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> SeededStudentConfig:
    """The profile of params.yaml, its base a local folder with the template that Qwen3 ships.

    One epoch, and no warm-up: the first of several steps has a learning rate of zero.
    """
    folder = tmp_path_factory.mktemp("qwen3-1.7b")
    texts = [str(message) for one in boats(50, seed=9) for message in one.messages]
    tokenizer = train_tokenizer([TASK.description, *texts], 400)
    tokenizer.chat_template = qwen3_template()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen3Config(
        **CONFIG,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        eos_token_id=tokenizer.eos_token_id,
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    assert model.num_parameters() == PARAMETERS
    model.save_pretrained(folder)
    profile = load_params(ROOT / "params.yaml").students["qwen3-1.7b"].seeded(1)
    assert profile.template == "stock"
    return profile.model_copy(
        update={
            "base": str(folder),
            "train": profile.train.model_copy(update={"num_train_epochs": 1, "warmup_steps": 0.0}),
        }
    )


@pytest.fixture(scope="module")
def trained(student: SeededStudentConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One conversation, one step."""
    output = tmp_path_factory.mktemp("student")
    tokenizer = load_tokenizer(student.base, student.template)
    encoded = [encode(tokenizer, TASK, one, student.max_length) for one in boats(1)]
    assert encoded[0].targets and encoded[0].branches, "turns on the trunk and turns beside it"
    history = finetune(encoded, student, tokenizer, output / "checkpoints", output / "adapter")
    assert [row["split"] for row in history] == ["train"]
    assert 0 < history[0]["loss"] < 20
    gc.collect()  # the Trainer and its float32 model refer to each other
    merge(student.base, output / "adapter", output / "merged")
    return output


def test_a_step_at_the_true_size_adapts_and_merges_every_linear_layer(
    student: SeededStudentConfig, trained: Path
) -> None:
    config = json.loads((trained / "merged" / "config.json").read_text())
    assert {key: config[key] for key in CONFIG} == CONFIG
    assert config["dtype"] == "bfloat16"

    adapter = trained / "adapter" / "adapter_model.safetensors"
    with safe_open(adapter, "pt") as weights:
        names = list(weights.keys())
        ups = [weights.get_tensor(name) for name in names if "lora_B" in name]
        assert len(names) == 2 * LAYERS * 7
        # Rank 64 from 2048, 1024 or 6144 wide inputs and outputs.
        ranks = {min(weights.get_tensor(name).shape) for name in names}
    assert ranks == {64}
    assert all(up.abs().max() > 0 for up in ups), "B starts at zero: each was trained"

    layer = f"model.layers.{LAYERS - 1}.mlp.down_proj.weight"
    before, after = (_weight(folder, layer) for folder in (Path(student.base), trained / "merged"))
    assert before.dtype == after.dtype == torch.bfloat16
    assert not torch.equal(before, after)


def test_the_adapter_at_the_true_size_answers(
    student: SeededStudentConfig, trained: Path, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(student.base, student.template)
    asked = prompts(tokenizer, TASK, boats(1, seed=3), student.max_length)[:1]
    params = PredictConfig(backend="transformers", max_new_tokens=3)
    cell = {"cell": trained / "adapter"}
    (row,) = predict(student, tokenizer, asked, cell, params, tmp_path)["cell"]
    assert (row["conversation"], row["turn"]) == asked[0][:2]
    assert row["finish_reason"] in ("stop", "length")
    assert (row["name"] is None) == (row["error"] is not None)


def _weight(folder: Path, name: str) -> torch.Tensor:
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as weights:
            if name in weights.keys():  # noqa: SIM118 (no mapping)
                return weights.get_tensor(name)
    raise AssertionError(f"{name} is in no file of {folder}")
