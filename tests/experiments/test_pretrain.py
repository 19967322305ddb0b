"""Making a base from nothing, with a model of a few thousand parameters."""

import itertools
import random
from pathlib import Path

import pytest
import torch
from fixtures.boats import TASK, boats
from fixtures.repository import ROOT

from experiments.pretrain.pretrain import pretrain
from tft.config import load_params
from tft.core.conversation import Conversation

PARAMS = load_params(ROOT / "params.yaml").pretrain.model_copy(
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


def test_a_killed_run_goes_on_and_makes_the_same_base(
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
