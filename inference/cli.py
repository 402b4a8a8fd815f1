"""The ``circuitsbi`` command."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from inference.commands import surrogate as surrogate_commands
from inference.commands.output import console, plain_errors, refuse_no_picture, warn
from simulators.files import refuse_unwritable

app = typer.Typer(
    help="Which circuit could have produced this recording, and how sure can one be?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(surrogate_commands.app, name="surrogate")

RangeOption = Annotated[str, typer.Option("--range", help="Parameter range: ai or full.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
ProbeOption = Annotated[
    str,
    typer.Option(
        "--probe",
        help="Probe, e.g. 'depths=0,-100,-200,-300,-400,-500' (um; optional ';sigma=0.3;radius=5'), or EEG electrodes, "
        "'angles=0' (degrees from the patch of cortex; optional ';depth=-200').",
    ),
]
ModelsOption = Annotated[
    Path | None, typer.Option("--model", help="Folder of estimators; the shipped ones by default.")
]
TestedOption = Annotated[
    Path | None, typer.Option("--campaign", help="Simulations to test on; by default shipped ones.")
]
POSTER = "depths=0,-100,-200,-300,-400,-500"


@app.command()
def simulate(
    n: Annotated[int, typer.Option("--n", help="Number of simulations.")],
    out: Annotated[Path, typer.Option(help="Campaign to write, or to go on with.")],
    network: Annotated[str, typer.Option(help="Network: brunel (compiled) or brunel-nest.")] = "brunel",
    range_name: RangeOption = "ai",
    order: Annotated[int, typer.Option(help="4 x order excitatory and order inhibitory neurons.")] = 2500,
    duration_s: Annotated[float, typer.Option("--duration", help="Length of a simulation after its transient.")] = 2.85,
    seed: SeedOption = 1,
    workers: Annotated[int, typer.Option(help="Processes on this machine.")] = 2,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler to run on instead.")] = None,
) -> None:
    """Run a campaign. Killed and started again with the same command, it goes on."""
    with plain_errors():
        from inference.workflows.brunel import range_of
        from simulators.brunel.compiled_network import CompiledBrunel
        from simulators.brunel.model import BrunelNetwork
        from simulators.brunel.nest_network import NestBrunel
        from simulators.campaigns.run import run_campaign

        simulators = {"brunel": CompiledBrunel, "brunel-nest": NestBrunel}
        if network not in simulators:
            raise ValueError(f"there is no network '{network}'; choose one of {', '.join(simulators)}")
        if not 0 < duration_s < float("inf"):
            raise ValueError(f"simulations of {duration_s:g} s hold nothing or never end; give a positive duration")
        settled_ms = BrunelNetwork().transient_ms
        model = BrunelNetwork(order=order, duration_ms=settled_ms + round(1e3 * duration_s), transient_ms=settled_ms)
        simulator = simulators[network](model, range_of(range_name))
        campaign = run_campaign(simulator, n, seed, out, workers, scheduler)
        console.print(f"{out}: {campaign.summary()}")
        for row, reason in list(campaign.reasons.items())[:5]:
            console.print(f"  simulation {row}: {reason}")


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder for the trained estimators.")],
    campaign: Annotated[Path | None, typer.Option(help="Campaign to learn from; the shipped one by default.")] = None,
    range_name: RangeOption = "ai",
    probe: ProbeOption = POSTER,
    relative: Annotated[bool, typer.Option(help="Relative power, for recordings of unknown gain.")] = False,
    segment_ms: Annotated[float, typer.Option(help="Length of Welch's segments.")] = 100.0,
    duration_s: Annotated[
        float | None, typer.Option("--duration", help="Length of the recordings they are for (s); else as simulated.")
    ] = None,
    estimators: Annotated[str, typer.Option(help="cnn, npe, gradient, nearest, stasik-cnn.")] = "cnn,npe,gradient",
    test: Annotated[
        int | None,
        typer.Option(min=0, help="Keep so many of the last simulations for testing: 400 of the shipped, else none."),
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Train estimators for a probe on a campaign."""
    with plain_errors():
        from inference.features.spectra import SpectralFeatures
        from inference.workflows.brunel import TEST_SIMULATIONS, reference_campaign, train_for_probe
        from simulators.campaigns.store import Campaign

        data = reference_campaign(range_name) if campaign is None else Campaign(campaign)
        console.print(data.summary() + ("" if data.usable.size == len(data) else "; only those that are ok are used"))
        if test is None:
            test = TEST_SIMULATIONS if campaign is None else 0
        if test:
            console.print(f"the last {test} are kept for testing")
        features = SpectralFeatures(segment_ms=segment_ms, relative=relative)
        out.mkdir(parents=True, exist_ok=True)
        kinds = [e.strip() for e in estimators.split(",")]
        for name, estimator in train_for_probe(
            data, parse_probe(probe), features, kinds, seed, test, duration_s=duration_s
        ):
            estimator.save(out / f"{name}.safetensors")
            console.print(f"wrote {out / name}.safetensors  {_brief(estimator.about)}")


