"""The generalised stochastic delta rule: parameters that move at random, as far as they are wrong, and learn from it.

V <- V + (delta(lambda) L + alpha) R (Nejat, Sherfey and Bastos 2024, eq. 2)
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inference.estimate import Estimate
from inference.fitting.objective import Evaluation, Objective
from inference.fitting.targets import Target, total_loss
from simulators.interface import Simulator
from surrogates.threads import one_thread

_NEAR = 0.3  # root mean square distance at which a past simulation counts for half
_RIDGES = 10.0 ** np.arange(-3, 2)
_DESCENT, _RATE = 60, 0.3  # of the descent to the smallest loss predicted
_FEWEST = 4  # simulations that anything is learned from
_SHORTER = 0.01  # loss of a step as long as may be: of two that promise the same, the shorter


def reflected(v: Float[np.ndarray, "*batch n"]) -> Float[np.ndarray, "*batch n"]:
    """From all numbers to the unit cube, as if its walls were mirrors: no bound holds a parameter, and a 0 can move."""
    return 1 - np.abs(1 - np.mod(v, 2))


@dataclass(frozen=True)
class DeltaRule:
    """The rule, every symbol of its equation a term. V are the parameters, unconstrained; steps start from the best.

    delta(lambda): uniform in -lambda ... lambda for each parameter. lambda: ``exploration`` at first, times 1.3 after
        a step that is better and .93 after one that is not, doubled after ``patience`` of these in a row; between
        ``least`` and ``most``.
    L: the loss that remains, over that of the start, between ``floor`` and 1: the best loss, or where alpha predicts
        one, that and how wrong the last ones were. So parameters explore as far as what was learned does not explain.
    alpha: what past steps have taught. Their correlations with what they changed, in all populations and frequencies
        that the targets look at (ridge regression of changes of features on steps from the best, near ones counting
        most), predict what a next step changes. alpha is the step with the smallest loss predicted, no parameter moving
        by more than lambda. directed: its share, 0 for none.
    R: rescales a step to a root mean square of ``longest`` at most.

    The best is kept, and restored when a loss exceeds ``restore`` times the best; 1 always starts from the best. After
    every ``again`` steps that are no better the best is simulated again: a lucky simulation must not stop the search.
    """

    exploration: float = 1.0
    least: float = 0.05
    most: float = 1.0
    floor: float = 0.01
    directed: float = 0.5
    memory: int = 60
    longest: float = 0.6
    patience: int = 12
    again: int = 6
    restore: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.least <= self.exploration <= self.most and 0 <= self.floor <= 1 and self.longest > 0):
            raise ValueError(f"exploration {self.exploration} in {self.least} ... {self.most}, a floor of {self.floor} "
                             f"and steps of {self.longest} make no rule")  # fmt: skip
        if min(self.memory, self.patience, self.again) < 1 or self.restore < 1 or self.directed < 0:
            raise ValueError("memory, patience, again and restore are 1 or more, and directed is not negative")

    def __call__(self, objective: Objective, start: Float[np.ndarray, " n"], rng: np.random.Generator) -> None:
        """Search from a place in the unit cube until the objective ends it."""
        best = now = objective(start, step=0)
        past, reach, failures, surprise = [best], self.exploration, 0, np.inf
        while True:
            prediction = _Prediction.by(objective.targets, now, past[-self.memory :]) if self.directed else None
            alpha = np.zeros(start.size) if prediction is None else prediction.step(self.directed * reach)
            remaining = best.loss if prediction is None else prediction.loss(alpha) + surprise
            L = float(np.clip(remaining / max(past[0].loss, 1e-12), self.floor, 1.0))
            step = rng.uniform(-reach, reach, start.size) * L + alpha
            R = min(1.0, self.longest / max(_size(step), 1e-12))
            found = objective(reflected(now.u + step * R), reach=reach, L=L, R=R, directed=_size(alpha))
            past.append(found)
            if prediction is not None:
                wrong = abs(found.loss - prediction.loss(found.u - now.u))
                surprise = wrong if np.isinf(surprise) else max(wrong, 0.5 * surprise)
            if found.loss < best.loss:
                best, failures, reach = found, 0, min(1.3 * reach, self.most)
            else:
                failures += 1
                reach = max(0.93 * reach, self.least)
                if failures % self.patience == 0:
                    reach = min(2 * reach, self.most)
                if failures % self.again == 0:
                    best = objective.again(best, again=True)
            now = best if found.loss > self.restore * best.loss or self.restore == 1 else found


def _size(step: Float[np.ndarray, " n"]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(step**2)))


@dataclass
class _Prediction:
    """What past steps predict of the next one from here: features, linear in the step, and so the loss."""

    targets: Sequence[Target]
    here: Float[Tensor, " features"]
    slopes: Float[Tensor, "n features"]
    sizes: list[int]

    @classmethod
    def by(cls, targets: Sequence[Target], now: Evaluation, past: Sequence[Evaluation]) -> "_Prediction | None":
        """Nothing where too few simulations had features, or this one had none."""
        known = [e for e in (*past, now) if all(np.isfinite(x).all() for x in e.features)]
        if len(known) < _FEWEST or known[-1] is not now:
            return None
        here = np.concatenate(now.features)
        steps = np.array([e.u for e in known]) - now.u
        slopes = _slopes(steps, np.array([np.concatenate(e.features) for e in known]) - here)
        return cls(targets, torch.as_tensor(here), torch.as_tensor(slopes), [len(x) for x in now.features])

    def _losses(self, step: Float[Tensor, " n"]) -> Tensor:
        return total_loss(self.targets, (self.here + step @ self.slopes)[None].split(self.sizes, -1))[0]

    def loss(self, step: Float[np.ndarray, " n"]) -> float:
        """Predicted after a step."""
        with torch.no_grad():
            return float(self._losses(torch.as_tensor(step)))

    def step(self, reach: float) -> Float[np.ndarray, " n"]:
        """The one with the smallest loss predicted, no parameter moving by more than ``reach``."""
        with one_thread():
            raw = torch.zeros(len(self.slopes), dtype=torch.float64, requires_grad=True)
            optimiser = torch.optim.Adam([raw], lr=_RATE)
            for k in range(_DESCENT):
                optimiser.param_groups[0]["lr"] = _RATE * (1 - k / _DESCENT) ** 2  # losses have kinks
                optimiser.zero_grad()
                (self._losses(reach * torch.tanh(raw)) + _SHORTER * torch.tanh(raw).square().mean()).backward()
                optimiser.step()
        return reach * torch.tanh(raw.detach()).numpy()


def _slopes(
    steps: Float[np.ndarray, "past n"], changes: Float[np.ndarray, "past features"]
) -> Float[np.ndarray, "n features"]:
    """Ridge regression of changes on steps, without an intercept; the ridge that predicts left-out ones best."""
    near = 1 / (1 + np.mean(steps**2, 1) / _NEAR**2)
    root = np.sqrt(near)[:, None]
    spread = np.sqrt(np.mean(near[:, None] * changes**2, 0)) + 1e-12
    x, y = root * steps, root * changes / spread
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    least, slopes = np.inf, None
    for ridge in _RIDGES:
        shrunk = singular**2 / (singular**2 + ridge)
        hat = np.einsum("ij,j,ij->i", left, shrunk, left)
        error = np.mean(((y - left @ (shrunk[:, None] * (left.T @ y))) / (1 - hat)[:, None].clip(1e-6)) ** 2)
        if error < least:
            least, slopes = error, right.T @ ((shrunk / singular.clip(1e-12))[:, None] * (left.T @ y))
    assert slopes is not None
    return slopes * spread


class Tuned(NamedTuple):
    """What runs of the rule came to. estimate: its point is the best end; its samples, with several runs, are their
    ends, which is no posterior. ends, solved, simulations, losses: of each run."""

    estimate: Estimate
    ends: Float[np.ndarray, "runs n_parameters"]
    solved: tuple[bool, ...]
    simulations: tuple[int, ...]
    losses: tuple[float, ...]
    states: tuple[str, ...]


@dataclass(eq=False)
class TuneByDeltaRule:
    """Tune a simulator to targets by the delta rule, in ``runs`` of their own seeds from ``start``.

    budget, confirmations, tolerance: of each run, as in ``Objective``. log: a folder with a file for each run, from
    which a search that was stopped goes on.
    """

    simulator: Simulator
    targets: Sequence[Target]
    start: Float[np.ndarray, " n_parameters"] | None = None
    rule: DeltaRule = field(default_factory=DeltaRule)
    runs: int = 1
    budget: int = 200
    confirmations: int = 3
    tolerance: float = 0.0
    seed: int = 0
    log: str | os.PathLike | None = None
    progress: bool = True

    def fit(self) -> Tuned:
        """All runs. Raises ValueError for none, and as ``Objective`` and the targets do."""
        if self.runs < 1:
            raise ValueError(f"{self.runs} runs find nothing; give one or more")
        space = self.simulator.parameters
        start = (space.low + space.high) / 2 if self.start is None else self.start
        found = []
        for run in range(self.runs):
            objective = Objective(
                self.simulator, self.targets, self.budget, self.confirmations, self.tolerance,
                seed=1000 * self.seed + run, log=self._log(run), progress=self.progress,
            )  # fmt: skip
            end = objective.search(self.rule, start, 1000 * self.seed + run)
            found.append((end, objective.solved, objective.simulations))
        ends = space.from_unit(np.array([end.u for end, _, _ in found]))
        best = min(range(self.runs), key=lambda run: (not found[run][1], found[run][0].loss))
        return Tuned(
            self._estimate(ends[best], ends, [solved for _, solved, _ in found], [end for end, _, _ in found]),
            ends, tuple(s for _, s, _ in found), tuple(n for _, _, n in found),
            tuple(end.loss for end, _, _ in found), tuple(end.state for end, _, _ in found),
        )  # fmt: skip

    def _log(self, run: int) -> str | None:
        if self.log is None:
            return None
        os.makedirs(self.log, exist_ok=True)
        return os.path.join(self.log, f"run_{run}.jsonl")

    def _estimate(self, point, ends, solved, found: Sequence[Evaluation]) -> Estimate:
        warnings = []
        if not any(solved):
            states = "; ".join(dict.fromkeys(e.state for e in found if e.state != "ok"))
            more = f" ({states})" if states else ""
            warnings.append(f"no run met the targets in {self.budget} simulations; the smallest loss is "
                            f"{min(e.loss for e in found):.3g}{more}")  # fmt: skip
        if self.runs > 1:
            warnings.append(f"the spread is that of {self.runs} runs of a search, not of a posterior")
        method = "gSDR" + (f" (spread of {self.runs} runs)" if self.runs > 1 else "")
        samples = ends if self.runs > 1 else None
        return Estimate(self.simulator.parameters, point, samples, method, tuple(warnings), trusted=any(solved))
