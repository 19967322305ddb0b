"""Muon for the weight matrices, AdamW for the rest, as one optimizer.

Muon (https://kellerjordan.github.io/posts/muon/) orthogonalizes the momentum of each matrix, so
that a step moves all of its directions equally. It is meant for hidden layers; AdamW updates
embeddings and norms. With `match_rms_adamw` (https://arxiv.org/abs/2502.16982) both use the same
learning rate.
"""

from typing import Any

import torch


class MuonAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` and `torch.optim.AdamW` side by side over one model."""

    def __init__(self, model: torch.nn.Module, lr: float, weight_decay: float) -> None:
        """Divide the model's parameters between the two optimizers."""
        hidden: list[torch.nn.Parameter] = []
        others: list[torch.nn.Parameter] = []
        for name, parameter in model.named_parameters():
            (hidden if parameter.ndim == 2 and "embed" not in name else others).append(parameter)
        self.parts = (
            torch.optim.Muon(
                hidden, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), weight_decay=weight_decay),
        )
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._join()

    def _join(self) -> None:
        """Expose the parts' own parameter groups, so that schedulers change these."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Make one step with both optimizers."""
        assert closure is None
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of both optimizers, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._join()
