"""What drives the column from outside: Poisson noise, volleys of an evoked response, bursts; with events of our own.

hnn-core seeds the train of cell k with its seed + k, so that neighbouring seeds share nearly all trains. Here all
trains come from one generator.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float

from simulators.cells.inputs import SynapticEvents
from simulators.column.connectivity import SHORT, ColumnModel

_DELAYS_MS = {"L2_basket": 0.1, "L2_pyramidal": 0.1, "L5_basket": 1.0, "L5_pyramidal": 1.0}
_FASTEST_HZ = 10_000.0


@dataclass(frozen=True, kw_only=True)
class Drive(ABC):
    """Trains of events that arrive at one location of the column's cells.

    name: of its parameters, as in "noise_rate_Hz"; location: "proximal", "distal" or a section; weights_uS: for each
    type of cell and receptor; delays_ms: for each type of cell, by default .1 ms to layer 2 and 1 ms to layer 5, as
    for proximal drives; space_constant: how far from the middle of the mesh weights fade and delays grow, in units of
    the mesh; trains: how many all cells share, 0 for one of each cell's own.
    """

    name: str
    location: str
    weights_uS: Mapping[str, Mapping[str, float]]
    delays_ms: Mapping[str, float] | None = None
    space_constant: float = 100.0
    trains: int = 0

    _positive: ClassVar[tuple[str, ...]] = ("space_constant",)

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a drive's name is one word, not '{self.name}'")
        unknown = set(self.weights_uS) - set(SHORT)
        if unknown or not self.weights_uS:
            raise ValueError(
                f"drive {self.name} reaches {', '.join(unknown) or 'no cell'}; choose of {', '.join(SHORT)}"
            )
        self._check_delays()
        weights = [w for receptors in self.weights_uS.values() for w in receptors.values()]
        if not all(np.isfinite(w) and w >= 0 for w in weights):
            raise ValueError(f"drive {self.name} has weights {weights}; they are finite and not negative")
        for name in self._numbers():
            value = float(getattr(self, name))
            object.__setattr__(self, name, value)  # a whole number may be given, and be made a parameter
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"drive {self.name}: {name} is {value}; it is finite and not negative")
        for name in self._positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"drive {self.name}: {name} is {getattr(self, name)}; it must be above 0")
        if self.trains < 0 or getattr(self, "spikes", 1) < 1:
            raise ValueError(f"drive {self.name} has {self.trains} trains of {getattr(self, 'spikes', 1)} spikes")

    def _check_delays(self) -> None:
        delays = self.delays_ms or {}
        if unknown := set(delays) - set(SHORT):
            raise ValueError(f"drive {self.name} has a delay to {', '.join(unknown)}; choose of {', '.join(SHORT)}")
        if not all(np.isfinite(d) and d >= 0 for d in delays.values()):
            raise ValueError(f"drive {self.name} has delays {dict(delays)}; they are finite and not negative")

    def _numbers(self) -> list[str]:
        """Names of the fields that can be parameters."""
        return [f.name for f in fields(self) if f.type is float]

    def places(self, model: ColumnModel) -> dict[str, list[tuple[int, float]]]:
        """For each type of cell, the synapses that are reached, and the weights there in the middle of the mesh.

        Raises ValueError for a location or receptor that a cell lacks.
        """
        return {
            cell_type: [
                (place, w)
                for receptor, w in receptors.items()
                for place in model.places(cell_type, self.location, receptor)
            ]
            for cell_type, receptors in self.weights_uS.items()
        }

    @abstractmethod
    def times(self, trains: int, duration_ms: float, rng: np.random.Generator) -> list[Float[np.ndarray, " events"]]:
        """Times of the events of each train, ms, in any order and not cut to the duration."""

    def draw(self, model: ColumnModel, duration_ms: float, rng: np.random.Generator) -> list[SynapticEvents]:
        """Events at every cell of the column. Raises ValueError as ``places``."""
        cells = [k for k, cell_type in enumerate(model.types) if cell_type in self.weights_uS]
        drawn = self.times(self.trains or len(cells), duration_ms, rng)
        drawn = [t[(t > 0) & (t < duration_ms)] for t in drawn]
        shared = np.concatenate(drawn) if self.trains else np.empty(0)
        places = self.places(model)
        near = np.exp(-((model.distances_from_origin() / self.space_constant) ** 2))
        delays = _DELAYS_MS | dict(self.delays_ms or {})
        events = [_none() for _ in model.types]
        for k, train in zip(cells, [shared] * len(cells) if self.trains else drawn, strict=True):
            cell_type = model.types[k]
            synapses, weights = (np.array(column) for column in zip(*places[cell_type] or [(0, 0.0)], strict=True))
            arrivals = train + delays[cell_type] / near[k]
            events[k] = SynapticEvents(
                np.tile(arrivals, len(synapses)),
                np.repeat(synapses, len(train)).astype(int),
                np.repeat(weights * near[k], len(train)),
            )
        return events

    def changed(self, what: str, value: float) -> Self:
        """The same with another number: of a field; "gain", a log10 factor of all weights; "L5e_gain", of those on L5
        pyramidal cells. Raises ValueError where there is no such number."""
        numbers = self._numbers()
        targets = {f"{SHORT[t]}_gain": t for t in self.weights_uS}
        if what in numbers:
            changes: dict[str, Any] = {what: value}
        elif what == "gain" or what in targets:
            scaled = self.weights_uS if what == "gain" else [targets[what]]
            changes = {
                "weights_uS": {
                    t: {r: w * 10.0 ** (value * (t in scaled)) for r, w in receptors.items()}
                    for t, receptors in self.weights_uS.items()
                }
            }
        else:
            known = ", ".join(f"{self.name}_{n}" for n in (*numbers, "gain", *targets))
            raise ValueError(f"drive {self.name} has no '{what}'; its parameters are {known}")
        return replace(self, **changes)


def _none() -> SynapticEvents:
    return SynapticEvents(np.empty(0), np.empty(0, int), np.empty(0))


def joined(events: list[SynapticEvents]) -> SynapticEvents:
    """All of them as those of one cell."""
    return SynapticEvents(
        np.concatenate([e.times_ms for e in events]),
        np.concatenate([e.synapses for e in events]),
        np.concatenate([e.weights_uS for e in events]),
    )


@dataclass(frozen=True, kw_only=True)
class PoissonDrive(Drive):
    """Noise: independent trains of ``rate_Hz``, from ``start_ms`` on."""

    rate_Hz: float
    start_ms: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate_Hz > _FASTEST_HZ:
            raise ValueError(f"drive {self.name}: {self.rate_Hz} Hz is more than {_FASTEST_HZ:g}")

    def times(self, trains: int, duration_ms: float, rng: np.random.Generator) -> list[Float[np.ndarray, " events"]]:
        """A train's events are uniform in time, their number is Poisson's."""
        lasting = max(0.0, duration_ms - self.start_ms)
        numbers = rng.poisson(1e-3 * self.rate_Hz * lasting, trains)
        return [self.start_ms + lasting * rng.random(n) for n in numbers]


@dataclass(frozen=True, kw_only=True)
class EvokedDrive(Drive):
    """A volley: each train has ``spikes`` events about ``mean_ms``."""

    mean_ms: float
    sd_ms: float
    spikes: int = 1
    space_constant: float = 3.0

    def times(self, trains: int, duration_ms: float, rng: np.random.Generator) -> list[Float[np.ndarray, " events"]]:
        """Normal about the mean."""
        return list(rng.normal(self.mean_ms, self.sd_ms, (trains, self.spikes)))


@dataclass(frozen=True, kw_only=True)
class BurstDrive(Drive):
    """Bursts: trains of ``spikes`` events, ``interval_ms`` apart, about every burst's own time.

    The first burst is at ``start_ms``, with a jitter of ``start_sd_ms`` that all trains share; others follow at
    ``rate_Hz`` until ``stop_ms``. A train's burst is off by ``sd_ms``.
    """

    start_ms: float
    sd_ms: float
    stop_ms: float
    rate_Hz: float = 1.0
    start_sd_ms: float = 0.0
    spikes: int = 2
    interval_ms: float = 10.0
    trains: int = 10

    _positive: ClassVar[tuple[str, ...]] = ("space_constant", "rate_Hz")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate_Hz > _FASTEST_HZ:
            raise ValueError(f"drive {self.name}: {self.rate_Hz} Hz is more than {_FASTEST_HZ:g}")

    def times(self, trains: int, duration_ms: float, rng: np.random.Generator) -> list[Float[np.ndarray, " events"]]:
        """Each burst about its time, its events about its middle."""
        first = rng.normal(self.start_ms, self.start_sd_ms)
        bursts = np.arange(first, min(self.stop_ms, duration_ms), 1e3 / self.rate_Hz)
        around = self.interval_ms * (np.arange(self.spikes) - (self.spikes - 1) / 2)
        return [(rng.normal(bursts, self.sd_ms)[:, None] + around).ravel() for _ in range(trains)]
