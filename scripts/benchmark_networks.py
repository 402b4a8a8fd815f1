"""Networks of surrogate neurons against the same networks in NEURON, on one core.

    python scripts/benchmark_networks.py              (10 minutes)
    python scripts/benchmark_networks.py --quick      the small column alone (2 minutes)
    python scripts/benchmark_networks.py --gpu        many small columns side by side on a GPU, and nothing else

NEURON runs the column that is built already; hnn-core builds it anew for every trial, in a time that is given apart.
Surrogates are compiled beforehand. Seconds are of one core for a second of one network, drives included. The last line
is one JSON object: for column_3x3 and column_10x10 the seconds, and ratio_1 and ratio_64, how many times faster one
column and 64 side by side are than NEURON with steps of 0.025 ms, which the surrogates' accuracy is that of;
ratio_1_coarse and ratio_64_coarse with steps of 0.05 ms; microcircuit: the same of 150 L5 pyramidal cells, one and 32
networks side by side; sparse: seconds by number of cells and of links to each, of networks with four pyramidal cells
for each basket cell. With --gpu: seconds for a second of one column among so many, in torch, and with gradients of all
gains; and what laying out the events of the drives takes besides, on the CPU.
"""

import argparse
import json
import resource
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from reproduce_rett import LASTING_MS, beside_neuron
from rich.console import Console
from rich.table import Table

from simulators.campaigns.workers import local_pool
from simulators.cells.inputs import SynapticEvents
from simulators.column.connectivity import ColumnModel
from simulators.column.simulator import ColumnSimulator
from surrogates.network.circuit import Circuit, Links, Population
from surrogates.network.column import SurrogateColumn
from surrogates.network.compiled import CompiledNetwork
from surrogates.network.differentiable import DifferentiableNetwork
from surrogates.network.microcircuit import WILD_TYPE, Microcircuit

console = Console()
SEED = 1


def column_of(mesh: tuple[int, int], duration_ms: float, dt_ms: float = 0.025) -> ColumnSimulator:
    return ColumnSimulator(ColumnModel(mesh=mesh), duration_ms=duration_ms, transient_ms=0.0, dt_ms=dt_ms)


def in_neuron(mesh: tuple[int, int], duration_ms: float, dt_ms: float) -> float:
    """Seconds for a second of a column that is built already."""
    column = column_of(mesh, duration_ms, dt_ms)
    theta = np.zeros(len(column.free))
    replace(column, duration_ms=1.0).simulate(theta, np.random.default_rng(SEED))
    start = time.perf_counter()
    column.simulate(theta, np.random.default_rng(SEED))
    return 1e3 * (time.perf_counter() - start) / duration_ms


def built_by_hnn_core(mesh: tuple[int, int]) -> float:
    """Seconds that hnn-core takes for a trial of next to no time: what it builds for each."""
    from hnn_core import calcium_model, simulate_dipole

    net = calcium_model(mesh_shape=mesh)
    weights = {"L2_basket": 1e-4, "L2_pyramidal": 3e-3, "L5_basket": 1e-4, "L5_pyramidal": 3e-3}
    net.add_poisson_drive(
        "noise", rate_constant=dict.fromkeys(weights, 120.0), weights_ampa=weights, location="proximal", event_seed=SEED
    )
    start = time.perf_counter()
    simulate_dipole(net, tstop=1.0, dt=0.025, verbose=False)
    return time.perf_counter() - start


def by_surrogates(mesh: tuple[int, int], duration_ms: float, copies: int, repeats: int = 3) -> float:
    """Seconds for a second of one column among so many side by side; the best of a few."""
    surrogate = SurrogateColumn(column_of(mesh, duration_ms), batch_size=copies)
    thetas = np.zeros((copies, len(surrogate.parameters)))

    def once() -> float:
        start = time.perf_counter()
        surrogate.simulate_batch(thetas, [np.random.default_rng(k) for k in range(copies)])
        return 1e3 * (time.perf_counter() - start) / duration_ms / copies

    once()
    return min(once() for _ in range(repeats))


def sparse(cells: int, links_each: int, duration_ms: float = 200.0) -> float:
    """Seconds for a second of pyramidal and basket cells, to each of which so many links come from others at random."""
    rng = np.random.default_rng(SEED)
    pyramidal = cells * 4 // 5
    populations = Population("E", "L2_pyramidal", pyramidal), Population("I", "L2_basket", cells - pyramidal)
    targets = np.repeat(np.arange(cells), links_each)
    synapses = np.where(targets < pyramidal, rng.integers(0, 30, len(targets)), rng.integers(0, 3, len(targets)))
    weights, delays = np.full(len(targets), 1e-3 / links_each), rng.uniform(1.0, 5.0, len(targets))
    links = Links(rng.integers(0, cells, len(targets)), targets, synapses, weights, delays, np.zeros(len(targets), int))
    network = CompiledNetwork(Circuit(populations, links, ("all",)))
    numbers = rng.poisson(0.1 * duration_ms, cells)
    drives = [SynapticEvents(rng.uniform(0, duration_ms, n), rng.integers(0, 3, n), np.full(n, 3e-3)) for n in numbers]
    network.run(np.ones((1, 1)), [drives], 5.0)
    start = time.perf_counter()
    network.run(np.ones((1, 1)), [drives], duration_ms)
    return 1e3 * (time.perf_counter() - start) / duration_ms


