"""Recordings in plain files of numbers: numpy's .npz and .npy, and tables as .csv. Every size is checked before."""

import csv
import math
import warnings
import zipfile
from io import BufferedIOBase
from pathlib import Path
from typing import IO

import numpy as np

from inference.recordings.contents import (
    Contents,
    check_size,
    chosen,
    is_companion,
    number,
    rate_beside,
    rate_of,
    recorded,
    time_step_ms,
)

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(path: Path, variable: str | None = None) -> Contents:
    """The array that ``contents.chosen`` takes, and what stands beside it under the names of companions."""
    shapes = _npz_shapes(path)
    name = chosen(shapes, variable)
    arrays = npz_arrays(path, {name, *filter(is_companion, shapes)})
    values = recorded(arrays[name], name)
    rate, doubt = rate_beside({k: v for k, v in arrays.items() if k != name}, values)
    return Contents(
        values,
        rate,
        _text(arrays["unit"], "unit")[0] if "unit" in arrays else None,
        _text(arrays["channels"], "channels") if "channels" in arrays else None,
        transient(arrays),
        doubt,
    )


def read_npy(path: Path) -> Contents:
    """The array as channels x samples, trials x channels x samples, or one channel's samples."""
    with path.open("rb") as file:
        return Contents(recorded(_array(file, path.stat().st_size), "the array"))


def read_csv(path: Path) -> Contents:
    """A row a sample, a column a channel, names and times where it has them."""
    check_size(path.stat().st_size)
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline().removeprefix("#").strip()  # np.savetxt writes its header as a comment
    delimiter = max(",;\t", key=first.count)
    cells = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]
    header = () if all(_is_number(cell) for cell in cells) else tuple(cells)
    try:
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
    except ValueError as error:
        raise ValueError(_fault(path, delimiter, int(bool(header))) or str(error)) from error
    if rows.size == 0:
        raise ValueError("it holds no numbers")
    if header and len(header) != rows.shape[1]:
        raise ValueError(f"its header names {len(header)} columns, its rows have {rows.shape[1]}")
    times = [i for i, name in enumerate(header) if time_step_ms(name) is not None]
    if times:
        if rows.shape[1] == 1:
            raise ValueError("it holds no channel, only a column of times")
        rate, doubt = rate_of(rows[:, times[0]], header[times[0]])
        names = tuple(name for i, name in enumerate(header) if i != times[0])
        return Contents(np.delete(rows, times[0], axis=1).T.copy(), rate, channels=names, doubt=doubt)
    return Contents(rows.T.copy(), channels=header or None)


def _fault(path: Path, delimiter: str, skipped: int) -> str:
    """The first row of a table that is none of numbers, in words; "" where all are."""
    width = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter)
        for row in rows:
            if rows.line_num <= skipped or not row or row[0].startswith("#"):
                continue
            width = width or len(row)
            for column, cell in enumerate(row, 1):
                if not _is_number(cell):
                    return (
                        f"row {rows.line_num}, column {column} holds '{cell:.40}' where a number belongs; only the "
                        f"first row may hold names, and numbers are written as 1.5"
                    )
            if len(row) != width:
                return f"row {rows.line_num} has {len(row)} columns, the rows before it have {width}"
    return ""


def _is_number(cell: str) -> bool:
    try:
        _cell(cell)
    except ValueError:
        return False
    return True


def _cell(cell: str) -> float:
    return float(cell) if cell.strip() else math.nan


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Of all arrays, from their headers alone."""
    shapes = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                shapes[member.filename.removesuffix(".npy")] = _header(file)[0]
    return shapes


def npz_arrays(path: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Those of the wanted arrays that the file holds; the others stay packed."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in wanted:
                with archive.open(member) as file:
                    arrays[name] = _array(file, member.file_size)
    return arrays


def _header(file: IO[bytes] | BufferedIOBase) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"its array has format version {version}; save it as a plain array of numbers")
    shape, _, dtype = _HEADERS[version](file)
    return shape, dtype


def _array(file: IO[bytes] | BufferedIOBase, size: int) -> np.ndarray:
    """An array in numpy's format from ``size`` bytes; its header is checked before memory is taken for it."""
    check_size(size)
    shape, dtype = _header(file)
    if dtype.hasobject:
        raise ValueError(
            "its array holds Python objects, which are not read for safety; "
            "save numbers: all channels equally long, np.array(values, dtype=float)"
        )
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"its array should have shape {shape}, but the file ends before: truncated")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def transient(arrays: dict[str, np.ndarray]) -> int:
    """Samples, 0 where nothing is said. Raises ValueError for what is no whole number."""
    samples = number(arrays, "transient") or 0.0
    if not samples.is_integer():
        raise ValueError(f"transient must be a whole number of samples; got {samples:g}")
    return int(samples)


def _text(array: np.ndarray, name: str) -> tuple[str, ...]:
    if array.dtype.kind != "U" or array.size == 0:
        raise ValueError(f"{name} must be text; got {array!r:.80}")
    return tuple(str(text) for text in array.ravel())
