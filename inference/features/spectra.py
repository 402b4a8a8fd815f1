"""Spectra of a recording: what most estimators see."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Complex, Float
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft
from scipy.signal.windows import hann

from inference.features.interface import Axis, refuse_unusable
from simulators.recording import Recording

_AT_ONCE = 2**18  # samples
_LONGEST_SEGMENT = 2**20  # samples; more is a mistake, or a stranger's file that is to fill the memory


@dataclass(frozen=True)
class SpectralFeatures:
    """log10 of Welch's power spectral density, per channel.

    sampling_rate: Hz of the recordings; segment_ms: length of the Hann windows, which overlap by half; band_hz: lowest
    and highest frequency used, None for 1 Hz up to half the sampling rate; relative: each recording divided by its
    total power over channels and band, for recordings of unknown gain (the ratios between channels stay).

    Raises ValueError for a band that does not fit the sampling rate or holds fewer than two frequencies.
    """

    sampling_rate: float = 1000.0
    segment_ms: float = 100.0
    band_hz: tuple[float, float] | None = None
    relative: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.relative, bool):
            raise ValueError(f"relative is {self.relative!r:.80}; expected true or false")
        samples = self.segment_ms * self.sampling_rate / 1e3
        if not (self.sampling_rate > 0 and 1 <= samples <= _LONGEST_SEGMENT):
            raise ValueError(
                f"segments of {self.segment_ms:g} ms at {self.sampling_rate:g} Hz have {samples:.3g} samples; "
                f"give a length and a rate with which they have 1 to {_LONGEST_SEGMENT:,}"
            )
        if self.band_hz is None:
            object.__setattr__(self, "band_hz", (1.0, self.sampling_rate / 2))
        low, high = self.band
        if not 0 <= low < high <= self.sampling_rate / 2:
            raise ValueError(f"band {low:g} ... {high:g} Hz does not fit a sampling rate of {self.sampling_rate:g} Hz")
        if self.frequencies.size < 2:
            raise ValueError(
                f"segments of {self.segment_ms:g} ms give fewer than two frequencies in {low:g} ... {high:g} Hz"
            )

    @property
    def band(self) -> tuple[float, float]:
        """Lowest and highest frequency used, Hz."""
        assert self.band_hz is not None
        return self.band_hz

    @property
    def segment_samples(self) -> int:
        """Samples in a segment."""
        return round(self.segment_ms * self.sampling_rate / 1e3)

    @property
    def least_ms(self) -> float:
        """A recording holds one segment or more."""
        return 1e3 * self.segment_samples / self.sampling_rate

    @property
    def scale_free(self) -> bool:
        """Relative spectra need no unit."""
        return self.relative

    @property
    def frequencies(self) -> Float[np.ndarray, " frequencies"]:
        """Hz, the bins within the band."""
        all_bins = np.fft.rfftfreq(self.segment_samples, 1 / self.sampling_rate)
        return all_bins[self._inside(all_bins)]

    @property
    def axis(self) -> Axis:
        """The frequencies, Hz."""
        return Axis("frequency", "Hz", self.frequencies)

    @property
    def shown(self) -> "SpectralFeatures":
        """What a figure shows of a recording: the channels' spectra."""
        return self

    def rows(self, channels: tuple[str, ...]) -> tuple[str, ...]:
        """A row a channel."""
        return channels

    def _inside(self, frequencies: np.ndarray) -> np.ndarray:
        low, high = self.band
        return (frequencies >= low - 1e-9) & (frequencies <= high + 1e-9)

    def power(self, recording: Recording) -> Float[np.ndarray, "channels frequencies"]:
        """Power spectral density after the transient, in unit^2/Hz.

        Raises ValueError for values that are not finite, another sampling rate, a recording shorter than a segment, or
        a channel that never changes.
        """
        refuse_unusable(recording, self)
        density = welch(recording.steady.astype(float), self.sampling_rate, self.segment_samples)
        density = density[:, self._inside(np.fft.rfftfreq(self.segment_samples, 1 / self.sampling_rate))]
        flat = np.flatnonzero(~(density > 0).all(1))
        if flat.size:
            names = [recording.channels[i] for i in flat]
            raise ValueError(f"channels {', '.join(names)} have no power: silent, flat or disconnected; leave them out")
        return density

    def __call__(self, recording: Recording) -> Float[np.ndarray, "channels frequencies"]:
        """log10 of the (relative) power. Raises ValueError as ``power`` does."""
        density = self.power(recording)
        return np.log10(density / density.sum() if self.relative else density)

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary, for JSON."""
        return {"kind": "spectra", **asdict(self), "band_hz": list(self.band)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "SpectralFeatures":
        """The inverse of ``to_json``."""
        given = {name: value for name, value in fields.items() if name != "kind"}
        return cls(**{**given, "band_hz": tuple(fields["band_hz"])})


def welch(
    x: Float[np.ndarray, "channels samples"], sampling_rate: float, segment: int
) -> Float[np.ndarray, "channels frequencies"]:
    """What ``scipy.signal.welch(x, sampling_rate, nperseg=segment)`` gives, ten times as fast: many segments at once.

    Short segments of a recording are many, and a spectrum was most of an answer's time.
    """
    power = np.zeros((len(x), segment // 2 + 1))
    for transforms, scale in segment_transforms(x, sampling_rate, segment):
        power += scale * (transforms.real**2 + transforms.imag**2).sum(1)
    return power


def segment_transforms(
    x: Float[np.ndarray, "channels samples"], sampling_rate: float, segment: int
) -> Iterator[tuple[Complex[np.ndarray, "channels segments frequencies"], Float[np.ndarray, " frequencies"]]]:
    """Transforms of the segments, some at a time, and what their products add to a mean density in unit^2/Hz."""
    window = hann(segment, sym=False)
    segments = sliding_window_view(x, segment, axis=1)[:, :: segment - segment // 2]
    scale = np.full(segment // 2 + 1, 1 / (segments.shape[1] * sampling_rate * np.sum(window**2)))
    scale[1 : (segment + 1) // 2] *= 2  # negative frequencies; zero and Nyquist's have none
    at_once = max(1, _AT_ONCE // (len(x) * segment))
    for first in range(0, segments.shape[1], at_once):
        some = segments[:, first : first + at_once]
        yield rfft((some - some.mean(2, keepdims=True)) * window, axis=2), scale


STASIK_FEATURES = SpectralFeatures(segment_ms=300.0, band_hz=(0.0, 500.0))
"""151 bins a channel, as in Stasik et al."""
