"""The waveform of an evoked response: what an estimator sees where the time after a stimulus matters."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from inference.features.interface import Axis, refuse_unusable
from simulators.recording import Recording

_MOST_BINS = 100_000  # a channel


@dataclass(frozen=True)
class EvokedResponse:
    """Means over bins of the first ``duration_ms`` after the transient, which ends at the stimulus; per channel.

    sampling_rate: Hz of the recordings; bin_ms: length of a bin; relative: each recording divided by its root mean
    square over channels and bins, for recordings of unknown gain. A measured response is an average over trials.

    Raises ValueError where the bins hold no sample or the response holds fewer than two bins, or more than 100,000.
    """

    sampling_rate: float = 1000.0
    duration_ms: float = 200.0
    bin_ms: float = 2.0
    relative: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.sampling_rate < np.inf or not 0 < self.bin_ms <= self.duration_ms / 2 < np.inf:
            raise ValueError(f"a response of {self.duration_ms:g} ms has no two bins of {self.bin_ms:g} ms")
        if self._samples < 1:
            raise ValueError(f"a bin of {self.bin_ms:g} ms holds no sample at {self.sampling_rate:g} Hz; take longer")
        if self.bins > _MOST_BINS:
            raise ValueError(f"a response has up to {_MOST_BINS:,} bins, not {self.bins:,}; take longer or fewer ones")

    @property
    def _samples(self) -> int:
        """Samples in a bin."""
        return round(self.bin_ms * self.sampling_rate / 1e3)

    @property
    def bins(self) -> int:
        """Number of bins of a response."""
        return round(self.duration_ms * self.sampling_rate / 1e3) // self._samples

    @property
    def least_ms(self) -> float:
        """A recording holds all bins after its transient."""
        return 1e3 * self.bins * self._samples / self.sampling_rate

    @property
    def scale_free(self) -> bool:
        """Relative responses need no unit."""
        return self.relative

    @property
    def axis(self) -> Axis:
        """Middle of each bin, ms after the stimulus."""
        return Axis("time", "ms", (np.arange(self.bins) + 0.5) * 1e3 * self._samples / self.sampling_rate)

    def rows(self, channels: tuple[str, ...]) -> tuple[str, ...]:
        """A row a channel."""
        return channels

    def __call__(self, recording: Recording) -> Float[np.ndarray, "channels bins"]:
        """Raises ValueError for values that are not finite, another sampling rate or too short a recording."""
        refuse_unusable(recording, self)
        x = recording.steady[:, : self.bins * self._samples].astype(float)
        means = x.reshape(x.shape[0], self.bins, self._samples).mean(2)
        if not self.relative:
            return means
        size = np.sqrt(np.mean(means**2))
        if not size > 0:
            raise ValueError("the response is zero everywhere; it has no shape to compare")
        return means / size

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary, for JSON."""
        return {"kind": "evoked", **asdict(self)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "EvokedResponse":
        """The inverse of ``to_json``."""
        return cls(**{name: value for name, value in fields.items() if name != "kind"})
