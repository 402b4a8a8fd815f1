"""How much faster the compiled Brunel networks are than NEST on one thread, at full size and in the same run.

    python scripts/benchmark_brunel.py [--duration 1000] [--only three|ten]

Networks: that of three parameters (delta synapses, 12,500 neurons), and that of ten (alpha synapses, 10,000 neurons).

Both programs are timed from outside through ``simulate``, the same way: once for one bin (construction: neurons,
connections, and whatever a program prepares at its first step) and once for the whole duration, each repeated until
three seconds have passed, of which the median counts. The difference of the two is the simulation phase; it is divided
by the simulated time, and its ratio is the ratio reported. The ratio with construction included is printed beside it.
Times are CPU seconds of the process: both programs run on one thread, so they are wall-clock seconds where nothing else
runs, and a busy machine disturbs them less. The last line is one JSON object: states and worst_ratio of the network of
three parameters, and ten_parameters with states, worst_ratio and deliveries_per_s (spikes that arrived in a second of
one core, in the slowest state).
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from typing import Any

import numpy as np

from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import BrunelNetwork
from simulators.brunel.nest_network import NestBrunel, load_nest
from simulators.brunel_alpha.compiled_network import CompiledAlphaBrunel
from simulators.brunel_alpha.model import AlphaNetwork
from simulators.brunel_alpha.nest_network import NestAlphaBrunel
from simulators.interface import Simulator

STATES = ((0.1, 5.0, 2.0), (0.1, 6.0, 4.0), (0.2, 6.0, 4.0), (0.1, 4.5, 0.9))
"""(J, g, eta): asynchronous, fast synchronous, asynchronous with strong synapses, slow synchronous."""
TEN_STATES = np.concatenate([[np.full(10, 0.5)], np.random.default_rng(4).random((3, 10))])
"""In the unit cube: the middle of the ranges, and three draws."""

_REPEAT_FOR_S = 3.0


def seconds(simulator: Simulator, theta: np.ndarray) -> float:
    """CPU time of one simulation, in s: the median over as many seeds as fit into three seconds, one at least."""
    taken: list[float] = []
    while sum(taken) < _REPEAT_FOR_S:
        start = time.process_time()
        simulator.simulate(theta, np.random.default_rng(len(taken)))
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def construction_and_simulation(simulator, theta, duration_ms: float) -> tuple[float, float]:
    """Seconds to build the network, and seconds per simulated second once it is built."""
    bin_ms = simulator.network.bin_ms
    one_bin = replace(simulator, network=replace(simulator.network, duration_ms=bin_ms, transient_ms=0.0))
    whole = replace(simulator, network=replace(simulator.network, duration_ms=bin_ms + duration_ms, transient_ms=0.0))
    construction = seconds(one_bin, theta)
    return construction, (seconds(whole, theta) - construction) / (1e-3 * duration_ms)


def measure(nest: Simulator, compiled: Simulator, theta: np.ndarray, duration_ms: float) -> dict[str, float]:
    """One state in both programs."""
    compiled_construction_s, compiled_s = construction_and_simulation(compiled, theta, duration_ms)
    nest_construction_s, nest_s = construction_and_simulation(nest, theta, duration_ms)
    simulated_s = 1e-3 * duration_ms
    return {
        **dict(zip(compiled.parameters.names, theta.tolist(), strict=True)),
        "nest_s": nest_s,
        "compiled_s": compiled_s,
        "ratio": nest_s / compiled_s,
        "nest_construction_s": nest_construction_s,
        "compiled_construction_s": compiled_construction_s,
        "ratio_with_construction": (nest_construction_s + simulated_s * nest_s)
        / (compiled_construction_s + simulated_s * compiled_s),
    }


def table(nest: Simulator, compiled: Simulator, thetas: np.ndarray, duration_ms: float) -> dict[str, Any]:
    """Every state, printed as it is done."""
    names = compiled.parameters.names
    print(" ".join(f"{name:>7}" for name in names)
          + " |    NEST  compiled   ratio | construction: NEST  compiled | ratio with construction")  # fmt: skip
    states = []
    for theta in thetas:
        states.append(state := measure(nest, compiled, theta, duration_ms))
        print(
            " ".join(f"{state[name]:7.2f}" for name in names)
            + " | {nest_s:7.2f} {compiled_s:9.3f} {ratio:7.1f} | {nest_construction_s:18.2f} "
            "{compiled_construction_s:9.2f} | {ratio_with_construction:.1f}".format(**state),
            flush=True,
        )
    return {"states": states, "worst_ratio": min(state["ratio"] for state in states)}


def deliveries(compiled: CompiledAlphaBrunel, thetas: np.ndarray, states: list[dict[str, float]]) -> float:
    """Spikes that arrive in a second of one core, in the slowest state."""
    network = compiled.network
    arriving = [
        compiled.simulate(theta, np.random.default_rng(0)).steady.sum() * sum(network.in_degrees)
        / (1e-3 * network.duration_ms * state["compiled_s"])
        for theta, state in zip(thetas, states, strict=True)
    ]  # fmt: skip
    return float(min(arriving))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duration", type=float, default=1000.0, help="simulated time in ms (1000)")
    parser.add_argument("--order", type=int, help="a fifth of the neurons; both at full size by default")
    parser.add_argument("--only", choices=("three", "ten"), help="one network; both by default")
    arguments = parser.parse_args()
    size = {} if arguments.order is None else {"order": arguments.order}
    times = {"duration_ms": arguments.duration, "transient_ms": 0.0}
    load_nest()
    result: dict[str, Any] = {}
    print("one thread; seconds per simulated second, construction apart")
    if arguments.only != "ten":
        network = BrunelNetwork(**size, **times)
        compiled = CompiledBrunel(network)
        warm(compiled, np.array(STATES[0]))
        result |= table(NestBrunel(network, threads=1), compiled, np.array(STATES), arguments.duration)
    if arguments.only != "three":
        alpha = AlphaNetwork(**size, **times)
        ten = CompiledAlphaBrunel(alpha)
        thetas = ten.parameters.from_unit(TEN_STATES)
        warm(ten, thetas[0])
        found = table(NestAlphaBrunel(alpha, threads=1), ten, thetas, arguments.duration)
        result["ten_parameters"] = found | {"deliveries_per_s": deliveries(ten, thetas, found["states"])}
    print(json.dumps(result))


def warm(compiled: Any, theta: np.ndarray) -> None:
    """numba compiles at its first call."""
    replace(compiled, network=replace(compiled.network, order=10)).simulate(theta, np.random.default_rng(0))


if __name__ == "__main__":
    main()
