"""CNN, neural posterior, gradient fit and nearest simulations on the same recordings, beside the best that is possible.

    python scripts/compare_estimators.py                     the 400 test simulations of the range 'ai' (6 minutes)
    python scripts/compare_estimators.py --fresh 300         networks simulated now
    python scripts/compare_estimators.py --repeats 40        also: do networks drawn anew at one theta scatter as the
                                                             limit says? (3 minutes more)
    python scripts/compare_estimators.py --probe angles=0 --relative
                                                             another probe, for which they are trained first (3 minutes
                                                             more): one EEG electrode, and nothing known of the gain

The limit is that of Cramer and Rao for spectra of a recording as long as these, with what networks drawn anew at one
theta differ by; gaussian_limit_percent is without that. The last line is one JSON object: "estimators" by name with
error_percent by parameter, coverage90, seconds_per_recording and simulations, and limit_percent by parameter;
negative_log_likelihood of the emulator on these recordings (nats each), beside that of one spectrum for all thetas
("constant") and of every recording's own ("saturated", which no model can beat).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from inference.estimators.base import BaseEstimator
from inference.estimators.gradient_fit import GradientFit
from inference.evaluation.limit import cramer_rao_sd, error_limit
from inference.reports.comparison import compare_figure, compare_tables
from inference.workflows.brunel import range_of
from inference.workflows.evaluate import compare, held_out
from inference.workflows.shipped import reference_campaign, reference_tests, shipped_estimators
from inference.workflows.train import spectral_study, train
from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.field import KernelSignal
from simulators.brunel.model import BrunelNetwork
from simulators.campaigns.run import run_campaign
from simulators.fields.probes import parse_probe
from simulators.interface import Parameter, ParameterSpace

console = Console()
SEED = 2000
PLACES = 6
_MIDDLE = 0.15, 0.85  # of each range, where no edge cuts an estimate off


def repeated(name: str, estimators: list[BaseEstimator], repeats: int) -> dict:
    """Standard deviation of the estimates over networks drawn anew at a few thetas, in % of the range."""
    space = range_of(name)
    low, high = _MIDDLE
    thetas = space.from_unit(low + (high - low) * np.random.default_rng(SEED).random((PLACES, len(space))))
    fit = next(e for e in estimators if isinstance(e, GradientFit))
    out: dict = {"theta": thetas.tolist(), "limit_sd_percent": [], "sd_percent": {e.kind: [] for e in estimators}}
    bias: dict = {e.kind: [] for e in estimators}
    for place, theta in enumerate(thetas):
        with tempfile.TemporaryDirectory() as folder:
            # A space that is all but a point: every simulation of the campaign is at this theta.
            point = [Parameter(p.name, p.unit, t, t + 1e-9) for p, t in zip(space, theta, strict=True)]
            simulator = CompiledBrunel(BrunelNetwork(), ParameterSpace(tuple(point)))
            campaign = run_campaign(simulator, repeats, SEED + place, Path(folder) / "c.zarr", workers=2)
            forward_model = KernelSignal(parameters=space)
            recordings = [forward_model.observe(r, theta) for r in campaign.recordings(campaign.usable)]
        out["limit_sd_percent"].append((100 * cramer_rao_sd(fit, theta[None], recordings[0])[0]).round(3).tolist())
        for e in estimators:
            points = space.to_unit(np.stack([e.estimate(r).point for r in recordings]))
            out["sd_percent"][e.kind].append((100 * points.std(0, ddof=1)).round(3).tolist())
            bias[e.kind].append((100 * (points.mean(0) - space.to_unit(theta))).round(3).tolist())
    out["bias_percent"] = bias
    return out


def show_repeated(figures: dict, names: tuple[str, ...]) -> None:
    table = Table("theta", "parameter", "limit", *figures["sd_percent"], title="scatter of estimates at one theta, %")
    for i, theta in enumerate(figures["theta"]):
        for k, p in enumerate(names):
            cells = [f"{sd[i][k]:.2f}" for sd in figures["sd_percent"].values()]
            where = ", ".join(f"{t:.3g}" for t in theta) if k == 0 else ""
            table.add_row(where, p, f"{figures['limit_sd_percent'][i][k]:.2f}", *cells)
    console.print(table)


def trained(name: str, probe: str, relative: bool) -> list[BaseEstimator]:
    """CNN, neural posterior and gradient fit for a probe, learned from the shipped campaign without its test rows."""
    campaign, test = reference_campaign(name), reference_tests(name)
    study = spectral_study(campaign, probe=parse_probe(probe), test=test, relative=relative)
    return [e for _, e in train(study, campaign, test=test, progress=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--range", choices=["asynchronous", "full"], default="asynchronous")
    parser.add_argument("--n", type=int, default=400, help="test simulations")
    parser.add_argument("--fresh", type=int, default=0, metavar="N", help="test on N networks simulated now")
    parser.add_argument("--repeats", type=int, default=0, metavar="N", help="networks at each of a few thetas")
    parser.add_argument("--probe", help="train for this probe, written as for 'circuitsbi train'")
    parser.add_argument("--relative", action="store_true", help="with --probe: the gain is unknown")
    parser.add_argument("--figure", help="PNG file")
    arguments = parser.parse_args()
    if arguments.probe and arguments.repeats:
        parser.error("--repeats is of the shipped estimators; leave --probe or --repeats out")
    with tempfile.TemporaryDirectory() as folder:
        campaign = reference_campaign(arguments.range)
        if arguments.fresh:
            simulator = CompiledBrunel(BrunelNetwork(), range_of(arguments.range))
            campaign = run_campaign(simulator, arguments.fresh, SEED, Path(folder) / "fresh.zarr", workers=2)
        chosen, trained_s = None, 0.0
        if arguments.probe:
            start = time.perf_counter()
            chosen = trained(arguments.range, arguments.probe, arguments.relative)
            trained_s = time.perf_counter() - start
        tried = held_out(chosen, campaign, arguments.fresh or arguments.n, arguments.range)
        scores, limit = compare(tried)
        sources = campaign.recordings(campaign.usable[-len(tried.theta) :])
        fit = next(e for e in tried.estimators if isinstance(e, GradientFit))
        nats = fit.model.emulator.score(tried.theta, sources)
    assert limit is not None
    console.print(*compare_tables(scores, limit))
    names = range_of(arguments.range).names
    gaussian = error_limit(fit, tried.theta, tried.recordings[0], components=False)
    out = {
        "range": arguments.range,
        "estimators": {name: s.to_json() for name, s in scores.items()},
        "limit_percent": dict(zip(names, (100 * limit).round(3).tolist(), strict=True)),
        "gaussian_limit_percent": dict(zip(names, (100 * gaussian).round(3).tolist(), strict=True)),
    }
    out["negative_log_likelihood"] = {name: round(value, 2) for name, value in nats.items()}
    if arguments.probe:
        out["trained_s"] = round(trained_s, 1)
    if arguments.repeats:
        out["repeated"] = repeated(arguments.range, shipped_estimators(arguments.range), arguments.repeats)
        show_repeated(out["repeated"], names)
    if arguments.figure:
        compare_figure(scores, limit).savefig(arguments.figure, dpi=100)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
