"""``circuitsbi infer``: parameters of measured recordings."""

from pathlib import Path
from typing import Annotated, Any

import typer

from inference.commands.options import RangeOption, chosen_range, load_models
from inference.commands.output import console, plain_errors, warn
from simulators.files import refuse_unwritable


def infer(
    recordings: Annotated[list[Path], typer.Argument(help=".npz, .npy, .csv, .mat, .nwb, .fif, .edf, .vhdr, ...")],
    model: Annotated[
        Path | None, typer.Option(help="Estimator file, or a folder of them; shipped ones by default.")
    ] = None,
    range_name: RangeOption = "asynchronous",
    sampling_rate: Annotated[float | None, typer.Option(help="Hz, where the file does not say.")] = None,
    unit: Annotated[str | None, typer.Option(help="mV, uV or V, where the file does not say.")] = None,
    channels: Annotated[str | None, typer.Option(help="Channels to take, in this order: 'Cz' or 'ch3,ch2'.")] = None,
    report: Annotated[Path | None, typer.Option(help="HTML report to write, of one recording.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Table to write (.csv): a row a recording, window, method; estimates.csv.")
    ] = None,
    posteriors: Annotated[Path | None, typer.Option(help="All samples to write (.zarr, .nc).")] = None,
    window_s: Annotated[float | None, typer.Option("--window", help="Cut recordings into windows (s).")] = None,
    notch: Annotated[float | None, typer.Option(help="Filter out line noise of so many Hz, and its multiples.")] = None,
    noise: Annotated[
        bool, typer.Option("--noise", help="The channels have noise: the gradient fit fits it too.")
    ] = False,
) -> None:
    """Estimate a circuit's parameters from one recording, or from many into a table."""
    with plain_errors():
        for path in (report, out):
            if path is not None:
                refuse_unwritable(path)
        from inference.estimators.gradient_fit import GradientFit
        from inference.workflows.shipped import shipped_estimators

        estimators = shipped_estimators(chosen_range(range_name)) if model is None else load_models(model)
        if noise:
            estimators = [e.with_nuisances(floor=True) for e in estimators if isinstance(e, GradientFit)]
            if not estimators:
                raise ValueError("only the gradient fit knows noise; train one with 'circuitsbi train'")
            console.print("noise is fitted along; the other estimators, which learned without, are left out")
        pick = None if channels is None else [name.strip() for name in channels.split(",")]
        reading = {"sampling_rate": sampling_rate, "unit": unit, "pick": pick}
        if out is not None or posteriors is not None or window_s is not None or len(recordings) > 1:
            if report is not None:
                raise ValueError("a report is of one whole recording; leave --report out, or give one recording alone")
            _infer_many(recordings, estimators, out, posteriors, window_s, notch, reading)
        else:
            _infer_one(recordings[0], estimators, report, notch, reading)


def _infer_many(
    recordings: list[Path],
    estimators: list[Any],
    out: Path | None,
    posteriors: Path | None,
    window_s: float | None,
    notch: float | None,
    reading: dict[str, Any],
) -> None:
    from inference.reports.answers import write_posteriors, write_table
    from inference.workflows.infer import infer as infer_recordings

    out = out or Path("estimates.csv")
    if out.suffix != ".csv":
        raise ValueError(f"the table is written as .csv, not as '{out.suffix}'; rename {out}")
    if posteriors is not None and posteriors.suffix not in (".zarr", ".nc"):
        raise ValueError(f"posteriors are written as .zarr or .nc, not as '{posteriors.suffix}'; rename {posteriors}")
    answers = infer_recordings(recordings, estimators, window_s, notch, **reading)
    failures, kept = write_table(out, answers, estimators[0].parameters)
    console.print(f"{out}: {len(kept)} rows, {failures} of them failures")
    reasons = dict.fromkeys(f"  {a.recording}: {a.reason}" for a in kept if a.estimate is None)
    for reason in list(reasons)[:5]:
        console.print(reason, markup=False, soft_wrap=True)
    if posteriors is not None:
        write_posteriors(posteriors, kept)
        console.print(f"samples: {posteriors}")


def _infer_one(
    recording: Path, estimators: list[Any], report: Path | None, notch: float | None, reading: dict[str, Any]
) -> None:
    from inference.recordings.conform import notched
    from inference.recordings.files import read_recording
    from inference.recordings.quality import doubts
    from inference.reports.tables import estimates_table

    measured = read_recording(recording, **reading)
    if notch is not None:
        measured = notched(measured, notch)
    estimates = [estimator.estimate(measured) for estimator in estimators]
    found = doubts(measured)
    for doubt in found:
        warn("recording", doubt)
    for estimate in estimates:
        for warning in estimate.warnings:
            warn(estimate.method, warning)
    console.print(estimates_table(estimates))
    if report is not None:
        from inference.reports.recording_page import write_report

        write_report(
            report,
            title=f"circuitsbi: {recording.name}",
            recording=estimators[-1].ready(measured),
            features=estimators[-1].features,
            estimates=estimates,
            notes=[f"recording: {doubt}" for doubt in found],
            provenance={"recording": str(recording), **estimators[-1].about},
        )
        console.print(f"report: {report}")
