"""The two networks: what they are, and one of them alive."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from simulators.firing_events import loops
from simulators.poisson import poisson_quantiles
from simulators.recording import Spikes

DT_MS = 0.1
_STEPS = round(1 / DT_MS)  # in a ms
_LEVELS = 256  # of an external input that changes: so many tables at most
_WIRINGS = ("ring", "random")


class Snapshot(NamedTuple):
    """The state of a network at the start of each ms.

    v: potential over the threshold, NaN for a refractory cell; pending: spikes on their way; currents: recurrent
    excitation and inhibition of each cell (kicks a ms), empty where there are none.
    """

    v: Float[np.ndarray, "ms cells"]
    pending: Integer[np.ndarray, "ms cells"]
    currents: Float[np.ndarray, "ms currents cells"]


class Activity(NamedTuple):
    """counts: E spikes of each step of .1 ms, I spikes, and E spikes driven by recurrent excitation; raster: which
    cells had them. raster and snapshots are there if asked for."""

    counts: Integer[np.ndarray, "steps 3"]
    raster: Integer[np.ndarray, "steps cells"] | None
    snapshots: Snapshot | None

    def spikes(self, excitatory: int) -> Spikes:
        """Every spike of the raster, at the end of its step. Raises ValueError where there is none."""
        if self.raster is None:
            raise ValueError("there is no raster; advance with raster=True")
        steps, cells = np.nonzero(self.raster)
        ends = {"E": (0, excitatory), "I": (excitatory, self.raster.shape[1])}
        return Spikes((steps + 1) * DT_MS, cells, ends)

    @property
    def per_ms(self) -> Integer[np.ndarray, "ms 2"]:
        """E and I spikes of each ms."""
        return self.counts[:, :2].reshape(-1, _STEPS, 2).sum(1)


@dataclass
class LiveNetwork:
    """A network in some state. ``advance`` goes on from there; a copy with another seed has another future.

    state: arrays that change; excitatory: cells that are, the first ones; rate: of external events in a ms, of each
    cell; shared: whether the table is of all cells' events together.
    """

    step: Callable[..., None]
    state: dict[str, np.ndarray]
    fixed: tuple
    excitatory: int
    rate: float
    shared: bool
    threshold: float
    random: np.ndarray

    @property
    def cells(self) -> int:
        """Number of all."""
        return self.state["v"].size

    def copy(self, seed: int | np.random.SeedSequence | None = None) -> "LiveNetwork":
        """The same network in the same state; with a seed its noise is another from here on."""
        random = self.random.copy()
        if seed is not None:
            own = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
            random = own.generate_state(1, np.uint64)
        return replace(self, state=deepcopy(self.state), random=random)

    def advance(
        self, ms: int, signal: Float[np.ndarray, " ms"] | None = None, raster: bool = False, snapshots: bool = False
    ) -> Activity:
        """Simulate so many ms. signal: factor of the external rate in each.

        Raises ValueError for a signal of another length, or one that is negative or not finite.
        """
        tables, level = self._tables(ms, signal)
        counts = np.zeros((ms * _STEPS, 3), np.int64)
        spikes = np.zeros((ms * _STEPS, self.cells) if raster else (0, 0), np.uint8)
        seen: list[tuple] = []
        changes = np.arange(1, ms) if snapshots else np.flatnonzero(np.diff(level)) + 1
        for first, end in zip([0, *changes], [*changes, ms], strict=True):
            if snapshots:
                seen.append(self._seen())
            part = slice(first * _STEPS, end * _STEPS)
            self.step(
                *self.state.values(), *self.fixed, tables[level[first]], (end - first) * _STEPS, counts[part],
                spikes[part] if raster else spikes, self.random,
            )  # fmt: skip
        kept = Snapshot(*(np.stack(x) for x in zip(*seen, strict=True))) if snapshots else None
        return Activity(counts, spikes if raster else None, kept)

    def _tables(self, ms: int, signal: Float[np.ndarray, " ms"] | None) -> tuple[np.ndarray, np.ndarray]:
        factors = np.ones(ms) if signal is None else np.asarray(signal, float)
        if factors.shape != (ms,) or not (np.isfinite(factors).all() and (factors >= 0).all()):
            raise ValueError(
                f"an external input of shape {factors.shape} for {ms} ms; expected a factor of the rate, "
                f"0 or more, for each"
            )
        if np.ptp(factors) > 0:
            # A grid that is the same for most signals, so that tables are found again.
            step = 2.0 ** np.ceil(np.log2(factors.max())) / _LEVELS
            factors = np.rint(factors / step) * step
        values, level = np.unique(factors, return_inverse=True)
        mean = self.rate * DT_MS * (self.cells if self.shared else 1)
        return np.stack([_quantiles(mean * x) for x in values]), level

    def _seen(self) -> tuple[np.ndarray, ...]:
        v = (self.state["v"] / self.threshold).astype(np.float32)
        pending, currents = np.zeros(self.cells, np.uint8), np.empty((0, self.cells), np.float32)
        if "rest" in self.state:
            v[self.state["rest"] > 0] = np.nan
            pending[self.state["pending"][: self.state["n_pending"][0]]] = 1
        else:
            currents = np.stack([self.state["current_e"], self.state["current_i"]])
        return v, pending, currents


@dataclass(frozen=True)
class RingNetwork:
    """Leaky neurons on a ring, 300 E and 300 I, driven by noise (Bunnapradist 2022; Xiao and Lin 2022).

    wiring: "ring" connects each cell with all whose place is at most ``reach`` away, with 60 by default; "random" each
    ordered pair with ``connection_probability``. A spike kicks S (E to E, I to I) or .9 S (between them), a step later.
    densities: share of the connections of E and of I cells that there are.
    """

    n_excitatory: int = 300
    n_inhibitory: int = 300
    wiring: str = "ring"
    reach: int = 15
    connection_probability: float = 0.1
    leak_ms: float = 20.0
    refractory_ms: float = 1.0
    noise_per_ms: float = 0.55
    noise_kick: float = 0.07

    populations: ClassVar = ("E", "I")

    def __post_init__(self) -> None:
        if self.wiring not in _WIRINGS:
            raise ValueError(f"there is no wiring '{self.wiring}'; choose one of {', '.join(_WIRINGS)}")
        if (
            min(self.n_excitatory, self.n_inhibitory) < 1
            or not 1 <= self.reach < min(self.n_excitatory, self.n_inhibitory) / 2
        ):
            raise ValueError(
                f"{self.n_excitatory} E and {self.n_inhibitory} I cells that reach {self.reach} on a ring; a reach is "
                f"1 or more, and less than half of it"
            )
        if not (0 < self.connection_probability <= 1 and self.leak_ms > 0 and self.refractory_ms >= 0):
            raise ValueError("a connection probability lies above 0, up to 1; time constants are not negative")
        if not (0 <= self.noise_per_ms < np.inf and np.isfinite(self.noise_kick)):
            raise ValueError(f"noise of {self.noise_per_ms} kicks a ms of {self.noise_kick} cannot be")

    def start(self, S: float, rng: np.random.Generator, density_e: float = 1.0, density_i: float = 1.0) -> LiveNetwork:
        """A network with connections, potentials and noise of its own."""
        n_e, n = self.n_excitatory, self.n_excitatory + self.n_inhibitory
        connected = self._on_ring() if self.wiring == "ring" else rng.random((n, n)) < self.connection_probability
        density = np.repeat([density_e, density_i], [n_e, n - n_e])[:, None]
        if min(density_e, density_i) < 1:
            connected = connected & (rng.random((n, n)) < density)
        np.fill_diagonal(connected, False)
        state: dict[str, np.ndarray] = {
            "v": rng.random(n).astype(np.float32), "rest": np.zeros(n, np.int64), "pending": np.zeros(n, np.int64),
            "n_pending": np.zeros(1, np.int64),
        }  # fmt: skip
        weights = (S * np.array([1.0, 0.9, 0.9, 1.0])).astype(np.float32)
        decay, refractory = np.float32(np.exp(-DT_MS / self.leak_ms)), round(self.refractory_ms / DT_MS)
        fixed = (*_lists(connected), n_e, weights, decay, refractory, np.float32(self.noise_kick))
        return LiveNetwork(loops.ring, state, fixed, n_e, self.noise_per_ms, True, 1.0, _seed(rng))

    def _on_ring(self) -> np.ndarray:
        """Cells of both populations by their place; each connects to those that are near, its own twin left out."""
        places = [np.arange(k) / k for k in (self.n_excitatory, self.n_inhibitory)]
        place = np.concatenate(places)
        apart = np.abs(place[:, None] - place)
        apart = np.minimum(apart, 1 - apart)
        size = np.repeat([self.n_excitatory, self.n_inhibitory], [self.n_excitatory, self.n_inhibitory])
        near = apart <= (self.reach + 1e-6) / size
        return near & (apart > 1e-9)


@dataclass(frozen=True)
class BeatNetwork:
    """Neurons without a leak that beat: 300 E and 100 I cells (Zhang, Xiao, Li et al. 2024).

    All strengths grow with ``beta``: threshold 100 beta, inhibitory reversal 66 beta below reset, 7 beta external kicks
    of 1 a ms. Connections carry .75, 1, 4.91 c and 1.964 beta over their probability (E to E, E to I, I to E, I to I),
    as currents that decay in 1.4, 1.2, 4.5 and 4.5 ms. recurrent_share: of the external input, beyond which a cell's
    recurrent excitation counts as what made it spike.
    """

    n_excitatory: int = 300
    n_inhibitory: int = 100
    connection_probability: float = 0.8
    beta: float = 3.0
    recurrent_share: float = 0.25

    populations: ClassVar = ("E", "I")

    def __post_init__(self) -> None:
        if (
            min(self.n_excitatory, self.n_inhibitory) < 1
            or not 0 < self.connection_probability <= 1
            or not self.beta > 0
        ):
            raise ValueError(f"{self.n_excitatory} E and {self.n_inhibitory} I cells, connected with probability "
                             f"{self.connection_probability}, beta {self.beta}, make no network")  # fmt: skip

    def start(self, c: float, rng: np.random.Generator) -> LiveNetwork:
        """A network with connections, potentials and noise of its own."""
        n_e, n = self.n_excitatory, self.n_excitatory + self.n_inhibitory
        connected = rng.random((n, n)) < self.connection_probability
        np.fill_diagonal(connected, False)
        taus = np.array([1.4, 1.2, 4.5, 4.5])
        strengths = np.array([0.75, 1.0, 4.91 * c, 1.964]) * self.beta / self.connection_probability
        decays, threshold = np.exp(-DT_MS / taus), 100 * self.beta
        state: dict[str, np.ndarray] = {"v": (threshold * rng.random(n)).astype(np.float32)}
        state |= {name: np.zeros(n, np.float32) for name in ("current_e", "current_i")}
        inhibitory = (np.arange(n) >= n_e).astype(int)
        jumps = connected * (strengths / taus)[2 * inhibitory[:, None] + inhibitory]
        gains = (taus * (1 - decays)).astype(np.float32)
        rate = 7.0 * self.beta
        scalars = (threshold, 66 * self.beta, self.recurrent_share * rate)
        fixed = (jumps.astype(np.float32), n_e, decays.astype(np.float32), gains, *(np.float32(x) for x in scalars))
        return LiveNetwork(loops.beat, state, fixed, n_e, rate, False, threshold, _seed(rng))


@lru_cache(maxsize=2 * _LEVELS)
def _quantiles(mean: float) -> np.ndarray:
    return poisson_quantiles(mean, np.uint16)


def _lists(connected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    starts = np.concatenate([[0], np.cumsum(connected.sum(1))])
    return starts.astype(np.int64), np.nonzero(connected)[1].astype(np.int64)


def _seed(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 2**64, 1, dtype=np.uint64)
