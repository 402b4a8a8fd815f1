"""One training loop for all networks: AdamW with a one-cycle schedule, best state by validation loss."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from rich.progress import track
from torch import Tensor, nn

_MEAN_RATE = 0.5  # of the one-cycle schedule, relative to its highest


class Split(NamedTuple):
    """Inputs (rows, channels, frequencies) and unit-cube targets (rows, parameters) to learn from and to choose by.

    seed: of everything random in one member's training.
    """

    x: Tensor
    u: Tensor
    x_validation: Tensor
    u_validation: Tensor
    seed: int


class Trained(NamedTuple):
    """Validation loss of the state that was kept, and the epoch it came from."""

    loss: float
    epoch: int


def train(
    module: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    data: Split,
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    shrinkage: float,
    label: str | None = None,
) -> Trained:
    """Minimise the mean of ``loss(x, u)`` (one value a row) and leave ``module`` in its best validation state.

    Its weights are then rounded to half precision, as ``stored_state`` keeps them. shrinkage: exponent by which weights
    would shrink over the whole training if there were nothing to learn, whatever the number of simulations.
    ``label`` shows a progress bar. Raises RuntimeError if no epoch has a finite validation loss.
    """
    x, u = data.x, data.u
    generator = torch.Generator().manual_seed(data.seed)
    batches = max(1, len(x) // batch)
    decay = shrinkage / (_MEAN_RATE * learning_rate * epochs * batches)
    optimiser = torch.optim.AdamW(module.parameters(), learning_rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=epochs * batches)
    best, best_state = Trained(float("inf"), -1), {}
    for epoch in track(range(epochs), description=label or "", disable=label is None, transient=True):
        module.train()
        for rows in torch.randperm(len(x), generator=generator)[: batches * batch].chunk(batches):
            optimiser.zero_grad()
            loss(x[rows], u[rows]).mean().backward()
            nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimiser.step()
            schedule.step()
        module.eval()
        with torch.no_grad():
            value = float(loss(data.x_validation, data.u_validation).mean())
        if value < best.loss:
            best = Trained(value, epoch)
            best_state = {k: v.detach().clone() for k, v in module.state_dict().items()}
    if best.epoch < 0:
        raise RuntimeError("training diverged: no epoch had a finite validation loss; lower the learning rate")
    module.load_state_dict(best_state)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(weight.half())
    module.eval()
    return best


def stored_state(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Tensors for a file: weights in half precision, which ``train`` rounded them to, and buffers as they are."""
    weights = {name for name, _ in module.named_parameters()}
    return {f"{prefix}{k}": v.half() if k in weights else v for k, v in module.state_dict().items()}
