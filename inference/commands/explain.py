"""``circuitsbi explain``: which circuit could have made a recording, and whether one could."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inference.commands.data_sets import ResultsOption, WorkersOption, answer_data_set, found_recordings, pages_in
from inference.commands.options import BandOption, SamplingRateOption, VariableOption, chosen_band
from inference.commands.output import console, plain_errors, refuse_no_picture
from inference.commands.pages import page_of, refuse_pages
from simulators.files import refuse_unwritable

if TYPE_CHECKING:
    from inference.recordings.dataset import Listed

_CODES = {"explained": 0, "doubtful": 3, "not explained": 4, "failed": 2}


def explain(
    recordings: Annotated[
        list[Path],
        typer.Argument(help=".npz, .npy, .csv, .mat, .nwb, .fif, .edf, .vhdr, ...; a folder; a BIDS data set."),
    ],
    sampling_rate: SamplingRateOption = None,
    variable: VariableOption = None,
    channel: Annotated[str | None, typer.Option(help="Channel to look at; the middle one by default.")] = None,
    band: BandOption = None,
    figure: Annotated[
        Path | None, typer.Option(help="Picture of every circuit's band, of the last recording (.png, .pdf, .svg).")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Page to write (.html); or a folder, for a page each recording.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Table to write (.csv): a row a recording and circuit.")] = None,
    results: ResultsOption = None,
    workers: WorkersOption = None,
) -> None:
    """Lay one channel, 10 to 200 Hz, of unknown gain and depth, before every shipped circuit and a background alone.

    Of a slower or low-passed recording, or with --band, a part of these frequencies. Trials count as one recording.

    Ends with 0 if one circuit explains the last recording, 3 if that is doubtful, 4 if none does, 2 on an error.

    Of a folder or a BIDS data set, answers are kept in a folder of results, and the same command goes on where it was.
    It ends with 0, or with 2 if no recording has an answer.
    """
    status = "failed"
    with plain_errors():
        from inference.recordings.dataset import LABELS
        from inference.reports.explained import ExplainedTable, show_explained
        from inference.reports.explained_figure import explained_figure
        from inference.reports.explained_page import write_explained_page
        from inference.workflows.explain import explain_files

        if out is not None and out.suffix != ".csv":
            raise ValueError(f"the table is written as .csv, not as '{out.suffix}'; rename {out}")
        found, folder = found_recordings(recordings, results, workers, Path("explain-results"))
        if folder is not None:
            _explain_data_set(found, folder, workers, out, report, figure, band, sampling_rate, channel, variable)
            return
        for path in (figure, out):
            if path is not None:
                refuse_unwritable(path)
        if figure is not None:
            refuse_no_picture(figure)
        if report is not None:
            refuse_pages(report, len(found) > 1)
        band_hz = chosen_band(band)
        pick = None if channel is None else [channel]
        labels = [name for name in LABELS if any(name in one.labels for one in found)]
        rows, last = ExplainedTable(labels), None
        with console.status("reading ...") as bar:
            answers = explain_files(
                found, pick=pick, say=lambda name: bar.update(f"{name} ..."), band_hz=band_hz,
                sampling_rate=sampling_rate, variable=variable,
            )  # fmt: skip
            for listed, one in zip(found, answers, strict=True):
                status = show_explained(console, one)
                rows.add(one, listed.labels)
                if out is not None:
                    rows.write(out)
                if report is not None and not isinstance(one, tuple):
                    page = page_of(report, [each.path for each in found], Path(one.recording))
                    write_explained_page(page, one)
                    console.print(f"report: {page}")
                last = last if isinstance(one, tuple) else one
        if out is not None:
            console.print(f"{out}: {len(rows)} rows")
        if figure is not None and last is not None:
            explained_figure(last).savefig(figure)
            console.print(f"figure: {figure}")
    if _CODES[status]:
        raise typer.Exit(_CODES[status])


def _explain_data_set(
    found: "Sequence[Listed]",
    folder: Path,
    workers: int | None,
    out: Path | None,
    report: Path | None,
    figure: Path | None,
    band: str | None,
    sampling_rate: float | None,
    channel: str | None,
    variable: str | None,
) -> None:
    from inference.workflows.work import Explain, Reading

    if figure is not None:
        raise ValueError("--figure is of one recording; of a data set take --report FOLDER, which has one on each page")
    reading = Reading(sampling_rate, pick=None if channel is None else (channel,), variable=variable)
    work = Explain(reading, chosen_band(band), pages_in(report, found))
    answer_data_set(found, work, folder, workers, out)
