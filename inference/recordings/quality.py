"""What about a recording itself calls for doubt before anything is estimated from it."""

import math

import numpy as np
from jaxtyping import Float
from scipy.signal import detrend
from scipy.signal.windows import hann

from inference.recordings.edges import low_pass
from simulators.recording import Recording

_LINES_HZ = (50.0, 60.0)
_AROUND_HZ = 6.0  # neighbours with which a line's power is compared
_WIDTH_HZ = 0.7  # mains wander by less
_LINE = 20.0  # times the neighbours' mean
_BY_CHANCE = 1e-7  # how often a bin of noise may exceed the mean of its neighbours by more; of few, it does so easily
_NOTCHED = 0.2  # of the neighbours' power: less is left by a filter
_SHARES = (0.25, 0.5, 1 / 1.024, 1.024)  # of the true rate; 1,000 and 1,024 Hz, 250 and 256 Hz are taken for each other
_BETWEEN_HZ = 0.4  # from 50 to 51.2 and from 50 to 48.8 Hz it is more than twice as far
_SINE_BINS, _FAR_BINS, _NEAR_HZ = 3, 10, 1.0  # what a sine takes up on either side, and how far its neighbours reach
_SHARP = 20.0  # times the highest neighbour
_DRIFT = 0.9  # share of a channel's variance that a straight line explains; of simulated networks' at most .11
_CLIPPED = 0.002  # share of samples at exactly the extreme value; of continuous values there is one


@np.errstate(over="ignore", invalid="ignore")  # of absurd values, which every estimator refuses
def quality_warnings(recording: Recording, band_hz: tuple[float, float] = (0.0, math.inf)) -> tuple[str, ...]:
    """Warnings of line noise, a low-pass, clipped channels, drift, and a sampling rate (Hz) that cannot be right.

    Each says what to do. There are none where values are not finite: gaps are an error of their own, which every
    estimator raises. band_hz: frequencies that count; what lies outside of them alone, is not warned of.
    """
    if not np.isfinite(recording.steady).all():
        return ()
    return (
        *_line_noise(recording, band_hz),
        *wrong_rate(recording),
        *_low_passed(recording, band_hz),
        *_clipped(recording),
        *_drifting(recording),
    )


def _periodogram(
    recording: Recording,
) -> tuple[Float[np.ndarray, "channels frequencies"], Float[np.ndarray, " frequencies"]]:
    x = recording.steady.astype(float)
    n = x.shape[1]
    power = np.abs(np.fft.rfft((x - x.mean(1, keepdims=True)) * hann(n))) ** 2
    return power, np.fft.rfftfreq(n, 1 / recording.sampling_rate)


def _line_noise(recording: Recording, band_hz: tuple[float, float]) -> list[str]:
    power, frequencies = _periodogram(recording)
    found = []
    for line in _LINES_HZ:
        harmonics = np.arange(line, frequencies[-1], line)
        each = {h: r for h in harmonics if (r := _above_neighbours(power, frequencies, h)) is not None}
        counting = [ratios for h, ratios in each.items() if band_hz[0] <= h <= band_hz[1]]
        if counting and (worst := np.max(counting, axis=0)).max() > 0:
            names = [c for c, ratio in zip(recording.channels, worst, strict=True) if ratio > 0]
            lowest = min(h for h, ratios in each.items() if ratios.max() > 0)
            found.append(
                f"{line:g} Hz line noise in {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}: "
                f"{worst.max():.0f} times the power beside it; the simulations have none. Filter it (--notch {line:g}) "
                f"or record again{_of_another_rate(recording, power, frequencies, line, lowest / line)}"
            )
    return found


