"""Accuracy of the estimators of J, g and eta on simulations never used for training or choosing.

    python scripts/evaluate_brunel.py                     the shipped estimators, both ranges
    python scripts/evaluate_brunel.py --retrain           train them first, on the reference campaign
    python scripts/evaluate_brunel.py --fresh 300         on networks simulated now, with counts that were never packed
    python scripts/evaluate_brunel.py --learning-curve    what more simulations would bring (20 minutes a range)
    python scripts/evaluate_brunel.py --figure maps.png   error over the parameter space

The last line is one JSON object: for each range and estimator R2, mean absolute error (% of the range) and, for the
posterior, the coverage of its 50 % and 90 % intervals.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inference.estimate import Estimate
from inference.estimators.neural_posterior import NeuralPosterior
from inference.evaluation.scores import score
from inference.workflows.shipped import reference_campaign, reference_tests, shipped_estimators
from inference.workflows.study import split_rows, study_of
from inference.workflows.train import spectral_study, untrained_estimators
from simulators.campaigns.run import run_campaign
from simulators.interface import ParameterSpace

console = Console()
FRESH_SEED = 1000


def network_state(theta: np.ndarray, space: ParameterSpace) -> str:
    """Region of the plane of g and eta, named by the state that the network is in there (Brunel 2000, fig. 2)."""
    g, eta = theta[space.names.index("g")], theta[space.names.index("eta")]
    if g < 4:
        return "SR: g < 4"
    if eta < 1:
        return "SI slow: g > 4, eta < 1"
    if eta > 3:
        return "SI fast: g > 4, eta > 3"
    if 4.5 <= g <= 6 and eta >= 1.5:
        return "AI: g 4.5-6, eta 1.5-3"
    return "AI, at its borders"


def by_state(space: ParameterSpace, theta: np.ndarray, estimates: list[Estimate], states: np.ndarray) -> dict:
    """Mean absolute error in % of the range for each network state, and the number of simulations in it."""
    error = 100 * np.abs(np.stack([e.point for e in estimates]) - theta) / (space.high - space.low)
    return {
        str(s): {"n": int(np.sum(states == s))}
        | dict(zip(space.names, error[states == s].mean(0).round(2).tolist(), strict=True))
        for s in np.unique(states)
    }


def evaluate(name: str, retrain: bool, fresh: int) -> tuple[dict, Callable[[Figure], None]]:
    """All figures of one range, and a function that draws its maps."""
    campaign = reference_campaign(name)
    study = spectral_study(campaign, test=reference_tests(name)) if retrain else study_of(campaign)
    space = study.parameters
    rows, test_rows = split_rows(campaign, reference_tests(name))
    if retrain:
        theta, recordings = study.recordings(campaign, rows)
        untrained = untrained_estimators(space, study.features)
        estimators = [untrained[kind]().fit(theta, recordings) for kind in ("cnn", "npe")]
    else:
        estimators = shipped_estimators(name)[:2]
    with tempfile.TemporaryDirectory() as folder:
        tested = campaign
        if fresh:
            tested = run_campaign(study.simulator, fresh, FRESH_SEED, Path(folder) / "fresh.zarr", workers=2)
            test_rows = tested.usable
        theta, recordings = study.recordings(tested, test_rows)
    states = np.array([network_state(t, space) for t in theta])
    result: dict = {"simulations": {"train": len(rows), "test": len(test_rows), "campaign": campaign.summary()}}
    drawn = {}
    for estimator in estimators:
        start = time.perf_counter()
        estimates = [estimator.estimate(r) for r in track(recordings, f"{name} {estimator.kind}", transient=True)]
        seconds = (time.perf_counter() - start) / len(recordings)
        result[estimator.kind] = score(theta, estimates, seconds, int(estimator.about["simulations"])).to_json()
        result[estimator.kind]["by_state"] = by_state(space, theta, estimates, states)
        drawn[estimator.kind] = np.stack([e.point for e in estimates])
    return result, lambda figure: draw_maps(figure, name, space, theta, drawn)


def draw_maps(figure: Figure, name: str, space: ParameterSpace, theta: np.ndarray, points: dict) -> None:
    """Absolute error of each parameter over the plane of g and eta, and truth against estimate."""
    axes = figure.subplots(len(points), 2 * len(space), squeeze=False)
    g, eta = theta[:, space.names.index("g")], theta[:, space.names.index("eta")]
    for row, (kind, estimate) in zip(axes, points.items(), strict=True):
        for k, parameter in enumerate(space):
            error = 100 * np.abs(estimate[:, k] - theta[:, k]) / (parameter.high - parameter.low)
            dots = row[2 * k].scatter(g, eta, c=error, s=9, cmap="viridis", vmin=0, vmax=np.quantile(error, 0.95))
            figure.colorbar(dots, ax=row[2 * k])
            row[2 * k].set(title=f"{kind}: error of {parameter.name} (%)", xlabel="g", ylabel="eta")
            row[2 * k + 1].plot(theta[:, k], estimate[:, k], ".", ms=2)
            row[2 * k + 1].axline((parameter.low, parameter.low), slope=1, color="k", lw=0.6)
            row[2 * k + 1].set(title=f"{parameter.name}, range {name}", xlabel="truth", ylabel="estimate")


def learning_curve(name: str) -> dict:
    """Test error of both estimators trained on growing parts of the campaign."""
    campaign = reference_campaign(name)
    study = spectral_study(campaign, test=reference_tests(name))
    space = study.parameters
    rows, test_rows = split_rows(campaign, reference_tests(name))
    theta, recordings = study.recordings(campaign, rows)
    test_theta, test_recordings = study.recordings(campaign, test_rows)
    curve: dict = {}
    for n in sorted({min(n, len(rows)) for n in (250, 500, 1000, 2000, len(rows))}):
        for kind in ("stasik-cnn", "cnn", "npe"):
            estimator = untrained_estimators(space, study.features)[kind]().fit(theta[:n], recordings[:n])
            if isinstance(estimator, NeuralPosterior):
                estimator.draws = 500  # enough for a mean and two intervals of 400 recordings
            estimates = [estimator.estimate(r) for r in test_recordings]
            figures = score(test_theta, estimates).to_json()
            curve.setdefault(kind, {})[n] = figures
            console.print(f"{name} {kind} {n}: error {figures['error_percent']}  R2 {figures['r2']}")
    return curve


def show(name: str, result: dict) -> None:
    table = Table("estimator", "parameter", "R2", "error %", "bias %", "coverage 50 / 90 %", title=f"range {name}")
    for kind in ("cnn", "npe"):
        figures = result[kind]
        for p in figures["r2"]:
            covered = " / ".join(f"{100 * figures[c][p]:.0f}" for c in ("coverage50", "coverage90") if c in figures)
            values = [
                f"{figures['r2'][p]:.3f}",
                f"{figures['error_percent'][p]:.2f}",
                f"{figures['bias_percent'][p]:+.2f}",
            ]
            table.add_row(kind, p, *values, covered or "-")
    console.print(table)
    states = Table("estimator", "state", "n", "J", "g", "eta", title=f"range {name}: error % by network state")
    for kind in ("cnn", "npe"):
        for state, figures in result[kind]["by_state"].items():
            states.add_row(kind, state, *(str(figures[c]) for c in ("n", "J", "g", "eta")))
    console.print(states)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--range", choices=["asynchronous", "full", "both"], default="both")
    parser.add_argument("--retrain", action="store_true", help="train instead of loading the shipped estimators")
    parser.add_argument("--fresh", type=int, default=0, metavar="N", help="test on N networks simulated now")
    parser.add_argument("--learning-curve", action="store_true", help="also train on 250, 500, 1000, 2000 simulations")
    parser.add_argument("--figure", help="PNG file for the maps")
    arguments = parser.parse_args()
    names = ["asynchronous", "full"] if arguments.range == "both" else [arguments.range]
    figure = Figure(figsize=(24, 7 * len(names)), layout="constrained")
    panels = figure.subfigures(len(names), 1, squeeze=False)[:, 0]
    out: dict = {}
    for name, panel in zip(names, panels, strict=True):
        out[name], draw = evaluate(name, arguments.retrain, arguments.fresh)
        draw(panel)
        show(name, out[name])
        if arguments.learning_curve:
            out[name]["learning_curve"] = learning_curve(name)
    if arguments.figure:
        figure.savefig(arguments.figure, dpi=80)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
