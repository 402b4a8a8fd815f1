"""Fit a simulator to targets by an emulator in rounds: learn, descend, simulate where that ended, and learn again.

One emulator of a whole box is wrong somewhere, and descent goes there. After a few rounds it is right where it matters
(active learning; compare sequential inference, Papamakarios et al. 2019).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from rich.progress import track
from torch import Tensor, nn

from inference.estimate import Estimate
from inference.fitting.targets import Target, total_loss
from simulators.campaigns.rows import simulate_rows
from simulators.interface import Simulator
from surrogates.threads import one_thread

_STARTS = 48
_STEPS = 150
_RATE = 0.03  # of descent, in the unit cube
_APART = 0.15  # root mean square distance in the unit cube between places that are both worth simulating
_JITTER = 0.05  # of what is simulated around a place
_EPOCHS, _BATCH, _LEAST_BATCHES = 60, 64, 5
_NEARLY = 0.1  # of loss: places that are no worse than this are told beside the best


class Round(NamedTuple):
    """What one round came to: simulations so far, the emulator's promise, and what simulations found at that place."""

    simulations: int
    promised: float
    found: float
    point: Float[np.ndarray, " n_parameters"]


class Fitted(NamedTuple):
    """The estimate, its loss over simulations that nothing was learned from, and the rounds on the way.

    alternatives: other places with nearly as small a loss, which the targets leave open; no samples of a posterior.
    """

    estimate: Estimate
    loss: float
    alternatives: Float[np.ndarray, "places n_parameters"]
    rounds: tuple[Round, ...]


