"""Folders and BIDS data sets on the command line: their recordings, their results, and how far they are."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inference.commands.output import console
from inference.commands.pages import page_of, refuse_pages
from simulators.files import refuse_unwritable

if TYPE_CHECKING:
    from inference.recordings.dataset import Listed
    from inference.reports.results import Record
    from inference.workflows.data_set import Work
    from inference.workflows.work import Pages

ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--results",
        help="Folder that keeps each recording's answers and table.csv; the same command goes on with what it lacks. "
        "For folders and BIDS data sets, infer-results or explain-results by default; for files, where it is given.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Recordings at a time, each in a process; 2 by default. With --results."),
]
_WORKERS = 2
_MOST_REASONS = 3


def found_recordings(
    paths: Sequence[Path], results: Path | None, workers: int | None, default: Path
) -> "tuple[list[Listed], Path | None]":
    """The recordings that arguments stand for, and the folder of results, None where they are a few files.

    Raises ValueError as ``listed`` does, and for workers without a folder of results.
    """
    from inference.recordings.dataset import is_data_set, listed

    if results is None and any(map(is_data_set, paths)):
        results = default
    if results is None and workers is not None:
        raise ValueError("--workers answer recordings of a folder, or with --results; give one of them")
    return listed(paths, [] if results is None else [results]), results


def pages_in(report: Path | None, recordings: "Sequence[Listed]") -> "Pages | None":
    """A page for each recording in the folder ``report``. Raises ValueError where that is one page."""
    from inference.workflows.work import Pages

    if report is None:
        return None
    refuse_pages(report, many=True)
    paths = [one.path for one in recordings]
    return Pages(report, tuple((path, page_of(report, paths, path).stem) for path in paths))


def answer_data_set(
    recordings: "Sequence[Listed]",
    work: "Work",
    folder: Path,
    workers: int | None,
    out: Path | None,
    posteriors: Path | None = None,
) -> "list[Record]":
    """Ask each recording, keep what it gives in ``folder``, and write a table besides and samples where asked.

    Raises ValueError where no recording has an answer.
    """
    from inference.reports.results import open_results, write_all_samples, write_rows
    from inference.reports.verdict import FAILED
    from inference.workflows.data_set import answer_all, table_of

    for path in (out, posteriors):
        if path is not None and not (path.suffix == ".zarr" and path.is_dir()):
            refuse_unwritable(path)
    results = open_results(folder, work.asked())
    number = min(_WORKERS, os.cpu_count() or 1) if workers is None else workers
    records = answer_all(recordings, work, results, number, console)
    columns, rows = table_of(recordings, dict(enumerate(records)), work)
    if out is not None:
        write_rows(out, columns, rows)
    counts = Counter(row["status"] for row in rows)
    told = ", ".join(f"{n} {status}" for status, n in counts.items())
    console.print(f"{out or results.table}: {len(recordings)} recordings, {len(rows)} rows, {told}")
    if counts[FAILED]:
        console.print("what failed is asked again by the same command")
    if counts[FAILED] == len(rows):
        reasons = list(dict.fromkeys(row.get("remarks") or row["verdict"] for row in rows))
        more = f"; and {len(reasons) - _MOST_REASONS} more in {results.table}" if len(reasons) > _MOST_REASONS else ""
        raise ValueError("; ".join(reasons[:_MOST_REASONS]) + more)
    if posteriors is not None:
        write_all_samples(posteriors, results, list(zip(recordings, records, strict=True)))
        console.print(f"samples: {posteriors}")
    return records
