"""What a file says of a recording, and what all readers of files ask of it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real, Shaped

from inference.recordings.conform import transposed

LARGEST_BYTES = 2 * 1024**3
"""A file that unpacks to more is refused: it is a recording to be cut first, or a trap."""

RATES = ("sampling_rate", "fs", "Fs", "srate", "sfreq")
_OTHERS = ("unit", "channels", "transient")
_TIMES = re.compile(r"(t|[Tt]imes?|TIME)(?:[ _]*[ _(\[](?P<unit>s|sec|seconds?|ms|msec|milliseconds?)[)\]]?)?")
_SLOWEST_HZ, _FASTEST_HZ = 20.0, 1e5  # times that give another rate are in another unit, or no times
_EVEN = 0.25  # a time step may differ by this part from the mean: rounded time stamps do, missing samples differ by one


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file says; None where it says nothing.

    values: (channels, samples), or (trials, channels, samples). doubt: why the times beside them give no sampling rate.
    stated: of a file with a unit for each channel, which its reader has converted to ``unit``, these units; "" where
    the file states none, and numbers are as they are. None where a format has a unit of its own, or one for all.
    """

    values: Real[np.ndarray, "*trials channels samples"]
    sampling_rate: float | None = None
    unit: str | None = None
    channels: tuple[str, ...] | None = None
    transient: int = 0
    doubt: str = ""
    stated: tuple[str, ...] | None = None

    @property
    def trials(self) -> Real[np.ndarray, "trials channels samples"]:
        """One where the file holds a recording that is not in trials."""
        return self.values if self.values.ndim == 3 else self.values[None]


def check_size(size: int) -> None:
    """Raises ValueError for a file whose contents, of ``size`` bytes, would fill the memory."""
    if size > LARGEST_BYTES:
        raise ValueError(
            f"it unpacks to {size / 1e9:.1f} GB, more than {LARGEST_BYTES / 1e9:.1f}; cut or downsample it"
        )


def time_step_ms(name: str) -> float | None:
    """ms in the unit of times that are called so: "t", "time", "time_ms", "Time (s)" ...; None for no name of times.

    Without a unit in the name they are seconds.
    """
    found = _TIMES.fullmatch(name.strip())
    if found is None:
        return None
    return 1.0 if (found["unit"] or "s").startswith("m") else 1e3


def is_companion(name: str) -> bool:
    """Whether a variable beside a recording is called so; none of these is taken for the recording."""
    return name in (*RATES, *_OTHERS) or time_step_ms(name) is not None


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
    others = [name for name, shape in shapes.items() if not is_companion(name) and math.prod(shape) > 1]
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
    _refuse_no_numbers(array, name)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected channels x samples, neither of them empty")
    return np.atleast_2d(array)


def recorded(array: np.ndarray, name: str) -> Real[np.ndarray, "*trials channels samples"]:
    """The array as channels x samples or, with three axes, as trials x channels x samples.

    Raises ValueError for any other kind or shape, and for trials whose axes are in another order.
    """
    if array.ndim != 3 or array.size == 0:
        return numbers(array, name)
    _refuse_no_numbers(array, name)
    first, channels, samples = array.shape
    if samples < channels:
        order, seem = ((2, 0, 1), "channels x samples x trials") if channels > first else (
            (2, 1, 0), "samples x channels x trials")  # fmt: skip
        matlab = " ".join(str(axis + 1) for axis in order)
        raise ValueError(
            f"{name} has shape {array.shape}; expected trials x channels x samples, and {samples} samples would be "
            f"fewer than {channels} channels. If it is {seem}, transpose it: np.transpose({name}, {order}), in MATLAB "
            f"permute({name}, [{matlab}])"
        )
    return array


def _refuse_no_numbers(array: np.ndarray, name: str) -> None:
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} has type {array.dtype}; expected real numbers")


def number(arrays: Mapping[str, np.ndarray], name: str) -> float | None:
    """The one number of this name, None where there is none. Raises ValueError for several, or for text."""
    if name not in arrays:
        return None
    if arrays[name].size != 1 or arrays[name].dtype.kind not in "iuf":
        raise ValueError(f"{name} must be one number; got {arrays[name]!r:.80}")
    return float(arrays[name].item())


def rate_beside(
    arrays: Mapping[str, Shaped[np.ndarray, "..."]], values: Real[np.ndarray, "*trials channels samples"]
) -> tuple[float | None, str]:
    """Hz, from a number or from times that stand beside a recording, or None and why these times are doubtful.

    None and "" where there are none. Raises ValueError for times that are uneven, and for as many of them as the
    recording has rows.
    """
    for name in RATES:
        if name in arrays:
            return number(arrays, name), ""
    rows, columns = values.shape[-2:]
    for name, times in arrays.items():
        if time_step_ms(name) is not None and times.dtype.kind in "iuf" and times.size in (rows, columns):
            if times.size != columns:
                raise ValueError(f"{transposed(values)}, as its {rows} times '{name}' show")
            return rate_of(times.ravel().astype(float), name)
    return None, ""


def rate_of(times: Float[np.ndarray, " samples"], name: str) -> tuple[float | None, str]:
    """Hz, from times; or None and why they cannot be meant. Raises ValueError where they are not evenly spaced."""
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
    unit_ms = time_step_ms(name) or 1e3
    rate = round(float(1e3 / (step * unit_ms)), 6)
    if _SLOWEST_HZ <= rate <= _FASTEST_HZ:
        return rate, ""
    read, other, elsewhere = ("ms", "s", rate / 1e3) if unit_ms == 1 else ("seconds", "ms", rate * 1e3)
    rename = f"if they are in {other}, name them '{re.split('[ _([]', name)[0]}_{other}', else "
    hint = rename if _SLOWEST_HZ <= elsewhere <= _FASTEST_HZ else ""
    return None, f"the times '{name}', read as {read}, give {rate:g} Hz; {hint}give the rate (--sampling-rate)"
