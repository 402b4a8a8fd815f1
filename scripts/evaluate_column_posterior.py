"""Whether the column's posterior is right about its gains: on columns of surrogates, and on NEURON's.

    python scripts/evaluate_column_posterior.py                  500 new columns of surrogates, 300 dipoles of NEURON
    python scripts/evaluate_column_posterior.py --again 4        also simulate some of NEURON's dipoles anew (a minute)
    python scripts/evaluate_column_posterior.py --model FILE     another posterior, as make_column_posterior.py makes it

NEURON's dipoles ship and taught nothing (make_column_posterior.py says how they were made). The last line is one JSON
object: for surrogates and neuron the mean error (% of the range), coverage50 and coverage90 by parameter, and their
means; contraction: by parameter, one minus the mean posterior sd over that of the prior, on NEURON's dipoles;
trade_offs: mean correlations beyond .25 in the posterior; refused: share of recordings called unlike the simulations,
of NEURON's dipoles and of others that no such column makes.
"""

import argparse
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from make_column_posterior import POSTERIOR, TESTS, InNeuron
from rich.console import Console
from rich.table import Table

from inference.estimate import Estimate
from inference.estimators.load import load_estimator
from inference.evaluation.constraint import contraction
from inference.evaluation.scores import score
from inference.recordings.conform import resampled
from inference.workflows.column import RATE_HZ, rhythmic_column
from simulators.interface import simulate_all
from simulators.recording import Recording
from surrogates.network.column import SurrogateColumn

console = Console()
SEED = 77
TRADED = 0.25
KEPT = ("error_percent", "coverage50", "coverage90")


def fresh_columns(n: int) -> tuple[np.ndarray, list[Recording]]:
    """Columns of surrogates that nothing has learned from."""
    column = SurrogateColumn(rhythmic_column())
    theta = column.parameters.sample(n, np.random.default_rng(SEED))
    return theta, simulate_all(column, theta, np.random.default_rng([SEED, 1]).spawn(n))


def of_others(n: int) -> dict[str, list[Recording]]:
    """Recordings that are no column's: noise of three colours, a sine in noise, and a column's in random order."""
    rng = np.random.default_rng([SEED, 2])
    samples = round(1.2 * RATE_HZ)
    f = np.fft.rfftfreq(samples, 1 / RATE_HZ)

    def coloured(exponent: float) -> np.ndarray:
        spectrum = rng.normal(size=len(f)) + 1j * rng.normal(size=len(f))
        return np.fft.irfft(spectrum / np.maximum(f, 1) ** (exponent / 2), samples)

    def recording(x: np.ndarray) -> Recording:
        return Recording(1e-3 * x[None] / x.std(), RATE_HZ, "nAm", ("dipole",))

    t = np.arange(samples) / RATE_HZ
    sines = [np.sin(2 * np.pi * rng.uniform(5, 80) * t) + 0.1 * coloured(1) / coloured(1).std() for _ in range(n)]
    columns = InNeuron.shipped().rows(slice(-n, None)).recordings
    return {
        "white noise": [recording(coloured(0)) for _ in range(n)],
        "pink noise": [recording(coloured(1)) for _ in range(n)],
        "brown noise": [recording(coloured(2)) for _ in range(n)],
        "sines": [recording(x) for x in sines],
        "samples in random order": [recording(rng.permutation(r.steady[0])) for r in columns],
    }


def again(n: int) -> float:
    """Largest difference between shipped dipoles and the same simulated now, relative to their size."""
    neuron, column, worst = InNeuron.shipped().rows(slice(-n, None)), rhythmic_column(), 0.0
    for seed, shipped in zip(neuron.seeds, neuron.recordings, strict=True):
        rng = np.random.default_rng(seed.tolist())
        theta = column.parameters.sample(1, rng)[0]
        found = resampled(column.simulate(theta, rng), RATE_HZ)
        worst = max(worst, float(np.abs(found.steady - shipped.steady).max() / shipped.steady.std()))
    return worst


def trade_offs(estimates: list[Estimate]) -> dict[str, float]:
    names = estimates[0].names
    mean = np.mean([np.corrcoef(e.samples.T) for e in estimates if e.samples is not None], axis=0)
    pairs = [(f"{names[i]}, {names[j]}", float(mean[i, j])) for i, j in combinations(range(len(names)), 2)]
    return {name: round(r, 2) for name, r in sorted(pairs, key=lambda p: -abs(p[1])) if abs(r) > TRADED}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=POSTERIOR)
    parser.add_argument("--fresh", type=int, default=500)
    parser.add_argument("--again", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    posterior = load_estimator(arguments.model)
    neuron = InNeuron.shipped().rows(slice(-TESTS, None))
    out: dict[str, Any] = {}
    kept: dict[str, list[Estimate]] = {}
    for name, (theta, recordings) in {
        "surrogates": fresh_columns(arguments.fresh),
        "neuron": (neuron.theta, neuron.recordings),
    }.items():
        kept[name] = [posterior.estimate(r) for r in recordings]
        scores = score(theta, kept[name]).to_json()
        out[name] = {key: scores[key] for key in KEPT}
        out[name] |= {f"mean_{key}": round(float(np.mean(list(scores[key].values()))), 3) for key in KEPT}
    space = posterior.parameters
    out["contraction"] = dict(zip(space.names, contraction(kept["neuron"]).round(3).tolist(), strict=True))
    out["trade_offs"] = trade_offs(kept["neuron"])
    others = {name: [posterior.estimate(r) for r in recordings] for name, recordings in of_others(60).items()}
    refused = {"surrogates": kept["surrogates"], "neuron": kept["neuron"], **others}
    out["refused"] = {name: round(float(np.mean([not e.trusted for e in es])), 3) for name, es in refused.items()}
    if arguments.again:
        out["largest_difference_simulated_again"] = again(arguments.again)
    show(out, space.names)
    print(json.dumps(out))


def show(out: dict[str, Any], names: tuple[str, ...]) -> None:
    columns = [f"{what}, {where}" for where in ("surrogates", "NEURON") for what in ("error %", "in 50 %", "in 90 %")]
    table = Table("", *columns, "contraction")
    for name in names:
        cells = [f"{out[where][key][name]:.3g}" for where in ("surrogates", "neuron") for key in KEPT]
        table.add_row(name, *cells, f"{out['contraction'][name]:.2f}")
    console.print(table)
    for key in ("trade_offs", "refused"):
        console.print(key.replace("_", " ") + ": " + ", ".join(f"{k} {v}" for k, v in out[key].items()))


if __name__ == "__main__":
    main()
