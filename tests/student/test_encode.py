"""The student's inputs: template, encoding, packing, loss."""

import itertools
import random

import pytest
import torch
from fixtures.boats import STOCK, TASK, boats, trained_on
from fixtures.repository import qwen3_template
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.pretrain.base import train_tokenizer
from experiments.pretrain.copying import add_copying
from tft.core.conversation import render_call
from tft.core.errors import InputError
from tft.student.attention import SEGMENTS
from tft.student.encode import encode, encode_prompt, shared_prefix
from tft.student.finetune import row_loss
from tft.student.pack import IGNORED, Row, epochs, pack
from tft.student.template import load_tokenizer


@pytest.fixture(params=["unified", "stock", "qwen3"])
def mode(request, tokenizer, monkeypatch):
    if request.param != "unified":
        template = STOCK if request.param == "stock" else qwen3_template()
        monkeypatch.setattr(tokenizer, "chat_template", template)
    return request.param


def one_turn_at_a_time(model, tokenizer, conversations):
    """The definition: each turn alone, after its own prompt as the server renders it.

    In the order of a row, where a conversation's trunk stands before its branches.
    """
    model.set_attn_implementation("sdpa")
    losses = []
    for one in conversations:
        trunk = encode(tokenizer, TASK, one, 4096).trunk
        on_trunk, on_branches = [], []
        for turn, call in one.turns():
            prompt = encode_prompt(tokenizer, TASK, one, turn)
            answer = tokenizer.encode(render_call(call) + "<|im_end|>", add_special_tokens=False)
            ids = prompt + answer
            logits = model(torch.tensor([ids])).logits[0, len(prompt) - 1 : -1]
            turns = on_trunk if trunk[: len(ids)] == ids else on_branches
            turns.append(
                torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="none")
            )
        losses += on_trunk + on_branches
    return losses


def packed(model, rows):
    model.set_attn_implementation(SEGMENTS)
    losses = []
    for row in rows:
        inputs = row.inputs()
        labels = inputs.pop("labels").flatten()
        logits = model(**inputs).logits[0]
        losses.append(torch.nn.functional.cross_entropy(logits, labels, reduction="none")[1:])
    return torch.cat(losses)


def test_packed_training_equals_one_turn_at_a_time(model, tokenizer, mode):
    conversations = boats(7)
    encoded = [encode(tokenizer, TASK, one, 4096) for one in conversations]
    assert any(one.targets for one in encoded) == (mode != "stock")
    assert any(one.branches for one in encoded) == (mode != "unified")
    prefix = shared_prefix(encoded)
    rows = list(pack(encoded, prefix, prefix + 600))
    assert 1 < len(rows) < 7, "some rows hold several conversations"

    expected = torch.cat(one_turn_at_a_time(model, tokenizer, conversations))
    got = packed(model, rows)
    assert got.shape == expected.shape
    assert torch.allclose(got, expected, atol=1e-4)

    gradients = []
    for loss in (expected.sum(), got.sum()):
        model.zero_grad()
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    difference = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
    assert difference < 1e-3


def test_segments_and_mask_are_equivalent(model, tokenizer, mode):
    encoded = [encode(tokenizer, TASK, one, 4096) for one in boats(4)]
    row = next(pack(encoded, shared_prefix(encoded), 4096))
    by_segments = packed(model, [row])
    model.set_attn_implementation("sdpa")
    inputs = row.inputs() | {"attention_mask": row.mask()[None, None]}
    labels = inputs.pop("labels").flatten()
    del inputs["segments"]
    by_mask = torch.nn.functional.cross_entropy(
        model(**inputs).logits[0], labels, reduction="none"
    )[1:]
    assert torch.allclose(by_segments, by_mask, atol=1e-5)


def test_a_row_s_conversations_do_not_see_each_other(model, tokenizer, mode):
    first, second, other = (encode(tokenizer, TASK, one, 4096) for one in boats(3, seed=4))
    prefix = shared_prefix([first, second, other])
    count = sum(end - start for start, end in second.targets) + sum(
        len(branch.ids[slice(*branch.targets)]) for branch in second.branches
    )
    after_first = packed(model, pack([first, second], prefix, 9999))[-count:]
    after_other = packed(model, pack([other, second], prefix, 9999))[-count:]
    assert torch.allclose(after_first, after_other, atol=1e-6)


