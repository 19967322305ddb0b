"""Fine-tuning and prediction with a model of a few thousand parameters."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from fixtures.boats import TASK, boats
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from experiments.pretrain.base import random_model, train_tokenizer
from experiments.pretrain.muon import MuonAdamW
from tft.core.errors import InputError
from tft.predict.config import PredictConfig
from tft.predict.students import predict, prompts
from tft.student.checkpoint import merge
from tft.student.config import SeededStudentConfig
from tft.student.encode import Encoded, encode
from tft.student.finetune import finetune, finetune_once, loss_csv
from tft.student.template import load_tokenizer


@pytest.fixture(scope="module")
def student(tmp_path_factory) -> SeededStudentConfig:
    folder = tmp_path_factory.mktemp("base")
    texts = [str(message) for one in boats(50, seed=9) for message in one.messages]
    tokenizer = train_tokenizer([TASK.description, *texts], 400)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    model = random_model(tokenizer, **shape, **heads, max_position_embeddings=4096)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return SeededStudentConfig.model_validate(
        {
            "base": str(folder),
            "template": "unified",
            "max_length": 4096,
            "lora": {"r": 8, "lora_alpha": 8, "lora_dropout": 0.0},
            "train": {
                "num_train_epochs": 2,
                "row_tokens": 1000,
                "gradient_accumulation_steps": 1,
                "learning_rate": 1e-2,
                "warmup_steps": 0.05,
                "weight_decay": 0.0,
                "eval_fraction": 0.2,
                "bf16": True,
                "seed": 7,
            },
        }
    )


def train(student: SeededStudentConfig, folder: Path, number: int = 12) -> list[dict]:
    tokenizer = load_tokenizer(student.base, student.template)
    encoded = [encode(tokenizer, TASK, one, student.max_length) for one in boats(number)]
    return finetune(encoded, student, tokenizer, folder / "checkpoints", folder / "adapter")


@pytest.fixture(scope="module")
def trained(student, tmp_path_factory) -> tuple[Path, list[dict]]:
    folder = tmp_path_factory.mktemp("trained")
    history = train(student, folder)
    merge(student.base, folder / "adapter", folder / "merged")
    return folder, history


def weights(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*.safetensors")}


def test_training_lowers_the_training_loss_and_the_held_out_loss(trained):
    _, history = trained
    for split in ("train", "eval"):
        losses = [row["loss"] for row in history if row["split"] == split]
        assert losses[-1] < losses[0]
    header, first, *_ = loss_csv(history).splitlines()
    assert header == "step,split,loss"
    assert first.split(",")[:2] == ["1", "train"]


def test_two_runs_give_the_same_bytes(student, trained, tmp_path):
    folder, history = trained
    assert train(student, tmp_path) == history
    assert weights(tmp_path / "adapter") == weights(folder / "adapter")


def test_another_seed_gives_another_student(student, trained, tmp_path):
    folder, history = trained
    assert student.seeded(7) == student
    assert train(student.seeded(8), tmp_path) != history
    assert weights(tmp_path / "adapter").keys() == weights(folder / "adapter").keys()
    assert weights(tmp_path / "adapter") != weights(folder / "adapter")


def test_a_killed_training_resumes_and_ends_in_the_same_bytes(
    student, trained, tmp_path, monkeypatch
):
    folder, history = trained
    backward = torch.Tensor.backward
    calls = iter(range(10**6))

    def killed(*args, **kwargs):
        if next(calls) == 4:
            raise KeyboardInterrupt
        return backward(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", killed)
        with pytest.raises(KeyboardInterrupt):
            train(student, tmp_path)
    assert not (tmp_path / "adapter").exists()
    (newest,) = (tmp_path / "checkpoints").iterdir()
    torn = newest.with_name("checkpoint-999")  # killed while it was written: no trainer_state.json
    shutil.copytree(newest, torn, ignore=shutil.ignore_patterns("trainer_state.json"))
    assert train(student, tmp_path) == history
    assert weights(tmp_path / "adapter") == weights(folder / "adapter")


def test_the_same_conversations_are_trained_on_once(student, trained, tmp_path, monkeypatch):
    folder, _ = trained
    tokenizer = load_tokenizer(student.base, student.template)
    encoded = [encode(tokenizer, TASK, one, student.max_length) for one in boats(12)]
    result = finetune_once(encoded, student, tokenizer, tmp_path)
    assert weights(result.adapter) == weights(folder / "adapter")

    def refuse(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr("tft.student.finetune.finetune", refuse)
    assert finetune_once(encoded, student, tokenizer, tmp_path) == result
    with pytest.raises(AssertionError, match="trained again"):
        finetune_once(encoded[1:], student, tokenizer, tmp_path)
    longer = student.model_copy(
        update={
            "train": student.train.model_copy(
                update={"num_train_epochs": student.train.num_train_epochs + 1}
            )
        }
    )
    for other in (longer, student.seeded(8)):
        with pytest.raises(AssertionError, match="trained again"):
            finetune_once(encoded, other, tokenizer, tmp_path)


def test_gradient_accumulation_trains_like_one_large_row(student, tmp_path):
    tokenizer = load_tokenizer(student.base, student.template)
    encoded = [encode(tokenizer, TASK, one, student.max_length) for one in boats(12)]
    # As unequal as there are: the mean of their means would be another loss.
    halves = [min(encoded, key=targets), max(encoded, key=targets)]
    assert 2 * targets(halves[0]) < targets(halves[1])

    def result(**settings) -> tuple[list[float], torch.Tensor]:
        """The losses, and the weights that start at zero: their size is what was learnt."""
        exact = {"eval_fraction": 0.0, "warmup_steps": 0.0, "bf16": False}
        params = student.train.model_copy(update=exact | settings)
        folder = tmp_path / f"accumulate-{params.gradient_accumulation_steps}"
        history = finetune(
            halves, student.model_copy(update={"train": params}), tokenizer,
            folder / "checkpoints", folder / "adapter",
        )  # fmt: skip
        adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
        learnt = [adapter[name].flatten() for name in sorted(adapter) if "lora_B" in name]
        return [row["loss"] for row in history], torch.cat(learnt)

    losses, weights = result(row_tokens=student.max_length, gradient_accumulation_steps=1)
    their_losses, their_weights = result(row_tokens=1, gradient_accumulation_steps=2)
    assert len(losses) == student.train.num_train_epochs, "both in one row, one step an epoch"
    assert their_losses == pytest.approx(losses, rel=1e-5)
    assert (their_weights - weights).norm() < 1e-3 * weights.norm()


def targets(encoded: Encoded) -> int:
    """Tokens trained on, on the trunk."""
    return sum(end - start for start, end in encoded.targets)


def test_all_linear_layers_are_adapted_and_merging_changes_no_answer(student, trained):
    folder, _ = trained
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    adapted = {name.rsplit(".", 1)[-1] for name in config["target_modules"]}
    assert adapted == {f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")}
    base = AutoModelForCausalLM.from_pretrained(student.base, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(base, str(folder / "adapter"))
    merged = AutoModelForCausalLM.from_pretrained(folder / "merged", dtype=torch.float32)
    ids = torch.arange(50)[None]
    difference = (tuned(ids).logits - merged(ids).logits).abs().max()
    assert 0 < difference < 0.1, "merged weights are rounded to bf16, nothing else"


def test_a_saved_student_encodes_like_the_trained_one(student, trained):
    folder, _ = trained
    one = boats(1, seed=3)[0]
    served = load_tokenizer(str(folder / "merged"), "stock")
    trained_on = load_tokenizer(student.base, student.template)
    assert encode(served, TASK, one, 4096) == encode(trained_on, TASK, one, 4096)


def test_training_without_conversations_is_an_error(student, tmp_path):
    with pytest.raises(InputError, match=r"0 conversations leave none .* eval_fraction 0\.2"):
        train(student, tmp_path, number=0)


@pytest.fixture
def transformers_backend() -> PredictConfig:
    return PredictConfig(backend="transformers", max_new_tokens=8)


def test_only_the_students_of_changed_adapters_answer_again(
    student, trained, tmp_path, transformers_backend, monkeypatch
):
    folder, _ = trained
    tokenizer = load_tokenizer(student.base, student.template)
    asked = prompts(tokenizer, TASK, boats(2, seed=5), 4000)
    adapters = {"base": None, "cell": folder / "adapter"}
    first = predict(student, tokenizer, asked, adapters, transformers_backend, tmp_path)
    assert [(row["conversation"], row["turn"]) for row in first["cell"]] == [
        (prompt.conversation, prompt.turn) for prompt in asked
    ]
    assert all((row["name"] is None) == (row["error"] is not None) for row in first["base"])
    assert len(list(tmp_path.iterdir())) == 2

    def refuse(*_, **__):
        raise AssertionError("asked again")

    monkeypatch.setattr("tft.predict.students.by_transformers", refuse)
    assert predict(student, tokenizer, asked, adapters, transformers_backend, tmp_path) == first
    other = shutil.copytree(folder / "adapter", tmp_path / "other")
    (other / "tokenizer_config.json").unlink()
    for change in ({"cell": other}, {}):
        limit = transformers_backend.model_copy(update={} if change else {"max_new_tokens": 9})
        with pytest.raises(AssertionError, match="asked again"):
            predict(student, tokenizer, asked, adapters | change, limit, tmp_path)


def test_an_error_names_the_prompt_that_does_not_fit(student):
    tokenizer = load_tokenizer(student.base, student.template)
    with pytest.raises(InputError, match=r"boat/0.*prompt of message 1 takes \d+ tokens, 50 fit"):
        prompts(tokenizer, TASK, boats(1), 50)


def test_muon_resumes_from_its_state(student):
    """Two steps are the same whether or not the optimizer was saved and loaded between them."""

    def steps(interrupted: bool) -> dict[str, torch.Tensor]:
        model = AutoModelForCausalLM.from_pretrained(student.base, dtype=torch.float32)
        optimizer = MuonAdamW(model, lr=1e-2, weight_decay=0.1)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        for step in range(3):
            if interrupted and step == 1:
                state = optimizer.state_dict()
                optimizer = MuonAdamW(model, lr=1e-2, weight_decay=0.1)
                optimizer.load_state_dict(state)
                scheduler.optimizer = optimizer
            model(torch.arange(20)[None] + step).logits.square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            for group in optimizer.param_groups:
                assert group["lr"] == pytest.approx(1e-2 / (2 + step)), "the schedule reaches both"
        return model.state_dict()

    plain, interrupted = steps(False), steps(True)
    start = AutoModelForCausalLM.from_pretrained(student.base, dtype=torch.float32).state_dict()
    assert all(torch.equal(plain[name], interrupted[name]) for name in plain)
    assert all(not torch.equal(plain[name], start[name]) for name in plain)
