"""What a file says of a recording, and what all readers of files ask of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real, Shaped

from inference.recordings.conform import transposed

LARGEST_BYTES = 2 * 1024**3
"""A file that unpacks to more is refused: it is a recording to be cut first, or a trap."""

RATES = ("sampling_rate", "fs", "Fs", "srate", "sfreq")
TIMES_MS = {"time_ms": 1.0, "time_s": 1e3, "time": 1e3, "times": 1e3, "t": 1e3}
"""Names of times beside a recording -> ms in their unit. Without a unit in the name they are seconds."""

COMPANIONS = (*RATES, *TIMES_MS, "unit", "channels", "transient")
"""What variables beside a recording are called; none of them is taken for the recording."""

_UNNAMED_UNIT = ("time", "times", "t")
_SLOWEST_HZ = 20.0  # times that give a lower rate when read as seconds are in ms
_EVEN = 0.25  # a time step may differ by this part from the mean: rounded time stamps do, missing samples differ by one


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file says; None where it says nothing."""

    values: Real[np.ndarray, "channels samples"]
    sampling_rate: float | None = None
    unit: str | None = None
    channels: tuple[str, ...] | None = None
    transient: int = 0


def check_size(size: int) -> None:
    """Raises ValueError for a file whose contents, of ``size`` bytes, would fill the memory."""
    if size > LARGEST_BYTES:
        raise ValueError(
            f"it unpacks to {size / 1e9:.1f} GB, more than {LARGEST_BYTES / 1e9:.1f}; cut or downsample it"
        )


def chosen(shapes: Mapping[str, tuple[int, ...]], variable: str | None) -> str:
    """Which of a file's variables is the recording: ``variable``, "values", or the only one that is no companion.

    Raises ValueError listing names and shapes where that does not settle it.
    """
    listed = ", ".join(f"{name} ({_shape(shape)})" for name, shape in sorted(shapes.items())) or "none"
    name = "values" if variable is None else variable
    if name in shapes:
        return name
    if variable is not None:
        raise ValueError(f"it has no variable '{variable}'; its variables: {listed}")
    others = [name for name, shape in shapes.items() if name not in COMPANIONS and math.prod(shape) > 1]
    if len(others) != 1:
        raise ValueError(
            f"it holds {'several arrays' if others else 'no array'} that could be the recording (channels x samples) "
            f"and no 'values'; name one with variable= (--variable). Its variables: {listed}"
        )
    return others[0]


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) if math.prod(shape) != 1 else "one value"


def numbers(array: np.ndarray, name: str) -> Real[np.ndarray, "rows columns"]:
    """The array as channels x samples. Raises ValueError for any other kind or shape."""
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} has type {array.dtype}; expected real numbers")
    if array.ndim == 3 and array.size:
        raise ValueError(
            f"{name} has shape {array.shape}, as if trials x channels x samples; expected channels x samples: save "
            f"each trial as a recording of its own ({name}[0], ...) and give all of them"
        )
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected channels x samples, neither of them empty")
    return np.atleast_2d(array)


def number(arrays: Mapping[str, np.ndarray], name: str) -> float | None:
    """The one number of this name, None where there is none. Raises ValueError for several, or for text."""
    if name not in arrays:
        return None
    if arrays[name].size != 1 or arrays[name].dtype.kind not in "iuf":
        raise ValueError(f"{name} must be one number; got {arrays[name]!r:.80}")
    return float(arrays[name].item())


def rate_beside(
    arrays: Mapping[str, Shaped[np.ndarray, "..."]], values: Real[np.ndarray, "channels samples"]
) -> float | None:
    """Hz, from a number or from times that stand beside a recording; None where there are none, or in doubtful units.

    Raises ValueError for times that are uneven, and for as many of them as the recording has rows.
    """
    for name in RATES:
        if name in arrays:
            return number(arrays, name)
    rows, columns = values.shape
    for name in TIMES_MS:
        if name in arrays and arrays[name].dtype.kind in "iuf" and arrays[name].size in (rows, columns):
            if arrays[name].size != columns:
                raise ValueError(f"{transposed(values)}, as its {rows} times '{name}' show")
            rate = _rate(arrays[name].ravel().astype(float), name)
            return None if _doubtful(name, rate) else rate
    return None


def rate_of(times: Float[np.ndarray, " samples"], name: str) -> float:
    """Hz, from a column of times. Raises ValueError where they are not evenly spaced, or seem to be in another unit."""
    rate = _rate(times, name)
    if _doubtful(name, rate):
        raise ValueError(
            f"the times '{name}', read as seconds, give {rate:g} Hz; if they are in ms, name them 'time_ms'"
        )
    return rate


def _doubtful(name: str, rate: float) -> bool:
    return name in _UNNAMED_UNIT and rate < _SLOWEST_HZ


def _rate(times: Float[np.ndarray, " samples"], name: str) -> float:
    if times.size < 2 or not np.isfinite(times).all() or not times[-1] > times[0]:
        raise ValueError(f"the times '{name}' must be two or more increasing numbers, without gaps")
    step = (times[-1] - times[0]) / (times.size - 1)
    uneven = np.abs(np.diff(times) - step) > _EVEN * step
    if uneven.any():
        i = int(uneven.argmax())
        raise ValueError(
            f"the times '{name}' are uneven: they go from {times[i]:.9g} to {times[i + 1]:.9g} at row {i + 2}; "
            f"the mean step is {step:.4g}; cut the recording at its gaps, or interpolate it to even steps"
        )
    return round(float(1e3 / (step * TIMES_MS[name])), 6)