def test_ids_trained_on_are_the_ids_served(tokenizer, mode):
    for one in boats(20):
        encoded = encode(tokenizer, TASK, one, 4096)
        turns = list(one.turns())
        on_trunk = {"unified": len(turns), "stock": 0, "qwen3": 1}[mode]
        assert len(encoded.targets) == on_trunk
        assert len(encoded.branches) == len(turns) - on_trunk
        for (turn, call), (prompt, answer) in zip(turns, trained_on(encoded), strict=True):
            said = render_call(call) + "<|im_end|>"
            assert prompt == encode_prompt(tokenizer, TASK, one, turn)
            assert answer == tokenizer.encode(said, add_special_tokens=False)


def test_an_accumulated_loss_is_a_mean_over_all_targets(model, tokenizer):
    encoded = [encode(tokenizer, TASK, one, 4096) for one in boats(6)]
    rows = list(pack(encoded, 0, 300))
    every_target = packed(model, rows)
    total = 0.0
    for row in rows:
        inputs = row.inputs()
        labels = inputs.pop("labels")
        assert labels[..., 1:].ne(IGNORED).all(), "what the Trainer counts is every target"
        total += row_loss(model(**inputs), labels, num_items_in_batch=len(every_target)).item()
    assert total == pytest.approx(every_target.mean().item(), rel=1e-5)


def test_packing_loses_and_pads_nothing(tokenizer):
    encoded = [encode(tokenizer, TASK, one, 4096) for one in boats(30)]
    prefix = shared_prefix(encoded)
    assert prefix > 20
    rows = list(pack(encoded, prefix, 1200))
    assert sum(len(row.ids) - prefix for row in rows) == sum(e.tokens - prefix for e in encoded)
    assert sum(len(row.labels) for row in rows) == sum(
        end - start for e in encoded for start, end in e.targets
    )
    assert all(row.labels for row in rows)
    assert all(len(row.ids) <= 1200 for row in rows)


def test_a_conversation_longer_than_a_row_gets_one_of_its_own(tokenizer):
    encoded = [encode(tokenizer, TASK, one, 4096) for one in boats(3)]
    rows = list(pack(encoded, 0, 10))
    assert [len(row.ids) for row in rows] == [one.tokens for one in encoded]


def test_epochs_hold_every_conversation_in_another_order(tokenizer):
    encoded = [encode(tokenizer, TASK, one, 4096) for one in boats(12)]
    first = [row.ids for row in epochs(encoded, 0, 1, 1, seed=5)]
    both = [row.ids for row in epochs(encoded, 0, 1, 2, seed=5)]
    assert both[:12] == first
    assert both[12:] != first
    assert sorted(both[12:]) == sorted(first)


def test_a_turn_over_the_limit_is_an_error_and_is_not_truncated(tokenizer):
    one = boats(1)[0]
    length = len(encode(tokenizer, TASK, one, 4096).trunk)
    assert encode(tokenizer, TASK, one, length).tokens == length
    with pytest.raises(InputError, match=r"boat/0.*message \d+.*max_length is " + str(length - 1)):
        encode(tokenizer, TASK, one, length - 1)


@given(st.integers(0, 2**32), st.integers(40, 300))
def test_copying_targets_repeat_what_stands_before_them(seed, length):
    row = Row()
    row.add([1, 2, 3], 0, [])
    add_copying(row, length, range(10, 5000), random.Random(seed))
    assert row.labels
    for at, label in zip(row.predictors, row.labels, strict=True):
        pair = row.ids[at], label
        earlier = itertools.pairwise(row.ids[3 : at + 1])
        assert row.ids[at + 1] == label
        assert pair in earlier


@settings(max_examples=60)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_survives_the_tokenizer(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=False) == text


def test_a_name_is_the_same_tokens_in_speech_and_in_a_call(tokenizer):
    name = tokenizer.encode("Zorbel's Quay 12")
    for context in ("at {} please", '{{"pier": "{}"}}', "{}"):
        ids = tokenizer.encode(context.format("Zorbel's Quay 12"))
        assert any(ids[i : i + len(name)] == name for i in range(len(ids)))


def test_a_tokenizer_without_the_markers_is_refused_by_name(tmp_path, tokenizer, monkeypatch):
    tokenizer.save_pretrained(tmp_path / "good")
    load_tokenizer(str(tmp_path / "good"), "unified")
    monkeypatch.setattr("experiments.pretrain.base.TAGS", ())
    train_tokenizer([TASK.description], 300).save_pretrained(tmp_path / "bad")
    with pytest.raises(InputError, match=r"bad' lacks <tool_call>, </tool_call> as single tokens"):
        load_tokenizer(str(tmp_path / "bad"), "unified")
    with pytest.raises(InputError, match="no tokenizer at"):
        load_tokenizer(str(tmp_path / "nowhere"), "unified")