def _of_another_rate(
    recording: Recording,
    power: Float[np.ndarray, "channels frequencies"],
    frequencies: Float[np.ndarray, " frequencies"],
    line: float,
    multiple: float,
) -> str:
    """What to add where lines begin at twice or four times the mains, and those themselves were not filtered out."""
    at = abs(frequencies - line) <= _WIDTH_HZ
    beside = (abs(frequencies - line) > 2 * _WIDTH_HZ) & (abs(frequencies - line) < _AROUND_HZ)
    if round(multiple) not in (2, 4) or not at.any() or not beside.any():
        return ""
    if np.median(power[:, at].mean(1) / np.maximum(power[:, beside].mean(1), 1e-300)) < _NOTCHED:
        return ""
    return (
        f"; there is a line at {multiple * line:g} Hz and none at {line:g} Hz: if the mains make it, the recording "
        f"was sampled at {recording.sampling_rate / multiple:g} Hz, not at {recording.sampling_rate:g} Hz; check it"
    )


def wrong_rate(recording: Recording) -> list[str]:
    """A doubt about the sampling rate, where a line stands at a simple fraction of the mains' frequency in their place.

    Only a line tells: where the edge of an anti-alias filter lies, relative to the sampling rate, does not depend on
    the rate that a file states. Lines at multiples of the mains are line noise, which says so itself.
    """
    power, frequencies = _periodogram(recording)
    resolution = frequencies[1] if len(frequencies) > 1 else math.inf
    candidates = [(share * line, share, line) for share in _SHARES for line in _LINES_HZ]
    found = []
    for at, share, line in candidates:
        width = min(_WIDTH_HZ * share, _BETWEEN_HZ)
        if resolution > width:
            continue
        peak = _sharp_peak(power, frequencies, at, width)
        mains = max(_peak_at(power, frequencies, one, _WIDTH_HZ) for one in _LINES_HZ)
        if peak > mains:
            found.append((peak, at, share, line))
    if not found:
        return []
    _, at, share, line = max(found)
    return [
        f"sampling rate: a line as sharp as that of the mains stands at {at:.3g} Hz, and none as high at 50 or 60 Hz; "
        f"if it is the {line:g} Hz of the mains, the recording was sampled at {recording.sampling_rate / share:.4g} "
        f"Hz, not at {recording.sampling_rate:g} Hz. Check the rate, or make sure that the line comes from elsewhere"
    ]


def _sharp_peak(
    power: Float[np.ndarray, "channels frequencies"],
    frequencies: Float[np.ndarray, " frequencies"],
    line: float,
    width: float,
) -> float:
    """The highest power within ``width`` (Hz) of a line, in the channel where it stands out most; 0 where it does not.

    A sine takes up three bins of a spectrum; rhythms of a brain are wider.
    """
    near = np.flatnonzero(abs(frequencies - line) <= width)
    if not near.size:
        return 0.0
    k = near[power[:, near].max(0).argmax()]
    reach = max(_FAR_BINS, round(_NEAR_HZ / frequencies[1]))
    beside = np.r_[max(1, k - reach) : k - _SINE_BINS, k + _SINE_BINS + 1 : k + reach + 1]
    if k + reach >= len(frequencies) or k <= _FAR_BINS // 2 or len(beside) < _SINE_BINS:
        return 0.0
    ratio = power[:, k] / np.maximum(power[:, beside].max(1), 1e-300)
    best = int(ratio.argmax())
    return float(power[best, k]) if ratio[best] > _SHARP else 0.0


def _peak_at(
    power: Float[np.ndarray, "channels frequencies"],
    frequencies: Float[np.ndarray, " frequencies"],
    line: float,
    width: float,
) -> float:
    return float(power[:, abs(frequencies - line) <= width].max(initial=0.0))


def _low_passed(recording: Recording, band_hz: tuple[float, float]) -> list[str]:
    edge = low_pass(recording)
    if edge is None or band_hz[1] <= edge.low_hz:
        return []
    return [
        f"low-passed: power falls by {edge.fall_dB:.0f} dB between {edge.low_hz:.3g} and {edge.high_hz:.3g} Hz, by a "
        f"filter or since samples were interpolated; the simulations have nothing of the kind. Let only what lies "
        f"below count (--band {max(1.0, band_hz[0]):g},{math.floor(edge.low_hz):g})"
    ]


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
        f"subtract the line (--detrend), or filter out what is slower than about 1 Hz (a high-pass filter)"
    ]
