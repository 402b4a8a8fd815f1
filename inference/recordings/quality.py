"""What about a recording itself calls for doubt before anything is estimated from it."""

import numpy as np
from jaxtyping import Float
from scipy.signal.windows import hann

from simulators.recording import Recording

_LINES_HZ = (50.0, 60.0)
_HARMONICS = 3
_AROUND_HZ = 6.0  # neighbours with which a line's power is compared
_WIDTH_HZ = 0.7  # mains wander by less
_LINE = 20.0  # times the neighbours' mean; by chance a bin exceeds it once in millions
_CLIPPED = 0.002  # share of samples at exactly the extreme value; of continuous values there is one


def quality_warnings(recording: Recording) -> tuple[str, ...]:
    """Warnings of line noise and of clipped channels, each saying what to do; none where values are not finite.

    Gaps are an error of their own, which every estimator raises.
    """
    if not np.isfinite(recording.steady).all():
        return ()
    return (*_line_noise(recording), *_clipped(recording))


def _line_noise(recording: Recording) -> list[str]:
    x = recording.steady.astype(float)
    n = x.shape[1]
    power = np.abs(np.fft.rfft((x - x.mean(1, keepdims=True)) * hann(n))) ** 2
    frequencies = np.fft.rfftfreq(n, 1 / recording.sampling_rate)
    found = []
    for line in _LINES_HZ:
        ratios = [
            r for k in range(1, _HARMONICS + 1) if (r := _above_neighbours(power, frequencies, k * line)) is not None
        ]
        if ratios and (worst := np.max(ratios, axis=0)).max() > _LINE:
            names = [c for c, ratio in zip(recording.channels, worst, strict=True) if ratio > _LINE]
            found.append(
                f"{line:g} Hz line noise in {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}: "
                f"{worst.max():.0f} times the power beside it; the simulations have none. Filter it (--notch {line:g}) "
                f"or record again"
            )
    return found


def _above_neighbours(
    power: Float[np.ndarray, "channels frequencies"], frequencies: Float[np.ndarray, " frequencies"], line: float
) -> Float[np.ndarray, " channels"] | None:
    """Largest power within a line's width, relative to what lies beside it; None where the recording cannot tell."""
    distance = abs(frequencies - line)
    at, beside = distance <= _WIDTH_HZ, (distance > 2 * _WIDTH_HZ) & (distance <= _AROUND_HZ)
    if line + _AROUND_HZ > frequencies[-1] or at.sum() < 1 or beside.sum() < 8:
        return None
    return power[:, at].max(1) / np.maximum(power[:, beside].mean(1), 1e-300)


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
