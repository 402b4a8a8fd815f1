"""How much faster the compiled Brunel network is than NEST on one thread, at full size and in the same run.

    python scripts/benchmark_brunel.py [--duration 1000] [--order 2500]

Both programs are timed from outside through ``simulate``, the same way: once for one bin (construction: neurons,
connections, and whatever a program prepares at its first step) and once for the whole duration, each repeated until
three seconds have passed, of which the median counts. The difference of the two is the simulation phase; it is divided
by the simulated time, and its ratio is the ratio reported. The ratio with construction included is printed beside it.
Times are CPU seconds of the process: both programs run on one thread, so they are wall-clock seconds where nothing else
runs, and a busy machine disturbs them less. The last line is one JSON object.
"""

import argparse
import json
import statistics
import time
from dataclasses import replace

import numpy as np

from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import FULL_RANGE, BrunelNetwork
from simulators.brunel.nest_network import NestBrunel, load_nest
from simulators.interface import Simulator

STATES = ((0.1, 5.0, 2.0), (0.1, 6.0, 4.0), (0.2, 6.0, 4.0), (0.1, 4.5, 0.9))
"""(J, g, eta): asynchronous, fast synchronous, asynchronous with strong synapses, slow synchronous."""


_REPEAT_FOR_S = 3.0


def seconds(simulator: Simulator, theta: tuple[float, ...]) -> float:
    """CPU time of one simulation, in s: the median over as many seeds as fit into three seconds, one at least."""
    taken: list[float] = []
    while sum(taken) < _REPEAT_FOR_S:
        start = time.process_time()
        simulator.simulate(np.array(theta), np.random.default_rng(len(taken)))
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def construction_and_simulation(simulator, theta, duration_ms: float) -> tuple[float, float]:
    """Seconds to build the network, and seconds per simulated second once it is built."""
    bin_ms = simulator.network.bin_ms
    one_bin = replace(simulator, network=replace(simulator.network, duration_ms=bin_ms, transient_ms=0.0))
    whole = replace(simulator, network=replace(simulator.network, duration_ms=bin_ms + duration_ms, transient_ms=0.0))
    construction = seconds(one_bin, theta)
    return construction, (seconds(whole, theta) - construction) / (1e-3 * duration_ms)


def measure(nest: NestBrunel, compiled: CompiledBrunel, theta, duration_ms: float) -> dict[str, float]:
    """One state in both programs."""
    compiled_construction_s, compiled_s = construction_and_simulation(compiled, theta, duration_ms)
    nest_construction_s, nest_s = construction_and_simulation(nest, theta, duration_ms)
    simulated_s = 1e-3 * duration_ms
    return {
        **dict(zip(FULL_RANGE.names, theta, strict=True)),
        "nest_s": nest_s,
        "compiled_s": compiled_s,
        "ratio": nest_s / compiled_s,
        "nest_construction_s": nest_construction_s,
        "compiled_construction_s": compiled_construction_s,
        "ratio_with_construction": (nest_construction_s + simulated_s * nest_s)
        / (compiled_construction_s + simulated_s * compiled_s),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duration", type=float, default=1000.0, help="simulated time in ms (1000)")
    parser.add_argument("--order", type=int, default=BrunelNetwork.order, help="a fifth of the neurons (2500)")
    arguments = parser.parse_args()
    network = BrunelNetwork(order=arguments.order, duration_ms=arguments.duration, transient_ms=0.0)
    nest, compiled = NestBrunel(network, threads=1), CompiledBrunel(network)
    load_nest()
    # numba compiles at its first call.
    replace(compiled, network=BrunelNetwork(order=10)).simulate(np.array(STATES[0]), np.random.default_rng(0))

    print(f"{5 * arguments.order} neurons, one thread; seconds per simulated second, construction apart")
    print("    J    g  eta |    NEST  compiled   ratio | construction: NEST  compiled | ratio with construction")
    states = []
    for theta in STATES:
        states.append(state := measure(nest, compiled, theta, arguments.duration))
        print(
            "{J:5.2f} {g:4.1f} {eta:4.1f} | {nest_s:7.2f} {compiled_s:9.3f} {ratio:7.1f} | {nest_construction_s:18.2f} "
            "{compiled_construction_s:9.2f} | {ratio_with_construction:.1f}".format(**state),
            flush=True,
        )
    print(json.dumps({"states": states, "worst_ratio": min(state["ratio"] for state in states)}))


if __name__ == "__main__":
    main()
