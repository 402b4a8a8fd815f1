"""How many excitatory connections for each inhibitory one? From the spike counts of a network, and from its LFP.

    python scripts/evaluate_ei_ratio.py                     2,000 rings to learn from, 300 to test on (15 minutes)
    python scripts/evaluate_ei_ratio.py --n 600 --test 100  a quick look

Rings of 300 E and 300 I cells with unknown strength S and unknown logarithm of the numbers of E over I connections; 1 s
and 10 s of their E and I spikes in each ms, or of the LFP at six contacts that kernels make of these. CNN and posterior
are trained and tested with the defaults of the command line. "two rates": a forest that is given the two mean rates.
beat: the strength c of inhibition in the beat network, from counts. The last line is one JSON object: by signal
(counts, lfp, beat), length and estimator r2, coverage50 and coverage90 of each parameter.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import ExtraTreesRegressor

from inference.evaluation.scores import score
from inference.features.spectra import SpectralFeatures
from inference.workflows.study import Study, split_rows
from inference.workflows.train import cut, train
from simulators.campaigns.run import run_campaign
from simulators.campaigns.store import Campaign
from simulators.fields.probes import SKAAR_PROBE
from simulators.firing_events.simulator import RATIO, BeatSimulator, RingSimulator

console = Console()
KEPT = "r2", "coverage50", "coverage90"
LENGTHS_S = 1.0, 10.0
RATE_HZ = 1000.0  # of counts


def two_rates(campaign: Campaign, learned: np.ndarray, tested: np.ndarray, seconds: float) -> dict[str, Any]:
    """R2 of a forest that sees the two mean rates alone."""
    samples = round(RATE_HZ * seconds)
    x = [
        np.log([cut(r, samples).steady.mean(1) + 1e-3 for r in campaign.recordings(rows)]) for rows in (learned, tested)
    ]
    found = {}
    for k, name in enumerate(campaign.parameters.names):
        forest = ExtraTreesRegressor(300, min_samples_leaf=2, random_state=0).fit(x[0], campaign.theta[learned, k])
        y = campaign.theta[tested, k]
        found[name] = round(float(1 - np.mean((forest.predict(x[1]) - y) ** 2) / y.var()), 3)
    return {"r2": found}


def evaluated(
    simulator: RingSimulator | BeatSimulator, campaign: Campaign, signal: str, test: int
) -> dict[str, dict[str, Any]]:
    """Scores by length and estimator of what one signal tells."""
    learned, tested = split_rows(campaign, test)
    # In segments of a quarter of a second slow waves are seen, too.
    features = SpectralFeatures(segment_ms=250.0)
    study = Study(simulator, simulator.forward_model(None if signal == "counts" else SKAAR_PROBE), features)
    theta, recordings = study.recordings(campaign, tested)
    found: dict[str, dict[str, Any]] = {}
    for seconds in LENGTHS_S:
        row, samples = found.setdefault(f"{seconds:g} s", {}), round(RATE_HZ * seconds)
        for kind, estimator in train(study, campaign, ["cnn", "npe"], test=test, duration_s=seconds):
            made = score(theta, [estimator.estimate(cut(r, samples)) for r in recordings]).to_json()
            row[kind] = {key: made[key] for key in KEPT}
            console.print(f"{signal}, {seconds:g} s, {kind}: {row[kind]}")
        if signal == "counts":
            row["two rates"] = two_rates(campaign, learned, tested, seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2000, help="rings to learn from; a third as many beat networks")
    parser.add_argument("--test", type=int, default=300)
    parser.add_argument("--networks", default="ring,beat")
    parser.add_argument("--out", type=Path, help="folder for the simulations, to go on with")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    networks = asked.networks.split(",")
    if unknown := set(networks) - {"ring", "beat"}:
        parser.error(f"there is no network {', '.join(unknown)}; there are ring and beat")
    long_ms = 1e3 * max(LENGTHS_S)
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if "ring" in networks:
            rings = RingSimulator(duration_ms=long_ms, free=RATIO)
            made = run_campaign(rings, asked.n + asked.test, 5, folder / "rings.zarr", asked.workers, label="rings")
            result |= {signal: evaluated(rings, made, signal, asked.test) for signal in ("counts", "lfp")}
        if "beat" in networks:
            beats, test = BeatSimulator(duration_ms=long_ms), asked.test // 2
            number = asked.n // 3 + test
            made = run_campaign(beats, number, 7, folder / "beats.zarr", asked.workers, label="beat networks")
            result["beat"] = evaluated(beats, made, "counts", test)
    table = Table("signal", "length", "estimator", "R2", "in 50 %", "in 90 %")
    for signal, lengths in result.items():
        for length, kinds in lengths.items():
            for kind, values in kinds.items():
                told = [" ".join(f"{n} {v}" for n, v in values[key].items()) if key in values else "" for key in KEPT]
                table.add_row(signal, length, kind, *told)
    console.print(table)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
