"""Which synaptic strengths does a spectrum tell? The posterior of a circuit of E and I cells from its LFP.

    python scripts/evaluate_ei_posterior.py             6,000 circuits to learn from, 500 to test on (15 minutes)
    python scripts/evaluate_ei_posterior.py --n 1000    a quick look

Circuits of 80 E, 20 fast and 20 slow inhibitory cells with connections of their own; unknown are nine strengths and the
noise of E. The spectrum of the mean synaptic current of E cells, 3 s, teaches a posterior; others test it. The last
line is one JSON object: coverage50, coverage90, contraction (1 - posterior over prior standard deviation) by parameter.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from inference.evaluation.constraint import contraction
from inference.evaluation.scores import score
from inference.features.spectra import SpectralFeatures
from inference.workflows.study import Study, split_rows
from inference.workflows.train import train
from simulators.campaigns.run import run_campaign
from simulators.ei_circuit.model import EICircuit
from simulators.ei_circuit.simulator import CompiledEICircuit
from simulators.interface import Parameter

NOISE = Parameter("E_noise_Hz", "Hz", 100.0, 300.0, "noise at each E cell")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=6000)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--out", type=Path, help="folder for the simulations, to go on with")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    simulator = CompiledEICircuit(free=(*EICircuit().free_strengths(), NOISE), record=("lfp",), duration_ms=3000.0)
    study = Study(simulator, None, SpectralFeatures(segment_ms=500.0, band_hz=(2.0, 150.0)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        campaign = run_campaign(
            simulator, asked.n + asked.test, 6, folder / "circuits.zarr", asked.workers, label="circuits"
        )
        ((_, posterior),) = train(study, campaign, ["npe"], test=asked.test)
        theta, recordings = study.recordings(campaign, split_rows(campaign, asked.test)[1])
        estimates = [posterior.estimate(r) for r in recordings]
    made = score(theta, estimates).to_json()
    told = dict(zip(simulator.parameters.names, np.round(contraction(estimates), 3).tolist(), strict=True))
    table = Table("parameter", "in 50 %", "in 90 %", "contraction")
    for name in simulator.parameters.names:
        table.add_row(name, *(str(x[name]) for x in (made["coverage50"], made["coverage90"], told)))
    Console().print(table)
    print(json.dumps({"coverage50": made["coverage50"], "coverage90": made["coverage90"], "contraction": told}))


if __name__ == "__main__":
    main()
