"""Answers as a table and as files of samples."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inference.estimate import Estimate
from simulators.interface import ParameterSpace
from simulators.text import printable

if TYPE_CHECKING:
    import xarray

MASS = 0.95
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, eq=False)
class Answer:
    """One method's answer to one window of a recording; ``estimate`` None where there is none, for ``reason``.

    doubts: about the recording itself.
    """

    recording: str
    window: int
    start_s: float
    method: str
    estimate: Estimate | None
    reason: str = ""
    doubts: tuple[str, ...] = ()


def write_table(path: Path, answers: Iterator[Answer], parameters: ParameterSpace) -> tuple[int, list[Answer]]:
    """Write a CSV file, each row as soon as it is there; gives back the number of failures and all answers.

    Columns: recording, window, start_s, method, status, then of every parameter the point and its 95 % interval, then
    warnings or the reason of a failure.
    """
    columns = [f"{p.name}{end}" for p in parameters for end in ("", "_low", "_high")]
    kept: list[Answer] = []
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["recording", "window", "start_s", "method", "status", *columns, "remarks"])
        for answer in answers:
            kept.append(answer)
            place = [_plain(answer.recording), answer.window, f"{answer.start_s:g}", answer.method]
            if answer.estimate is None:
                table.writerow([*place, "failed", *[""] * len(columns), _plain(answer.reason)])
            else:
                remarks = "; ".join((*answer.doubts, *answer.estimate.warnings))
                table.writerow([*place, "ok", *_numbers(answer.estimate), _plain(remarks)])
            file.flush()
    return sum(a.estimate is None for a in kept), kept


def _numbers(estimate: Estimate) -> list[str]:
    if estimate.samples is None:
        return [text for value in estimate.point for text in (f"{value:.6g}", "", "")]
    each = zip(estimate.point, estimate.interval(MASS), strict=True)
    return [f"{v:.6g}" for point, (low, high) in each for v in (point, low, high)]


def _plain(text: str) -> str:
    """A cell that no spreadsheet takes for a formula, and no terminal for orders."""
    text = printable(text)
    return "'" + text if text.startswith(_FORMULA) else text


def to_xarray(answers: Sequence[Answer]) -> "xarray.DataTree":
    """As ArviZ lays posteriors out: a group for each method, recording and window (``npe/0/2/posterior``).

    Failures are named in the attribute ``failures``. Raises ValueError where nothing succeeded.
    """
    import xarray

    answered = [a for a in answers if a.estimate is not None]
    if not answered:
        raise ValueError("no recording could be answered, so there are no posteriors to write")
    files = list(dict.fromkeys(a.recording for a in answers))
    groups = {}
    for a in answered:
        assert a.estimate is not None
        tree = a.estimate.to_xarray()
        name = f"/{a.method}/{files.index(a.recording)}/{a.window}"
        for child in tree.children.values():
            groups[f"{name}/{child.name}"] = child.to_dataset().assign_attrs(
                recording=a.recording, start_s=a.start_s, method=a.estimate.method, warnings=list(a.estimate.warnings)
            )
    out = xarray.DataTree.from_dict(groups)
    out.attrs["recordings"] = files
    out.attrs["failures"] = [f"{a.recording}, window {a.window}, {a.method}: {a.reason}" for a in answers if a.reason]
    return out


def write_posteriors(path: Path, answers: Sequence[Answer]) -> None:
    """Write all samples as .zarr or .nc (netCDF 4). Raises ValueError for another ending, or if nothing succeeded."""
    tree = to_xarray(answers)
    if path.suffix == ".zarr":
        tree.to_zarr(path, mode="w")
    elif path.suffix == ".nc":
        with suppress(FileNotFoundError):
            path.unlink()
        tree.to_netcdf(path, engine="h5netcdf")
    else:
        raise ValueError(f"posteriors are written as .zarr or .nc, not as '{path.suffix}'; rename {path}")
