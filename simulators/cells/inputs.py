"""Synaptic events and the protocols that draw them: published ones, Poisson, correlated, replayed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Integer

from simulators.interface import Parameter, ParameterSpace


@dataclass(frozen=True)
class Synapse:
    """One place of a cell that receives events: a conductance that rises and falls exponentially.

    An event of weight w uS adds a conductance whose peak is w. weight_uS is what protocols give an event if they have
    no other opinion. inhibitory: which of a protocol's rates it takes. A synapse with ``magnesium_mM`` is blocked by
    magnesium depending on the voltage, as NMDA receptors are (Jahr and Stevens 1990).
    """

    name: str
    rise_ms: float
    decay_ms: float
    reversal_mV: float
    weight_uS: float
    inhibitory: bool = False
    magnesium_mM: float = 0.0

    def __post_init__(self) -> None:
        numbers = (self.rise_ms, self.decay_ms, self.reversal_mV, self.weight_uS, self.magnesium_mM)
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"synapse {self.name}: {numbers} must be finite: rise, decay, reversal, weight, magnesium")
        if not 0 < self.rise_ms < self.decay_ms:
            raise ValueError(
                f"synapse {self.name}: rise {self.rise_ms} ms and decay {self.decay_ms} ms; the rise is the shorter "
                f"one of two positive times (an alpha function is their limit: take .99 of the decay)"
            )
        if self.weight_uS < 0 or self.magnesium_mM < 0:
            raise ValueError(f"synapse {self.name}: weight and magnesium are not negative")


@dataclass(frozen=True, eq=False)
class SynapticEvents:
    """Events that arrive at the synapses of one cell, in any order.

    times_ms: (events,), finite and not negative; synapses: (events,), their indices; weights_uS: (events,), peak
    conductances. Raises ValueError where these do not fit together.
    """

    times_ms: Float[np.ndarray, " events"]
    synapses: Integer[np.ndarray, " events"]
    weights_uS: Float[np.ndarray, " events"]

    def __post_init__(self) -> None:
        if not len(self.times_ms) == len(self.synapses) == len(self.weights_uS):
            raise ValueError(
                f"{len(self.times_ms)} times, {len(self.synapses)} synapses and {len(self.weights_uS)} weights"
            )
        if not (np.isfinite(self.times_ms).all() and (self.times_ms >= 0).all()):
            raise ValueError("event times must be finite and not negative")
        if not (np.isfinite(self.weights_uS).all() and (self.weights_uS >= 0).all()):
            raise ValueError("event weights must be finite and not negative; inhibition is the synapse's own")
        if len(self) and not np.issubdtype(np.asarray(self.synapses).dtype, np.integer):
            raise ValueError("event synapses must be whole numbers: the indices of a cell's synapses, from 0")

    def __len__(self) -> int:
        return len(self.times_ms)

    def check(self, synapses: Sequence[Synapse]) -> "SynapticEvents":
        """The same; raises ValueError for an event at a synapse that the cell does not have."""
        if len(self) and not 0 <= self.synapses.min() <= self.synapses.max() < len(synapses):
            raise ValueError(
                f"events name synapses {self.synapses.min()} ... {self.synapses.max()}; the cell has {len(synapses)}, "
                f"counted from 0: {', '.join(s.name for s in synapses[:4])} ..."
            )
        return self

    def binned(self, synapses: int, bins: int, bin_ms: float) -> Float[np.ndarray, "bins synapses"]:
        """Summed weights (uS) of the events in each bin; events after the last bin are left out."""
        grid = np.zeros((bins, synapses), np.float32)
        # An event at the very edge belongs to the bin it begins, however its time was rounded.
        rows = np.floor(self.times_ms / bin_ms + 1e-6)
        inside = rows < bins
        np.add.at(grid, (rows[inside].astype(int), self.synapses[inside]), self.weights_uS[inside])
        return grid


@runtime_checkable
class InputProtocol(Protocol):
    """A way to drive a cell. Its parameters are what one simulation differs in from the next."""

    @property
    def parameters(self) -> ParameterSpace:
        """What theta says of the inputs."""
        ...

    def draw(
        self,
        theta: Float[np.ndarray, " n_parameters"],
        synapses: Sequence[Synapse],
        duration_ms: float,
        rng: np.random.Generator,
    ) -> SynapticEvents:
        """Events at every synapse for one theta."""
        ...


SCALE = ParameterSpace((Parameter("scale", "1", 0.0, 4.0, "Rate of all synaptic events, relative"),))


@dataclass(frozen=True)
class DistinctMilliseconds:
    """80 s excitatory and 30 s inhibitory events per second, at distinct whole milliseconds (Olah et al. 2022).

    The one parameter, s, is 0 for a cell at rest. Events of one sort are spread over the synapses of that sort.
    """

    excitatory_hz: float = 80.0
    inhibitory_hz: float = 30.0
    parameters: ParameterSpace = SCALE

    def draw(
        self,
        theta: Float[np.ndarray, " n_parameters"],
        synapses: Sequence[Synapse],
        duration_ms: float,
        rng: np.random.Generator,
    ) -> SynapticEvents:
        """Raises ValueError if there are more events than milliseconds."""
        (scale,) = self.parameters.check(theta)
        drawn = []
        for inhibitory, rate in ((False, self.excitatory_hz), (True, self.inhibitory_hz)):
            sort = [k for k, s in enumerate(synapses) if s.inhibitory == inhibitory]
            n = round(rate * scale * duration_ms / 1e3) if sort else 0
            if n > duration_ms:
                raise ValueError(f"{n} events do not fit into {duration_ms:g} distinct milliseconds")
            times = np.sort(rng.choice(int(duration_ms), n, replace=False)).astype(float)
            drawn.append((times, np.array(sort, int)[rng.integers(len(sort), size=n)] if n else np.zeros(0, int)))
        times, targets = (np.concatenate(part) for part in zip(*drawn, strict=True))
        return SynapticEvents(times, targets, np.array([s.weight_uS for s in synapses])[targets])


def rates_up_to(excitatory_Hz: float, inhibitory_Hz: float) -> ParameterSpace:
    """The parameters of ``PoissonRates``, from 0 to these."""
    return ParameterSpace(
        (
            Parameter("excitatory_rate", "Hz", 0.0, excitatory_Hz, "Events at each excitatory synapse"),
            Parameter("inhibitory_rate", "Hz", 0.0, inhibitory_Hz, "Events at each inhibitory synapse"),
        )
    )


@dataclass(frozen=True)
class PoissonRates:
    """Independent Poisson events at every synapse, of the synapse's own weight.

    The two parameters are the rates of each excitatory and each inhibitory synapse; times lie on a grid.
    """

    grid_ms: float = 0.5
    parameters: ParameterSpace = field(default_factory=lambda: rates_up_to(20.0, 20.0))

    def __post_init__(self) -> None:
        if not 0 < self.grid_ms < math.inf:
            raise ValueError(f"times on a grid of {self.grid_ms} ms; it must be above 0")

    def draw(
        self,
        theta: Float[np.ndarray, " n_parameters"],
        synapses: Sequence[Synapse],
        duration_ms: float,
        rng: np.random.Generator,
    ) -> SynapticEvents:
        """Poisson events at the rates that theta says."""
        excitatory, inhibitory = self.parameters.check(theta)
        rates = np.array([inhibitory if s.inhibitory else excitatory for s in synapses])
        targets = np.repeat(np.arange(len(synapses)), rng.poisson(rates * duration_ms / 1e3))
        bins = rng.integers(round(duration_ms / self.grid_ms), size=len(targets))
        return SynapticEvents(bins * self.grid_ms, targets, np.array([s.weight_uS for s in synapses])[targets])


PRESENCE = ParameterSpace((Parameter("presence", "1", 0.1, 0.9, "Probability that a synapse is active"),))


@dataclass(frozen=True)
class PoissonSynapses:
    """Independent Poisson events at each synapse that is present, each synapse with a weight of its own.

    Weights are log-uniform between two bounds (uS), drawn anew for each simulation; times lie on a grid, so that a
    surrogate that counts events in bins of that width loses nothing. The one parameter is the probability that a
    synapse takes part.
    """

    rate_hz: float = 20.0
    weights_uS: tuple[float, float] = (1e-4, 1e-1)
    grid_ms: float = 0.5
    parameters: ParameterSpace = PRESENCE

    def __post_init__(self) -> None:
        low, high = self.weights_uS
        if not (0 < low <= high < math.inf and 0 <= self.rate_hz < math.inf and 0 < self.grid_ms < math.inf):
            raise ValueError(
                f"weights from {low} to {high} uS, {self.rate_hz} Hz, a grid of {self.grid_ms} ms: weights and grid "
                f"must be above 0, the lower weight first, and the rate not below 0"
            )

    def _synapses(self, theta: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Weight of each of n synapses, and whether it is present."""
        (presence,) = self.parameters.check(theta)
        low, high = np.log(self.weights_uS)
        return np.exp(rng.uniform(low, high, n)), rng.random(n) < presence

    def draw(
        self,
        theta: Float[np.ndarray, " n_parameters"],
        synapses: Sequence[Synapse],
        duration_ms: float,
        rng: np.random.Generator,
    ) -> SynapticEvents:
        """Poisson events at the synapses that take part."""
        weights, present = self._synapses(theta, len(synapses), rng)
        counts = rng.poisson(self.rate_hz * duration_ms / 1e3, len(synapses)) * present
        targets = np.repeat(np.arange(len(synapses)), counts)
        bins = rng.integers(round(duration_ms / self.grid_ms), size=len(targets))
        return SynapticEvents(bins * self.grid_ms, targets, weights[targets])


