"""What a circuit is to do: power in a band, a peak, a spectrum, rates, potentials, a waveform, or what any features
say of a recording. Each is a loss on features."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.signal import welch
from torch import Tensor

from inference.features.interface import Features
from simulators.recording import Recording

_SEGMENT_MS = 500.0
_FAINTEST = 1e-12  # of a spectrum's mean: a bin without power has a logarithm, too
_FEWEST_HZ = 0.5  # added to rates before their logarithm


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """One thing a recording is judged by. channel: which; weight: of its loss among others."""

    channel: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"the weight of a target on '{self.channel}' is {self.weight}; it is not negative")

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Between which one number of the channel is to lie; None for a target of another kind."""
        return None

    @abstractmethod
    def features(self, recording: Recording) -> Float[np.ndarray, " features"]:
        """What the loss depends on. Raises ValueError where the recording has no such channel."""

    @abstractmethod
    def loss(self, features: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        """How far features are from what is wanted, 0 or less where nothing more is; differentiable."""

    def _values(self, recording: Recording) -> Float[np.ndarray, " samples"]:
        if self.channel not in recording.channels:
            raise ValueError(f"there is no channel '{self.channel}'; the recording has {', '.join(recording.channels)}")
        return recording.steady[recording.channels.index(self.channel)].astype(float)


@dataclass(frozen=True, kw_only=True)
class _Spectral(Target):
    """of_hz: range of frequencies that is looked at; bins: how many, of equal width."""

    of_hz: tuple[float, float] = (1.0, 100.0)
    bins: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.of_hz[0] < self.of_hz[1] < np.inf or self.bins < 2:
            raise ValueError(f"{self.bins} bins of {self.of_hz[0]} ... {self.of_hz[1]} Hz are no spectrum")

    @property
    def edges_hz(self) -> Float[np.ndarray, " edges"]:
        """Of the bins."""
        return np.linspace(*self.of_hz, self.bins + 1)

    def features(self, recording: Recording) -> Float[np.ndarray, " features"]:
        """Natural logarithm of the power in each bin, NaN for a channel that never changes: it has no spectrum.

        Raises ValueError for a recording too short or too slow.
        """
        x = self._values(recording)
        if recording.duration_ms < _SEGMENT_MS or self.of_hz[1] > recording.sampling_rate / 2:
            raise ValueError(
                f"a recording of {recording.duration_ms:g} ms at {recording.sampling_rate:g} Hz has no spectrum up to "
                f"{self.of_hz[1]:g} Hz in segments of {_SEGMENT_MS:g} ms"
            )
        if not np.ptp(x) > 0:
            return np.full(self.bins, np.nan)
        segment = round(1e-3 * _SEGMENT_MS * recording.sampling_rate)
        fine = max(segment, round(2 * recording.sampling_rate * self.bins / (self.of_hz[1] - self.of_hz[0])))
        f, power = welch(x, recording.sampling_rate, nperseg=segment, nfft=fine, detrend="constant")
        which = np.digitize(f, self.edges_hz) - 1
        inside = (which >= 0) & (which < self.bins)
        total = np.bincount(which[inside], power[inside], self.bins) / np.bincount(which[inside], minlength=self.bins)
        return np.log(total + _FAINTEST * power.mean())


@dataclass(frozen=True, kw_only=True)
class BandPower(_Spectral):
    """As large a share as possible of the power in ``of_hz`` lies in ``band_hz``.

    The loss is minus the logarithm of the share over ``enough``, and 0 where it is enough.
    """

    band_hz: tuple[float, float]
    enough: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.of_hz[0] <= self.band_hz[0] < self.band_hz[1] <= self.of_hz[1]:
            raise ValueError(f"the band {self.band_hz} Hz does not lie inside {self.of_hz} Hz")
        if not 0 < self.enough <= 1:
            raise ValueError(f"a share of {self.enough} of the power cannot be enough; it lies above 0, up to 1")

    @property
    def _inside(self) -> Float[np.ndarray, " bins"]:
        """Share of each bin that lies in the band."""
        low, high = self.edges_hz[:-1], self.edges_hz[1:]
        return np.clip(np.minimum(high, self.band_hz[1]) - np.maximum(low, self.band_hz[0]), 0, None) / (high - low)

    def share(self, features: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        """Of the power, in the band."""
        return (torch.softmax(features, -1) * torch.as_tensor(self._inside, dtype=features.dtype)).sum(-1)

    def loss(self, features: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        return (np.log(self.enough) - self.share(features).clamp(min=1e-12).log()).clamp(min=0)


@dataclass(frozen=True, kw_only=True)
class Peak(_Spectral):
    """The largest power of ``of_hz`` lies in ``band_hz``, and is ``height`` times the median power, or more.

    The loss is the logarithm of the largest power outside the band over that inside, and a third of the logarithm of
    the height that is missing.
    """

    band_hz: tuple[float, float]
    height: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.of_hz[0] <= self.band_hz[0] < self.band_hz[1] <= self.of_hz[1] or not self.height >= 1:
            raise ValueError(f"a peak {self.height} times the median in {self.band_hz} of {self.of_hz} Hz cannot be")
        if self._inside.all() or not self._inside.any():
            raise ValueError(f"bins of {self.of_hz} Hz all lie in {self.band_hz} Hz, or none does; take more bins")

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the peak, Hz."""
        return self.band_hz

    @property
    def _inside(self) -> Bool[np.ndarray, " bins"]:
        """Bins whose middle lies in the band."""
        middles = (self.edges_hz[:-1] + self.edges_hz[1:]) / 2
        return (middles >= self.band_hz[0]) & (middles <= self.band_hz[1])

    def loss(self, features: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        inside = torch.as_tensor(self._inside)
        largest, other = features[..., inside].amax(-1), features[..., ~inside].amax(-1)
        height = largest - features.quantile(0.5, dim=-1)
        return (other - largest).clamp(min=0) + (np.log(self.height) - height).clamp(min=0) / 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectrum(_Spectral):
    """The log power of ``like`` in each bin: mean squared difference, up to a factor if ``relative``."""

    like: Recording
    relative: bool = False
    _wanted: Float[np.ndarray, " features"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_wanted", _finite(self.features(self.like)))

    def loss(self, features: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        difference = features - torch.as_tensor(self._wanted, dtype=features.dtype)
        if self.relative:
            difference = difference - difference.mean(-1, keepdim=True)
        return difference.square().mean(-1)


@dataclass(frozen=True, kw_only=True)
class Rate(Target):
    """Spikes a second and cell between two bounds: beyond them the square of the logarithm's excess.

    cells: how many the channel, of spikes a sample, is the sum of.
    """

    cells: int
    low_Hz: float = 1.0
    high_Hz: float = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cells < 1 or not 0 <= self.low_Hz <= self.high_Hz < np.inf:
            raise ValueError(f"rates of {self.cells} cells between {self.low_Hz} and {self.high_Hz} Hz cannot be")

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the rate, Hz."""
        return self.low_Hz, self.high_Hz

    def features(self, recording: Recording) -> Float[np.ndarray, " features"]:
        """Logarithm of the rate, and half a spike a second."""
        rate = self._values(recording).sum() / self.cells / (1e-3 * recording.duration_ms)
        return np.log([rate + _FEWEST_HZ])

    def loss(self, features: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        low, high = (float(np.log(rate + _FEWEST_HZ)) for rate in (self.low_Hz, self.high_Hz))
        over, under = (features[..., 0] - high).clamp(min=0), (low - features[..., 0]).clamp(min=0)
        return over.square() + under.square()


@dataclass(frozen=True, kw_only=True)
class Level(Target):
    """The mean of a channel between two bounds, as a resting potential: beyond them the distance over ``scale``."""

    low: float
    high: float
    scale: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (-np.inf < self.low <= self.high < np.inf and 0 < self.scale < np.inf):
            raise ValueError(f"a mean between {self.low} and {self.high} over {self.scale} cannot be")

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the mean."""
        return self.low, self.high

    def features(self, recording: Recording) -> Float[np.ndarray, " features"]:
        """The mean, after the transient."""
        return np.array([self._values(recording).mean()])

    def loss(self, features: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        x = features[..., 0]
        return ((self.low - x).clamp(min=0) + (x - self.high).clamp(min=0)) / self.scale


@dataclass(frozen=True, kw_only=True, eq=False)
class Resembles(Target):
    """What an estimator's features say of ``like``, all channels: mean squared difference over ``sd`` squared.

    sd: of one simulation's features about their mean; 0.1 suits log10 spectra of a few seconds.
    """

    channel: str = ""
    seen: Features
    like: Recording
    sd: float = 0.1
    _wanted: Float[np.ndarray, " features"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.sd < np.inf:
            raise ValueError(f"features with a standard deviation of {self.sd}; it is above 0")
        object.__setattr__(self, "_wanted", _finite(self.features(self.like)))

    def features(self, recording: Recording) -> Float[np.ndarray, " features"]:
        """The features of all rows, one after another; NaN for a recording without any."""
        if recording.is_silent():
            return np.full(1, np.nan)
        return self.seen(recording).astype(float).ravel()

    def loss(self, features: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        wanted = torch.as_tensor(self._wanted, dtype=features.dtype)
        return ((features - wanted) / self.sd).square().mean(-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Waveform(Target):
    """The waveform of ``like`` after the transient, in bins: squared difference over its variance."""

    like: Recording
    bin_ms: float = 5.0
    _wanted: Float[np.ndarray, " features"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_wanted", _finite(self.features(self.like)))

    def features(self, recording: Recording) -> Float[np.ndarray, " features"]:
        """Means over bins. Raises ValueError for a recording shorter than the one wanted, or of another rate."""
        if recording.sampling_rate != self.like.sampling_rate or recording.duration_ms < self.like.duration_ms:
            raise ValueError(
                f"a recording of {recording.duration_ms:g} ms at {recording.sampling_rate:g} Hz; the waveform has "
                f"{self.like.duration_ms:g} ms at {self.like.sampling_rate:g} Hz"
            )
        samples = max(1, round(1e-3 * self.bin_ms * self.like.sampling_rate))
        bins = self.like.steady.shape[1] // samples
        if bins < 2:
            raise ValueError(f"a waveform of {self.like.duration_ms:g} ms has no two bins of {self.bin_ms:g} ms")
        return self._values(recording)[: bins * samples].reshape(bins, samples).mean(1)

    def loss(self, features: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        wanted = torch.as_tensor(self._wanted, dtype=features.dtype)
        return (features - wanted).square().mean(-1) / wanted.var(unbiased=False).clamp(min=1e-30)


def _finite(features: Float[np.ndarray, " features"]) -> Float[np.ndarray, " features"]:
    if not np.isfinite(features).all():
        raise ValueError("what is wanted never changes, or holds values that are not finite")
    return features


def total_loss(targets: Sequence[Target], features: Sequence[Float[Tensor, "rows _"]]) -> Float[Tensor, " rows"]:
    """Weighted sum over targets, each of its own features."""
    losses = [target.weight * target.loss(x) for target, x in zip(targets, features, strict=True)]
    return torch.stack(losses).sum(0)


def refuse_contradictions(targets: Sequence[Target]) -> None:
    """Raises ValueError where two targets want of one channel what cannot be at once."""
    wanted: dict[tuple[type, str], tuple[float, float]] = {}
    for target in targets:
        if target.bounds is None:
            continue
        key, (low, high) = (type(target), target.channel), target.bounds
        there = wanted.get(key, (low, high))
        if max(low, there[0]) > min(high, there[1]):
            raise ValueError(
                f"two targets want {type(target).__name__.lower()} of '{target.channel}' in {there[0]:g} ... "
                f"{there[1]:g} and in {low:g} ... {high:g}, which cannot both be"
            )
        wanted[key] = max(low, there[0]), min(high, there[1])