def microcircuit() -> dict[str, Any]:
    """Of the Rett microcircuit at the wild type: seconds for a second of one, and ratios."""
    with local_pool(1) as pool:
        seconds = pool.submit(beside_neuron, tuple(WILD_TYPE.values()), [SEED]).result()["seconds"]
    found = {"neuron": 1e3 * seconds / LASTING_MS}
    circuit = Microcircuit()
    wild = np.array([WILD_TYPE[name] for name in circuit.parameters.names])
    duration_ms = circuit.before_ms + circuit.after_ms
    for n in (1, circuit.batch_size):
        rngs = [np.random.default_rng(k) for k in range(n)]
        circuit.simulate_batch(np.tile(wild, (n, 1)), rngs)
        start = time.perf_counter()
        circuit.simulate_batch(np.tile(wild, (n, 1)), rngs)
        found[f"surrogates_{n}"] = 1e3 * (time.perf_counter() - start) / duration_ms / n
    ratios = {f"ratio_{n}": round(found["neuron"] / found[f"surrogates_{n}"]) for n in (1, circuit.batch_size)}
    return {"seconds": {k: round(v, 4) for k, v in found.items()}, "ratio": ratios["ratio_1"], **ratios}


def on_gpu(copies: int, duration_ms: float = 100.0, gradients: bool = False) -> dict[str, float]:
    """Seconds for a second of one of so many small columns: of the network, and of laying out its drives."""
    surrogate = SurrogateColumn(column_of((3, 3), duration_ms))
    network = DifferentiableNetwork(surrogate.circuit, copies, device="cuda")
    theta = np.zeros(len(surrogate.parameters))
    few = [surrogate.column.events(theta, np.random.default_rng(k)) for k in range(min(copies, 64))]
    drives = [few[k % len(few)] for k in range(copies)]
    factors = torch.ones(copies, len(surrogate.circuit.groups), device="cuda", requires_grad=gradients)

    def once() -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.set_grad_enabled(gradients):
            run = network.run(factors, drives, duration_ms)
            if gradients:
                run.summed.square().mean().backward()
        torch.cuda.synchronize()
        return time.perf_counter() - start

    once()
    whole = min(once() for _ in range(2))
    start = time.perf_counter()
    network._outside(drives, round(duration_ms / surrogate.circuit.frame_ms))
    torch.cuda.synchronize()
    laid_out = time.perf_counter() - start
    per = 1e3 / duration_ms / copies
    return {"network": round((whole - laid_out) * per, 6), "drives": round(laid_out * per, 6)}


def apart(job: Any, *arguments: Any) -> float:
    """In a process of its own: NEURON and hnn-core keep what they have built."""
    with local_pool(1) as pool:
        return pool.submit(job, *arguments).result()


def column(mesh: tuple[int, int], neuron_ms: float) -> dict[str, Any]:
    fine, coarse = (apart(in_neuron, mesh, neuron_ms, dt) for dt in (0.025, 0.05))
    seconds = {
        "neuron": fine,
        "neuron_coarse": coarse,
        "hnn_core_construction_of_a_trial": apart(built_by_hnn_core, mesh),
        "surrogates_1": by_surrogates(mesh, 1000.0, 1),
        "surrogates_64": by_surrogates(mesh, 1000.0, 64, repeats=2),
    }
    ratios = {f"ratio_{n}{kind}": neuron / seconds[f"surrogates_{n}"]
              for n in (1, 64) for kind, neuron in (("", fine), ("_coarse", coarse))}  # fmt: skip
    return {"seconds": {k: round(v, 4) for k, v in seconds.items()}} | {k: round(v) for k, v in ratios.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the column of 24 cells alone")
    parser.add_argument("--gpu", action="store_true", help="small columns on a GPU, and nothing else")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.gpu:
        if not torch.cuda.is_available():
            parser.error("torch finds no GPU on this machine")
        many = {f"{n} columns": on_gpu(n) for n in (64, 1024, 4096)}
        many["64 columns, with gradients"] = on_gpu(64, gradients=True)
        print(json.dumps({"gpu": torch.cuda.get_device_name(), **many}))
        return
    out: dict[str, Any] = {"column_3x3": column((3, 3), 1000.0)}
    if not arguments.quick:
        out["column_10x10"] = column((10, 10), 200.0)
        out["microcircuit"] = microcircuit()
        sizes = [(1000, 50), (1000, 500), (10_000, 50), (10_000, 500)]
        out["sparse"] = {f"{cells} cells, {each} links each": round(sparse(cells, each), 3) for cells, each in sizes}
    out["memory_GB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    table = Table("network", "seconds for a second of", "", title="one core")
    for name in ("column_3x3", "column_10x10", "microcircuit"):
        for what, value in out.get(name, {}).get("seconds", {}).items():
            table.add_row(name, what.replace("_", " "), f"{value:.4g}")
    for name, value in out.get("sparse", {}).items():
        table.add_row("sparse", name, f"{value:.4g}")
    console.print(table)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
