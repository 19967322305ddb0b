"""LoRA on vLLM's CPU build, by matrix products.

As of vLLM 0.32, its own code copies the two matrices of the adapter for every token (it is written
for batches with many adapters), which at rank 64 takes ten times as long as the base model. With
few adapters in memory it is faster to apply each of them to all tokens and keep the needed
products.

vLLM's worker loads this module through the option `worker_extension_cls`.
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
    """Add the product of each token's adapter to its outputs; replaces vLLM's method of this name.

    Args:
        self: Has the slot of each token's adapter, or -1.
        y: Outputs, [tokens, sum of output_slices], changed in place.
        x: Inputs, [tokens, inputs].
        lora_a_stacked: For each slice, [slots, 1, rank, inputs].
        lora_b_stacked: For each slice, [slots, 1, outputs of the slice, rank].
        scale: Factor of the product.
        output_slices: Number of outputs of each slice.
    """
    x, y = x.view(-1, x.shape[-1]), y.view(-1, y.shape[-1])
    parts = y.split(output_slices, 1)
    for part, down, up in zip(parts, lora_a_stacked, lora_b_stacked, strict=True):
        for slot in range(len(down)):
            product = (x @ down[slot, 0].T) @ up[slot, 0].T
            part.add_(product * (scale * (self.token_lora_indices == slot)[:, None]))


PunicaWrapperCPU.add_lora_linear = add_lora_linear


class Extension:
    """The class that `worker_extension_cls` names, so that vLLM imports this module."""
