"""``circuitsbi infer``: parameters of measured recordings."""

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inference.commands.data_sets import ResultsOption, WorkersOption, answer_data_set, found_recordings, pages_in
from inference.commands.options import (
    BandOption,
    ChannelsOption,
    RangeOption,
    SamplingRateOption,
    UnitOption,
    VariableOption,
    chosen_band,
    chosen_range,
    model_files,
    named_values,
)
from inference.commands.output import console, plain_errors
from inference.commands.pages import page_of, refuse_pages
from simulators.files import refuse_unwritable

if TYPE_CHECKING:
    from inference.estimators.base import BaseEstimator
    from inference.recordings.dataset import Listed
    from inference.workflows.infer import AnsweredWindow
    from inference.workflows.work import Infer


def infer(
    recordings: Annotated[
        list[Path],
        typer.Argument(help=".npz, .npy, .csv, .mat, .nwb, .fif, .edf, .vhdr, ...; a folder; a BIDS data set."),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Estimator file, a folder of them, or a set that ships: one-channel (unknown gain and depth, any "
            "length), ten-parameters; those of --range by default."
        ),
    ] = None,
    range_name: RangeOption = "asynchronous",
    sampling_rate: SamplingRateOption = None,
    unit: UnitOption = None,
    variable: VariableOption = None,
    channels: ChannelsOption = None,
    report: Annotated[
        Path | None, typer.Option(help="Page to write (.html); or a folder, for a page each recording and window.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Table to write (.csv): a row a recording, window, method. estimates.csv if there are many."),
    ] = None,
    posteriors: Annotated[Path | None, typer.Option(help="All samples to write (.zarr, .nc).")] = None,
    window_s: Annotated[float | None, typer.Option("--window", help="Cut recordings into windows (s).")] = None,
    notch: Annotated[float | None, typer.Option(help="Filter out line noise of so many Hz, and its multiples.")] = None,
    detrend: Annotated[
        bool, typer.Option("--detrend", help="Subtract a straight line from each channel and window.")
    ] = False,
    band: BandOption = None,
    known: Annotated[
        str | None,
        typer.Option(help="Values that are known, as 'tau_m=20,t_ref=2': what they change of the others is said."),
    ] = None,
    noise: Annotated[
        bool, typer.Option("--noise", help="The channels have noise of their own: the gradient fit fits it along.")
    ] = False,
    background: Annotated[
        bool,
        typer.Option("--background", help="The same for a 1/f background of any exponent with a knee and white noise."),
    ] = False,
    rhythms: Annotated[
        int, typer.Option(min=0, max=20, help="With --background: so many rhythms from elsewhere are fitted along.")
    ] = 0,
    results: ResultsOption = None,
    workers: WorkersOption = None,
) -> None:
    """Estimate a circuit's parameters from recordings: a verdict on each first, then the numbers.

    Numbers that are not to be trusted stand in brackets, and in the table (.csv) not at all.

    The table's column "status" says ok, doubtful, refused (unlike the simulated circuit) or failed (no answer).

    Of a folder or a BIDS data set, answers are kept in a folder of results, and the same command goes on where it was.
    """
    with plain_errors():
        _refuse_endings(out, posteriors)
        found, folder = found_recordings(recordings, results, workers, Path("infer-results"))
        band_hz = chosen_band(band)
        from inference.workflows.methods import Methods, loaded
        from inference.workflows.shipped import shipped_files
        from inference.workflows.work import Infer, Reading

        name = chosen_range(range_name)
        files = tuple(shipped_files(name) if model is None else model_files(model))
        methods = Methods(files, noise, background, rhythms, band_hz, tuple(_values(known).items()))
        pick = None if channels is None else tuple(channel.strip() for channel in channels.split(","))
        reading = Reading(sampling_rate, unit, pick, variable)
        other_than = name if model is None and band_hz is None else None
        work = Infer(methods, reading, window_s, notch, detrend, other_than)
        if folder is None:
            _answer_files(found, work, report, out, posteriors)
            return
        for note in loaded(methods).notes:
            console.print(note)
        work = replace(work, pages=pages_in(report, found))
        answer_data_set(found, work, folder, workers, out, posteriors)


