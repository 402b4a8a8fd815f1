"""Spectra beside the length of the recording: for estimators that answer for recordings of any length."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from inference.features.interface import Axis, refuse_unusable
from inference.features.spectra import SpectralFeatures
from simulators.recording import Recording

_LENGTH = "log10 of seconds"


@dataclass(frozen=True)
class TimedSpectra:
    """``SpectralFeatures``, and below the channels a row that holds the logarithm of the length in all its values.

    How noisy a spectrum is, and so how much it tells, follows from the length. lengths_s: shortest and longest that
    estimators learn from. Raises ValueError for lengths that are no positive range.
    """

    spectra: SpectralFeatures = field(default_factory=SpectralFeatures)
    lengths_s: tuple[float, float] = (2.8, 120.0)

    def __post_init__(self) -> None:
        low, high = self.lengths_s
        if not 0 < low < high < np.inf:
            raise ValueError(f"lengths from {low:g} to {high:g} s are no range")

    @property
    def sampling_rate(self) -> float:
        """Hz."""
        return self.spectra.sampling_rate

    @property
    def least_ms(self) -> float:
        """The shortest of the lengths."""
        return max(self.spectra.least_ms, 1e3 * self.lengths_s[0])

    @property
    def scale_free(self) -> bool:
        """As the spectra."""
        return self.spectra.scale_free

    @property
    def axis(self) -> Axis:
        """The frequencies, Hz."""
        return self.spectra.axis

    @property
    def shown(self) -> SpectralFeatures:
        """The spectra alone."""
        return self.spectra

    def rows(self, channels: tuple[str, ...]) -> tuple[str, ...]:
        """The channels, and the length."""
        return (*channels, _LENGTH)

    def __call__(self, recording: Recording) -> Float[np.ndarray, "rows frequencies"]:
        """Raises ValueError as ``SpectralFeatures`` does, and for a recording shorter than ``least_ms``."""
        refuse_unusable(recording, self)
        spectra = self.spectra(recording)
        seconds = np.clip(recording.duration_ms / 1e3, *self.lengths_s)
        return np.concatenate([spectra, np.full((1, spectra.shape[1]), np.log10(seconds))])

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary, for JSON."""
        return {"kind": "timed-spectra", "spectra": self.spectra.to_json(), "lengths_s": list(self.lengths_s)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "TimedSpectra":
        """The inverse of ``to_json``."""
        low, high = fields["lengths_s"]
        return cls(SpectralFeatures.from_json(fields["spectra"]), (float(low), float(high)))
