"""A Recording -> one that an estimator can answer for, or a ValueError that says what to do."""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from jaxtyping import Float, Real
from scipy.signal import filtfilt, firwin, iirnotch, resample_poly

from inference.features.interface import Features
from simulators.recording import SAME_RATE, Recording
from simulators.units import factor

HIGHEST_HZ = 1e6
"""No recording is sampled faster; filters for a rate that a file merely claims could fill the memory."""

_LARGEST_RATIO = 20_000  # numerator of a ratio of two rates: a filter has 200 times as many samples
_LOWEST_LINE_HZ = 5.0  # what is filtered out is 1 Hz wide
_LARGEST, _SMALLEST = 1e15, 1e-18  # in any unit; beyond, a square or a ratio has no room in single precision
_FILTER_REACH = 100  # samples of the new rate on either side: the response falls within 2 % of its Nyquist frequency
_UNIT_MISTAKE = 1.5  # orders of magnitude beyond all of training; a wrong unit makes three or six


def to_unit(recording: Recording, unit: str) -> Recording:
    """The same recording in another unit, or in one for each channel, as in "mV, 1, nA um".

    Raises ValueError where there is no way from one unit to the other, or not as many units as channels.
    """
    if recording.unit == unit:
        return recording
    wanted = replace(recording, unit=unit).units
    factors = [factor(given, to) for given, to in zip(recording.units, wanted, strict=True)]
    return replace(recording, values=recording.values * np.array(factors)[:, None], unit=unit)


def check_rate(sampling_rate: float) -> None:
    """Raises ValueError for a sampling rate (Hz) beyond what any amplifier has."""
    if not 0 < sampling_rate <= HIGHEST_HZ:
        raise ValueError(
            f"a sampling rate of {sampling_rate:g} Hz is not possible; give one above 0 and up to {HIGHEST_HZ:,.0f} Hz"
        )


def resampled(recording: Recording, sampling_rate: float) -> Recording:
    """The same recording at a lower sampling rate (Hz), low-pass filtered below 98 % of its Nyquist frequency.

    Raises ValueError for a higher rate, as what was not recorded cannot be added, and for one that is not possible.
    """
    check_rate(recording.sampling_rate)
    if abs(recording.sampling_rate / sampling_rate - 1) <= SAME_RATE:
        return recording
    if recording.sampling_rate < sampling_rate:
        raise ValueError(
            f"the recording is sampled at {recording.sampling_rate:g} Hz and holds nothing above "
            f"{recording.sampling_rate / 2:g} Hz; {sampling_rate:g} Hz are needed: record at that rate or higher, "
            f"or train an estimator for a lower rate"
        )
    exact = recording.sampling_rate / sampling_rate
    ratio = Fraction(exact).limit_denominator(max(1, min(1000, int(_LARGEST_RATIO / exact))))
    up, down = ratio.denominator, ratio.numerator
    lowpass = firwin(2 * _FILTER_REACH * down + 1, 1 / down, window=("kaiser", 5.0))
    values = resample_poly(recording.values.astype(float), up, down, axis=1, window=lowpass, padtype="line")
    transient = math.ceil(recording.transient * up / down)
    return Recording(values, recording.sampling_rate * up / down, recording.unit, recording.channels, transient)


def notched(recording: Recording, hertz: float) -> Recording:
    """The same recording without a line at ``hertz`` and its multiples, each filtered out 1 Hz wide, without delay.

    Raises ValueError for a frequency that the recording cannot hold or that is no line's, and for values that are not
    finite.
    """
    check_rate(recording.sampling_rate)
    nyquist = recording.sampling_rate / 2
    if not _LOWEST_LINE_HZ <= hertz < nyquist:
        raise ValueError(
            f"there is no line of {hertz:g} Hz in a recording sampled at {recording.sampling_rate:g} Hz; "
            f"give the frequency of the mains, 50 or 60"
        )
    _check_gaps(recording)
    values = recording.values.astype(float)
    for line in np.arange(hertz, nyquist - 1, hertz):
        values = filtfilt(*iirnotch(line, line, recording.sampling_rate), values, axis=1)
    return recording.with_values(values)


def detrended(recording: Recording) -> Recording:
    """The same recording without mean and slope of each channel. Raises ValueError for values that are not finite."""
    _check_gaps(recording)
    time = np.arange(recording.values.shape[1]) - recording.transient
    slope, level = np.polyfit(time[recording.transient :], recording.steady.astype(float).T, 1)
    return recording.with_values(recording.values - (level[:, None] + slope[:, None] * time))


def interpolated(recording: Recording, sampling_rate: float) -> Recording:
    """The same recording at a higher sampling rate (Hz), without anything above its own Nyquist frequency.

    Raises ValueError for a rate that is not possible.
    """
    check_rate(recording.sampling_rate)
    ratio = Fraction(sampling_rate / recording.sampling_rate).limit_denominator(1000)
    up, down = ratio.numerator, ratio.denominator
    values = resample_poly(recording.values.astype(float), up, down, axis=1, padtype="line")
    transient = math.ceil(recording.transient * up / down)
    return Recording(values, sampling_rate, recording.unit, recording.channels, transient)


