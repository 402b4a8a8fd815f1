"""Spectra of a recording: what the estimators see."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.signal import welch

from simulators.recording import SAME_RATE, Recording

_LONGEST_SEGMENT = 2**20  # samples; more is a mistake, or a stranger's file that is to fill the memory


@dataclass(frozen=True)
class SpectralFeatures:
    """log10 of Welch's power spectral density, per channel.

    sampling_rate: Hz of the recordings; segment_ms: length of the Hann windows, which overlap by half; band_hz: lowest
    and highest frequency used; relative: each recording divided by its total power over channels and band, for
    recordings of unknown gain (the ratios between channels stay).
    """

    sampling_rate: float = 1000.0
    segment_ms: float = 100.0
    band_hz: tuple[float, float] = (1.0, 500.0)
    relative: bool = False

    def __post_init__(self) -> None:
        low, high = self.band_hz
        if not isinstance(self.relative, bool):
            raise ValueError(f"relative is {self.relative!r:.80}; expected true or false")
        samples = self.segment_ms * self.sampling_rate / 1e3
        if not (self.sampling_rate > 0 and 1 <= samples <= _LONGEST_SEGMENT):
            raise ValueError(
                f"segments of {self.segment_ms:g} ms at {self.sampling_rate:g} Hz have {samples:.3g} samples; "
                f"give a length and a rate with which they have 1 to {_LONGEST_SEGMENT:,}"
            )
        if not 0 <= low < high <= self.sampling_rate / 2:
            raise ValueError(f"band {low:g} ... {high:g} Hz does not fit a sampling rate of {self.sampling_rate:g} Hz")
        if self.frequencies.size < 2:
            raise ValueError(
                f"segments of {self.segment_ms:g} ms give fewer than two frequencies in {low:g} ... {high:g} Hz"
            )

    @property
    def segment_samples(self) -> int:
        return round(self.segment_ms * self.sampling_rate / 1e3)

    @property
    def frequencies(self) -> Float[np.ndarray, " frequencies"]:
        """Hz, the bins within the band."""
        all_bins = np.fft.rfftfreq(self.segment_samples, 1 / self.sampling_rate)
        return all_bins[self._inside(all_bins)]

    def _inside(self, frequencies: np.ndarray) -> np.ndarray:
        return (frequencies >= self.band_hz[0] - 1e-9) & (frequencies <= self.band_hz[1] + 1e-9)

    def power(self, recording: Recording) -> Float[np.ndarray, "channels frequencies"]:
        """Power spectral density after the transient, in unit^2/Hz.

        Raises ValueError for values that are not finite, another sampling rate, a recording shorter than a segment, or
        a channel that never changes.
        """
        x = recording.steady
        if not np.isfinite(x).all():
            bad = [c for c, ok in zip(recording.channels, np.isfinite(x).all(1), strict=True) if not ok]
            raise ValueError(
                f"{np.sum(~np.isfinite(x))} values are not finite (channels {', '.join(bad)}); "
                f"cut the recording to a stretch without gaps, or interpolate them"
            )
        if abs(recording.sampling_rate / self.sampling_rate - 1) > SAME_RATE:
            raise ValueError(
                f"the recording is sampled at {recording.sampling_rate:g} Hz, these features need "
                f"{self.sampling_rate:g} Hz; resample it, or record it faster"
            )
        if x.shape[1] < self.segment_samples:
            raise ValueError(
                f"the recording has {x.shape[1]} samples after its transient, one segment needs "
                f"{self.segment_samples}; give at least {self.segment_ms:g} ms (a few seconds for a useful estimate)"
            )
        frequencies, density = welch(x.astype(float), self.sampling_rate, nperseg=self.segment_samples, axis=1)
        density = density[:, self._inside(frequencies)]
        flat = ~(density > 0).all(1)
        if flat.any():
            names = [c for c, f in zip(recording.channels, flat, strict=True) if f]
            raise ValueError(f"channels {', '.join(names)} have no power: silent, flat or disconnected; leave them out")
        return density

    def __call__(self, recording: Recording) -> Float[np.ndarray, "channels frequencies"]:
        """log10 of the (relative) power. Raises ValueError as ``power`` does."""
        density = self.power(recording)
        return np.log10(density / density.sum() if self.relative else density)

    def of_all(self, recordings: Iterable[Recording]) -> Float[np.ndarray, "recordings channels frequencies"]:
        """Features of many recordings, single precision. Raises ValueError naming the recording that has none."""
        rows = []
        for i, recording in enumerate(recordings):
            try:
                rows.append(self(recording).astype(np.float32))
            except ValueError as error:
                raise ValueError(f"recording {i}: {error}") from error
        return np.stack(rows)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "SpectralFeatures":
        """The inverse of ``to_json``."""
        return cls(**{**fields, "band_hz": tuple(fields["band_hz"])})


STASIK_FEATURES = SpectralFeatures(segment_ms=300.0, band_hz=(0.0, 500.0))
"""151 bins a channel, as in Stasik et al."""
