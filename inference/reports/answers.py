"""Answers as a table and as files of samples."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from inference.estimate import Estimate
from inference.reports.verdict import DOUBTFUL, FAILED, OK, REFUSED, Verdict, remarks_on, verdict
from simulators.interface import ParameterSpace
from simulators.text import printable

if TYPE_CHECKING:
    import xarray

MASS = 0.95
_ENDS = ("", "_low", "_high")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, eq=False)
class Answer:
    """One method's answer to one window of a recording; ``estimate`` None where there is none, for ``reason``.

    quality_warnings: about the recording itself. verdict: on all methods' answers to this window together. labels:
    whose recording it is (subject, session, condition ...). notes: what was left out on reading, no reason for doubt.
    """

    recording: str
    window: int
    start_s: float
    method: str
    estimate: Estimate | None
    reason: str = ""
    quality_warnings: tuple[str, ...] = ()
    verdict: Verdict | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """ "failed" without an estimate; "refused" where the method does not stand by it; "doubtful"; "ok".

        A method that has no objection of its own is doubtful where another one refuses the same recording.
        """
        if self.estimate is None:
            return FAILED
        if not self.estimate.trusted:
            return REFUSED
        own = verdict([self.estimate], self.quality_warnings)
        together = OK if self.verdict is None else self.verdict.status
        return OK if own.status == together == OK else DOUBTFUL


class AnswerTable:
    """A CSV file of answers, each row there as soon as it is added; a context manager.

    Columns: recording, the labels, window, start_s, method, status, verdict, then of every parameter the point and its
    95 % interval, then warnings or the reason of a failure. What is refused has no numbers: its samples, if wanted all
    the same, are in the file of posteriors.
    """

    def __init__(self, path: Path, parameters: ParameterSpace, labels: Sequence[str] = ()):
        self._file = path.open("w", newline="", encoding="utf-8")
        self._table = csv.DictWriter(self._file, answer_columns(parameters, labels), restval="", extrasaction="ignore")
        self._table.writeheader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, answer: Answer) -> None:
        """Write the row of one answer at once: what was finished survives a crash."""
        self._table.writerow(answer_row(answer))
        self._file.flush()


def answer_columns(parameters: ParameterSpace, labels: Sequence[str] = ()) -> list[str]:
    """The columns of a table of answers."""
    numbers = [f"{p.name}{end}" for p in parameters for end in _ENDS]
    return ["recording", *labels, "window", "start_s", "method", "status", "verdict", *numbers, "remarks"]


def answer_row(answer: Answer) -> dict[str, str]:
    """The cells of an answer by their columns; those that would be empty are left out."""
    row = {
        "recording": plain(answer.recording),
        **{name: plain(label) for name, label in answer.labels.items()},
        "window": str(answer.window),
        "start_s": f"{answer.start_s:g}",
        "method": answer.method,
        "status": answer.status,
        "verdict": "" if answer.verdict is None else plain(answer.verdict.sentence),
    }
    if answer.estimate is None:
        return row | {"remarks": plain("; ".join((answer.reason, *answer.notes)))}
    names = [f"{name}{end}" for name in answer.estimate.names for end in _ENDS]
    remarks = (*answer.quality_warnings, *remarks_on(answer.estimate), *answer.notes)
    return row | dict(zip(names, _numbers(answer.estimate), strict=True)) | {"remarks": plain("; ".join(remarks))}


def write_table(path: Path, answers: Iterable[Answer], parameters: ParameterSpace) -> tuple[int, list[Answer]]:
    """Write answers as an ``AnswerTable``; gives back the number of failures and all answers."""
    kept: list[Answer] = []
    with AnswerTable(path, parameters) as table:
        for answer in answers:
            table.add(answer)
            kept.append(answer)
    return sum(a.estimate is None for a in kept), kept


def _numbers(estimate: Estimate) -> list[str]:
    if not estimate.trusted or (estimate.samples is not None and not estimate.has_interval):
        return [""] * (3 * len(estimate.parameters))
    if estimate.samples is None:
        return [text for value in estimate.point for text in (f"{value:.6g}", "", "")]
    each = zip(estimate.point, estimate.interval(MASS), strict=True)
    return [f"{v:.6g}" for point, (low, high) in each for v in (point, low, high)]


def plain(text: str) -> str:
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
                recording=printable(a.recording),
                start_s=a.start_s,
                method=a.estimate.method,
                status=a.status,
                warnings=list(a.estimate.warnings),
                **a.labels,
            )
    out = xarray.DataTree.from_dict(groups)
    out.attrs["recordings"] = [printable(file) for file in files]
    out.attrs["failures"] = [
        printable(f"{a.recording}, window {a.window}, {a.method}: {a.reason}") for a in answers if a.reason
    ]
    return out


def write_posteriors(path: Path, answers: Sequence[Answer]) -> None:
    """Write all samples as .zarr or .nc (netCDF 4). Raises ValueError for another ending, or if nothing succeeded."""
    write_tree(path, to_xarray(answers))


def write_tree(path: Path, tree: "xarray.DataTree") -> None:
    """Write groups of samples as .zarr or .nc, over what was there. Raises ValueError for another ending."""
    if path.suffix == ".zarr":
        tree.to_zarr(path, mode="w")
    elif path.suffix == ".nc":
        with suppress(FileNotFoundError):
            path.unlink()
        tree.to_netcdf(path, engine="h5netcdf")
    else:
        raise ValueError(f"posteriors are written as .zarr or .nc, not as '{path.suffix}'; rename {path}")