def matched(
    recording: Recording,
    features: Features,
    channels: Sequence[str],
    unit: str,
    *,
    trained_sd: Float[np.ndarray, "2 channels"] | None = None,
) -> Recording:
    """A recording made ready for an estimator trained with ``features`` on ``channels`` in ``unit``.

    It is put into the estimator's order of channels where the names are the same, converted to its unit, and resampled
    to its rate if it has a higher one. Relative features need no unit; one that can be converted is. trained_sd: (2,
    channels), lowest and highest standard deviation in training, in ``unit``; an amplitude thirty times beyond them is
    taken for a wrong unit.

    Raises ValueError, each saying what to do, for another number of channels, gaps, flat channels, values beyond any
    amplifier's, a sampling rate that is lower or not possible, fewer samples than one segment, a unit that cannot be
    converted, or an amplitude off by a factor such as 1,000.
    """
    recording = _ordered(recording, tuple(channels))
    _check_gaps(recording)
    _check_flat(recording)
    _check_size(recording)
    _check_length(recording, features)  # before filtering, which takes longer the higher the rate that a file claims
    recording = resampled(recording, features.sampling_rate)
    _check_length(recording, features)
    if features.scale_free:
        return _in_one_scale(recording, unit)
    recording = to_unit(recording, unit)
    if trained_sd is not None:
        _check_amplitude(recording, trained_sd)
    return recording


def _in_one_scale(recording: Recording, unit: str) -> Recording:
    """In the estimator's unit, or else mV or nAm, that gains of recordings in several units compare; else as it is."""
    for known in (unit, "mV", "nAm"):
        try:
            return to_unit(recording, known)
        except ValueError:
            continue
    return recording


def _ordered(recording: Recording, channels: tuple[str, ...]) -> Recording:
    """In the order of ``channels`` if these are its names; as it is if it has as many under other names."""
    n = recording.values.shape[0]
    if n != len(channels):
        if recording.values.shape[1] == len(channels) and n > len(channels):
            raise ValueError(transposed(recording.values))
        trained_for = f"{channels[0]} ... {channels[-1]}" if len(channels) > 1 else channels[0]
        raise ValueError(
            f"recording has {n} channel{'s' * (n != 1)}; this estimator was trained for {len(channels)} "
            f"({trained_for}). Pick as many with --channels, or train another with 'circuitsbi train --probe ...'"
        )
    if recording.channels == channels or sorted(recording.channels) != sorted(set(channels)):
        return recording
    order = [recording.channels.index(name) for name in channels]
    return replace(recording, values=recording.values[order], channels=channels)


def _check_gaps(recording: Recording) -> None:
    bad = ~np.isfinite(recording.values)
    if bad.any():
        where = [
            f"{name} ({row.sum()}, the first at {recording.times_ms[row.argmax()]:g} ms)"
            for name, row in zip(recording.channels, bad, strict=True)
            if row.any()
        ]
        raise ValueError(
            f"{bad.sum()} values are not finite: {', '.join(where)}; cut the recording to a stretch without gaps, "
            f"or interpolate them"
        )


def _check_flat(recording: Recording) -> None:
    flat = np.ptp(recording.steady, axis=1) == 0
    if flat.all():
        raise ValueError(f"the recording never changes ({', '.join(recording.channels)}): there is no signal in it")
    if flat.any():
        names = ", ".join(name for name, f in zip(recording.channels, flat, strict=True) if f)
        raise ValueError(
            f"channel {names} never changes: disconnected, or the reference itself? Leave it out and train an "
            f"estimator for the remaining channels, or interpolate it from its neighbours"
        )


def _check_size(recording: Recording) -> None:
    for name, row in zip(recording.channels, recording.values.astype(float), strict=True):
        largest, range_ = np.abs(row).max(), np.ptp(row[recording.transient :])
        if not (largest <= _LARGEST and range_ >= _SMALLEST):
            found = f"reaches {largest:.3g}" if largest > _LARGEST else f"changes by {range_:.3g} only"
            raise ValueError(
                f"channel {name} {found} (in '{recording.unit}'), which no amplifier records; check what kind of "
                f"numbers the file holds, or rescale them"
            )


def _check_length(recording: Recording, features: Features) -> None:
    if recording.duration_ms < features.least_ms * (1 - SAME_RATE):
        raise ValueError(
            f"the recording has {recording.steady.shape[1]} samples ({recording.duration_ms:g} ms) at "
            f"{recording.sampling_rate:g} Hz; give at least {features.least_ms:g} ms, better seconds"
        )


def _check_amplitude(recording: Recording, trained_sd: Float[np.ndarray, "2 channels"]) -> None:
    sd = recording.steady.std(axis=1)
    ratio = float(np.median(sd / np.clip(sd, *trained_sd)))
    orders = math.log10(ratio)
    if abs(orders) >= _UNIT_MISTAKE:
        suspect = 3 * max(1, round(abs(orders) / 3))
        size, end = ("larger", "largest") if orders > 0 else ("smaller", "smallest")
        raise ValueError(
            f"the recording's amplitude is {ratio:.2g} times the {end} of the training simulations, as if it were "
            f"{size} by 10^{suspect} than '{recording.unit}' says; check its unit (V, mV, uV) and the amplifier's "
            f"gain. If the gain is unknown, use an estimator with relative features"
        )


def transposed(values: Real[np.ndarray, "*trials rows columns"]) -> str:
    """What to say of values that have the shape of samples x channels."""
    if values.ndim == 3:
        return (
            f"shape {values.shape} looks like trials x samples x channels; transpose it to trials x channels x samples "
            f"(np.transpose(values, (0, 2, 1)))"
        )
    return f"shape {values.shape} looks like samples x channels; transpose it to channels x samples (values.T)"
