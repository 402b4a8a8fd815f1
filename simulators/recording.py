"""What every simulator returns and every measured file becomes: a Recording; and the Spikes behind one."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Integer, Real

SAME_RATE = 1e-3
"""Relative difference of two sampling rates that counts as none."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Channels by samples, evenly sampled.

    Arguments:
        values: (channels, samples).
        sampling_rate: Hz.
        unit: "1" for counts, "mV" for LFP, "uV" for EEG; of channels that differ one for each, as in "mV, 1, nA um".
        channels: one name a channel.
        transient: samples at the start, kept but not to be analysed (a network settling from its initial state).

    Raises:
        ValueError: the shape, the rate, the names or the transient do not fit together.
    """

    values: Real[np.ndarray, "channels samples"]
    sampling_rate: float
    unit: str
    channels: tuple[str, ...]
    transient: int = 0

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or 0 in self.values.shape:
            raise ValueError(f"a recording is channels x samples, neither of them empty; got shape {self.values.shape}")
        if not (np.isfinite(self.sampling_rate) and self.sampling_rate > 0):
            raise ValueError(f"sampling rate is {self.sampling_rate} Hz; it must be a positive number")
        if len(self.channels) != self.values.shape[0]:
            raise ValueError(f"{len(self.channels)} channel names for {self.values.shape[0]} channels")
        if "," in self.unit and len(self.units) != len(self.channels):
            raise ValueError(f"{len(self.units)} units ({self.unit}) for {len(self.channels)} channels")
        if not 0 <= self.transient < self.values.shape[1]:
            raise ValueError(f"the transient of {self.transient} samples leaves nothing of {self.values.shape[1]}")

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of each channel."""
        each = tuple(unit.strip() for unit in self.unit.split(","))
        return each if len(each) > 1 else each * len(self.channels)

    @property
    def steady(self) -> Real[np.ndarray, "channels steady_samples"]:
        """The values after the transient."""
        return self.values[:, self.transient :]

    @property
    def duration_ms(self) -> float:
        """Length in ms, without the transient."""
        return 1e3 * self.steady.shape[1] / self.sampling_rate

    @property
    def times_ms(self) -> Float[np.ndarray, " samples"]:
        """Time of each sample, in ms; zero is the end of the transient."""
        return 1e3 * (np.arange(self.values.shape[1]) - self.transient) / self.sampling_rate

    def is_silent(self) -> bool:
        """Whether no channel changes after the transient."""
        return bool((self.steady == self.steady[:, :1]).all())

    def with_values(self, values: Real[np.ndarray, "channels samples"]) -> "Recording":
        """The same recording with other values of the same shape."""
        return replace(self, values=values)


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes of a network, in the order of their times.

    times_ms: (spikes,); senders: (spikes,), 0-based neuron indices; populations: name -> (first, past-the-last) index.
    """

    times_ms: Float[np.ndarray, " spikes"]
    senders: Integer[np.ndarray, " spikes"]
    populations: dict[str, tuple[int, int]]

    def of(self, population: str) -> "Spikes":
        """The spikes of one population; senders keep their indices."""
        first, end = self.populations[population]
        inside = (self.senders >= first) & (self.senders < end)
        return Spikes(self.times_ms[inside], self.senders[inside], {population: (first, end)})
