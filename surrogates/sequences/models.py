"""The project's own models: recurrent ones of whole populations, and one of segments of a ring."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from surrogates.sequences.inputs import COUNT_INPUTS, SCALE, past_counts
from surrogates.sequences.outputs import COUNTS, MixtureCount, PoissonCount
from surrogates.threads import one_thread

_BEGIN = 20  # ms of a stretch that are not learned from: the state of the model is not yet that of the network


class CountModel(nn.Module):
    """E and I spikes of the next ms, from what is seen at its start and a recurrent memory of what was.

    inputs: values seen; external: further signals whose value during the ms is known; counts: "poisson" or "mixture".
    The number of E spikes is drawn first, that of I spikes given it.
    """

    def __init__(self, inputs: int, external: int = 0, hidden: int = 64, counts: str = "mixture") -> None:
        super().__init__()
        if counts not in COUNTS:
            raise ValueError(f"there is no distribution '{counts}' of counts; choose one of {', '.join(COUNTS)}")
        if min(inputs, hidden) < 1 or external < 0:
            raise ValueError(f"{inputs} inputs, {external} external ones and {hidden} hidden units make no model")
        self.settings = {"inputs": inputs, "external": external, "hidden": hidden, "counts": counts}
        self.counts: PoissonCount | MixtureCount = COUNTS[counts]()
        seen = inputs + external
        self.memory = nn.GRU(seen, hidden, batch_first=True)
        self.e = nn.Sequential(nn.Linear(hidden + seen, 64), nn.SiLU(), nn.Linear(64, self.counts.outputs))
        self.i = nn.Sequential(nn.Linear(hidden + seen + 3, 64), nn.SiLU(), nn.Linear(64, self.counts.outputs))

    def forward(self, seen: Float[Tensor, "runs ms inputs"], state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What the heads see in each ms, and the memory after the last."""
        hidden, state = self.memory(seen, state)
        return torch.cat([hidden, seen], -1), state

    def log_prob(self, heads: Float[Tensor, "*batch n"], counts: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
        """Of E and I counts together."""
        e, i = counts.unbind(-1)
        return self.counts.log_prob(self.e(heads), e) + self.counts.log_prob(self.i(_given(heads, e)), i)

    @torch.no_grad()
    def expected(self, seen: Float[np.ndarray, "ms inputs"]) -> Float[np.ndarray, " ms"]:
        """E spikes of each ms."""
        with one_thread():
            heads, _ = self(torch.as_tensor(seen)[None])
            return self.counts.mean(self.e(heads))[0].numpy().astype(float)

    @torch.no_grad()
    def surprise(self, seen: Float[np.ndarray, "ms inputs"], counts: Float[np.ndarray, "ms 2"]) -> float:
        """Negative log-probability of a ms, in nats, after the first ones."""
        with one_thread():
            heads, _ = self(torch.as_tensor(seen)[None])
            log_prob = self.log_prob(heads, torch.as_tensor(counts, dtype=torch.float32)[None])
        return float(-log_prob[:, _BEGIN:].mean())

    @torch.no_grad()
    def free_run(
        self,
        before: Float[np.ndarray, "runs begin 2"],
        ms: int,
        seed: int,
        external: Float[np.ndarray, "runs ms_and_begin external"] | None = None,
    ) -> Float[np.ndarray, "runs ms 2"]:
        """Sequences of its own, each after counts of a network; for models that see counts alone.

        Raises ValueError for one that sees a state, and for external signals of another shape.
        """
        runs, begin, _ = before.shape
        known = self.settings["external"]
        if self.settings["inputs"] != COUNT_INPUTS:
            raise ValueError("a model that sees a network's state cannot run without the network; take one of counts")
        if known and (external is None or external.shape != (runs, begin + ms, known)):
            raise ValueError(f"external signals are to be of shape {(runs, begin + ms, known)}")
        driven = (
            torch.zeros(runs, begin + ms, 0) if external is None else torch.as_tensor(external, dtype=torch.float32)
        )
        generator = torch.Generator().manual_seed(seed)
        found = []
        with one_thread():
            # The last count of the past is what the first new ms sees.
            seen = torch.as_tensor(np.stack([past_counts(x) for x in before]))
            _, state = self(torch.cat([seen, driven[:, :begin]], -1))
            now = torch.as_tensor(before[:, -1], dtype=torch.float32)
            for k in range(ms):
                heads, state = self(torch.cat([_coded(now), driven[:, begin + k]], -1)[:, None], state)
                e = self.counts.draw(self.e(heads[:, 0]), generator)
                i = self.counts.draw(self.i(_given(heads[:, 0], e)), generator)
                now = torch.stack([e, i], -1)
                found.append(now)
        return torch.stack(found, 1).numpy().astype(float)


def _given(heads: Tensor, e: Tensor) -> Tensor:
    return torch.cat([heads, _coded(e[..., None])], -1)


def _coded(counts: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch three_n"]:
    """As ``past_counts`` has them."""
    return torch.cat([torch.log1p(counts), counts / SCALE, (counts > 0).float()], -1)


class SegmentModel(nn.Module):
    """Spikes of the E cells of each segment of a ring in the next ms, from the state of the segments around.

    channels: values of a segment; around: segments that a layer looks at, in a circle.
    """

    def __init__(self, channels: int, width: int = 48, around: int = 5, depth: int = 3) -> None:
        super().__init__()
        sizes = [channels, *[width] * depth]
        self.layers = nn.ModuleList(
            nn.Conv1d(a, b, around, padding=around // 2, padding_mode="circular") for a, b in itertools.pairwise(sizes)
        )
        self.rate = nn.Conv1d(width + channels, 1, 1)

    def forward(self, seen: Float[Tensor, "ms channels segments"]) -> Float[Tensor, "ms segments"]:
        """Logarithm of the expected spikes of each segment."""
        x = silu(self.layers[0](seen))
        for layer in self.layers[1:]:
            x = x + silu(layer(x))
        return self.rate(torch.cat([x, seen], 1))[:, 0].clamp(-10, 4)

    @torch.no_grad()
    def expected(self, seen: Float[np.ndarray, "ms channels segments"]) -> Float[np.ndarray, " ms"]:
        """E spikes of the whole ring in each ms."""
        with one_thread():
            parts = [self(x).exp().sum(1) for x in torch.as_tensor(seen).split(2000)]
        return torch.cat(parts).numpy().astype(float)


class Plan(NamedTuple):
    """How long and how fast: passes over the data, stretches (of ms) in a batch, the highest learning rate."""

    passes: int = 8
    batch: int = 32
    stretch_ms: int = 200
    rate: float = 4e-3
    seed: int = 0


def train_counts(
    model: CountModel, seen: Float[np.ndarray, "ms inputs"], counts: Float[np.ndarray, "ms 2"], plan: Plan | None = None
) -> CountModel:
    """By likelihood, on stretches of one or more runs put together. Raises ValueError for less than a batch of them."""
    plan = plan or Plan()
    n = len(seen) // plan.stretch_ms
    if n < 2 or len(seen) != len(counts):
        raise ValueError(f"{len(seen)} ms seen and {len(counts)} ms of counts; give both of two stretches or more")
    x, y = (torch.as_tensor(np.asarray(v[: n * plan.stretch_ms], np.float32)).reshape(n, plan.stretch_ms, -1)
            for v in (seen, counts))  # fmt: skip

    def losses() -> Iterator[Tensor]:
        for rows in torch.randperm(n).split(plan.batch):
            heads, _ = model(x[rows])
            yield -model.log_prob(heads[:, _BEGIN:], y[rows][:, _BEGIN:]).mean()

    return _trained(model, losses, -(-n // plan.batch), plan)


def train_segments(
    model: SegmentModel,
    seen: Float[np.ndarray, "ms channels segments"],
    spikes: Float[np.ndarray, "of_spikes segments"],
    plan: Plan | None = None,
) -> SegmentModel:
    """By the Poisson likelihood of every segment's E spikes. Raises ValueError for arrays of different lengths."""
    if len(seen) != len(spikes):
        raise ValueError(f"{len(seen)} ms seen and spikes of {len(spikes)} ms")
    plan = plan or Plan(passes=12, batch=256, rate=3e-3)
    x, y = torch.as_tensor(seen), torch.as_tensor(spikes)

    def losses() -> Iterator[Tensor]:
        for rows in torch.randperm(len(x)).split(plan.batch):
            rate = model(x[rows])
            yield (rate.exp() - y[rows] * rate).mean()

    return _trained(model, losses, -(-len(x) // plan.batch), plan)


def _trained(model, losses, steps: int, plan: Plan):
    optimiser = torch.optim.Adam(model.parameters(), plan.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.passes * steps)
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        for _ in range(plan.passes):
            for loss in losses():
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
    return model.eval()
