"""The networks that read spectra. Input (batch, channels, frequencies) of log10 power, output (batch, outputs)."""

import torch
from torch import Tensor, nn


class Standardise(nn.Module):
    """Per-bin z-score with fixed statistics, which travel with the weights."""

    mean: Tensor
    scale: Tensor

    def __init__(self, channels: int, frequencies: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, frequencies))
        self.register_buffer("scale", torch.ones(channels, frequencies))

    def learn(self, x: Tensor) -> None:
        """Take the statistics of training inputs; a bin that never changes is left unscaled instead of exploding."""
        self.mean.copy_(x.mean(0))
        sd = x.std(0)
        self.scale.copy_(torch.where(sd > 1e-4, sd, torch.ones_like(sd)))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale


class StasikCNN(nn.Module):
    """The network of Stasik et al.: convolutions of 20 filters (kernels 12, 3, 3), pooled by 2, two dense 128."""

    def __init__(self, channels: int, frequencies: int, outputs: int) -> None:
        super().__init__()
        self.standardise = Standardise(channels, frequencies)
        self.body = nn.Sequential(
            nn.Conv1d(channels, 20, 12), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(20, 20, 3), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(20, 20, 3), nn.ReLU(), nn.MaxPool1d(2),
            nn.Flatten(),
        )  # fmt: skip
        width = self.body(torch.zeros(1, channels, frequencies)).shape[1]
        if width == 0:
            raise ValueError(f"{frequencies} frequencies are too few for this network; take longer segments")
        self.head = nn.Sequential(
            nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, outputs)
        )  # fmt: skip

    def learn_scale(self, x: Tensor) -> None:
        """Take the statistics of training spectra."""
        self.standardise.learn(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.standardise(x)))


class SpectralCNN(nn.Module):
    """Common spectrum and laminar profile, convolved along frequency, then a residual perceptron.

    The log spectra of neighbouring channels are nearly the same, and how strongly inhibition speaks compared with
    excitation shows in their small differences. So the mean over channels and each channel's difference from it are
    standardised apart. Nothing is pooled: which frequency is which matters. alike: whether rows are channels of one
    kind; rows that are not have nothing in common and stay as they are.
    """

    def __init__(
        self,
        channels: int,
        frequencies: int,
        outputs: int,
        width: int = 64,
        dropout: float = 0.0,
        alike: bool = True,
    ) -> None:
        super().__init__()
        self.alike = alike
        rows = channels + alike
        self.standardise = Standardise(rows, frequencies)
        self.convolutions = nn.Sequential(
            nn.Conv1d(rows, 32, 7, padding=3), nn.SiLU(),
            nn.Conv1d(32, 16, 5, stride=2, padding=2), nn.SiLU(),
            nn.Flatten(),
        )  # fmt: skip
        n = self.convolutions(torch.zeros(1, rows, frequencies)).shape[1]
        self.first = nn.Linear(n + rows * frequencies, width)
        self.second = nn.Sequential(
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )
        self.last = nn.Sequential(nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, outputs))

    def learn_scale(self, x: Tensor) -> None:
        """Take the statistics of training spectra."""
        self.standardise.learn(self._rows(x))

    def _rows(self, x: Tensor) -> Tensor:
        return common_and_differences(x) if self.alike else x

    def forward(self, x: Tensor) -> Tensor:
        z = self.standardise(self._rows(x))
        hidden = self.first(torch.cat([self.convolutions(z), z.flatten(1)], 1))
        return self.last(hidden + self.second(hidden))


def common_and_differences(x: Tensor) -> Tensor:
    """(batch, channels, frequencies) -> (batch, 1 + channels, frequencies): mean over channels, differences from it."""
    common = x.mean(1, keepdim=True)
    return torch.cat([common, x - common], 1)
