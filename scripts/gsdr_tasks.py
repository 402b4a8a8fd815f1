"""What circuits of E and I cells are tuned to: tasks for tuning the rule, and tasks for judging it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from inference.fitting.objective import Evaluation
from inference.fitting.targets import BandPower, Level, Peak, Rate, Target, total_loss
from simulators.ei_circuit.model import BETA, GAMMA, E, EICircuit, Population
from simulators.ei_circuit.simulator import CompiledEICircuit
from simulators.interface import Parameter, Simulator

BAND: dict[str, Any] = {"of_hz": (6.0, 100.0), "bins": 47, "channel": "lfp"}
CELLS = {"E": 80, "F": 20, "S": 20}


@dataclass(frozen=True)
class Task:
    """A simulator, what it is to do, from where, and with how many simulations at most; judge: of an end, on fresh
    simulations of its own."""

    simulator: Simulator
    targets: Sequence[Target]
    start: np.ndarray
    budget: int
    confirmations: int
    judge: Callable[["Task", np.ndarray, int], bool]


def judged_by(targets: Sequence[Target], runs: int = 4) -> Callable[[Task, np.ndarray, int], bool]:
    """Whether the mean features of fresh simulations meet all targets."""

    def judge(task: Task, theta: np.ndarray, seed: int) -> bool:
        recordings = [task.simulator.simulate(theta, np.random.default_rng([seed, k])) for k in range(runs)]
        return loss_of(targets, [np.mean([t.features(r) for r in recordings], 0) for t in targets]) <= 0

    return judge


def loss_of(targets: Sequence[Target], features: Sequence[np.ndarray]) -> float:
    """Weighted sum, infinite where there is nothing to go by."""
    if not all(np.isfinite(x).all() for x in features):
        return float("inf")
    return float(total_loss(targets, [torch.as_tensor(x[None]) for x in features])[0])


def rates_judge(wanted: dict[str, float]) -> Callable[[Task, np.ndarray, int], bool]:
    """Within 10 % over 16 s that the search has not seen: over 4 s, chance alone moves a rate by 6 %."""

    def judge(task: Task, theta: np.ndarray, seed: int) -> bool:
        runs = [task.simulator.simulate(theta, np.random.default_rng([seed, k])) for k in range(4)]
        rates = {
            name: np.mean([r.steady[r.channels.index(f"{name} spikes")].sum() for r in runs]) / CELLS[name] / 4
            for name in wanted
        }
        return all(abs(rates[name] / hz - 1) <= 0.1 for name, hz in wanted.items())

    return judge


def circuit(strengths: dict[str, float], seed: int, **changes) -> CompiledEICircuit:
    """The circuit with connections of its own, 1 s after a transient."""
    return CompiledEICircuit(EICircuit(strengths=strengths, graph_seed=seed), record=("lfp", "spikes"), **changes)


def band(from_: dict[str, float], band_hz: tuple[float, float], seed: int, budget: int = 150) -> Task:
    """A rhythm in a band by strengths alone, E at 2 to 25 Hz; the search aims a little inside of what counts."""
    simulator = circuit(from_, seed, duration_ms=2000.0)

    def wanted(height: float, share: float, low_Hz: float, high_Hz: float) -> list[Target]:
        return [
            Peak(**BAND, band_hz=band_hz, height=height),
            BandPower(**BAND, band_hz=band_hz, enough=share),
            Rate(channel="E spikes", cells=80, low_Hz=low_Hz, high_Hz=high_Hz),
        ]

    start = np.array([from_[p] for p in simulator.parameters.names])
    judge = judged_by(wanted(8.0, 0.5, 2.0, 25.0))
    return Task(simulator, wanted(12.0, 0.58, 2.5, 22.0), start, budget, 2, judge)


def rates(wanted: dict[str, float], from_: dict[str, float], seed: int, budget: int = 400) -> Task:
    """Rates of the three populations by nine strengths and three currents, in simulations of 4 s."""
    currents = tuple(Parameter(f"{name}_current_uA_cm2", "uA/cm2", -0.5, 1.0) for name in CELLS)
    made = circuit(from_, seed)
    simulator = circuit(from_, seed, free=made.free + currents, duration_ms=4000.0)
    targets = [
        Rate(channel=f"{name} spikes", cells=CELLS[name], low_Hz=0.95 * hz, high_Hz=1.05 * hz)
        for name, hz in wanted.items()
    ]
    start = np.array([from_[p] for p in made.parameters.names] + [0.0] * 3)
    return Task(simulator, targets, start, budget, 7, rates_judge(wanted))


def rest(wanted_mV: float, seed: int, budget: int = 150) -> Task:
    """The resting potential of one E cell without noise, by its leak and a current."""
    alone = Population("E", 1, E.cell, E.synapses, leak_mV=E.leak_mV, noise_Hz=0.0)
    free = (
        Parameter("E_leak_mS_cm2", "mS/cm2", 0.02, 0.5),
        Parameter("E_leak_mV", "mV", -90.0, -55.0),
        Parameter("E_current_uA_cm2", "uA/cm2", -1.0, 1.0),
    )
    simulator = CompiledEICircuit(
        EICircuit((alone,), {}, graph_seed=seed), free, ("spikes", "potentials"), duration_ms=200.0, transient_ms=200.0
    )

    def wanted(within_mV: float) -> list[Target]:
        level = Level(channel="E V", low=wanted_mV - within_mV, high=wanted_mV + within_mV)
        return [level, Rate(channel="E spikes", cells=1, low_Hz=0.0, high_Hz=0.0)]

    return Task(simulator, wanted(0.4), np.array([0.1, -67.0, 0.2]), budget, 2, judged_by(wanted(0.5)))


JUDGING: dict[str, Callable[[int], Task]] = {
    "rest": lambda seed: rest(-72.0, seed),
    "rates": lambda seed: rates({"E": 5.0, "F": 15.0, "S": 8.0}, GAMMA, seed),
    "gamma": lambda seed: band(BETA, (40.0, 90.0), seed),
    "beta": lambda seed: band(GAMMA, (10.0, 30.0), seed),
}
"""Tasks that the rule is judged by: none of its numbers was chosen on them."""

TUNING: dict[str, Callable[[int], Task]] = {
    "rest -65": lambda seed: rest(-65.0, seed + 100),
    "rates 12 30 20": lambda seed: rates({"E": 12.0, "F": 30.0, "S": 20.0}, BETA, seed + 100),
    "30 ... 55 Hz": lambda seed: band(BETA, (30.0, 55.0), seed + 100),
    "8 ... 26 Hz": lambda seed: band(GAMMA, (8.0, 26.0), seed + 100),
}
"""Tasks that the rule's numbers were chosen on."""


def solved(task: Task, end: Evaluation, claimed: bool, seed: int) -> bool:
    """Whether the search claims success, and fresh simulations agree."""
    theta = task.simulator.parameters.from_unit(end.u)
    return claimed and task.judge(task, theta, 10_000 + seed)
