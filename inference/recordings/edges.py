"""Up to which frequency a recording holds what was there: below its sampling rate's edge, and a low-pass filter's."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.signal import detrend, welch

from simulators.recording import Recording

EDGE = 0.4
"""Of the sampling rate: above, anti-alias filters have begun. Decimating filters pass 0.8 of the Nyquist frequency."""

_NARROW = 1.35  # high_hz over low_hz of an edge
_STEEP_DB = 30.0  # of networks' LFP, which ends steeply too, at most 28 dB; noise of f^-4 falls by 16 dB
_BEGUN_DB = 20.0  # of a fall that is steep: where it has come so far, the edge is
_RISING_DB = 3.0  # towards the fall: of a rhythm, which ends steeply without any filter
_LOWEST_HZ, _STEPS = 8.0, 40
_FEWEST = 4  # frequencies to judge a level by
_SEGMENT_S = 2.0


class LowPass(NamedTuple):
    """Power falls by ``fall_dB`` between two frequencies (Hz), and stays so low above."""

    low_hz: float
    high_hz: float
    fall_dB: float


def low_pass(recording: Recording) -> LowPass | None:
    """The edge of a steep low-pass filter well below that of the sampling rate; None where there is none.

    That is 30 dB or more within a factor of 1.35, from spectra that do not rise towards it, with nothing above. Of
    several channels the median counts. None as well for values that are not finite, or too few.
    """
    x = recording.steady.astype(float)
    segment = int(min(x.shape[1] // 4, _SEGMENT_S * recording.sampling_rate))
    if segment < 2 * _FEWEST or not np.isfinite(x).all():
        return None
    nyquist = recording.sampling_rate / 2
    frequencies, power = welch(detrend(x, axis=1), recording.sampling_rate, nperseg=segment, axis=1)
    level = 10 * np.log10(np.maximum(power, power.max() * 1e-30 + 1e-300))
    if 0.9 * nyquist / _NARROW <= _LOWEST_HZ:
        return None
    edges = np.geomspace(_LOWEST_HZ, 0.9 * nyquist / _NARROW, _STEPS)
    falls = np.array([_fall(level, frequencies, edge, nyquist) for edge in edges])
    steepest = first = int(falls.argmax())
    if not falls[steepest] >= _STEEP_DB:  # nor of absurd values, which are no numbers here
        return None
    while first and falls[first - 1] >= _BEGUN_DB:
        first -= 1
    return LowPass(float(edges[first]), float(_NARROW * edges[steepest]), float(falls[steepest]))


def _fall(
    level: Float[np.ndarray, "channels frequencies"],
    frequencies: Float[np.ndarray, " frequencies"],
    edge: float,
    nyquist: float,
) -> float:
    """dB by which power falls from just below an edge to what is above; 0 where it rises to the edge before."""

    def within(low: float, high: float) -> Float[np.ndarray, "channels some"]:
        return level[:, (frequencies >= low) & (frequencies <= high)]

    before, below = within(edge / 4, edge / 2), within(edge / 2, edge)
    just_above, above = within(_NARROW * edge, 2 * _NARROW * edge), within(_NARROW * edge, 0.98 * nyquist)
    if min(below.shape[1], just_above.shape[1]) < _FEWEST or before.shape[1] < 2:
        return 0.0
    if np.median(np.median(below, 1) - np.median(before, 1)) > _RISING_DB:
        return 0.0
    low = np.quantile(below, 0.25, axis=1)
    return float(min(np.median(low - np.quantile(part, 0.9, axis=1)) for part in (just_above, above)))


def highest_hz(recording: Recording) -> tuple[float, str]:
    """Up to which frequency a recording can be compared (Hz), and why, in words."""
    rate, edge = recording.sampling_rate, low_pass(recording)
    if edge is not None and edge.low_hz < EDGE * rate:
        fall = f"its power falls by {edge.fall_dB:.0f} dB between {edge.low_hz:.3g} and {edge.high_hz:.3g} Hz"
        return edge.low_hz, f"{fall}, as after a low-pass filter"
    return EDGE * rate, f"it is sampled at {rate:g} Hz, and filters against aliasing begin below half of that"
