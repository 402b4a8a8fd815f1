"""Every single weight of the column fitted to a rhythm, some 1,400 of them: does back-propagation pay there?

    python scripts/fit_column_weights.py               one seed of each method, 10 minutes each
    python scripts/fit_column_weights.py --seconds 120 a quick look

From the column as it comes, log10 of all weights change within +-1 until its dipole's power lies in 15-60 Hz. gradient:
Adam along damped gradients through 8 columns; evolution: Adam along slopes estimated from pairs of columns whose
weights are changed at random, there and back (evolution strategies, Salimans et al. 2017), for as long on one core.
gains: the damped gradients summed over each of the 11 pairs of cell types, as ``fit_column.py`` does. What was found is
simulated in NEURON under five drives of its own. The last line is one JSON object: by method the steps and networks,
the share of the power in the band in the column of surrogates and in NEURON, the drives of five with their peak in the
band, rates in NEURON, and how far weights went (root mean square of their log10).
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from column_methods import BAND, BAND_HZ, COLUMN, MODEL, differentiable_loss, targets
from fit_column import DRIVE_SEED, DRIVES, judged
from rich.console import Console
from rich.table import Table

from inference.fitting.targets import total_loss
from simulators.column.live import live_column
from simulators.recording import Recording
from surrogates.network.circuit import Circuit
from surrogates.network.column import SurrogateColumn
from surrogates.network.column import recordings_of as column_recordings
from surrogates.network.compiled import CompiledNetwork
from surrogates.network.differentiable import DifferentiableNetwork, gradient_trouble

console = Console()
COPIES, PAIRS, WIDTH, RATE = 8, 32, 0.1, 0.05
SHORT_COLUMN = replace(COLUMN, duration_ms=800.0)


def each_its_own() -> Circuit:
    """The column's circuit with a group for every link."""
    shared = SurrogateColumn(COLUMN).circuit
    n = len(shared.links.sources)
    return replace(
        shared, links=shared.links._replace(groups=np.arange(n)), groups=tuple(f"link {k}" for k in range(n))
    )


def drives_of(column, seeds: list) -> list:
    theta = np.zeros(len(column.free))
    return [column.events(theta, np.random.default_rng(seed)) for seed in seeds]


def gradients(circuit: Circuit, seed: int, pooled: bool) -> Iterator[tuple[np.ndarray, int]]:
    """Weights (log10 factors) after each step, and the networks that it took; ends where gradients explode."""
    network = DifferentiableNetwork(circuit, COPIES, memory_gradient=0.7)
    pairs = [pathway.pair for pathway in MODEL.pathways]
    names = sorted(set(pairs))
    of_link = torch.tensor([names.index(pairs[k]) for k in SurrogateColumn(COLUMN).circuit.links.groups])
    free = torch.zeros(len(names) if pooled else len(of_link), requires_grad=True)
    optimiser = torch.optim.Adam([free], lr=2 * RATE if pooled else RATE)
    lasting = SHORT_COLUMN.transient_ms + SHORT_COLUMN.duration_ms
    for step in range(10**6):
        drives = drives_of(SHORT_COLUMN, [[seed, step, k] for k in range(COPIES)])
        weights = free[of_link] if pooled else free
        run = network.run((10.0**weights).expand(COPIES, -1), drives, lasting)
        loss = differentiable_loss(run.summed.sum(1), run.spikes, SHORT_COLUMN)
        optimiser.zero_grad()
        loss.backward()
        if trouble := gradient_trouble(free.grad, names if pooled else circuit.groups, step):
            console.print(trouble)
            return
        optimiser.step()
        with torch.no_grad():
            free.clamp_(-1, 1)
        yield (free[of_link] if pooled else free).detach().numpy().astype(float), COPIES


