"""Files -> Recording.

Whatever a file holds, reading it gives a Recording or a ValueError that names the file, the problem and what to do.
"""

import csv
import math
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedIOBase
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float, Real

from inference.recordings.conform import SAME_RATE, matched, resampled, to_unit, transposed
from inference.recordings.formats import (
    MNE_SUFFIXES,
    NEO_SUFFIXES,
    Contents,
    check_size,
    read_matlab,
    read_mne,
    read_neo,
    read_nwb,
)
from simulators.brunel.model import POPULATIONS
from simulators.recording import Recording

__all__ = ["READERS", "matched", "read_counts", "read_recording", "resampled", "to_unit", "write_recording"]

_EVEN = 0.25  # a time step may differ by this part from the mean: rounded time stamps do, missing samples differ by one
_TIME_UNITS_MS = {"time_ms": 1.0, "time_s": 1e3, "time": 1e3}


def read_recording(
    path: str | Path,
    *,
    sampling_rate: float | None = None,
    unit: str | None = None,
    channels: Sequence[str] | None = None,
    pick: Sequence[str] | None = None,
) -> Recording:
    """A recording from a file; what the file does not say has to be given.

    .npz: array ``values`` (channels, samples), or the only array; optional ``sampling_rate`` (Hz), ``unit``,
    ``channels`` (names), ``transient`` (samples). .npy: (channels, samples), or (samples,) for one channel. .csv: a row
    a sample, a column a channel; an optional header names them; a first column ``time_ms``, ``time_s`` or ``time``
    (in s) gives the sampling rate; an empty cell is a gap (NaN). .mat: matrix ``values`` or the only one, and a scalar
    such as ``sampling_rate`` or ``fs``. .nwb, and what MNE (FIF, EDF, BrainVision, ...) and Neo (Plexon, Spike2, ...)
    read, where these libraries are installed: voltages in V.

    sampling_rate in Hz. unit has no default: a voltage off by 1,000 would go unnoticed. channels replace the file's
    names; pick: those to take, in this order, None for all.

    Raises ValueError naming the file for one that cannot be read, lacks a sampling rate or a unit, or says another
    one; ImportError where the library is missing that reads it.
    """
    path = Path(path)
    with _reading(path):
        if path.suffix.lower() not in READERS:
            raise ValueError(
                f"no reader for '{path.suffix}' files, only for {', '.join(READERS)}; "
                f"save it with np.savez(path, values=..., sampling_rate=..., unit=...)"
            )
        found = READERS[path.suffix.lower()](path)
        names = tuple(channels) if channels is not None else found.channels or _numbered(found.values)
        if len(names) != found.values.shape[0] and len(names) == found.values.shape[1]:
            raise ValueError(f"{transposed(found.values)}, as its {len(names)} channel names show")
        recording = Recording(
            found.values,
            _agreed_rate(found.sampling_rate, sampling_rate),
            _agreed_unit(found.unit, unit),
            names,
            found.transient,
        )
        return recording if pick is None else picked(recording, pick)


def picked(recording: Recording, names: Sequence[str]) -> Recording:
    """Some channels of a recording, in the order of ``names``. Raises ValueError for one that it has not, or twice."""
    missing = [name for name in names if recording.channels.count(name) != 1]
    if missing or not names or len(set(names)) != len(names):
        there = ", ".join(recording.channels[:12]) + (" ..." if len(recording.channels) > 12 else "")
        asked = missing[0] if missing else ",".join(names)
        raise ValueError(f"cannot pick channel '{asked}'; name each once, of: {there}")
    rows = [recording.channels.index(name) for name in names]
    return replace(recording, values=recording.values[rows], channels=tuple(names))


def write_recording(recording: Recording, path: str | Path) -> None:
    """To an .npz file from which ``read_recording`` gives the same recording. Raises ValueError for another suffix."""
    if Path(path).suffix.lower() != ".npz":
        raise ValueError(f"recordings are written as .npz; got {path}")
    np.savez_compressed(
        path,
        values=recording.values,
        sampling_rate=recording.sampling_rate,
        unit=recording.unit,
        channels=np.array(recording.channels),
        transient=recording.transient,
    )


