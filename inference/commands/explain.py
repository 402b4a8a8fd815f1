"""``circuitsbi explain``: which circuit could have made a recording, and whether one could."""

from pathlib import Path
from typing import Annotated

import typer

from inference.commands.options import BandOption, chosen_band
from inference.commands.output import console, plain_errors, refuse_no_picture
from inference.commands.pages import page_of, refuse_pages
from simulators.files import refuse_unwritable

_CODES = {"explained": 0, "doubtful": 3, "not explained": 4, "failed": 2}


def explain(
    recordings: Annotated[list[Path], typer.Argument(help=".npz, .npy, .csv, .mat, .nwb, .fif, .edf, .vhdr, ...")],
    sampling_rate: Annotated[float | None, typer.Option(help="Hz, where the file does not say.")] = None,
    variable: Annotated[
        str | None, typer.Option(help="Which of the variables of a .npz, .mat or .nwb file is the recording.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Channel to look at; the middle one by default.")] = None,
    band: BandOption = None,
    figure: Annotated[
        Path | None, typer.Option(help="Picture of every circuit's band, of the last recording (.png, .pdf, .svg).")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Page to write (.html); or a folder, for a page each recording.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Table to write (.csv): a row a recording and circuit.")] = None,
) -> None:
    """Lay one channel, 10 to 200 Hz, of unknown gain and depth, before every shipped circuit and a background alone.

    Of a slower or low-passed recording, or with --band, a part of these frequencies. Trials count as one recording.

    Ends with 0 if one circuit explains the last recording, 3 if that is doubtful, 4 if none does, 2 on an error.
    """
    status = "failed"
    with plain_errors():
        from inference.reports.explained import ExplainedTable, show_explained
        from inference.reports.explained_figure import explained_figure
        from inference.reports.explained_page import write_explained_page
        from inference.workflows.explain import explain_files

        if out is not None and out.suffix != ".csv":
            raise ValueError(f"the table is written as .csv, not as '{out.suffix}'; rename {out}")
        for path in (figure, out):
            if path is not None:
                refuse_unwritable(path)
        if figure is not None:
            refuse_no_picture(figure)
        if report is not None:
            refuse_pages(report, len(recordings) > 1)
        band_hz = chosen_band(band)
        pick = None if channel is None else [channel]
        rows, last = ExplainedTable(), None
        with console.status("reading ...") as bar:
            answers = explain_files(
                recordings, pick=pick, say=lambda name: bar.update(f"{name} ..."), band_hz=band_hz,
                sampling_rate=sampling_rate, variable=variable,
            )  # fmt: skip
            for one in answers:
                status = show_explained(console, one)
                rows.add(one)
                if out is not None:
                    rows.write(out)
                if report is not None and not isinstance(one, tuple):
                    page = page_of(report, recordings, Path(one.recording))
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
