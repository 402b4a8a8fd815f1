"""``circuitsbi column``: a rhythm of the cortical column, simulated, tuned, and inferred from a recording."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inference.commands.options import SamplingRateOption, SeedOption
from inference.commands.output import console, plain_errors, refuse_no_picture, warn
from simulators.files import refuse_unwritable

if TYPE_CHECKING:
    from simulators.recording import Recording

app = typer.Typer(help="The cortical column of the Human Neocortical Neurosolver and its dipole.", no_args_is_help=True)

RateOption = Annotated[float, typer.Option("--rate", help="Rate of the noise at each cell (Hz).")]
UnitOption = Annotated[
    str | None, typer.Option(help="nAm, fAm ...; 1 for an unknown scale; where the file does not say.")
]
VariableOption = Annotated[
    str | None, typer.Option(help="Which of the variables of a .npz, .mat or .nwb file is the recording.")
]
ChannelsOption = Annotated[str | None, typer.Option(help="The channel to take, where there are several.")]


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Recording of the dipole to write (.npz).")] = Path("dipole.npz"),
    gain: Annotated[
        list[str] | None,
        typer.Option(help="log10 gain of a connection, such as L5i_L5e=0.3 (twice as strong); may be repeated."),
    ] = None,
    gains: Annotated[Path | None, typer.Option(help="File of gains that fit wrote (.json).")] = None,
    rate: RateOption = 120.0,
    duration_s: Annotated[float, typer.Option("--duration", help="Length of the recording (s).")] = 1.2,
    neuron: Annotated[
        bool, typer.Option("--neuron/--surrogates", help="Simulate cells in NEURON, or their surrogates (fast).")
    ] = False,
    figure: Annotated[
        Path | None, typer.Option(help="Figure of dipole, spectrum and spikes (.png, .pdf, .svg).")
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Simulate the column once; write its dipole as a recording, in nAm."""
    with plain_errors():
        _refuse_outputs(figure, npz=out)
        import numpy as np

        from inference.recordings.files import write_recording
        from inference.reports.circuit_figure import activity_panels
        from inference.workflows.column_rhythm import SHOWN, activities, noisy_column
        from simulators.column.every_cell import GAIN
        from surrogates.network.column import SurrogateColumn

        values = (_gains_in(gains) if gains is not None else {}) | _numbers(gain or [])
        column = noisy_column(values, rate, duration_s)
        if not neuron and (far := [name for name, value in values.items() if abs(value) > GAIN]):
            warn("gain", f"{', '.join(far)} beyond ±{GAIN:g}: the surrogates learned from less; compare with --neuron")
        theta = np.array([values.get(name, 0.0) for name in column.parameters.names])
        run = activities(column if neuron else SurrogateColumn(column), theta, [seed])[0]
        write_recording(run.dipole, out)
        console.print(f"{out}: {run.dipole.duration_ms / 1e3:g} s of the dipole in {run.dipole.unit}")
        if figure is not None:
            activity_panels(run, SHOWN).savefig(figure)
            console.print(f"figure: {figure}")