def _answer_files(
    found: "Sequence[Listed]", work: "Infer", report: Path | None, out: Path | None, posteriors: Path | None
) -> None:
    """A few files, as they are answered: on the terminal, and in a table."""
    from inference.recordings.dataset import LABELS
    from inference.recordings.files import trial_count

    recordings = [one.path for one in found]
    trials = {path for path in recordings if trial_count(path, work.reading.variable) > 1}
    several = trials if work.window_s is None else set(recordings)
    many = len(recordings) > 1 or bool(several)
    out = Path("estimates.csv") if out is None and many else out
    _refuse_outputs(report, out, many)
    from inference.reports.answers import AnswerTable, write_posteriors
    from inference.workflows.infer import write_page
    from inference.workflows.methods import loaded

    methods = loaded(work.methods)
    for note in methods.notes:
        console.print(note)
    labels = [name for name in LABELS if any(name in one.labels for one in found)]
    kept = []
    with nullcontext() if out is None else AnswerTable(out, methods.estimators[0].parameters, labels) as table:
        for window in work.windows(found):
            for answer in window.answers:
                kept.append(answer)
                if table is not None:
                    table.add(answer)
            _show(window, brief=many)
            if work.methods.known and not many:
                _show_known(window, methods.learned, dict(work.methods.known))
            if report is not None and window.estimates:
                start = f"_{window.start_s:g}s" if Path(window.recording) in several else ""
                page = page_of(report, recordings, Path(window.recording), start)
                write_page(page, f"circuitsbi: {Path(window.recording).name}", window)
                console.print(f"report: {page}")
    if out is not None:
        counts = Counter(answer.status for answer in kept)
        console.print(f"{out}: {len(kept)} rows, " + ", ".join(f"{n} {status}" for status, n in counts.items()))
    if all(answer.estimate is None for answer in kept):
        raise ValueError("; ".join(dict.fromkeys(answer.reason for answer in kept)))
    if posteriors is not None:
        write_posteriors(posteriors, kept)
        console.print(f"samples: {posteriors}")


def _refuse_endings(out: Path | None, posteriors: Path | None) -> None:
    """Raises ValueError for kinds of files that are not written."""
    if out is not None and out.suffix != ".csv":
        raise ValueError(f"the table is written as .csv, not as '{out.suffix}'; rename {out}")
    if posteriors is not None and posteriors.suffix not in (".zarr", ".nc"):
        raise ValueError(f"posteriors are written as .zarr or .nc, not as '{posteriors.suffix}'; rename {posteriors}")


def _refuse_outputs(report: Path | None, out: Path | None, many: bool) -> None:
    """Raises ValueError for what cannot be written, before the work is done."""
    if report is not None:
        refuse_pages(report, many, "recordings or windows")
    if out is not None and not out.is_dir():
        refuse_unwritable(out)


def _show(window: "AnsweredWindow", brief: bool) -> None:
    """Of one recording the verdict, the table, and the details; of each of many a line."""
    from inference.reports.tables import detail_lines, estimates_table, show, verdict_lines

    if brief:
        at = f", {window.start_s:g} s" if window.start_s else ""
        show(console, f"{window.recording}{at}: {window.verdict.sentence}")
    elif window.estimates:
        table = estimates_table(window.estimates)
        show(console, *verdict_lines(window.verdict), table, *detail_lines(window.verdict))


def _values(known: str | None) -> dict[str, float]:
    """NAME=NUMBER,... as a dictionary. Raises ValueError for anything else."""
    found = {} if known is None else named_values(known.split(","))
    for name, value in found.items():
        if not name or isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"--known '{name}={value}' is not NAME=NUMBER, such as tau_m=20")
    return {name: float(value) for name, value in found.items()}


def _show_known(window: "AnsweredWindow", learned: "list[BaseEstimator]", known: dict[str, float]) -> None:
    """What the known values change, by the methods that answered."""
    from inference.reports.tables import known_lines, show

    measured = window.measured
    if measured is None or not window.estimates:
        return
    pairs = [
        (e.suited(measured).estimate(measured), a.estimate)
        for e, a in zip(learned, window.answers, strict=True)
        if a.estimate
    ]
    without, given = (list(column) for column in zip(*pairs, strict=True))
    show(console, *known_lines(without, given, known))
