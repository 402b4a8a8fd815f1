"""Runs of one circuit and their rhythm: spectrum of the dipole, its peak, its power in a band, rates of the cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from inference.features.spectra import SpectralFeatures
from inference.recordings.conform import resampled
from simulators.recording import Recording, Spikes

_SLOWEST_PEAK_HZ = 5.0  # below, drift has more power than any rhythm


class Activity(NamedTuple):
    """One run of a circuit: its dipole (one channel), and the spikes of its populations."""

    dipole: Recording
    spikes: Spikes


@dataclass(frozen=True, eq=False)
class Rhythm:
    """What runs of one circuit under different drives have in common.

    spectra: log10 power of each run's dipole. Raises ValueError for no run at all, and as the features do for a dipole
    without a spectrum.
    """

    runs: tuple[Activity, ...]
    features: SpectralFeatures

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError("there is no run to tell a rhythm of")

    @property
    def spectra(self) -> Float[np.ndarray, "runs frequencies"]:
        """log10 of the power of each run's dipole."""
        rate = self.features.sampling_rate
        return np.stack([self.features(resampled(run.dipole, rate))[0] for run in self.runs])

    @property
    def peaks_Hz(self) -> Float[np.ndarray, " runs"]:
        """Frequency of the largest power above 5 Hz, in each run."""
        f = self.features.frequencies
        fast = f >= _SLOWEST_PEAK_HZ
        return f[fast][self.spectra[:, fast].argmax(axis=1)]

    def share(self, band_Hz: tuple[float, float]) -> float:
        """Of the mean power, in a band."""
        power, f = (10**self.spectra).mean(axis=0), self.features.frequencies
        return float(power[(f >= band_Hz[0]) & (f <= band_Hz[1])].sum() / power.sum())

    @property
    def rates_Hz(self) -> dict[str, float]:
        """Mean over runs of each population's spikes a second and cell, after the transient."""
        return {
            name: float(np.mean([_rate(run, name) for run in self.runs])) for name in self.runs[0].spikes.populations
        }


def unlike(spectrum: Sequence[float] | np.ndarray, wanted: Sequence[float] | np.ndarray) -> float:
    """Root mean square difference of two log10 spectra, up to a factor, in decades.

    >>> unlike([1.0, 2.0, 3.0], [0.0, 1.0, 2.0])
    0.0
    """
    difference = np.asarray(spectrum) - np.asarray(wanted)
    return float(np.std(difference))


def _rate(run: Activity, population: str) -> float:
    first, end = run.spikes.populations[population]
    start_ms = 1e3 * run.dipole.transient / run.dipole.sampling_rate
    spikes = int((run.spikes.of(population).times_ms >= start_ms).sum())
    return spikes / (end - first) / (1e-3 * run.dipole.duration_ms)


def activity_of(
    dipole: Recording, trains: Real[np.ndarray, "cells samples"], populations: dict[str, np.ndarray]
) -> Activity:
    """A run from the spikes of each cell a sample, and which cells each population has."""
    order = np.concatenate(list(populations.values()))
    rows, samples = np.nonzero(trains[order])
    by_time = np.argsort(samples, kind="stable")
    ends = np.cumsum([0, *(len(cells) for cells in populations.values())]).tolist()
    named = {name: (a, b) for name, a, b in zip(populations, ends[:-1], ends[1:], strict=True)}
    times = 1e3 * samples[by_time] / dipole.sampling_rate
    return Activity(dipole, Spikes(times, rows[by_time], named))
