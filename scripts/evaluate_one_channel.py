"""What one channel of unknown gain and depth tells of a Brunel network, with a background and without, by length.

    python scripts/evaluate_one_channel.py                      from what ships, ten minutes on two cores
    python scripts/evaluate_one_channel.py --long 30 --without FOLDER

Networks are the 400 of the shipped campaign over all states of which nothing was learned, each at a contact whose depth
is drawn at random; backgrounds make 10 to 80 % of the power in 10 to 200 Hz. The gradient fit is that of 'circuitsbi
explain', with depth, gain and a background among its unknowns. --long: so many networks simulated for 20 s, too.
--without: a folder of the same estimators that never saw a background (make_one_channel.py --clean).

The last line is one JSON object: by recordings (clean, background, long) and estimator error_percent, coverage50 and
coverage90 by parameter, and how many were trusted; loss_without_background: how much larger errors on clean recordings
are than those of --without.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from make_one_channel import RANGE, contacts, seen
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inference.estimate import Estimate
from inference.estimators.base import BaseEstimator
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.evaluation.scores import score
from inference.explaining.spectra import FEATURES
from inference.workflows.shipped import SHIPPED, reference_campaign, reference_tests
from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import RANGES, BrunelNetwork
from simulators.interface import ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.additions import Additions

console = Console()
SHARES = (0.1, 0.8)
LONG_S = 20.0

Tested = tuple[np.ndarray, list[Recording]]


def recordings(n: int, rng: np.random.Generator) -> Tested:
    """Networks of the shipped campaign that nothing was learned from, each at some contact."""
    campaign, views = reference_campaign(RANGE), contacts()
    rows = campaign.usable[-reference_tests(RANGE) :][:n]
    names, theta = campaign.parameters.names, campaign.theta[rows]
    sources = campaign.recordings(rows)
    return theta, [seen(views[rng.integers(len(views))], s, t, names) for s, t in zip(sources, theta, strict=True)]


def long_ones(n: int, rng: np.random.Generator) -> Tested:
    """New networks, simulated for longer."""
    simulator, views = CompiledBrunel(BrunelNetwork(), RANGES[RANGE]).lasting(LONG_S), contacts()
    theta = simulator.parameters.sample(n, rng)
    made = []
    for t in track(theta, "networks", transient=True):
        made.append(seen(views[rng.integers(len(views))], simulator.simulate(t, rng), t, simulator.parameters.names))
    return theta, made


def with_backgrounds(recordings: list[Recording], rng: np.random.Generator) -> list[Recording]:
    additions = Additions(band_hz=FEATURES.band)
    return [additions.added(r, rng.uniform(*SHARES), rng) for r in recordings]


def first_of(estimate: Estimate, n: int) -> Estimate:
    """Of its first parameters alone."""
    space = ParameterSpace(tuple(estimate.parameters)[:n])
    samples = None if estimate.samples is None else estimate.samples[:, :n]
    return replace(estimate, parameters=space, point=estimate.point[:n], samples=samples)


def scored(estimator: BaseEstimator, theta: np.ndarray, recordings: list[Recording]) -> dict[str, Any]:
    """Scores of the parameters in ``theta``; others, such as depth, are unknowns that nobody asks for."""
    start = time.perf_counter()
    estimates = [first_of(estimator.estimate(r), theta.shape[1]) for r in recordings]
    found = score(theta, estimates, (time.perf_counter() - start) / len(theta), 0).to_json()
    kept = {name: found[name] for name in ("error_percent", "coverage50", "coverage90")}
    return kept | {"trusted_percent": 100 * float(np.mean([e.trusted for e in estimates]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--fits", type=int, default=100, help="recordings for the gradient fit")
    parser.add_argument("--long", type=int, default=0)
    parser.add_argument("--models", type=Path, default=SHIPPED / "one-channel")
    parser.add_argument("--without", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(99)
    theta, clean = recordings(arguments.n, rng)
    conditions: dict[str, Tested] = {"clean": (theta, clean), "background": (theta, with_backgrounds(clean, rng))}
    if arguments.long:
        conditions["long"] = long_ones(arguments.long, rng)
        conditions["long, background"] = conditions["long"][0], with_backgrounds(conditions["long"][1], rng)
    amortised = {file.stem: load_estimator(file) for file in sorted(arguments.models.glob("*.safetensors"))}
    fit = load_estimator(SHIPPED / "circuits" / "brunel-full.safetensors")
    assert isinstance(fit, GradientFit)
    result: dict[str, Any] = {}
    for name, (truth, some) in conditions.items():
        result[name] = {kind: scored(e, truth, some) for kind, e in amortised.items()}
        free = fit.with_nuisances(gain=True, background="background" in name)
        n = min(arguments.fits, len(some))
        result[name]["gradient"] = scored(free, truth[:n], some[:n])
    if arguments.without is not None:
        without = {file.stem: load_estimator(file) for file in sorted(arguments.without.glob("*.safetensors"))}
        result["clean"] |= {f"{kind} that knows none": scored(e, theta, clean) for kind, e in without.items()}
        means = {k: np.mean(list(found["error_percent"].values())) for k, found in result["clean"].items()}
        result["loss_without_background_percent"] = {
            kind: round(100 * (means[kind] / means[f"{kind} that knows none"] - 1), 1) for kind in without
        }
    show(result)
    print(json.dumps(result))


def show(result: dict[str, Any]) -> None:
    table = Table("recordings", "estimator", "error, % of the range", "50 % covered", "90 % covered", "trusted")
    for condition, estimators in result.items():
        for kind, found in estimators.items():
            if isinstance(found, dict):
                columns = (found[name].values() for name in ("error_percent", "coverage50", "coverage90"))
                error, half, most = (" ".join(f"{v:.2g}" for v in column) for column in columns)
                table.add_row(condition, kind, error, half, most, f"{found['trusted_percent']:.0f} %")
    console.print(table)


if __name__ == "__main__":
    main()
