"""What 'circuitsbi explain' says of measured recordings, where nobody knows the maker: is it honest?

    python scripts/evaluate_recordings.py FOLDER                          the middle channel of every file
    python scripts/evaluate_recordings.py FOLDER --channels all           every channel, about 10 s each on one core
    python scripts/evaluate_recordings.py FOLDER --sampling-rate 1000     where files do not say it (Hz)

FOLDER holds recordings of any kind that 'explain' reads; other files are named and left out. What cannot be answered is
a row that says why. Parameters are those of the circuit that the verdict names, where they are to be trusted and the
recording tells of them; the misfit is of that circuit, or of the nearest one where none is named.

The last line is one JSON object: verdicts (how many of each), rows (recording, channel, verdict and its sentence, most
probable, circuit, misfit_nats and what is allowed, in_band_percent and what is expected, background_percent, parameters
as point and 95 % interval, or why there are none, and of every circuit whether it fits and where the recording leaves
it), left_out, seconds.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from rich.progress import track
from rich.table import Table

from inference.commands.output import console
from inference.evaluation.constraint import LITTLE, range_left
from inference.explaining.comparison import BACKGROUND
from inference.explaining.explain import Explained, in_decibels
from inference.explaining.fits import Explanation
from inference.recordings.files import READERS, read_trials
from inference.reports.tables import show
from inference.workflows.explain import explain_files

FAILED = "failed"
ALL, MIDDLE = "all", "middle"
Job = tuple[Path, str | None]


def recordings_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files that a reader takes, and those that none does. Raises ValueError where there is nothing to read."""
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    taken = [path for path in files if path.suffix.lower() in READERS]
    if not taken:
        raise ValueError(f"{folder} holds no recording; files that end in {', '.join(READERS)} are read")
    return taken, [path for path in files if path not in taken]


def jobs_of(paths: list[Path], channels: str, **reading: Any) -> Iterator[Job]:
    """Files and the channels to look at; None is the middle one."""
    for path in paths:
        names: tuple[str | None, ...] = (None,)
        if channels == ALL:
            try:
                names = read_trials(path, any_unit=True, **reading)[0].channels
            except Exception:  # its row says why
                names = (None,)
        yield from ((path, name) for name in names)


def row_of(job: Job, **reading: Any) -> dict[str, Any]:
    """What is said of one channel."""
    torch.set_num_threads(1)
    path, channel = job
    (one,) = explain_files([path], pick=None if channel is None else [channel], **reading)
    if isinstance(one, tuple):
        return {"recording": path.name, "channel": channel, "verdict": FAILED, "sentence": one[1]}
    meant = one.best or nearest(one)
    likeliest, (told, why_not) = next(iter(one.probabilities), None), parameters_of(one)
    return {
        "recording": path.name,
        "channel": one.channel,
        "verdict": one.status,
        "sentence": one.sentence,
        "most_probable": likeliest,
        "probability": None if likeliest is None else round(one.probabilities[likeliest], 3),
        "circuit": meant.name,
        "misfit_nats": round(meant.misfit, 1),
        "allowed_nats": round(meant.worst, 1),
        "in_band_percent": round(100 * meant.check.inside, 1),
        "expected_in_band_percent": round(100 * meant.check.expected, 1),
        "background_percent": round(100 * meant.share, 1),
        "parameters": told,
        "no_parameters": why_not,
        "circuits": {
            e.name: {
                "fits": e.fits,
                "misfit_nats": round(e.misfit, 1),
                "allowed_nats": round(e.worst, 1),
                "departures": [in_decibels(d) for d in e.check.departures],
            }
            for e in one.explanations
        },
    }


def nearest(one: Explained) -> Explanation:
    """Of what fits the most probable; where nothing does, the circuit least beyond what its own recordings may have."""
    fitting = [e for e in one.explanations if e.fits]
    if fitting:
        return max(fitting, key=lambda e: (one.probabilities.get(e.name, 0.0), e.worst - e.misfit))
    return min((e for e in one.explanations if e.name != BACKGROUND), key=lambda e: e.misfit - e.worst)


def parameters_of(one: Explained) -> tuple[dict[str, list[float]], str]:
    """Point and 95 % interval of what the recording tells; where nothing is to be trusted, nothing, and why."""
    estimate = None if one.best is None else one.best.estimate
    if estimate is None:
        return {}, "the verdict names no circuit"
    if not estimate.trusted or not estimate.has_interval:
        return {}, f"not to be trusted: {estimate.warnings[0] if estimate.warnings else 'no posterior'}"
    each = zip(estimate.names, estimate.point, estimate.interval(0.95), range_left(estimate), strict=True)
    told = {n: [float(f"{v:.4g}") for v in (point, *ends)] for n, point, ends, left in each if left <= LITTLE}
    return told, "" if told else "all left open"


def show_rows(rows: list[dict[str, Any]]) -> None:
    table = Table("recording", "channel", "verdict", "most probable", "circuit", "misfit (allowed), nats",
                  "in band, %", "parameters, or why there is no answer")  # fmt: skip
    for row in rows:
        if row["verdict"] == FAILED:
            table.add_row(row["recording"], row["channel"] or "", FAILED, "", "", "", "", row["sentence"])
            continue
        values = row["parameters"].items()
        told = ", ".join(f"{name} {v:g} [{low:g}, {high:g}]" for name, (v, low, high) in values)
        misfit = f"{row['misfit_nats']:g} ({row['allowed_nats']:g})"
        table.add_row(
            row["recording"], row["channel"], row["verdict"],
            f"{row['most_probable']} {row['probability']:.0%}" if row["most_probable"] else "not told",
            row["circuit"], misfit, f"{row['in_band_percent']:.0f}", told or shorten(row["no_parameters"], 70),
        )  # fmt: skip
    show(console, table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sampling-rate", type=float, help="Hz, where files do not say")
    parser.add_argument("--variable", help="which of the variables of a .npz, .mat or .nwb file is the recording")
    parser.add_argument("--channels", choices=[ALL, MIDDLE], default=MIDDLE)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    begun = time.perf_counter()
    try:
        paths, left_out = recordings_in(arguments.folder)
    except ValueError as error:
        parser.error(str(error))
    reading = {"sampling_rate": arguments.sampling_rate, "variable": arguments.variable}
    jobs = list(jobs_of(paths, arguments.channels, **reading))
    with ProcessPoolExecutor(arguments.workers) as pool:
        asked = pool.map(partial(row_of, **reading), jobs)
        rows = list(track(asked, "explaining", len(jobs), console=console, transient=True))
    show_rows(rows)
    for path in left_out:
        show(console, f"left out: {path.name}")
    result = {
        "verdicts": dict(Counter(row["verdict"] for row in rows)),
        "rows": rows,
        "left_out": [path.name for path in left_out],
        "seconds": round(time.perf_counter() - begun),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
