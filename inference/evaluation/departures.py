"""Where a measured recording leaves what the fitted circuit makes: frequencies and channels, in plain words."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from inference.evaluation.predictive import BAND, share_inside
from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from simulators.recording import Recording

_FAR = 1.0  # of the band's width beyond its edge: by chance one value in some thousands
_POOR = 0.5  # of the share expected inside the band
_FEW = 0.02  # of all values: as many may lie far outside of a good fit's band


class Departure(NamedTuple):
    """A stretch of frequencies in which a recording leaves the band; ``factor`` is its power over the band's median.

    Where the stretch holds channels with more and with less power, it is that of the channel that is furthest away.
    """

    low_hz: float
    high_hz: float
    channels: tuple[str, ...]
    factor: float
    everywhere: bool

    def __str__(self) -> str:
        size = self.factor if self.factor > 1 else 1 / self.factor
        # Beyond a factor of ten thousand a number says no more than a word.
        times = f"up to {size:.2g}" if size < 10 else f"up to {size:.0f}" if size < 1e4 else "more than 10,000"
        at = f"{self.low_hz:g} Hz" if self.low_hz == self.high_hz else f"{self.low_hz:g}-{self.high_hz:g} Hz"
        shown = ", ".join(self.channels[:3]) + (", ..." if len(self.channels) > 3 else "")
        where = "all channels" if self.everywhere and len(self.channels) > 1 else shown
        return f"at {at}, with {times} times {'more' if self.factor > 1 else 'less'} power in {where}"


def departures(
    observed: Float[np.ndarray, "channels frequencies"],
    predictive: Float[np.ndarray, "draws channels frequencies"],
    frequencies: Float[np.ndarray, " frequencies"],
    channels: Sequence[str],
    most: int = 2,
) -> tuple[Departure, ...]:
    """The stretches of frequencies in which log10 spectra leave the predictive band furthest, in order of frequency.

    Nothing where no more than a few values lie far outside.
    """
    low, middle, high = np.quantile(predictive, [BAND[0], 0.5, BAND[1]], axis=0)
    beyond = np.maximum(observed - high, low - observed) / np.maximum(high - low, 1e-9)
    outside = beyond > _FAR
    if outside.mean() <= _FEW:
        return ()
    distance = np.where(outside, observed - middle, 0.0)
    found = []
    for first, end in _stretches(distance):
        here = distance[:, first:end]
        far = [c for c, row in zip(channels, here, strict=True) if (row != 0).mean() >= 0.5] or [
            channels[int(np.abs(here).max(1).argmax())]
        ]
        log_factor = float(here.ravel()[np.abs(here).argmax()])
        stretch = Departure(
            float(frequencies[first]),
            float(frequencies[end - 1]),
            tuple(far),
            10.0**log_factor,
            len(far) == len(channels),
        )
        found.append((float(np.abs(here).sum()), stretch))
    worst = sorted(found, key=lambda pair: -pair[0])[:most]
    return tuple(sorted(stretch for _, stretch in worst))


@dataclass(frozen=True, eq=False)
class PredictiveCheck:
    """A recording held against spectra that the estimated parameters give.

    emulated: by the gradient fit's emulator, not by simulations of the circuit. inside, expected: shares of the
    recording's spectrum in the band.
    """

    spectra: Float[np.ndarray, "draws channels frequencies"]
    emulated: bool
    inside: float
    expected: float
    departures: tuple[Departure, ...]

    @property
    def poor(self) -> bool:
        """Neighbouring frequencies and channels go astray together, so that half of what is expected is no chance."""
        return self.inside < _POOR * self.expected


def predictive_check(
    recording: Recording,
    features: Features,
    spectra: Float[np.ndarray, "draws channels frequencies"],
    emulated: bool = False,
) -> PredictiveCheck:
    """Raises ValueError where the spectra have another shape than the recording's features."""
    return checked_features(features(recording), features, recording.channels, spectra, emulated)


def checked_features(
    observed: Float[np.ndarray, "channels frequencies"],
    features: Features,
    channels: Sequence[str],
    spectra: Float[np.ndarray, "draws _ _"],
    emulated: bool = False,
) -> PredictiveCheck:
    """The same of features that were computed before."""
    inside, expected = share_inside(observed, spectra)
    found: tuple[Departure, ...] = ()
    if isinstance(features, SpectralFeatures):
        found = departures(observed, spectra, features.frequencies, channels)
    return PredictiveCheck(spectra, emulated, inside, expected, found)


def _stretches(distance: Float[np.ndarray, "channels frequencies"]) -> list[tuple[int, int]]:
    """First and last (exclusive) index of neighbouring frequencies outside the band on one side, over all channels."""
    sides = np.sign(distance.sum(0))
    edges = [0, *(np.flatnonzero(np.diff(sides)) + 1).tolist(), len(sides)]
    return [(a, b) for a, b in pairwise(edges) if sides[a] != 0]