@app.command()
def infer(
    recordings: Annotated[list[Path], typer.Argument(help=".npz, .npy, .csv, .mat, .nwb, .fif, .edf, .vhdr, ...")],
    model: Annotated[
        Path | None, typer.Option(help="Estimator file, or a folder of them; shipped ones by default.")
    ] = None,
    range_name: RangeOption = "ai",
    sampling_rate: Annotated[float | None, typer.Option(help="Hz, where the file does not say.")] = None,
    unit: Annotated[str | None, typer.Option(help="mV, uV or V, where the file does not say.")] = None,
    channels: Annotated[str | None, typer.Option(help="Channels to take, in this order: 'Cz' or 'ch3,ch2'.")] = None,
    variable: Annotated[str | None, typer.Option(help="Which of several in an .npz, .mat or .nwb file.")] = None,
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
    """Estimate J, g and eta from one recording, or from many into a table."""
    with plain_errors():
        for path in (report, out):
            if path is not None:
                refuse_unwritable(path)
        from inference.estimators.gradient_fit import GradientFit
        from inference.workflows.brunel import shipped_estimators

        estimators = shipped_estimators(range_name) if model is None else load_models(model)
        if noise:
            estimators = [e.with_nuisances(floor=True) for e in estimators if isinstance(e, GradientFit)]
            if not estimators:
                raise ValueError("only the gradient fit knows noise; train one with 'circuitsbi train'")
            console.print("noise is fitted along; the other estimators, which learned without, are left out")
        pick = None if channels is None else [name.strip() for name in channels.split(",")]
        reading = {"sampling_rate": sampling_rate, "unit": unit, "pick": pick, "variable": variable}
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
    from inference.workflows.infer import infer_all

    out = out or Path("estimates.csv")
    if out.suffix != ".csv":
        raise ValueError(f"the table is written as .csv, not as '{out.suffix}'; rename {out}")
    if posteriors is not None and posteriors.suffix not in (".zarr", ".nc"):
        raise ValueError(f"posteriors are written as .zarr or .nc, not as '{posteriors.suffix}'; rename {posteriors}")
    answers = infer_all(recordings, estimators, window_s, notch, **reading)
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


@app.command()
def compare(
    model: ModelsOption = None,
    campaign: TestedOption = None,
    range_name: RangeOption = "ai",
    n: Annotated[int, typer.Option("--n", min=1, help="Recordings to test on: the last of the campaign.")] = 100,
    figure: Annotated[Path | None, typer.Option(help="Figure to draw (.png, .pdf, .svg).")] = None,
) -> None:
    """Lay estimators side by side on simulations they have not seen, beside the best accuracy that is possible."""
    with plain_errors():
        if figure is not None:
            refuse_no_picture(figure)
        from inference.reports.comparison import compare_figure, compare_tables
        from inference.workflows.trial import compared, trial
        from simulators.campaigns.store import Campaign

        estimators = None if model is None else load_models(model)
        tested = None if campaign is None else Campaign(campaign)
        scores, limit = compared(trial(range_name, estimators, tested, n))
        console.print(*compare_tables(scores, limit))
        if limit is not None:
            named = zip(next(iter(scores.values())).parameters.names, limit, strict=True)
            console.print("Cramér-Rao limit of the error: " + ", ".join(f"{p} {100 * v:.2f} %" for p, v in named))
        if figure is not None:
            compare_figure(scores, limit).savefig(figure)
            console.print(f"figure: {figure}")


@app.command()
def diagnose(
    model: ModelsOption = None,
    campaign: TestedOption = None,
    range_name: RangeOption = "ai",
    n: Annotated[int, typer.Option("--n", min=100, help="Recordings to test on: the last of the campaign.")] = 300,
    checks: Annotated[int, typer.Option(min=0, help="Recordings for the posterior predictive check.")] = 1,
    out: Annotated[Path, typer.Option(help="HTML report to write.")] = Path("diagnosis.html"),
) -> None:
    """Hold posteriors against the truth: calibration, coverage, bias, misspecification; a verdict for each."""
    with plain_errors():
        refuse_unwritable(out)
        from inference.reports.diagnosis_page import write_diagnosis
        from inference.reports.tables import findings_table
        from inference.workflows.trial import diagnosed, trial
        from simulators.campaigns.store import Campaign

        estimators = None if model is None else load_models(model)
        tried = trial(range_name, estimators, None if campaign is None else Campaign(campaign), n)
        found = diagnosed(tried, checks)
        console.print(findings_table(found))
        space = tried.estimators[0].parameters
        about = {e.kind: e.about for e in tried.estimators}
        write_diagnosis(out, "How far to trust these estimators", len(tried.recordings), found, space, about)
        console.print(f"report: {out}")


@app.command()
def observe(
    counts: Annotated[Path, typer.Argument(help="Population spike counts: .npz with 'counts' (2, bins), 1 ms bins.")],
    J: Annotated[float, typer.Option("--J", help="mV")],
    g: Annotated[float, typer.Option("--g", help="relative strength of inhibition")],
    probe: ProbeOption = POSTER,
    order: Annotated[int, typer.Option(help="4 x order excitatory and order inhibitory neurons.")] = 2500,
    out: Annotated[Path, typer.Option(help="Recording to write (.npz).")] = Path("lfp.npz"),
) -> None:
    """Turn population spike counts of a Brunel network into the LFP at a probe."""
    with plain_errors():
        from inference.recordings.files import read_counts, write_recording
        from simulators.brunel.model import BrunelNetwork
        from simulators.fields.kernels import kernels

        refuse_unwritable(out)
        if not (0 < J < math.inf and 0 <= g < math.inf):
            raise ValueError(f"J is {J} mV and g is {g}; J must be above 0, g not below, and both finite")
        view = kernels(parse_probe(probe), network=BrunelNetwork(order=order)).view
        lfp = view.observe(read_counts(counts, view.sources), {"J": J, "g": g})
        write_recording(lfp, out)
        console.print(f"{out}: {lfp.values.shape[0]} channels x {lfp.values.shape[1]} samples, {lfp.unit}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report and figures.")] = Path("demo"),
    range_name: RangeOption = "ai",
    seed: SeedOption = 2026,
    retrain: Annotated[bool, typer.Option(help="Train on the reference campaign instead of loading.")] = False,
    order: Annotated[int, typer.Option(help="Size of the network; the estimators know 2500.", hidden=True)] = 2500,
) -> None:
    """The main job: simulate a fresh network in NEST, estimate its parameters from its LFP, report."""
    with plain_errors():
        from inference.workflows.demo import run_demo

        run_demo(console, out, range_name, seed, retrain, order)


