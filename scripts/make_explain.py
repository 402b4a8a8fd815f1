"""Make what 'circuitsbi explain' ships with: a fit of each circuit to one channel, and the comparison of all.

    python scripts/make_explain.py --scratch FOLDER --out inference/shipped/circuits       an hour on one core

FOLDER/networks.zarr is the campaign of 'circuitsbi simulate --simulator brunel-alpha --n 11000'; the others that do not
ship are made there. The last line is one JSON object: seconds by circuit, and log_loss of the comparison.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from explain_circuits import Simulations, circuits
from rich.console import Console

from inference.estimators.gradient_fit import GradientFit
from inference.explaining.comparison import BACKGROUND, CircuitComparison
from inference.explaining.spectra import BANDS, FEATURES, SECONDS
from inference.fitting.descent import Descent
from surrogates.spectra.emulator import SpectralEmulator
from surrogates.spectra.likelihood import SpectralModel

console = Console()
RANGES_OF = {"brunel-asynchronous": "brunel", "brunel-full": "brunel"}


def fitted(simulations: Simulations) -> GradientFit:
    """A gradient fit of one channel of unknown gain, by all simulations but those that are kept apart."""
    learned = slice(0, len(simulations.theta) - simulations.tested)
    emulator = SpectralEmulator(simulations.parameters, BANDS, duration_ms=1e3 * SECONDS, transient_ms=0.0)
    fit = GradientFit(SpectralModel(emulator, gain=True), FEATURES, Descent(screened=256))
    return fit.fit(simulations.theta[learned], simulations.recordings[learned])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=4000, help="simulations of a circuit that does not ship, at most")
    parser.add_argument("--only-comparison", action="store_true", help="leave the fits as they are")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    seconds, learned = {}, {}
    for name, make in circuits(arguments.scratch, arguments.n).items():
        start = time.perf_counter()
        simulations = make()
        if not arguments.only_comparison:
            fitted(simulations).save(arguments.out / f"{name}.safetensors")
        learned[name] = simulations.recordings[: -simulations.tested][: arguments.n]  # as many of each
        seconds[name] = round(time.perf_counter() - start)
        console.print(f"{name}: {len(simulations.theta)} simulations, {seconds[name]} s")
    comparison = CircuitComparison.learned(learned, RANGES_OF)
    comparison.save(arguments.out / "comparison.safetensors")
    result = {"seconds": seconds, "classes": [*learned, BACKGROUND], "log_loss": comparison.about["log_loss"]}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
