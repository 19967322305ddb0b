"""LoRA on vLLM's CPU build by matrix products.

As of 0.32 its own code copies the adapter's two matrices once for every token (it is written for
batches of many adapters), which at rank 64 takes ten times as long as the base model itself. With
few adapters in memory it is cheaper to apply each to all tokens and keep what is asked for.

Loaded in vLLM's worker through its option `worker_extension_cls`.
"""

from typing import Any

import torch
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU


def add_lora_linear(
    self: PunicaWrapperCPU,
    y: torch.Tensor,
    x: torch.Tensor,
    lora_a_stacked: tuple[torch.Tensor, ...],
    lora_b_stacked: tuple[torch.Tensor, ...],
    scale: float,
    output_slices: tuple[int, ...],
    **_: Any,
) -> None:
    """Add each token's adapter's product to its outputs, in place of vLLM's method of this name.

    Args:
        self: knows each token's adapter: its slot, or -1.
        y: [tokens, sum of output_slices], changed in place.
        x: [tokens, inputs].
        lora_a_stacked: per slice, [slots, 1, rank, inputs].
        lora_b_stacked: per slice, [slots, 1, outputs of the slice, rank].
        scale: of the product.
        output_slices: outputs of each slice.
    """
    x, y = x.view(-1, x.shape[-1]), y.view(-1, y.shape[-1])
    parts = y.split(output_slices, 1)
    for part, down, up in zip(parts, lora_a_stacked, lora_b_stacked, strict=True):
        for slot in range(len(down)):
            product = (x @ down[slot, 0].T) @ up[slot, 0].T
            part.add_(product * (scale * (self.token_lora_indices == slot)[:, None]))


PunicaWrapperCPU.add_lora_linear = add_lora_linear


class Extension:
    """What `worker_extension_cls` names; importing this module is all it is for."""
