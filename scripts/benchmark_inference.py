"""What an answer costs: every estimator on one recording, and the emulator against the networks it stands in for.

    python scripts/benchmark_inference.py           (3 minutes)

Every time is the median of several, on one thread. The last line is one JSON object: seconds_per_recording by estimator
and of the gradient fit with its posterior by NUTS, speedup (how many times faster than the gradient fit), and for the
emulator microseconds_per_spectrum (cross-spectra of one theta, in batches of 1,000), seconds_per_recording, and its
ratios to NEST and to the compiled network, which simulate the same 3 s.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from inference.estimators.gradient_fit import GradientFit
from inference.workflows.shipped import shipped_estimators
from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.field import KernelSignal
from simulators.brunel.model import ASYNCHRONOUS_RANGE, BrunelNetwork
from simulators.brunel.nest_network import NestBrunel

console = Console()
THETA = np.array([0.15, 5.0, 2.0])


def seconds(job: Callable[[], object], repeats: int) -> float:
    """Median time of a job, which has run once before where it is repeated."""
    times = []
    if repeats > 1:
        job()
    for _ in range(repeats):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    estimators = shipped_estimators("asynchronous")
    network = BrunelNetwork()
    compiled = CompiledBrunel(network, ASYNCHRONOUS_RANGE)
    recording = KernelSignal(parameters=ASYNCHRONOUS_RANGE).observe(
        compiled.simulate(THETA, np.random.default_rng(0)), THETA
    )
    cost = {e.kind: seconds(partial(e.estimate, recording), 11) for e in estimators}
    fit = next(e for e in estimators if isinstance(e, GradientFit))
    emulator, sampler = fit.model.emulator, fit.with_nuisances()
    sampler.descent = replace(fit.descent, posterior="nuts")
    cost["gradient with NUTS"] = seconds(lambda: sampler.estimate(recording), 1)
    thetas = ASYNCHRONOUS_RANGE.sample(1000, np.random.default_rng(1))
    batch = thetas[: emulator.batch_size]
    spectrum = seconds(lambda: emulator.spectra(thetas), 11) / len(thetas)
    drawn = seconds(lambda: emulator.simulate_batch(batch, [np.random.default_rng(i) for i in range(len(batch))]), 11)
    fast = seconds(lambda: compiled.simulate(THETA, np.random.default_rng(1)), 3)
    nest = seconds(lambda: NestBrunel(network, ASYNCHRONOUS_RANGE).simulate(THETA, np.random.default_rng(1)), 1)
    out = {
        "seconds_per_recording": {k: round(v, 5) for k, v in cost.items()},
        "speedup": {k: round(cost["gradient"] / v, 1) for k, v in cost.items()},
        "emulator": {
            "microseconds_per_spectrum": round(1e6 * spectrum, 1),
            "seconds_per_recording": round(drawn / len(batch), 6),
            "nest_ratio": round(nest / (drawn / len(batch))),
            "compiled_ratio": round(fast / (drawn / len(batch))),
        },
    }
    table = Table("what", "seconds")
    for kind, value in cost.items():
        table.add_row(f"one recording, {kind}", f"{value:.4f}")
    table.add_row("cross-spectra of one theta, emulator", f"{spectrum:.6f}")
    for name, value in (("emulator", drawn / len(batch)), ("compiled network", fast), ("NEST", nest)):
        table.add_row(f"3 s of activity, {name}", f"{value:.4f}")
    console.print(table)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
