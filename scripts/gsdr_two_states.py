"""Which synapses changed between two states? Strengths of a stimulus state from its spectrum, few of them changed."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from gsdr_tasks import BAND
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from torch import Tensor

from inference.fitting.gsdr import DeltaRule
from inference.fitting.objective import Objective
from inference.fitting.targets import Rate, Spectrum, Target
from simulators.ei_circuit.model import BETA, GAMMA, EICircuit
from simulators.ei_circuit.simulator import CompiledEICircuit
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

FACTOR = 3.0  # by which two strengths are changed in truth
_WIDEST = 1.6  # log of the largest factor that is searched
_BUDGET, _CONFIRM = 300, 2


@dataclass(frozen=True)
class ChangedStrengths:
    """A circuit whose strengths are those of a baseline times the exponential of each parameter.

    A further channel, "change", holds the sum of the absolute parameters, for a target that wants few.
    """

    baseline: CompiledEICircuit

    @property
    def parameters(self) -> ParameterSpace:
        """The logarithm of each strength's factor."""
        return ParameterSpace(
            tuple(Parameter(name, "1", -_WIDEST, _WIDEST, "log of a factor") for name in self.strengths)
        )

    @property
    def strengths(self) -> Mapping[str, float]:
        """Of the baseline."""
        return self.baseline.circuit.strengths

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """The circuit's recording, and the size of the change."""
        strengths = np.array(list(self.strengths.values())) * np.exp(self.parameters.check(theta))
        space = replace(self.baseline, free=tuple(
            Parameter(name, "mS/cm2", 0.0, 10.0) for name in self.strengths
        ))  # fmt: skip
        made = space.simulate(strengths, rng)
        change = np.full((1, made.values.shape[1]), np.abs(theta).sum(), np.float32)
        return Recording(
            np.concatenate([made.values, change]), made.sampling_rate, f"{made.unit}, 1", (*made.channels, "change"),
            made.transient,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Few(Target):
    """As little change as possible: the sum of absolute parameters, which is zero for most of them at its least."""

    channel: str = "change"

    def features(self, recording: Recording) -> Float[np.ndarray, " features"]:
        """The size of the change."""
        return np.array([self._values(recording).mean()])

    def loss(self, features: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        return features[..., 0]


def one(seed: int) -> tuple[list[str], list[str], float]:
    """The two strengths that were changed, those that were found to have changed most, and the loss."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([77, seed])
    strengths = BETA if seed % 2 else GAMMA
    baseline = CompiledEICircuit(
        EICircuit(strengths=strengths, graph_seed=seed), record=("lfp", "spikes"), duration_ms=2000.0
    )
    simulator = ChangedStrengths(baseline)
    names = simulator.parameters.names
    audible = [n for n in names if not n.startswith("S") or strengths is BETA]  # S is silent in the gamma state
    changed = rng.choice(len(audible), 2, replace=False)
    theta = np.zeros(len(names))
    for k in changed:
        theta[names.index(audible[k])] = np.log(FACTOR) * rng.choice([-1, 1])
    truth = sorted(audible[k] for k in changed)
    like = CompiledEICircuit(baseline.circuit, record=("lfp", "spikes"), duration_ms=20000.0)
    measured = ChangedStrengths(like).simulate(theta, np.random.default_rng([78, seed]))
    rates = [measured.steady[1 + k].sum() / n / 20 for k, n in enumerate((80, 20, 20))]
    targets: list[Target] = [Spectrum(**BAND, like=measured), Few(weight=0.03)]
    targets += [
        Rate(channel=f"{p} spikes", cells=n, low_Hz=0.9 * hz, high_Hz=1.1 * hz)
        for p, n, hz in zip("EFS", (80, 20, 20), rates, strict=True)
    ]
    objective = Objective(simulator, targets, _BUDGET, _CONFIRM, 0.0, seed)
    end = objective.search(DeltaRule(floor=0.05), np.zeros(len(names)), seed)
    found = simulator.parameters.from_unit(end.u)
    return truth, sorted(names[k] for k in np.argsort(-np.abs(found))[:2]), float(end.loss)


def two_states(pool: Executor, seeds: int, console: Console) -> dict[str, Any]:
    """How many of the changed strengths are among the two that the rule changed most; 2 of 9 by chance are .44."""
    runs = list(pool.map(one, range(seeds)))
    table = Table("changed in truth", "changed most by gSDR", "loss", title="two states")
    for truth, found, loss in runs:
        table.add_row(", ".join(truth), ", ".join(found), f"{loss:.2f}")
    console.print(table)
    hits = [len(set(truth) & set(found)) for truth, found, _ in runs]
    return {"gsdr": {
        "successes": int(np.sum(np.array(hits) == 2)), "seeds": seeds, "median_simulations": float(_BUDGET),
        "found_of_two": float(np.mean(hits)), "by_chance": round(2 * 2 / 9, 2),
    }}  # fmt: skip
