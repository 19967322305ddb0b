"""Our LoRA product inside vLLM's CPU worker against vLLM's own."""

import importlib
import sys

import pytest
import torch

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available() or importlib.util.find_spec("vllm") is None,
    reason="vLLM's CPU build only",
)


@pytest.mark.parametrize("slots", [1, 3])
def test_products_equal_vllm_s_own(monkeypatch: pytest.MonkeyPatch, slots: int) -> None:
    punica_cpu = importlib.import_module("vllm.lora.punica_wrapper.punica_cpu")
    wrapper_type = punica_cpu.PunicaWrapperCPU
    own = wrapper_type.add_lora_linear
    monkeypatch.setattr(wrapper_type, "add_lora_linear", own)  # what the import below replaces
    sys.modules.pop("tft.student.cpu_lora", None)
    ours = importlib.import_module("tft.student.cpu_lora").add_lora_linear
    assert wrapper_type.add_lora_linear is ours

    torch.manual_seed(0)
    tokens, inputs, rank, slices = 12, 24, 8, (16, 8, 8)
    wrapper = wrapper_type(tokens, 4, "cpu")
    wrapper._token_lora_indices = torch.randint(slots, (tokens,))
    wrapper.indices_len[0] = tokens
    wrapper.is_prefill = False
    x = torch.randn(tokens, inputs)
    down = tuple(torch.randn(slots, 1, rank, inputs) for _ in slices)
    up = tuple(torch.randn(slots, 1, size, rank) for size in slices)
    start = torch.randn(tokens, sum(slices))

    theirs, mine = start.clone(), start.clone()
    own(wrapper, theirs, x, down, up, 0.5, slices)
    ours(wrapper, mine, x, down, up, 0.5, slices)
    torch.testing.assert_close(mine, theirs)
    assert (mine - start).abs().max() > 1

    wrapper._token_lora_indices = torch.tensor([-1] * 6 + [0] * 6)
    only = start.clone()
    ours(wrapper, only, x, down, up, 0.5, slices)
    assert torch.equal(only[:6], start[:6]), "no adapter, no change"
    assert not torch.equal(only[6:], start[6:])
