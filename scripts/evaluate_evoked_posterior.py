"""The column's gains from an evoked dipole: learned from surrogates, with and without what they lack, tested in NEURON.

    python scripts/evaluate_evoked_posterior.py                     20 minutes on two cores
    python scripts/evaluate_evoked_posterior.py --out FOLDER        keep simulations there, and go on

Columns of surrogates respond to a tactile stimulus; posteriors of the 11 gains learn from the waveform (relative, bins
of 2 ms), once as it is and once shifted to NEURON's, by columns in NEURON that take no part in the test. The drives
weigh ten times what the surrogates learned from. The last line is one JSON object: by posterior ("surrogates",
"shifted"), on surrogates and in NEURON, the mean error (% of the range), coverage50 and coverage90, over parameters;
contraction by parameter of the shifted one in NEURON; waveform_r: between both columns under the same events.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from inference.estimators.feature_shift import FeatureShift
from inference.estimators.neural_posterior import NeuralPosterior
from inference.evaluation.constraint import contraction
from inference.evaluation.scores import score
from inference.features.interface import features_of_all
from inference.recordings.conform import resampled
from inference.workflows.column import RATE_HZ, evoked_column, evoked_study
from simulators.campaigns.run import run_campaign
from simulators.interface import simulate_all
from simulators.recording import Recording

console = Console()
STUDY = evoked_study()
FRESH, SEED = 300, 5


def features_of(recordings: list[Recording]) -> np.ndarray:
    return features_of_all(STUDY.features, (resampled(r, RATE_HZ) for r in recordings))


def by_surrogates(theta: np.ndarray, seeds: list[np.random.SeedSequence]) -> list[Recording]:
    return simulate_all(STUDY.simulator, theta, [np.random.default_rng(seed) for seed in seeds])


def scores_of(posterior: NeuralPosterior, theta: np.ndarray, recordings: list[Recording]) -> tuple[dict, np.ndarray]:
    """Means over parameters, and the contraction of each."""
    estimates = [posterior.estimate(r) for r in recordings]
    found = score(theta, estimates)
    means = {name: round(float(getattr(found, name).mean()), 3) for name in ("coverage50", "coverage90")}
    return {"error_percent": round(100 * float(found.error.mean()), 2), **means}, contraction(estimates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=20_000)
    parser.add_argument("--in-neuron", type=int, default=500, help="columns in NEURON; the last 300 test")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.in_neuron < 60:
        parser.error("--in-neuron takes 60 or more, of which three fifths test")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder, workers = arguments.out or Path(temporary), arguments.workers
        fast = run_campaign(STUDY.simulator, arguments.simulations, 1, folder / "surrogates.zarr", workers)
        slow = run_campaign(evoked_column(), arguments.in_neuron, 2, folder / "neuron.zarr", workers)
        rows = slow.usable
        theta, recordings = slow.theta[rows], slow.recordings(rows)
        seeds = np.random.SeedSequence(2).spawn(len(slow))
        same = by_surrogates(theta, [seeds[k] for k in rows])
        x = features_of(fast.recordings(fast.usable))
        taught = fast.theta[fast.usable]
    true, surrogates = features_of(recordings), features_of(same)
    r = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(true, surrogates, strict=True)]
    tested = slice(-(3 * len(rows) // 5), None)
    learn = slice(0, tested.start)
    shift = FeatureShift(STUDY.parameters).fit(theta[learn], true[learn], surrogates[learn])
    fresh = STUDY.parameters.sample(FRESH, np.random.default_rng(SEED))
    made = by_surrogates(fresh, np.random.SeedSequence(SEED).spawn(FRESH))
    median, tenth = np.quantile(r, [0.5, 0.1]).round(3).tolist()
    out: dict[str, Any] = {"waveform_r": {"median": median, "tenth": tenth}}
    for variant in ("surrogates", "shifted"):
        posterior = NeuralPosterior(STUDY.parameters, STUDY.features, bounded=True, progress=True)
        more = shift(taught).astype(np.float32) if variant == "shifted" else 0.0
        posterior.fit_features(taught, x + more, ("dipole",), "nAm")
        if variant == "shifted":
            posterior.widen_to(theta[learn], true[learn])
        on_surrogates, _ = scores_of(posterior, fresh, made)
        in_neuron, contracted = scores_of(posterior, theta[tested], recordings[tested])
        out[variant] = {"surrogates": on_surrogates, "neuron": in_neuron}
    out["contraction"] = dict(zip(STUDY.parameters.names, np.round(contracted, 3).tolist(), strict=True))
    table = Table("learned from", "tested on", "error, %", "in 50 %", "in 90 %")
    for variant in ("surrogates", "shifted"):
        for where, values in out[variant].items():
            table.add_row(variant, where, *(f"{v:.3g}" for v in values.values()))
    console.print(table)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