@dataclass(frozen=True)
class CorrelatedSynapses(PoissonSynapses):
    """Poisson events that synapses share: a part of a common source's events reaches each synapse, with jitter.

    correlation: the probability that an event at one synapse is found at another too; the rate is the same for each.
    """

    correlation: float = 0.3
    jitter_ms: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.correlation <= 1 or self.jitter_ms < 0:
            raise ValueError(f"correlation {self.correlation} is in (0, 1]; jitter {self.jitter_ms} ms is not negative")

    def draw(
        self,
        theta: Float[np.ndarray, " n_parameters"],
        synapses: Sequence[Synapse],
        duration_ms: float,
        rng: np.random.Generator,
    ) -> SynapticEvents:
        """Events at the synapses that take part, some of them shared."""
        weights, present = self._synapses(theta, len(synapses), rng)
        source = rng.uniform(0, duration_ms, rng.poisson(self.rate_hz / self.correlation * duration_ms / 1e3))
        reaches = (rng.random((len(synapses), len(source))) < self.correlation) & present[:, None]
        targets, events = np.nonzero(reaches)
        times = source[events] + self.jitter_ms * rng.standard_normal(len(events))
        bins = np.floor(times / self.grid_ms)
        inside = (bins >= 0) & (bins < round(duration_ms / self.grid_ms))
        return SynapticEvents(bins[inside] * self.grid_ms, targets[inside], weights[targets[inside]])


@dataclass(frozen=True)
class ReplayedInput:
    """The same known events in every simulation, with all weights times the one parameter.

    times_ms, synapses, weights_uS: as in ``SynapticEvents``, which raises ValueError for what does not fit together, as
    tuples, so that a campaign can say what it replayed.
    """

    times_ms: tuple[float, ...]
    synapses: tuple[int, ...]
    weights_uS: tuple[float, ...]
    parameters: ParameterSpace = field(
        default=ParameterSpace((Parameter("gain", "1", 0.0, 2.0, "Factor of all weights"),))
    )

    def __post_init__(self) -> None:
        SynapticEvents(np.array(self.times_ms, float), np.array(self.synapses, int), np.array(self.weights_uS, float))

    def draw(
        self,
        theta: Float[np.ndarray, " n_parameters"],
        synapses: Sequence[Synapse],
        duration_ms: float,
        rng: np.random.Generator,
    ) -> SynapticEvents:
        """Events after ``duration_ms`` are left out."""
        (gain,) = self.parameters.check(theta)
        times = np.array(self.times_ms, float)
        kept = times < duration_ms
        return SynapticEvents(
            times[kept], np.array(self.synapses, int)[kept], gain * np.array(self.weights_uS, float)[kept]
        ).check(synapses)