def read_counts(path: str | Path) -> Recording:
    """Population spike counts from an .npz file, as the Brunel network returns them.

    The file holds ``counts`` (2, bins), excitatory and inhibitory spikes per bin, and optionally ``bin_ms`` (1) and
    ``transient`` (0 bins). Raises ValueError naming the file for anything else.
    """
    path = Path(path)
    with _reading(path):
        arrays = _npz_arrays(path, {"counts", "bin_ms", "transient"})
        if "counts" not in arrays:
            raise ValueError("it holds no array 'counts' (2 populations x bins)")
        counts = _numbers(arrays["counts"], "counts")
        if counts.shape[0] != 2:
            hint = f"; {transposed(counts)}" if counts.shape[1] == 2 else ""
            raise ValueError(f"counts has shape {counts.shape}; expected (2, bins): excitatory, inhibitory{hint}")
        if not (np.isfinite(counts).all() and (counts >= 0).all() and (counts == np.rint(counts)).all()):
            raise ValueError("counts are numbers of spikes per bin, but some are negative, fractional or not finite")
        bin_ms = _number(arrays, "bin_ms")
        bin_ms = 1.0 if bin_ms is None else bin_ms
        if not bin_ms > 0:
            raise ValueError(f"bin_ms is {bin_ms:g}; it must be positive")
        rate = 1e3 / bin_ms
        return Recording(counts.astype(np.int64), rate, "1", POPULATIONS, _transient(arrays))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Every failure becomes a ValueError that names the file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error
    except ImportError:
        raise
    # A stranger's bytes can set off a dozen kinds of errors in zipfile, zlib, csv and numpy's header parser.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"cannot read {path}: {reason} (truncated, or not what its suffix says?)") from error


def _agreed_rate(found: float | None, given: float | None) -> float:
    if found is not None and given is not None and not abs(given - found) <= SAME_RATE * abs(found):
        raise ValueError(f"it says {found:g} Hz, you say {given:g} Hz; correct one of them")
    rate = given if found is None else found
    if rate is None:
        raise ValueError("it does not say its sampling rate; give sampling_rate in Hz (--sampling-rate)")
    return float(rate)


def _agreed_unit(found: str | None, given: str | None) -> str:
    if found and given and found != given:
        raise ValueError(f"it says its unit is '{found}', you say '{given}'; correct one of them")
    if unit := found or given:
        return unit
    raise ValueError("it does not say its unit; give unit='mV', 'uV' or 'V' (--unit)")


def _numbered(values: Real[np.ndarray, "channels samples"]) -> tuple[str, ...]:
    return tuple(f"channel {i + 1}" for i in range(values.shape[0]))


def _read_npz(path: Path) -> Contents:
    said = {"sampling_rate", "unit", "channels", "transient"}
    others = _npz_names(path) - said
    if "values" not in others and len(others) != 1:
        listed = ", ".join(sorted(others)) or "none"
        raise ValueError(f"it holds no array 'values' (channels x samples) and not one only; its arrays: {listed}")
    name = "values" if "values" in others else others.pop()
    arrays = _npz_arrays(path, said | {name})
    return Contents(
        _numbers(arrays[name], name),
        _number(arrays, "sampling_rate"),
        _text(arrays["unit"], "unit")[0] if "unit" in arrays else None,
        _text(arrays["channels"], "channels") if "channels" in arrays else None,
        _transient(arrays),
    )


def _read_npy(path: Path) -> Contents:
    with path.open("rb") as file:
        return Contents(_numbers(_array(file, path.stat().st_size), "the array"))


