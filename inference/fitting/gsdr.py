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

from inference.estimate import Estimate
from inference.fitting.objective import Evaluation, Objective
from inference.fitting.targets import Target, total_loss
from simulators.interface import Simulator
from surrogates.threads import one_thread

_NEAR = 0.3  # root mean square distance at which a past simulation counts for half
_RIDGES = 10.0 ** np.arange(-3, 2)
_DESCENT, _RATE = 30, 0.25  # of the descent to the smallest loss foretold
_SHORTER = 0.05  # loss of a step as long as may be: of two that promise the same, the shorter


def reflected(v: Float[np.ndarray, "*batch n"]) -> Float[np.ndarray, "*batch n"]:
    """From all numbers to the unit cube, as if its walls were mirrors: no bound holds a parameter, and a 0 can move."""
    return 1 - np.abs(1 - np.mod(v, 2))


@dataclass(frozen=True)
class DeltaRule:
    """The rule, every symbol of its equation a term. V are the parameters, unconstrained; steps start from the best.

    delta(lambda): uniform in -lambda ... lambda for each parameter. lambda: ``exploration`` at first, times 1.3 after
        a step that is better and .93 after one that is not, doubled after ``patience`` of these in a row; between
        ``least`` and ``most``.
    L: the best loss, between ``floor`` and 1: far away parameters move far.
    alpha: what past steps have taught. Their correlations with what they changed, in all populations and frequencies
        that the targets look at (ridge regression of changes of features on steps from the best, near ones counting
        most), foretell what a next step changes. alpha is the step with the smallest loss foretold, no parameter moving
        by more than lambda. directed: its share, 0 for none.
    R: rescales a step to a root mean square of ``longest`` at most.

    The best is kept, and restored when a loss exceeds ``restore`` times the best; 1 always starts from the best. After
    every ``again`` steps that are no better the best is simulated again: a lucky simulation must not stop the search.
    """

    exploration: float = 1.0
    least: float = 0.05
    most: float = 1.0
    floor: float = 0.2
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
        past, reach, failures = [best], self.exploration, 0
        while True:
            scale = min(max(best.loss, self.floor), 1.0)
            delta = rng.uniform(-reach, reach, now.u.size)
            alpha = self._alpha(objective.targets, now, past[-self.memory :], self.directed * reach)
            step = delta * scale + alpha
            rescaling = min(1.0, self.longest / max(float(np.sqrt(np.mean(step**2))), 1e-12))
            found = objective(
                reflected(now.u + step * rescaling),
                reach=reach,
                L=scale,
                R=rescaling,
                directed=float(np.sqrt(np.mean(alpha**2))),
            )
            past.append(found)
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

    def _alpha(
        self,
        targets: Sequence[Target],
        now: Evaluation,
        past: Sequence[Evaluation],
        reach: float,
    ) -> Float[np.ndarray, " n"]:
        """The step with the smallest loss that the past foretells; none before there is a past."""
        known = [e for e in past if all(np.isfinite(x).all() for x in e.features)]
        n = len(now.u)
        if not self.directed or len(known) < 4 or not all(np.isfinite(x).all() for x in now.features):
            return np.zeros(n)
        now_features = np.concatenate(now.features)
        slopes = torch.as_tensor(
            _slopes(
                np.array([e.u for e in known]) - now.u,
                np.array([np.concatenate(e.features) for e in known]) - now_features,
            )
        )
        sizes = [len(x) for x in now.features]
        with one_thread():
            raw = torch.zeros(n, dtype=torch.float64, requires_grad=True)
            optimiser = torch.optim.Adam([raw], lr=_RATE)
            for _ in range(_DESCENT):
                optimiser.zero_grad()
                foretold = (torch.as_tensor(now_features) + reach * torch.tanh(raw) @ slopes)[None].split(sizes, -1)
                (total_loss(targets, foretold)[0] + _SHORTER * torch.tanh(raw).square().mean()).backward()
                optimiser.step()
        step = reach * torch.tanh(raw.detach()).numpy()
        return np.clip(now.u + step, 0, 1) - now.u


def _slopes(
    steps: Float[np.ndarray, "past n"], changes: Float[np.ndarray, "past features"]
) -> Float[np.ndarray, "n features"]:
    """Ridge regression of changes on steps, without an intercept; the ridge that foretells left-out ones best."""
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
        losses = [end.loss - 1e6 * solved for end, solved, _ in found]
        point = ends[int(np.argmin(losses))]
        return Tuned(
            self._estimate(point, ends, [solved for _, solved, _ in found], [end for end, _, _ in found]),
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