def parse_probe(text: str) -> Any:
    """A LaminarProbe from ``depths=0,-100;sigma=0.3;radius=5``, ScalpElectrodes from ``angles=0,30;depth=-200``.

    Raises ValueError saying what is wrong.
    """
    from simulators.fields.probes import LaminarProbe, ScalpElectrodes

    laminar = {"depths": "depths_um", "sigma": "sigma_S_per_m", "radius": "contact_radius_um"}
    scalp = {"angles": "angles_deg", "depth": "dipole_depth_um"}
    parts = [part.strip().partition("=") for part in text.split(";")]
    kind, names = (ScalpElectrodes, scalp) if parts[0][0] in scalp else (LaminarProbe, laminar)
    fields: dict[str, Any] = {}
    try:
        for key, _, value in parts:
            if key not in names:
                raise ValueError(f"'{key}' is not one of {', '.join(names)}")
            numbers = tuple(float(number) for number in value.split(","))
            if key in ("depths", "angles"):
                fields[names[key]] = numbers
            elif len(numbers) == 1:
                fields[names[key]] = numbers[0]
            else:
                raise ValueError(f"'{key}' is one number")
        return kind(**fields)
    except ValueError as error:
        raise ValueError(f"cannot read the probe '{text}': {error}; write it as '{POSTER}' or 'angles=0'") from error


def load_models(path: Path) -> list[Any]:
    """Estimators from a file or a folder of files."""
    from inference.estimators.load import load_estimator

    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path} holds no estimator (*.safetensors); train some with 'circuitsbi train --out {path}'")
    return [load_estimator(f) for f in files]


def _brief(about: dict[str, Any]) -> str:
    return f"({about['simulations']} simulations)"


if __name__ == "__main__":
    app()
