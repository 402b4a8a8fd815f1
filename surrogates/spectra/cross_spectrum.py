"""Cross-spectra of a recording in frequency bands: what the spectral emulator learns and is compared with."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex, Float, Integer, Shaped
from scipy.optimize import brentq
from scipy.signal.windows import tukey

from simulators.recording import Recording

_MOST_BANDS = 100_000
_TAPERED = 0.1  # share of a recording under its taper's two flanks: a filter's transients end there
_ON_THE_EDGE = 1e-12  # of an edge: a frequency on it, but for rounding, is in the upper band


@dataclass(frozen=True)
class Bands:
    """Neighbouring frequency bands, of equal width or each wider than the one below it.

    low_hz, high_hz: first and last edge; width_hz: of the first band; widening: by what share each is wider than the
    one before. A slow rhythm needs narrow bands, the tail of a spectrum few. Raises ValueError where they give no band,
    or more than anybody needs.
    """

    low_hz: float = 2.5
    high_hz: float = 497.5
    width_hz: float = 5.0
    widening: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.width_hz <= self.high_hz - self.low_hz or self.low_hz < 0 or not 0 <= self.widening < 1:
            raise ValueError(f"no band of {self.width_hz:g} Hz fits {self.low_hz:g} ... {self.high_hz:g} Hz")
        if not (self.high_hz - self.low_hz) / self.width_hz <= _MOST_BANDS:
            raise ValueError(
                f"bands of {self.width_hz:g} Hz in {self.low_hz:g} ... {self.high_hz:g} Hz are more than "
                f"{_MOST_BANDS:,}; make them wider"
            )

    @classmethod
    def widened(cls, low_hz: float, high_hz: float, width_hz: float, most: int) -> "Bands":
        """From bands of ``width_hz`` on, wider and wider, so that no more than ``most`` reach ``high_hz``."""
        even = cls(low_hz, high_hz, width_hz)
        if len(even) <= most:
            return even
        widening = brentq(lambda g: width_hz * np.expm1(most * np.log1p(g)) / g - (high_hz - low_hz), 1e-9, 1 - 1e-9)
        return cls(low_hz, high_hz, width_hz, float(widening))

    def __len__(self) -> int:
        widths = (self.high_hz - self.low_hz) / self.width_hz
        if self.widening:
            widths = np.log1p(self.widening * widths) / np.log1p(self.widening)
        return int(widths + 1e-6)  # the last may be short by rounding

    @property
    def edges(self) -> Float[np.ndarray, " edges"]:
        """Hz, one more than there are bands."""
        k = np.arange(len(self) + 1)
        if self.widening:
            return self.low_hz + self.width_hz * np.expm1(k * np.log1p(self.widening)) / self.widening
        return self.low_hz + self.width_hz * k

    @property
    def widths(self) -> Float[np.ndarray, " bands"]:
        """Hz."""
        return self.width_hz * (1 + self.widening) ** np.arange(len(self))

    @property
    def centres(self) -> Float[np.ndarray, " bands"]:
        """Hz."""
        return self.edges[:-1] + self.widths / 2

    def within(self, low_hz: float, high_hz: float) -> Bool[np.ndarray, " bands"]:
        """Which bands lie between two frequencies, edges and all."""
        rounding = _ON_THE_EDGE * self.high_hz
        return (self.edges[:-1] >= low_hz - rounding) & (self.edges[1:] <= high_hz + rounding)

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary, for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class CrossSpectrum:
    """Power and cross spectral densities of a recording, averaged over bands.

    values: (bands, channels, channels), Hermitian, in unit^2/Hz (two-sided: half of what Welch's one-sided gives);
    samples: (bands,), how many independent complex samples each is the mean of. Where there are none, values are 0.
    """

    values: Complex[np.ndarray, "bands channels channels"]
    samples: Float[np.ndarray, " bands"]


@dataclass(frozen=True, eq=False)
class Transform:
    """Fourier transform of a tapered recording where it falls into bands.

    values: (channels, frequencies), scaled so that their squares are power densities (unit^2/Hz, two-sided);
    frequencies: Hz; band: which band each is in; samples: (bands,), independent complex samples in each.
    """

    values: Complex[np.ndarray, "channels frequencies"]
    frequencies: Float[np.ndarray, " frequencies"]
    band: Integer[np.ndarray, " frequencies"]
    samples: Float[np.ndarray, " bands"]

    def averaged(self, x: Shaped[np.ndarray, "frequencies *rest"]) -> Shaped[np.ndarray, "bands *rest"]:
        """Mean of something over the frequencies of each band; 0 where there are none."""
        total = np.zeros((len(self.samples), *x.shape[1:]), x.dtype)
        np.add.at(total, self.band, x)
        counts = np.bincount(self.band, minlength=len(self.samples))
        return total / np.maximum(counts, 1).reshape(-1, *[1] * (x.ndim - 1))


def band_transform(recording: Recording, bands: Bands) -> Transform:
    """Transform of a whole recording after its transient. Raises ValueError as ``cross_spectrum``."""
    x = recording.steady.astype(float)
    if not np.isfinite(x).all():
        raise ValueError("the recording has values that are not finite; cut it to a stretch without gaps")
    n = x.shape[1]
    window = tukey(n, _TAPERED)
    power = np.sum(window**2)
    transform = np.fft.rfft((x - x.mean(1, keepdims=True)) * window) / np.sqrt(recording.sampling_rate * power)
    frequencies = np.fft.rfftfreq(n, 1 / recording.sampling_rate)
    band = np.searchsorted(bands.edges * (1 - _ON_THE_EDGE), frequencies, side="right") - 1
    inside = (frequencies > 0) & (frequencies < recording.sampling_rate / 2) & (band >= 0) & (band < len(bands))
    if not inside.any():
        raise ValueError(
            f"{n} samples at {recording.sampling_rate:g} Hz have no frequency within "
            f"{bands.edges[0]:g} ... {bands.edges[-1]:g} Hz; give a longer recording"
        )
    counts = np.bincount(band[inside], minlength=len(bands))
    samples = counts * power**2 / (n * np.sum(window**4))
    return Transform(transform[:, inside], frequencies[inside], band[inside], samples)


def cross_spectrum(recording: Recording, bands: Bands) -> CrossSpectrum:
    """Periodogram of the whole recording after its transient, averaged within each band.

    Averages of one long periodogram have nearly independent bands and a complex Wishart distribution (Brillinger 1981),
    whatever the length of the recording. Raises ValueError for values that are not finite and for a recording too
    short, or sampled too slowly, to have a frequency in any band.
    """
    transform = band_transform(recording, bands)
    products = np.einsum("cf,df->fcd", transform.values, transform.values.conj())
    return CrossSpectrum(transform.averaged(products), transform.samples)
