"""Layers that sit on top of a surrogate neuron (Olah et al. 2022): Izhikevich's neuron, and learned indicators."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from surrogates.threads import one_thread

CALCIUM_MS = 3000.0
DYE_MS = 1024.0
"""What the published layers see at once: of calcium and of a voltage dye."""


class IndicatorNetwork(nn.Module):
    """LSTMs of first fewer, then more units that turn one trace into another: V into fluorescence, or back.

    both_ways: whether it looks ahead too. To read fluorescence back it must; on top of a running neuron it cannot.
    """

    scale: Float[Tensor, "4"]

    def __init__(self, units: Sequence[int] = (64, 32, 16, 32, 64), both_ways: bool = False) -> None:
        super().__init__()
        self.settings = {"units": list(units), "both_ways": both_ways}
        sides = 1 + both_ways
        widths = [1, *(n * sides for n in units[:-1])]
        self.lstms = nn.ModuleList(
            nn.LSTM(n, m, batch_first=True, bidirectional=both_ways) for n, m in zip(widths, units, strict=True)
        )
        self.last = nn.Linear(units[-1] * sides, 1)
        self.register_buffer("scale", torch.tensor([0.0, 1.0, 0.0, 1.0]))

    def forward(self, given: Float[Tensor, "traces samples"]) -> Float[Tensor, "traces samples"]:
        """The other trace, in its own unit."""
        mean, sd, other_mean, other_sd = self.scale
        x = ((given - mean) / sd)[..., None]
        for lstm in self.lstms:
            x = lstm(x)[0]
        return self.last(x)[..., 0] * other_sd + other_mean


def fit_indicator(
    given: Float[np.ndarray, "traces samples"],
    wanted: Float[np.ndarray, "traces samples"],
    window: int,
    *,
    units: Sequence[int] = (64, 32, 16, 32, 64),
    both_ways: bool = False,
    updates: int = 2000,
    batch: int = 16,
    learning_rate: float = 3e-3,
    seed: int = 0,
) -> IndicatorNetwork:
    """Learn to turn one trace into the other, on stretches of ``window`` samples at random; squared error.

    Voltage to fluorescence makes an encoder, fluorescence to voltage a decoder. Raises ValueError if the traces are
    shorter than the window, differ in shape, or never change.
    """
    if given.shape != wanted.shape:
        raise ValueError(f"traces of shapes {given.shape} and {wanted.shape}; each needs its like")
    if not (np.std(given) > 0 and np.std(wanted) > 0):
        raise ValueError("traces that never change, or are not finite, teach nothing; record a cell that is driven")
    samples = given.shape[1]
    if samples < window:
        raise ValueError(f"traces of {samples} samples are shorter than a window of {window}")
    x, y = (torch.as_tensor(part, dtype=torch.float32) for part in (given, wanted))
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = IndicatorNetwork(units, both_ways)
        network.scale.copy_(torch.stack([x.mean(), x.std(), y.mean(), y.std()]))
        optimiser = torch.optim.Adam(network.parameters(), learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=updates)
        for _ in range(updates):
            rows = torch.randint(len(x), (batch, 1))
            columns = torch.randint(samples - window + 1, (batch, 1)) + torch.arange(window)
            error = (network(x[rows, columns]) - y[rows, columns]) / network.scale[3]
            optimiser.zero_grad()
            error.square().mean().backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return network.eval()
