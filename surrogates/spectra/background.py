"""What a channel has besides the circuit: noise floors and backgrounds, as densities that a fit finds along."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from scipy.signal import medfilt
from torch import Tensor

_AT_HZ = 10.0  # where a background's level is taken
_NEIGHBOURS = 11  # bands


@runtime_checkable
class ChannelNoise(Protocol):
    """Independent noise of every channel, by some free variables."""

    @property
    def size(self) -> int:
        """Number of variables."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Of the variables."""
        ...

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
    names = "log_white", "log_pink"
    MEAN, SD = float(np.log(10.0)), 2.0

    def density(self, variables: Float[Tensor, "*batch 2"], frequencies: Float[Tensor, " bands"]) -> Tensor:
        """White plus 1/f."""
        white, pink = variables[..., :1].exp(), variables[..., 1:].exp()
        return white + pink / frequencies

    def penalty(self, variables: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
        """Normal in the log frequency at which both are equal."""
        return ((variables[..., 1] - variables[..., 0] - self.MEAN) / self.SD).square() / 2


@dataclass(frozen=True)
class Background:
    """white + level (10^chi + knee^chi) / (f^chi + knee^chi), as specparam has it (Donoghue et al. 2020), and rhythms.

    By log density at 10 Hz, exponent chi (1.5 +- .75), log knee (3 Hz, within a factor of three) and the log of white
    noise over the level (a fiftieth, within a factor of seven). Each of the ``rhythms``, which come from elsewhere, is
    a peak of a normal's form: the log of its height over the level (1, within a factor of seven), of its frequency
    (15 Hz, within a factor of three) and of its width (1.5 Hz, within a factor of two).
    """

    rhythms: int = 0

    APERIODIC = 4
    MEAN, SD = (1.5, float(np.log(3.0)), -4.0), (0.75, 1.0, 2.0)
    RHYTHM_MEAN, RHYTHM_SD = (0.0, float(np.log(15.0)), float(np.log(1.5))), (2.0, 1.0, 0.7)

    @property
    def size(self) -> int:
        """Number of variables."""
        return self.APERIODIC + 3 * self.rhythms

    @property
    def names(self) -> tuple[str, ...]:
        """Of the variables; those of a rhythm have its number."""
        each = ("log_height", "log_frequency", "log_width")
        rhythms = (f"rhythm{k + 1}_{name}" for k in range(self.rhythms) for name in each)
        return ("background_log_level", "background_exponent", "background_log_knee", "background_log_white", *rhythms)

    def prior(self, name: str) -> tuple[float, float] | None:
        """Mean and standard deviation of a variable's normal prior; None for the level, which is free."""
        mean, sd = self._prior
        k = self.names.index(name) - 1
        return None if k < 0 else (float(mean[k]), float(sd[k]))

    @property
    def _prior(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of all variables but the level."""
        mean, sd = self.MEAN + self.rhythms * self.RHYTHM_MEAN, self.SD + self.rhythms * self.RHYTHM_SD
        return torch.tensor(mean), torch.tensor(sd)

    def density(
        self, variables: Float[Tensor, "*batch size"], frequencies: Float[Tensor, " bands"]
    ) -> Float[Tensor, "*batch bands"]:
        """White, aperiodic and rhythmic power."""
        level, chi, knee, white = variables[..., : self.APERIODIC].split(1, -1)
        bend = (chi * knee).exp()
        shape = (_AT_HZ**chi + bend) / (frequencies**chi + bend) + white.exp()
        for k in range(self.rhythms):
            height, place, width = variables[..., self.APERIODIC + 3 * k :][..., :3].split(1, -1)
            shape = shape + (height - ((frequencies - place.exp()) / width.exp()).square() / 2).exp()
        return level.exp() * shape

    def penalty(self, variables: Float[Tensor, "*batch size"]) -> Float[Tensor, "*batch"]:
        """Normal in all but the level, which is free."""
        mean, sd = self._prior
        return ((variables[..., 1:] - mean) / sd).square().sum(-1) / 2

    def precision(self) -> Float[Tensor, "size size"]:
        """Of the normal prior."""
        return torch.diag(torch.cat([torch.zeros(1), self._prior[1] ** -2]))

    def first(self, level: float, peaks: Sequence[tuple[float, float]] = ()) -> list[float]:
        """Where to start: the middle of the prior, at a level. peaks: height (density) and Hz of rhythms."""
        start = [float(np.log(level)), *self.MEAN]
        for k in range(self.rhythms):
            height, hertz = peaks[k] if k < len(peaks) else (0.1 * level, np.exp(self.RHYTHM_MEAN[1]))
            start += [float(np.log(height / level)), float(np.log(hertz)), self.RHYTHM_MEAN[2]]
        return start

    def draw(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n size"]:
        """Variables of unit level."""
        mean, sd = (each.numpy() for each in self._prior)
        rest = mean + sd * rng.standard_normal((n, len(mean)))
        rest[:, 0] = np.clip(rest[:, 0], 0.0, 4.0)
        return np.concatenate([np.zeros((n, 1)), rest], 1)


def highest_peaks(
    power: Float[np.ndarray, " bands"], frequencies: Float[np.ndarray, " bands"], most: int
) -> list[tuple[float, float]]:
    """Bands that stand out most from their neighbourhood: by how much (density), and where (Hz), the highest first."""
    around = medfilt(np.log(power), min(_NEIGHBOURS, 2 * ((len(power) - 1) // 2) + 1))
    above = np.log(power) - around
    inner = np.flatnonzero((above[1:-1] >= above[:-2]) & (above[1:-1] > above[2:])) + 1
    best = inner[above[inner].argsort()[::-1][:most]]
    return [(float(max(power[i] - np.exp(around[i]), 1e-3 * power[i])), float(frequencies[i])) for i in best]


def coloured(
    density: Float[np.ndarray, " frequencies"], shape: tuple[int, int], sampling_rate: float, rng: np.random.Generator
) -> Float[np.ndarray, "channels samples"]:
    """Gaussian noise of a density (two-sided, unit^2/Hz, at the frequencies of a real transform of so many samples)."""
    white = np.fft.rfft(rng.standard_normal(shape), axis=1)
    return np.fft.irfft(white * np.sqrt(density * sampling_rate), shape[1], axis=1)