def evolution(circuit: Circuit, seed: int) -> Iterator[tuple[np.ndarray, int]]:
    """As ``gradients``, by slopes along random directions."""
    network = CompiledNetwork(circuit, 2 * PAIRS)
    rng = np.random.default_rng(seed)
    free = torch.zeros(len(circuit.groups), requires_grad=True)
    optimiser = torch.optim.Adam([free], lr=RATE)
    for step in range(10**6):
        there = WIDTH * rng.standard_normal((PAIRS, len(free)))
        weights = np.clip(free.detach().numpy() + np.concatenate([there, -there]), -1, 1)
        drives = drives_of(SHORT_COLUMN, [[seed, step, k] for k in range(PAIRS)])
        values = losses(network, weights, [*drives, *drives])  # both ways under one drive
        slope = (values[:PAIRS] - values[PAIRS:]) @ there / (2 * PAIRS * WIDTH**2)
        free.grad = torch.as_tensor(slope, dtype=torch.float32)
        optimiser.step()
        with torch.no_grad():
            free.clamp_(-1, 1)
        yield free.detach().numpy().astype(float), 2 * PAIRS


def recordings_of(network: CompiledNetwork, weights: np.ndarray, drives: list) -> list[Recording]:
    run = network.run(10.0**weights, drives, SHORT_COLUMN.transient_ms + SHORT_COLUMN.duration_ms)
    return column_recordings(SHORT_COLUMN, run)


def losses(network: CompiledNetwork, weights: np.ndarray, drives: list) -> np.ndarray:
    """Of each network alone; those that do nothing get the worst."""
    wanted, found = targets(), recordings_of(network, weights, drives)
    parts = [torch.as_tensor(np.stack([t.features(r) for r in found])) for t in wanted]
    values = total_loss(wanted, parts).numpy()
    return np.nan_to_num(values, nan=float(np.nanmax(values, initial=1.0)))


def share(circuit: Circuit, weights: np.ndarray) -> float:
    """Of the power in the band, in 64 columns of surrogates under drives that nothing has seen."""
    network, drives = CompiledNetwork(circuit, 64), drives_of(SHORT_COLUMN, [[DRIVE_SEED, 1, k] for k in range(64)])
    features = np.stack([BAND.features(r) for r in recordings_of(network, np.tile(weights, (64, 1)), drives)])
    return float(BAND.share(torch.as_tensor(np.log(np.exp(features).mean(0)))[None]))


def in_neuron(weights: np.ndarray) -> dict[str, Any]:
    lasting = COLUMN.transient_ms + COLUMN.duration_ms
    drives = drives_of(COLUMN, [[DRIVE_SEED, d] for d in range(DRIVES)])
    column = live_column(MODEL)
    runs = (column.run(10.0**weights, drive, lasting, COLUMN.dt_ms, COLUMN.sample_ms) for drive in drives)
    return judged([COLUMN.observe(run) for run in runs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="for each method")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    circuit = each_its_own()
    start = np.zeros(len(circuit.groups))
    losses(CompiledNetwork(circuit, 2), np.tile(start, (2, 1)), drives_of(SHORT_COLUMN, [0, 1]))  # compiled before
    methods = {
        "gradient": gradients(circuit, arguments.seed, pooled=False),
        "evolution": evolution(circuit, arguments.seed),
        "gains": gradients(circuit, arguments.seed, pooled=True),
    }
    before = in_neuron(start)
    out: dict[str, Any] = {"weights": len(start), "start": {"share": round(share(circuit, start), 3)}}
    out["start"]["share_in_neuron"] = round(before["share"], 3)
    table = Table("method", "steps", "share, surrogates", "share, NEURON", "peaks in the band", "rates, Hz", "moved")
    for name, steps in methods.items():
        began, taken, networks, weights = time.perf_counter(), 0, 0, start
        while time.perf_counter() - began < arguments.seconds and (found := next(steps, None)) is not None:
            weights, more = found
            taken, networks = taken + 1, networks + more
        true = in_neuron(weights)
        out[name] = {
            "steps": taken,
            "networks": networks,
            "share": round(share(circuit, weights), 3),
            "share_in_neuron": round(true["share"], 3),
            "in_band": true["in_band"],
            "rates_Hz": {k: round(v, 1) for k, v in true["rates_Hz"].items()},
            "rms_log10": round(float(np.sqrt(np.mean(weights**2))), 3),
        }
        shown = [f"{out[name][k]}" for k in ("steps", "share", "share_in_neuron", "in_band")]
        rates = " ".join(f"{r:.1f}" for r in true["rates_Hz"].values())
        table.add_row(name, *shown, rates, f"{out[name]['rms_log10']:.2f}")
    table.title = f"all single weights, {BAND_HZ[0]:g}-{BAND_HZ[1]:g} Hz"
    console.print(table)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