def _read_csv(path: Path) -> Contents:
    check_size(path.stat().st_size)
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline().removeprefix("#").strip()  # np.savetxt writes its header as a comment
    delimiter = max(",;\t", key=first.count)
    cells = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]
    header = () if all(_is_number(cell) for cell in cells) else tuple(cells)
    with warnings.catch_warnings(action="ignore"):  # of an empty file, which is an error below
        rows = np.loadtxt(
            path,
            delimiter=delimiter,
            skiprows=int(bool(header)),
            converters=_cell,
            ndmin=2,
            encoding="utf-8-sig",
            quotechar='"',
        )
    if rows.size == 0:
        raise ValueError("it holds no numbers")
    if header and len(header) != rows.shape[1]:
        raise ValueError(f"its header names {len(header)} columns, its rows have {rows.shape[1]}")
    if header and header[0] in _TIME_UNITS_MS:
        if rows.shape[1] == 1:
            raise ValueError("it holds no channel, only a column of times")
        return Contents(rows[:, 1:].T.copy(), _rate(rows[:, 0], header[0]), channels=header[1:])
    return Contents(rows.T.copy(), channels=header or None)


READERS: dict[str, Callable[[Path], Contents]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".csv": _read_csv,
    ".mat": read_matlab,
    ".nwb": read_nwb,
    **dict.fromkeys(MNE_SUFFIXES, read_mne),
    **dict.fromkeys(NEO_SUFFIXES, read_neo),
}
"""File suffix -> what reads it. A reader may raise what it likes: ``read_recording`` adds the name of the file."""


def _is_number(cell: str) -> bool:
    try:
        _cell(cell)
    except ValueError:
        return False
    return True


def _cell(cell: str) -> float:
    return float(cell) if cell.strip() else math.nan


def _rate(times: Float[np.ndarray, " samples"], name: str) -> float:
    """Hz, from a column of times. Raises ValueError where they are not evenly spaced."""
    if times.size < 2 or not np.isfinite(times).all() or not times[-1] > times[0]:
        raise ValueError(f"column '{name}' must hold two or more increasing numbers, without gaps")
    step = (times[-1] - times[0]) / (times.size - 1)
    uneven = np.abs(np.diff(times) - step) > _EVEN * step
    if uneven.any():
        i = int(uneven.argmax())
        raise ValueError(
            f"column '{name}' is uneven: it goes from {times[i]:.9g} to {times[i + 1]:.9g} at row {i + 2}; "
            f"the mean step is {step:.4g}; cut the recording at its gaps, or interpolate it to even steps"
        )
    rate = round(1e3 / (step * _TIME_UNITS_MS[name]), 6)
    if name == "time" and rate < 20:
        raise ValueError(f"column 'time', read as seconds, gives {rate:g} Hz; if it is in ms, name it 'time_ms'")
    return rate


def _npz_names(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy") for name in archive.namelist()}


def _npz_arrays(path: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Those of the wanted arrays that the file holds; the others stay packed."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in wanted:
                with archive.open(member) as file:
                    arrays[name] = _array(file, member.file_size)
    return arrays


def _array(file: IO[bytes] | BufferedIOBase, size: int) -> np.ndarray:
    """An array in numpy's format from ``size`` bytes; its header is checked before memory is taken for it."""
    check_size(size)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"its array has format version {version}; save it as a plain array of numbers")
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError(
            "its array holds Python objects, which are not read for safety; "
            "save numbers: all channels equally long, np.array(values, dtype=float)"
        )
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"its array should have shape {shape}, but the file ends before: truncated")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _numbers(array: np.ndarray, name: str) -> Real[np.ndarray, "rows columns"]:
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} has type {array.dtype}; expected real numbers")
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected channels x samples, neither of them empty")
    return np.atleast_2d(array)


def _number(arrays: dict[str, np.ndarray], name: str) -> float | None:
    if name not in arrays:
        return None
    if arrays[name].size != 1 or arrays[name].dtype.kind not in "iuf":
        raise ValueError(f"{name} must be one number; got {arrays[name]!r:.80}")
    return float(arrays[name].item())


def _transient(arrays: dict[str, np.ndarray]) -> int:
    samples = _number(arrays, "transient") or 0.0
    if not samples.is_integer():
        raise ValueError(f"transient must be a whole number of samples; got {samples:g}")
    return int(samples)


def _text(array: np.ndarray, name: str) -> tuple[str, ...]:
    if array.dtype.kind != "U" or array.size == 0:
        raise ValueError(f"{name} must be text; got {array!r:.80}")
    return tuple(str(text) for text in array.ravel())
