"""What about a recording itself calls for doubt before anything is estimated from it."""

import numpy as np
from jaxtyping import Float
from scipy.signal import detrend
from scipy.signal.windows import hann

from simulators.recording import Recording

_LINES_HZ = (50.0, 60.0)
_AROUND_HZ = 6.0  # neighbours with which a line's power is compared
_WIDTH_HZ = 0.7  # mains wander by less
_LINE = 20.0  # times the neighbours' mean
_BY_CHANCE = 1e-7  # how often a bin of noise may exceed the mean of its neighbours by more; of few, it does so easily
_DRIFT = 0.9  # share of a channel's variance that a straight line explains; of simulated networks' at most .11
_CLIPPED = 0.002  # share of samples at exactly the extreme value; of continuous values there is one


@np.errstate(over="ignore", invalid="ignore")  # of absurd values, which every estimator refuses
def quality_warnings(recording: Recording) -> tuple[str, ...]:
    """Warnings of line noise, clipped channels and drift, each saying what to do; none where values are not finite.

    Gaps are an error of their own, which every estimator raises.
    """
    if not np.isfinite(recording.steady).all():
        return ()
    return (*_line_noise(recording), *_clipped(recording), *_drifting(recording))


def _line_noise(recording: Recording) -> list[str]:
    x = recording.steady.astype(float)
    n = x.shape[1]
    power = np.abs(np.fft.rfft((x - x.mean(1, keepdims=True)) * hann(n))) ** 2
    frequencies = np.fft.rfftfreq(n, 1 / recording.sampling_rate)
    found = []
    for line in _LINES_HZ:
        harmonics = np.arange(line, frequencies[-1], line)
        ratios = [r for h in harmonics if (r := _above_neighbours(power, frequencies, h)) is not None]
        if ratios and (worst := np.max(ratios, axis=0)).max() > 0:
            names = [c for c, ratio in zip(recording.channels, worst, strict=True) if ratio > 0]
            found.append(
                f"{line:g} Hz line noise in {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}: "
                f"{worst.max():.0f} times the power beside it; the simulations have none. Filter it (--notch {line:g}) "
                f"or record again"
            )
    return found


def _above_neighbours(
    power: Float[np.ndarray, "channels frequencies"], frequencies: Float[np.ndarray, " frequencies"], line: float
) -> Float[np.ndarray, " channels"] | None:
    """Largest power within a line's width, relative to what lies beside it, and 0 where noise makes as much.

    None where the recording cannot tell.
    """
    near = slice(*np.searchsorted(frequencies, [line - _AROUND_HZ, line + _AROUND_HZ]))
    distance, power = abs(frequencies[near] - line), power[:, near]
    at, beside = distance <= _WIDTH_HZ, distance > 2 * _WIDTH_HZ
    n = int(beside.sum())
    if line + _AROUND_HZ > frequencies[-1] or at.sum() < 1 or n < 8:
        return None
    ratio = power[:, at].max(1) / np.maximum(power[:, beside].mean(1), 1e-300)
    # Powers of noise are exponentially distributed: P(ratio > x) = (1 + x / n)^-n.
    return np.where(ratio > max(_LINE, n * (_BY_CHANCE ** (-1 / n) - 1)), ratio, 0.0)


def _clipped(recording: Recording) -> list[str]:
    x = recording.steady
    names = []
    for channel, row in zip(recording.channels, x, strict=True):
        at_extremes = max(np.mean(row == row.max()), np.mean(row == row.min()))
        if at_extremes > max(_CLIPPED, 3 / len(row)) and len(np.unique(row)) > 20:
            names.append(f"{channel} ({at_extremes:.1%} of the samples)")
    if not names:
        return []
    return [
        f"clipped: {', '.join(names)} sit at the extreme value; the amplifier's range was too small, leave them out"
    ]


def _drifting(recording: Recording) -> list[str]:
    """Drift leaks from every window's ends into all frequencies: ten times the signal's deviation moves estimates."""
    x = recording.steady.astype(float)
    left = detrend(x, axis=1).var(1) / np.maximum(x.var(1), 1e-300)
    names = [c for c, share in zip(recording.channels, left, strict=True) if share < 1 - _DRIFT]
    if not names or x.shape[1] < 3 or recording.is_silent():
        return []
    return [
        f"drift: a straight line explains {1 - left.min():.0%} of {', '.join(names[:4])}{' ...' if names[4:] else ''}; "
        f"filter out what is slower than about 1 Hz (a high-pass filter), or subtract the line"
    ]
