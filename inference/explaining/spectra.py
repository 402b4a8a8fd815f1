"""What is compared of a recording: one channel, 10 to 200 Hz, of unknown gain."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from inference.features.spectra import SpectralFeatures
from inference.recordings.conform import interpolated, resampled
from inference.recordings.edges import highest_hz
from simulators.recording import SAME_RATE, Recording
from surrogates.spectra.cross_spectrum import Bands

RATE_HZ = 500.0
BAND_HZ = (10.0, 200.0)
FEATURES = SpectralFeatures(RATE_HZ, segment_ms=250.0, band_hz=BAND_HZ, relative=True)
BANDS = Bands(11.0, 199.0, 2.0)
SECONDS = 2.8  # for which fits and probabilities are calibrated
_SLOWEST_HZ = 200.0
_SHORTEST_S = 1.0  # of a trial: bands of 2 Hz hold two of its frequencies
_FLAT = 1e-9  # of the values' size


def compared(
    recording: Recording, band_hz: tuple[float, float] | None = None
) -> tuple[tuple[float, float], tuple[str, ...]]:
    """The frequencies (Hz) of a recording that are compared, of 10 to 200 and of ``band_hz``, and why not all are.

    Raises ValueError where nothing is left.
    """
    asked = BAND_HZ if band_hz is None else band_hz
    low, high = max(BAND_HZ[0], asked[0]), min(BAND_HZ[1], asked[1])
    highest, why = highest_hz(recording)
    if low >= high:
        raise ValueError(
            f"--band {asked[0]:g},{asked[1]:g} lies outside of {BAND_HZ[0]:g} to {BAND_HZ[1]:g} Hz, by which circuits "
            f"are told apart"
        )
    if low >= highest:
        raise ValueError(f"nothing is left to compare from {low:g} Hz on: {why} (the edge is {highest:.3g} Hz)")
    if highest < high:
        return (low, highest), (f"compared only up to {highest:.3g} Hz: {why}",)
    return (low, high), ()


def as_trials(recording: Recording | Sequence[Recording]) -> list[Recording]:
    """A recording as the only trial, or the trials."""
    return [recording] if isinstance(recording, Recording) else list(recording)


def one_channel(recording: Recording, channel: int = 0) -> Recording:
    """One channel without transient, mean and slope, at the common rate. Raises ValueError as ``channel_of``."""
    return channel_of([recording], channel)[0]


def channel_of(trials: Sequence[Recording], channel: int = 0) -> list[Recording]:
    """One channel of each trial without transient, mean and slope, at the common rate and of one gain.

    What is slower than 500 Hz is interpolated. Raises ValueError for less than 200 Hz, 2.8 s in all or 1 s a trial, and
    for values that are not finite or flat.
    """
    rate = trials[0].sampling_rate
    if rate < _SLOWEST_HZ * (1 - SAME_RATE):
        raise ValueError(
            f"the recording has {rate:g} Hz; the circuits are told apart by {BAND_HZ[0]:g} to {BAND_HZ[1]:g} Hz, for "
            f"which {RATE_HZ:g} Hz or more are needed, and {_SLOWEST_HZ:g} Hz for a part of them"
        )
    each = [_without_slope(trial, channel) for trial in trials]
    seconds = [len(values) / rate for values in each]
    if sum(seconds) < SECONDS - 1 / rate:
        raise ValueError(f"the recording lasts {sum(seconds):.2g} s; give {SECONDS:g} s or more")
    if len(trials) > 1 and min(seconds) < _SHORTEST_S - 1 / rate:
        raise ValueError(f"its trials last {min(seconds):.2g} s each; give trials of {_SHORTEST_S:g} s or more")
    scale = math.sqrt(np.mean([values.var() for values in each]))  # the gain is unknown anyway
    alone = [Recording(values[None] / scale, rate, "1", ("signal",)) for values in each]
    to_common = interpolated if rate < RATE_HZ * (1 - SAME_RATE) else resampled
    return [to_common(one, RATE_HZ) for one in alone]


def _without_slope(recording: Recording, channel: int) -> Float[np.ndarray, " samples"]:
    values = recording.steady[channel].astype(float)
    if not np.isfinite(values).all():
        raise ValueError("some samples are not finite; cut them out")
    time, size = np.arange(len(values)), np.abs(values).max()
    values = values - np.polynomial.Polynomial.fit(time, values, min(1, len(values) - 1))(time)
    if not values.std() > _FLAT * size:
        raise ValueError(f"{recording.channels[channel]} never changes, or only as a line; take another --channel")
    return values


def middle(recording: Recording) -> Recording:
    """The stretch of 2.8 s in the middle of a recording."""
    samples = round(SECONDS * recording.sampling_rate)
    first = max(0, (recording.values.shape[1] - samples) // 2)
    return recording.with_values(recording.values[:, first : first + samples])


def pieces(trials: Sequence[Recording], seconds: float = SECONDS) -> list[list[Recording]]:
    """Trials in groups of so many seconds or a little more; a recording that is long enough, cut into such pieces.

    A last group that would be shorter is left out; there is one at least.
    """
    samples = round(seconds * trials[0].sampling_rate)
    length = trials[0].values.shape[1]
    if length >= samples or len(trials) == 1:
        cuts = [np.array_split(t.values, max(1, length // samples), axis=1) for t in trials]
        return [[t.with_values(cut)] for t, each in zip(trials, cuts, strict=True) for cut in each]
    n = math.ceil(samples / length)
    return [list(trials[k : k + n]) for k in range(0, max(1, len(trials) - n + 1), n)]


def spectrum(features: SpectralFeatures, together: Sequence[Recording]) -> Float[np.ndarray, "channels frequencies"]:
    """Features of several recordings as of one: from the mean of their powers."""
    power = np.mean([features.power(one) for one in together], axis=0)
    return np.log10(power / power.sum() if features.relative else power)
