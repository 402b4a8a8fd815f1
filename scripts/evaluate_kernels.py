"""How well the kernel LFP stands for the full hybrid scheme, channel by channel, in two states of a small network.

The network is scaled down and its synapses are strengthened, so that each neuron's input fluctuates as in the full
one. Agreement grows with the network: what the kernels leave out is the part of a presynaptic neuron's LFP that is its
own, and it averages out over targets and neurons. Takes minutes: each cell of the network is simulated in NEURON.

    python scripts/evaluate_kernels.py --order 200 --figure kernels.png
    python scripts/evaluate_kernels.py --network ten    the network of ten parameters: the corners of tau_m and C_m with
                                                        fast and slow synapses, kernels interpolated between nodes
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.table import Table

from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.field import KernelSignal
from simulators.brunel.model import BrunelNetwork
from simulators.brunel_alpha.compiled_network import CompiledAlphaBrunel
from simulators.brunel_alpha.field import AlphaSignal, membrane
from simulators.brunel_alpha.model import TEN_PARAMETERS, AlphaNetwork, neurons
from simulators.fields.hybrid import fidelity, hybrid_signal
from simulators.fields.network import PointPopulations
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

STATES = {"asynchronous irregular": (0.1, 5.0, 2.0), "synchronous": (0.1, 3.5, 1.0)}
"""J (mV, for the full network of order 2500), g and eta of each state."""

EAGER = {"eta": 0.9, "V_th": 0.0}
CORNERS = {
    f"tau_m {tau_m}, C_m {C_m}, {synapses} synapses": EAGER
    | {"tau_m": k, "C_m": m, "tau_syn": s, "delay": s, "C_syn": 0.2 + 0.8 * m}
    for (k, tau_m), (m, C_m), (s, synapses) in (
        ((0.0, "15 ms"), (0.0, "100 pF"), (0.0, "fast")),
        ((1.0, "30 ms"), (0.0, "100 pF"), (1.0, "slow")),
        ((0.0, "15 ms"), (1.0, "300 pF"), (1.0, "slow")),
        ((1.0, "30 ms"), (1.0, "300 pF"), (0.0, "fast")),
    )
}
"""In the ranges of the ten parameters, from 0 to 1; excited enough for a small network to fire."""

WIDE = ParameterSpace(
    (Parameter("J", "mV", 0.01, 10.0), Parameter("g", "1", 0.0, 10.0), Parameter("eta", "1", 0.1, 10.0))
)


def evaluate(
    theta: Float[np.ndarray, "3"], network: BrunelNetwork, n_cells: int | None, seed: int
) -> tuple[dict, Recording, Recording]:
    """Simulate the network once, take both LFPs of its spikes and compare them."""
    network_rng, hybrid_rng = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(2))
    spikes = CompiledBrunel(network, WIDE).simulate_spikes(theta, network_rng)
    counts = network.count(spikes.times_ms, spikes.senders)
    forward_model = KernelSignal(network=network, parameters=WIDE)
    approximate = forward_model.observe(counts, theta)
    start = time.perf_counter()
    weights_mV = (theta[0], -theta[1] * theta[0])
    reference = hybrid_signal(spikes, weights_mV, network, hybrid_rng, forward_model.probe, n_cells=n_cells)
    total = counts.steady.sum(0, dtype=float)
    neurons = network.n_excitatory + network.n_inhibitory
    result = {
        "J_mV": theta[0],
        "g": theta[1],
        "eta": theta[2],
        "rate_Hz": 1e3 * total.sum() / neurons / counts.duration_ms,
        "fano_factor": total.var() / total.mean(),
        "hybrid_seconds": time.perf_counter() - start,
        **fidelity(approximate, reference),
    }
    return result, approximate, reference


def evaluate_ten(
    unit: dict[str, float], network: AlphaNetwork, n_cells: int | None, seed: int
) -> tuple[dict, Recording, Recording]:
    """The same of the network of ten parameters; unit: places in the ranges, the middle where nothing is said."""
    network_rng, hybrid_rng = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(2))
    u = np.array([unit.get(name, 0.5) for name in TEN_PARAMETERS.names])
    theta = TEN_PARAMETERS.from_unit(u)
    own = neurons(TEN_PARAMETERS, theta, {}, network.dt_ms)
    spikes = CompiledAlphaBrunel(network).simulate_spikes(theta, network_rng)
    counts = network.count(spikes.times_ms, spikes.senders)
    signal = AlphaSignal(network=network)
    cells = replace(
        membrane(signal.cells, own.tau_m, own.C_m),
        synaptic_time_constant_ms=own.tau_syn,
        synaptic_current_nA=1e-3 * own.peak_current_pA,
    )
    seen = PointPopulations(
        network.populations, network.in_degrees, (own.delay,), network.dt_ms, network.bin_ms, network.duration_ms,
        network.transient_ms,
    )  # fmt: skip
    reference = hybrid_signal(spikes, (1.0, -own.g), seen, hybrid_rng, signal.probe, cells, n_cells)
    approximate = signal.observe(counts, theta)
    rate = 1e3 * counts.steady.sum() / (network.n_excitatory + network.n_inhibitory) / counts.duration_ms
    total = counts.steady.sum(0, dtype=float)
    found = own._asdict() | {"rate_Hz": float(rate), "fano_factor": float(total.var() / total.mean())}
    return found | fidelity(approximate, reference), approximate, reference


def table(name: str, result: dict, channels: tuple[str, ...]) -> Table:
    """One state's figures, a row a channel."""
    title = f"{name}: {result['rate_Hz']:.1f} Hz, Fano factor {result['fano_factor']:.1f}"
    rows = Table("channel", "R2", "std kernel / std hybrid", "correlation", title=title)
    for i, channel in enumerate(channels):
        rows.add_row(channel, *(f"{result[key][i]:.3f}" for key in ("R2", "std_ratio", "correlation")))
    return rows


