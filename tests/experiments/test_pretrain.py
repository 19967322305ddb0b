"""Making a base from nothing, with a model of a few thousand parameters."""

import itertools
import random
from pathlib import Path

import pytest
import torch
from fixtures.boats import TASK, boats
from fixtures.repository import ROOT
from huggingface_hub import ModelCard
from ruamel.yaml import YAML

from experiments.pretrain.card import write_base_card
from experiments.pretrain.config import PretrainConfig
from experiments.pretrain.pretrain import pretrain
from tft.config import load_params
from tft.core.config import read_config
from tft.core.conversation import Conversation
from tft.core.errors import InputError

SHIPPED = read_config(ROOT / "experiments/pretrain/params.yaml", PretrainConfig)
PARAMS = SHIPPED.model_copy(
    update={
        **{"start": None, "vocab_size": 400, "hidden_size": 64, "intermediate_size": 64},
        **{"num_hidden_layers": 2, "head_dim": 32, "row_tokens": 400, "steps": 6, "save_steps": 2},
        **{"copy_steps": 2, "copy_share": 0.2, "copy_lengths": [64, 128]},
    }
)


def draw(_: str, rng: random.Random) -> Conversation:
    return boats(1, rng.getrandbits(32))[0]


def made(folder: Path) -> float:
    output = folder / "base"
    return pretrain({"boats": TASK}, {"boats": 1}, draw, PARAMS, folder / "checkpoints", output)


def test_a_killed_run_resumes_and_makes_the_same_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    loss = made(whole)
    backward = torch.Tensor.backward
    calls = itertools.count(1)

    def killed(*args, **kwargs):
        if next(calls) == 4:
            raise KeyboardInterrupt
        return backward(*args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "backward", killed)
    with pytest.raises(KeyboardInterrupt):
        made(resumed)
    assert not (resumed / "base").exists()
    (checkpoint,) = (resumed / "checkpoints").glob("*/*")
    assert checkpoint.name == "checkpoint-2"
    assert made(resumed) == loss
    assert next(calls) == 4 + (6 - 2) + 1, "only the steps after the checkpoint are taken again"
    for path in (whole / "base").iterdir():
        assert (resumed / "base" / path.name).read_bytes() == path.read_bytes()
    assert not any((resumed / "checkpoints").iterdir())


def test_the_card_of_the_base_counts_the_dialogues_it_was_trained_on(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((ROOT / "models/base/config.json").read_text())
    commit = load_params(ROOT / "params.yaml").sgd.commit
    write_base_card(tmp_path, SHIPPED, commit, {"Buses_1": 1000, "Music_1": 234}, 0.5309)
    made = ModelCard((tmp_path / "README.md").read_text(encoding="utf-8"))
    assert made.data.license == "cc-by-sa-4.0"
    told = " ".join(made.text.split())
    assert "1,234 single-domain dialogues from 2 services" in told
    assert "0.531 nats per token" in told
    assert "Services: Buses_1, Music_1." in told


@pytest.mark.parametrize(
    ("lengths", "message"),
    [([128], ".*at least 2"), ([32, 64], ".0: .*greater than or equal to 33")],
)
def test_an_error_about_the_lengths_of_copies_names_the_key(
    tmp_path: Path, lengths: list[int], message: str
) -> None:
    params = tmp_path / "params.yaml"
    YAML().dump(SHIPPED.model_dump() | {"copy_lengths": lengths}, params)
    with pytest.raises(InputError, match=f"copy_lengths.*{message}"):
        read_config(params, PretrainConfig)