@dataclass(eq=False)
class FitInRounds:
    """Minimise the weighted losses of ``targets`` over a simulator's parameters.

    first: simulations over the whole box; each: of every round, at ``places`` different ones; rounds: 0 takes the best
    of the first simulations; members: of the ensemble of emulators, whose disagreement counts ``caution`` times as
    loss; repeats: simulations at the last candidates, with drives of their own, that decide among them.
    """

    simulator: Simulator
    targets: Sequence[Target]
    first: int = 2048
    each: int = 256
    rounds: int = 6
    places: int = 4
    members: int = 3
    caution: float = 1.0
    repeats: int = 64
    seed: int = 0
    progress: bool = True
    _u: Float[np.ndarray, "simulations n_parameters"] = field(init=False)
    _y: list[np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("nothing is wanted; give one or more targets")
        for name in ("first", "each", "places", "members", "repeats"):
            if getattr(self, name) < (4 * self.places if name == "each" else 1):
                raise ValueError(
                    f"{name} is {getattr(self, name)}; expected one or more, and each four for every place"
                )
        if self.rounds < 0 or not self.caution >= 0:
            raise ValueError(f"{self.rounds} rounds with a caution of {self.caution}; neither is negative")

    def fit(self, say: Callable[[str], Any] | None = None) -> Fitted:
        """Run all rounds. Raises ValueError as the targets do, and where no simulation succeeded."""
        space, rng = self.simulator.parameters, np.random.default_rng(self.seed)
        n = len(space)
        self._u, self._y = np.empty((0, n)), [np.empty((0, 0)) for _ in self.targets]
        self._simulate(rng.random((self.first, n)), rng)
        history: list[Round] = []
        centres: list[np.ndarray] = []
        for k in range(self.rounds):
            with one_thread():
                emulator = Ensemble(self._u, self._y, self.members, 1000 * self.seed + k)
                found, promised = descend(emulator, self.targets, self._starts(centres, rng), self.caution)
            places = different(found, self.places)
            per = self.each // len(places)
            jitter = _JITTER * rng.standard_normal((len(places), per, len(space)))
            jitter[:, : -(-per // 4)] = 0  # a quarter at the place itself
            before = len(self._u)
            around = np.clip(found[places][:, None] + jitter, 0, 1)
            self._simulate(around.reshape(-1, len(space)), rng)
            centres += list(found[places])
            losses = [self._mean_loss(place, range(before, len(self._u))) for place in found[places]]
            best = int(np.argmin(losses))
            history.append(
                Round(len(self._u), float(promised[places[best]]), losses[best], space.from_unit(found[places[best]]))
            )
            if say is not None:
                say(f"round {k + 1}: {len(self._u)} simulations, promised {history[-1].promised:.3f}, "
                    f"found {history[-1].found:.3f}")  # fmt: skip
        return self._decide(centres, history, rng)

    def _simulate(self, u: Float[np.ndarray, "rows n_parameters"], rng: np.random.Generator) -> None:
        """Features of simulations at u are added to those there are; what fails is left out."""
        thetas = self.simulator.parameters.from_unit(u)
        seeds = np.random.SeedSequence(int(rng.integers(2**63))).spawn(len(u))
        size = int(getattr(self.simulator, "batch_size", 1))
        rows: list[list[np.ndarray]] = []
        kept: list[int] = []
        failed = ""
        steps = range(0, len(u), size)
        for first in track(steps, "simulating", disable=not self.progress or len(steps) < 5, transient=True):
            jobs = [(k, thetas[k], seeds[k]) for k in range(first, min(first + size, len(u)))]
            for row in simulate_rows(self.simulator, jobs):
                failed = row.reason or failed
                if row.recording is None:
                    continue
                features = [target.features(row.recording) for target in self.targets]
                if all(np.isfinite(x).all() for x in features):
                    rows.append(features)
                    kept.append(row.number)
        if not rows:
            if len(self._u):
                return
            raise ValueError(f"no simulation gives anything to compare: {failed or 'channels never change'}")
        self._u = np.concatenate([self._u, u[kept]])
        for j, column in enumerate(zip(*rows, strict=True)):
            there = self._y[j] if self._y[j].size else np.empty((0, len(column[0])))
            self._y[j] = np.concatenate([there, np.stack(column)])

    def _losses(self, rows: Any) -> Float[np.ndarray, " rows"]:
        return total_loss(self.targets, [torch.as_tensor(y[rows]) for y in self._y]).numpy()

    def _mean_loss(self, place: np.ndarray, rows: range) -> float:
        """Of the mean features of simulations at exactly this place."""
        at = [i for i in rows if np.array_equal(self._u[i], np.clip(place, 0, 1))]
        if not at:
            return float("inf")
        return float(total_loss(self.targets, [torch.as_tensor(y[at].mean(0, keepdims=True)) for y in self._y])[0])

    def _starts(self, centres: list[np.ndarray], rng: np.random.Generator) -> Float[np.ndarray, "starts n_parameters"]:
        """The best simulations so far, the last places, and places at random."""
        n = self._u.shape[1]
        best = self._u[np.argsort(self._losses(slice(None)))[: _STARTS // 3]]
        parts = [best, np.array(centres[-_STARTS // 3 :]).reshape(-1, n)]
        return np.concatenate([*parts, rng.random((_STARTS - sum(map(len, parts)), n))])

    def _decide(self, centres: list[np.ndarray], history: list[Round], rng: np.random.Generator) -> Fitted:
        """The best of the last places by simulations that nothing was learned from."""
        space = self.simulator.parameters
        candidates = [np.clip(c, 0, 1) for c in centres] or [self._u[np.argmin(self._losses(slice(None)))]]
        loss = [self._mean_loss(c, range(len(self._u))) for c in candidates]
        finalists = [candidates[i] for i in np.argsort(loss)[: self.places]]
        before = len(self._u)
        self._simulate(np.repeat(finalists, self.repeats, axis=0), rng)
        fresh = [self._mean_loss(c, range(before, len(self._u))) for c in finalists]
        best = finalists[int(np.argmin(fresh))]
        others = [
            c for c, value in zip(candidates, loss, strict=True) if value <= min(loss) + _NEARLY and c is not best
        ]
        estimate = Estimate(space, space.from_unit(best), None, "emulator in rounds")
        alternatives = space.from_unit(np.array(others).reshape(-1, len(space)))
        return Fitted(estimate, float(min(fresh)), alternatives, tuple(history))


def different(u: Float[np.ndarray, "places n_parameters"], most: int) -> list[int]:
    """Indices of the first places of the unit cube that lie apart from one another."""
    chosen: list[int] = []
    for i, place in enumerate(u):
        if all(np.sqrt(np.mean((place - u[j]) ** 2)) > _APART for j in chosen):
            chosen.append(i)
        if len(chosen) == most:
            break
    return chosen


class Ensemble:
    """Networks from places in the unit cube to the mean features of each target."""

    def __init__(
        self,
        u: Float[np.ndarray, "simulations n_parameters"],
        features: Sequence[Float[np.ndarray, "simulations _"]],
        members: int,
        seed: int,
    ) -> None:
        self._sizes = [part.shape[1] for part in features]
        whole = np.concatenate(features, axis=1)
        self._mean = torch.as_tensor(whole.mean(0), dtype=torch.float32)
        self._sd = torch.as_tensor(whole.std(0).clip(min=1e-9), dtype=torch.float32)
        x = torch.as_tensor(u, dtype=torch.float32)
        target = (torch.as_tensor(whole, dtype=torch.float32) - self._mean) / self._sd
        self._nets = [_learned(x, target, 10 * seed + k) for k in range(members)]

    def __call__(self, u: Float[Tensor, "rows n_parameters"]) -> list[tuple[Tensor, ...]]:
        """Features of each target, by member."""
        return [(net(u) * self._sd + self._mean).split(self._sizes, -1) for net in self._nets]

    def cautious_loss(
        self, targets: Sequence[Target], u: Float[Tensor, "rows n_parameters"], caution: float
    ) -> Float[Tensor, " rows"]:
        """Mean over members, and ``caution`` times their standard deviation."""
        losses = torch.stack([total_loss(targets, features) for features in self(u)])
        return losses.mean(0) + (caution * losses.std(0) if len(losses) > 1 else 0.0)


def descend(
    emulator: Ensemble,
    targets: Sequence[Target],
    starts: Float[np.ndarray, "starts n_parameters"],
    caution: float = 1.0,
) -> tuple[Float[np.ndarray, "starts n_parameters"], Float[np.ndarray, " starts"]]:
    """Places in the unit cube where Adam ended, the most promising first, and what the emulator promises there."""
    z = torch.logit(torch.as_tensor(starts, dtype=torch.float32).clamp(0.01, 0.99)).requires_grad_(True)
    optimiser = torch.optim.Adam([z], lr=4 * _RATE)
    for _ in range(_STEPS):
        optimiser.zero_grad()
        emulator.cautious_loss(targets, torch.sigmoid(z), caution).sum().backward()
        optimiser.step()
    with torch.no_grad():
        u = torch.sigmoid(z)
        loss = emulator.cautious_loss(targets, u, caution)
    order = loss.argsort()
    return u[order].numpy().astype(float), loss[order].numpy()


def _learned(x: Tensor, y: Tensor, seed: int) -> nn.Module:
    """A network that has learned y from x. Its own draw of the rows makes it differ from others."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Linear(x.shape[1], 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, y.shape[1])
        )
    steps = _EPOCHS * max(_LEAST_BATCHES, len(x) // _BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    mine = torch.randint(len(x), (len(x),), generator=generator)
    for _ in range(steps):
        rows = mine[torch.randint(len(x), (_BATCH,), generator=generator)]
        optimiser.zero_grad()
        (net(2 * x[rows] - 1) - y[rows]).square().mean().backward()
        optimiser.step()
        schedule.step()
    return _Centred(net.requires_grad_(False))


class _Centred(nn.Module):
    """Takes the unit cube to the cube from -1 to 1, which networks learn from better."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, u: Tensor) -> Tensor:
        return self.net(2 * u - 1)
