"""Muon for the weight matrices, AdamW for the rest, as one optimizer.

Muon (https://kellerjordan.github.io/posts/muon/) orthogonalises the momentum of each matrix, so
that a step moves all of its directions alike. It is meant for hidden layers; embeddings and norms
are left to AdamW. With `match_rms_adamw` (https://arxiv.org/abs/2502.16982) both take the same
learning rate.
"""

from typing import Any

import torch


class MuonAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` and `torch.optim.AdamW` side by side over one model."""

    def __init__(self, model: torch.nn.Module, lr: float, weight_decay: float) -> None:
        """Share out the model's parameters."""
        hidden: list[torch.nn.Parameter] = []
        rest: list[torch.nn.Parameter] = []
        for name, parameter in model.named_parameters():
            (hidden if parameter.ndim == 2 and "embed" not in name else rest).append(parameter)
        self.parts = (
            torch.optim.Muon(
                hidden, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.95), weight_decay=weight_decay),
        )
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._join()

    def _join(self) -> None:
        """Let schedulers see the very groups that the parts step by."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of both."""
        assert closure is None
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Of both, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._join()