def draw(path: Path, pairs: dict[str, tuple[Recording, Recording]]) -> None:
    """Both LFPs of every state, each channel in units of the hybrid scheme's standard deviation."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(pairs), figsize=(6 * len(pairs), 5), squeeze=False, layout="constrained")
    for axis, (name, (approximate, reference)) in zip(axes[0], pairs.items(), strict=True):
        scale = reference.steady.std(1, keepdims=True)
        offsets = -6.0 * np.arange(len(scale))
        for recording, colour, label in ((reference, "0.5", "hybrid scheme"), (approximate, "C3", "kernels")):
            centred = (recording.steady - recording.steady.mean(1, keepdims=True)) / scale
            lines = axis.plot(recording.times_ms[recording.transient :], centred.T + offsets, colour, lw=0.8)
            lines[0].set_label(label)
        axis.set(title=name, xlabel="time (ms)", yticks=offsets, yticklabels=reference.channels)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=150)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=("three", "ten"), default="three", help="by its number of parameters")
    parser.add_argument("--order", type=int, default=200, help="a fifth of the number of neurons (default 200)")
    parser.add_argument("--duration", type=float, default=500.0, help="ms, of which 100 are dropped (default 500)")
    parser.add_argument("--n-cells", type=int, help="postsynaptic cells to simulate; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, help="file for a figure of both LFPs (.png)")
    options = parser.parse_args(arguments)

    times = {"order": options.order, "duration_ms": options.duration, "transient_ms": 100.0}
    console = Console()
    results: dict[str, dict] = {}
    pairs: dict[str, tuple[Recording, Recording]] = {}
    for name in STATES if options.network == "three" else CORNERS:
        if options.network == "three":
            J, g, eta = STATES[name]
            theta = np.array([J * (2500 / options.order) ** 0.5, g, eta])
            found = evaluate(theta, BrunelNetwork(**times), options.n_cells, options.seed)
        else:
            found = evaluate_ten(CORNERS[name], AlphaNetwork(**times), options.n_cells, options.seed)
        result, approximate, reference = found
        results[name], pairs[name] = result, (approximate, reference)
        console.print(table(name, result, reference.channels))
    if options.figure:
        draw(options.figure, pairs)
    print(
        json.dumps({"order": options.order, "duration_ms": options.duration, "seed": options.seed, "states": results})
    )


if __name__ == "__main__":
    main()