@app.command()
def fit(
    band: Annotated[str | None, typer.Option(help="Where the power is to be (Hz), such as 15,60.")] = None,
    like: Annotated[Path | None, typer.Option(help="Recording whose spectrum the column is to have.")] = None,
    rates: Annotated[str, typer.Option(help="Bounds of the rates of all cells (Hz).")] = "1,60",
    rate: RateOption = 120.0,
    out: Annotated[Path, typer.Option(help="Gains to write (.json).")] = Path("gains.json"),
    report: Annotated[Path | None, typer.Option(help="Page to write (.html).")] = None,
    figure: Annotated[Path | None, typer.Option(help="Figure of gains and spectra (.png, .pdf, .svg).")] = None,
    check: Annotated[int, typer.Option(min=0, help="Drives under which NEURON's column is simulated as well.")] = 0,
    rounds: Annotated[int, typer.Option(min=0, help="Rounds of simulating where the last ones led to.")] = 6,
    first: Annotated[int, typer.Option(min=16, help="Simulations over the whole range, before the rounds.")] = 2048,
    each: Annotated[int, typer.Option(min=16, help="Simulations in a round.")] = 256,
    workers: Annotated[int, typer.Option(min=1, help="Processes that simulate in NEURON.")] = 2,
    sampling_rate: SamplingRateOption = None,
    unit: UnitOption = None,
    variable: VariableOption = None,
    channels: ChannelsOption = None,
    seed: SeedOption = 0,
) -> None:
    """Find gains with which the column has a rhythm in a band, or a spectrum like a recording's.

    They are found in the column of surrogates; --check asks NEURON whether its column agrees.
    """
    with plain_errors():
        _refuse_outputs(figure, json=out, html=report)
        from inference.reports.rhythm_page import circuit_and_spectra, rhythm_table, write_rhythm
        from inference.reports.tables import show, verdict_lines
        from inference.workflows.column_rhythm import Wanted, find_rhythm

        target = None if like is None else _recording(like, sampling_rate, unit, variable, channels)
        wanted = Wanted(None if band is None else _pair(band, "--band"), target, _pair(rates, "--rates"))
        found = find_rhythm(
            wanted, rate, seed, check, workers, console.print, rounds=rounds, first=first, each=each,
            repeats=max(1, each // 4),
        )  # fmt: skip
        out.write_text(json.dumps(found.to_json(), indent=1) + "\n", encoding="utf-8")
        show(console, *verdict_lines(found.verdict), rhythm_table(found.runs, found.measured))
        console.print(f"gains: {out}")
        drawn = circuit_and_spectra(
            found.runs, found.estimate, found.fitted.alternatives, wanted.band_Hz, wanted.spectrum
        )
        if figure is not None:
            drawn.savefig(figure)
            console.print(f"figure: {figure}")
        if report is not None:
            write_rhythm(
                report,
                verdict=found.verdict,
                runs=found.runs,
                measured=found.measured,
                estimate=found.estimate,
                alternatives=found.fitted.alternatives,
                circuit=drawn,
                provenance=found.about | {"seed": seed, "noise (Hz)": rate},
            )
            console.print(f"report: {report}")


@app.command()
def infer(
    recording: Annotated[Path, typer.Argument(help="The dipole: .npz, .npy, .csv, .mat, .nwb, .fif, .edf, ...")],
    report: Annotated[Path | None, typer.Option(help="Page to write (.html).")] = None,
    figure: Annotated[Path | None, typer.Option(help="Figure of the circuit (.png, .pdf, .svg).")] = None,
    model: Annotated[Path | None, typer.Option(help="Posterior of the column; the shipped one by default.")] = None,
    sampling_rate: SamplingRateOption = None,
    unit: UnitOption = None,
    variable: VariableOption = None,
    channels: ChannelsOption = None,
    notch: Annotated[float | None, typer.Option(help="Filter out line noise of so many Hz, and its multiples.")] = None,
    neuron: Annotated[
        int, typer.Option(min=0, help="Simulate NEURON's column at so many draws from the posterior, not surrogates.")
    ] = 0,
) -> None:
    """Which gains could have made this dipole? A verdict first, then gains and how much of each the recording tells."""
    with plain_errors():
        _refuse_outputs(figure, html=report)
        from inference.evaluation.constraint import trade_offs
        from inference.reports.tables import detail_lines, estimates_table, show, verdict_lines
        from inference.reports.verdict import REFUSED
        from inference.workflows.column_infer import column_figure, column_play, column_posterior, infer_column
        from inference.workflows.infer import write_page

        window = infer_column(
            recording,
            column_posterior(model),
            notch,
            neuron,
            sampling_rate=sampling_rate,
            unit=unit,
            variable=variable,
            pick=None if channels is None else [channels.strip()],
        )
        table = estimates_table(window.estimates, with_range=True)
        show(console, *verdict_lines(window.verdict), table)
        if window.verdict.status != REFUSED:
            show(
                console, *(f"only their combination is constrained: {pair}" for pair in trade_offs(window.estimates[0]))
            )
        show(console, *detail_lines(window.verdict))
        if report is None and figure is None:
            return
        drawn = column_figure(window)
        if figure is not None:
            drawn.savefig(figure)
            console.print(f"figure: {figure}")
        if report is not None:
            write_page(report, f"The circuit behind {recording.name}", window, drawn, column_play(window))
            console.print(f"report: {report}")


def _refuse_outputs(picture: Path | None = None, **files: Path | None) -> None:
    """Raises ValueError for what cannot be written, before the work is done; files by their ending."""
    if picture is not None:
        refuse_no_picture(picture)
    for ending, path in files.items():
        if path is not None:
            if path.suffix.lower() != f".{ending}":
                raise ValueError(f"{path} is written as .{ending}; name it so")
            refuse_unwritable(path)


def _recording(
    path: Path, sampling_rate: float | None, unit: str | None, variable: str | None, channels: str | None
) -> "Recording":
    from inference.recordings.files import read_recording

    pick = None if channels is None else [channels.strip()]
    return read_recording(path, sampling_rate=sampling_rate, unit=unit, variable=variable, pick=pick)


def _numbers(texts: list[str]) -> dict[str, float]:
    """NAME=NUMBER texts as a dictionary. Raises ValueError for what is none."""
    named = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            named[name.strip()] = float(value)
        except ValueError:
            raise ValueError(f"'{text}' is no gain; write it as L5i_L5e=0.3") from None
    return named


def _pair(text: str, option: str) -> tuple[float, float]:
    """Two numbers with a comma between. Raises ValueError for other text."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{option} is '{text}'; give two numbers, such as 15,60") from None
    return low, high


def _gains_in(path: Path) -> dict[str, float]:
    """The gains in a file that fit wrote. Raises ValueError for any other file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["gains"]
        return {str(name): float(value) for name, value in found.items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(f"{path} is no file of gains; write one with 'circuitsbi column fit'") from None
