"""What a channel has besides the circuit: noise floors and backgrounds, as densities that a fit finds along."""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_AT_HZ = 10.0  # where a background's level is taken


@runtime_checkable
class ChannelNoise(Protocol):
    """Independent noise of every channel, by some free variables."""

    size: int
    """Number of variables."""

    def density(
        self, variables: Float[Tensor, "*batch size"], frequencies: Float[Tensor, " bands"]
    ) -> Float[Tensor, "*batch bands"]:
        """In unit^2/Hz (two-sided)."""
        ...

    def penalty(self, variables: Float[Tensor, "*batch size"]) -> Float[Tensor, "*batch"]:
        """Negative log prior density, up to a constant."""
        ...


class NoiseFloor:
    """White and 1/f noise, by their log densities (at 1 Hz). Both are equal within a factor of seven of 10 Hz."""

    size = 2
    MEAN, SD = float(np.log(10.0)), 2.0

    def density(self, variables: Float[Tensor, "*batch 2"], frequencies: Float[Tensor, " bands"]) -> Tensor:
        """White plus 1/f."""
        white, pink = variables[..., :1].exp(), variables[..., 1:].exp()
        return white + pink / frequencies

    def penalty(self, variables: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
        """Normal in the log frequency at which both are equal."""
        return ((variables[..., 1] - variables[..., 0] - self.MEAN) / self.SD).square() / 2


class Background:
    """white + level (10^chi + knee^chi) / (f^chi + knee^chi), as specparam has it (Donoghue et al. 2020).

    By log density at 10 Hz, exponent chi (1.5 +- .75), log knee (3 Hz, within a factor of three) and the log of white
    noise over the level (a fiftieth, within a factor of seven).
    """

    size = 4
    MEAN = torch.tensor([1.5, float(np.log(3.0)), -4.0])
    SD = torch.tensor([0.75, 1.0, 2.0])

    def density(self, variables: Float[Tensor, "*batch 4"], frequencies: Float[Tensor, " bands"]) -> Tensor:
        """White and aperiodic power."""
        level, chi, knee, white = variables.split(1, -1)
        bend = (chi * knee).exp()
        shape = (_AT_HZ**chi + bend) / (frequencies**chi + bend)
        return level.exp() * (shape + white.exp())

    def penalty(self, variables: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch"]:
        """Normal in all but the level, which is free."""
        return ((variables[..., 1:] - self.MEAN) / self.SD).square().sum(-1) / 2

    def precision(self) -> Float[Tensor, "4 4"]:
        """Of exponent, knee and white noise."""
        return torch.diag(torch.cat([torch.zeros(1), self.SD**-2]))

    def first(self, level: float) -> list[float]:
        """Where to start: the middle of the prior, at a level."""
        return [float(np.log(level)), *self.MEAN.tolist()]

    def draw(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n 4"]:
        """Variables of unit level."""
        rest = self.MEAN.numpy() + self.SD.numpy() * rng.standard_normal((n, 3))
        rest[:, 0] = np.clip(rest[:, 0], 0.0, 4.0)
        return np.concatenate([np.zeros((n, 1)), rest], 1)


def coloured(
    density: Float[np.ndarray, " frequencies"], shape: tuple[int, int], sampling_rate: float, rng: np.random.Generator
) -> Float[np.ndarray, "channels samples"]:
    """Gaussian noise of a density (two-sided, unit^2/Hz, at the frequencies of a real transform of so many samples)."""
    white = np.fft.rfft(rng.standard_normal(shape), axis=1)
    return np.fft.irfft(white * np.sqrt(density * sampling_rate), shape[1], axis=1)
