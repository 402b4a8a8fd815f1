"""Make the column's posterior that ships: gains and noise of the column from the spectrum of its dipole.

    python scripts/make_column_posterior.py --scratch FOLDER   two hours on two cores; can be resumed
    python scripts/make_column_posterior.py --scratch FOLDER --simulations 10000 --out other.safetensors

100,000 columns of surrogates teach it. Dipoles of NEURON's column at other thetas ship beside it (column_dipoles.npz:
theta, 1.2 s at 500 Hz after a transient of .2 s, and the two numbers that each generator began with); the last 300
are there for tests alone. With --variant the posterior learns from the others, too: "shifted" adds to all spectra what
those of surrogates lack on average, under the same drives; "mixed" goes on learning on NEURON's dipoles; in both they
set the widths of its densities. The last line is one JSON object.
"""

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import track

from inference.estimators.feature_shift import FeatureShift
from inference.estimators.neural_posterior import NeuralPosterior
from inference.features.interface import features_of_all
from inference.recordings.conform import resampled
from inference.workflows.column import RATE_HZ, rhythm_study
from inference.workflows.shipped import SHIPPED
from inference.workflows.study import Study
from simulators.campaigns.run import run_campaign
from simulators.campaigns.store import Campaign
from simulators.interface import simulate_all
from simulators.recording import Recording

DIPOLES = SHIPPED / "column_dipoles.npz"
POSTERIOR = SHIPPED / "column_rhythm.safetensors"
TESTS = 300
SEED, SIMULATIONS, AT_ONCE = 1, 100_000, 2000
VARIANTS = ("surrogates", "shifted", "mixed")


class InNeuron(NamedTuple):
    """Dipoles of NEURON's column, fAm, 500 Hz. seeds: what each one's generator began with, before theta was drawn."""

    theta: np.ndarray
    dipoles: np.ndarray
    seeds: np.ndarray

    @classmethod
    def shipped(cls) -> "InNeuron":
        with np.load(DIPOLES, allow_pickle=False) as file:
            return cls(file["theta"], file["dipoles"], file["seeds"])

    def rows(self, rows: slice) -> "InNeuron":
        return InNeuron(*(column[rows] for column in self))

    @property
    def recordings(self) -> list[Recording]:
        transient = round(0.2 * RATE_HZ)
        return [Recording(x[None].astype(float), RATE_HZ, "fAm", ("dipole",), transient) for x in self.dipoles]

    def by_surrogates(self, study: Study) -> list[Recording]:
        """What columns of surrogates give at the same thetas under the same drives."""
        generators = [np.random.default_rng(seed.tolist()) for seed in self.seeds]
        for generator in generators:
            study.parameters.sample(1, generator)
        return simulate_all(study.simulator, self.theta, generators)


def features_of(study: Study, recordings: list[Recording]) -> np.ndarray:
    return features_of_all(study.features, (resampled(r, RATE_HZ) for r in recordings))


def spectra_of(study: Study, campaign: Campaign, path: Path) -> np.ndarray:
    """Features of all usable simulations, from the file if it is there."""
    if not path.is_file():
        starts = range(0, len(campaign.usable), AT_ONCE)
        parts = [campaign.usable[first : first + AT_ONCE] for first in starts]
        found = [features_of(study, campaign.recordings(rows)) for rows in track(parts, "spectra")]
        np.save(path, np.concatenate(found))
    return np.load(path, allow_pickle=False)


def learned(study: Study, campaign: Campaign, x: np.ndarray, neuron: InNeuron, variant: str) -> NeuralPosterior:
    """A posterior from the campaign's spectra ``x`` and those of NEURON's dipoles."""
    theta = campaign.theta[campaign.usable]
    true = features_of(study, neuron.recordings)
    if variant == "shifted":
        shift = FeatureShift(study.parameters).fit(neuron.theta, true, features_of(study, neuron.by_surrogates(study)))
        x = x + shift(theta).astype(np.float32)
    posterior = NeuralPosterior(study.parameters, study.features, bounded=True, progress=True)
    posterior.fit_features(theta, x, ("dipole",), "nAm")
    if variant == "mixed":
        posterior.learn_more(neuron.theta, true)
    if variant != "surrogates":
        posterior.widen_to(neuron.theta, true)
    sd = [float(r.steady.std()) for r in campaign.recordings(campaign.usable[:AT_ONCE])]
    posterior.about |= {
        "duration_s": 1e-3 * campaign.recordings(campaign.usable[:1])[0].duration_ms,
        "trained_sd": [[min(sd)], [max(sd)]],
        "campaign": campaign.configuration,
        "trained_rows": [[0, len(campaign)]],
        "in_neuron": {"dipoles": 0 if variant == "surrogates" else len(neuron.theta), "variant": variant},
    }
    return posterior


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the campaign (1.2 GB)")
    parser.add_argument("--simulations", type=int, default=SIMULATIONS)
    parser.add_argument("--variant", choices=VARIANTS, default=VARIANTS[0])
    parser.add_argument("--out", type=Path, default=POSTERIOR)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    study = rhythm_study()
    start = time.perf_counter()
    path = arguments.scratch / "column.zarr"
    campaign = run_campaign(study.simulator, arguments.simulations, SEED, path, arguments.workers)
    simulated = time.perf_counter() - start
    neuron = InNeuron.shipped().rows(slice(0, -TESTS))
    x = spectra_of(study, campaign, arguments.scratch / "spectra.npy")
    posterior = learned(study, campaign, x, neuron, arguments.variant)
    posterior.save(arguments.out)
    seconds = {"simulating": round(simulated), "training": round(time.perf_counter() - start - simulated)}
    about = {"log_prob": posterior.about["validation_log_prob"], "width": posterior.about["width"]}
    print(json.dumps({"file": arguments.out.name, "simulations": len(campaign), "seconds": seconds, **about}))


if __name__ == "__main__":
    main()
