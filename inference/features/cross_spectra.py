"""Cross-spectra of a few weighted sums over the channels, such as their principal components."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Complex, Float

from inference.features.spectra import SpectralFeatures, segment_transforms
from simulators.recording import Recording

_MOST_SUMS = 16
_TINY = 1e-12  # of the power: what is less is rounding


@dataclass(frozen=True)
class CrossSpectra(SpectralFeatures):
    """Cross-spectra of a few weighted sums over channels, where many channels see the same few sources.

    ``SpectralFeatures`` gives each channel's power, and leaves out phase and coherence between channels. weights: of
    the channels in each sum, orthonormal; ``principal`` takes the principal components. The rows are log10 of the first
    sum's power density, of each other sum's that is left when the sums before it are regressed out, and of the share of
    the channels' power that no sum holds; then the real and imaginary parts of the factors of that regression, by pairs
    of sums. They are the entries of the Cholesky factors of the cross-spectral matrices, each row relative to its own.

    Raises ValueError as ``SpectralFeatures``, and for weights that are not orthonormal.
    """

    weights: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        w = np.array(self.weights, dtype=float)
        if w.ndim != 2 or not 1 <= len(w) <= min(_MOST_SUMS, w.shape[1]) or not np.isfinite(w).all():
            raise ValueError(f"the weights are no 1 to {_MOST_SUMS} sums over as many channels or more")
        if not np.allclose(w @ w.T, np.eye(len(w)), atol=1e-6):
            raise ValueError("the weights of the sums over channels are not orthonormal")

    @classmethod
    def principal(cls, features: SpectralFeatures, recordings: Sequence[Recording], sums: int = 2) -> Self:
        """With the principal components of simulated recordings as sums, and the settings of other features.

        Each recording counts alike, loud or not. Raises ValueError for fewer channels than sums, and for a recording
        in which nothing changes.
        """
        channels = len(recordings[0].channels)
        if channels < sums:
            raise ValueError(f"{channels} channels have no {sums} principal components")
        covariance = np.zeros((channels, channels))
        for i, recording in enumerate(recordings):
            one = np.atleast_2d(np.cov(recording.steady.astype(float)))
            if not np.trace(one) > 0:
                raise ValueError(f"recording {i} never changes, or is not finite; leave it out")
            covariance += one / np.trace(one)
        _, vectors = np.linalg.eigh(covariance)
        largest = vectors[:, ::-1][:, :sums].T
        # The sign of a component is nobody's choice but the library's.
        largest = largest * np.sign(largest[np.arange(sums), np.abs(largest).argmax(1)])[:, None]
        return cls(**asdict(features), weights=tuple(map(tuple, largest.tolist())))

    @property
    def shown(self) -> SpectralFeatures:
        """The channels' spectra."""
        return SpectralFeatures(self.sampling_rate, self.segment_ms, self.band_hz, self.relative)

    def rows(self, channels: tuple[str, ...]) -> tuple[str, ...]:
        """Names of what the rows are."""
        n = len(self.weights)
        others = [f"component {i + 1} beyond {'component 1' if i == 1 else f'the {i} before'}" for i in range(1, n)]
        pairs = [f"component {i + 1} by component {j + 1}" for i, j in zip(*np.tril_indices(n, -1), strict=True)]
        parts = [f"{pair}, {part} part" for part in ("real", "imaginary") for pair in pairs]
        return ("component 1", *others, "other patterns over channels", *parts)

    def __call__(self, recording: Recording) -> Float[np.ndarray, "rows frequencies"]:
        """Raises ValueError as ``power`` does, and for another number of channels than the sums have."""
        w = np.array(self.weights)
        if len(recording.channels) != w.shape[1]:
            raise ValueError(f"the recording has {len(recording.channels)} channels; these sums have {w.shape[1]}")
        power = self.power(recording)
        total = power.sum(0)
        cross = self._cross(w @ recording.steady.astype(float))
        own = np.einsum("fii->fi", cross).real
        rest = np.maximum(1 - own.sum(1) / total, _TINY)
        factors = np.linalg.cholesky(cross + _TINY * total[:, None, None] * np.eye(len(w)))
        size = np.einsum("fii->fi", factors).real
        i, j = np.tril_indices(len(w), -1)
        told = factors[:, i, j] / size[:, j]
        if self.relative:
            size = size / np.sqrt(power.sum())
        return np.concatenate([2 * np.log10(size).T, np.log10(rest)[None], told.real.T, told.imag.T])

    def _cross(self, sums: Float[np.ndarray, "sums samples"]) -> Complex[np.ndarray, "frequencies sums sums"]:
        """Densities by Welch's method, in unit^2/Hz (one-sided, as ``power``)."""
        frequencies = np.fft.rfftfreq(self.segment_samples, 1 / self.sampling_rate)
        found = np.zeros((len(frequencies), len(sums), len(sums)), dtype=complex)
        for transforms, scale in segment_transforms(sums, self.sampling_rate, self.segment_samples):
            by_frequency = transforms.transpose(2, 0, 1)
            found += scale[:, None, None] * (by_frequency @ by_frequency.conj().transpose(0, 2, 1))
        return found[self._inside(frequencies)]

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary, for JSON."""
        return {**super().to_json(), "kind": "cross-spectra", "weights": [list(w) for w in self.weights]}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "CrossSpectra":
        """The inverse of ``to_json``."""
        given = {name: value for name, value in fields.items() if name != "kind"}
        weights = tuple(tuple(float(x) for x in row) for row in given["weights"])
        return cls(**{**given, "band_hz": tuple(given["band_hz"]), "weights": weights})
