"""Both networks behind the Simulator interface: spikes of E and of I cells in each ms."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from simulators.firing_events.networks import Activity, BeatNetwork, LiveNetwork, RingNetwork
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

if TYPE_CHECKING:
    from simulators.fields.probes import Probe
    from simulators.firing_events.field import RingSignal

_S = Parameter("S", "1", 0.003, 0.05, "strength of a connection, over the threshold")
_C = Parameter("c", "1", 0.38, 0.46, "strength of inhibition of E cells")
_RATIO = Parameter("log_ratio", "1", -0.9, 0.9, "logarithm of the numbers of excitatory over inhibitory connections")


@dataclass(frozen=True)
class _EventSimulator(ABC):
    """What both have in common. signal: factor of the external rate in each ms, the transient included; it is recorded
    as a further channel, and begins anew where it is shorter than a simulation."""

    duration_ms: float = 1000.0
    transient_ms: float = 200.0
    signal: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (1 <= self.duration_ms < np.inf and 0 <= self.transient_ms < np.inf):
            raise ValueError(f"{self.duration_ms} ms after a transient of {self.transient_ms} ms are no recording")

    def lasting(self, duration_s: float):
        """The same over another time."""
        return replace(self, duration_ms=1e3 * duration_s)

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """Spikes in each ms, (2, ms), or (3, ms) with the signal. Raises ValueError for a theta outside the box."""
        return self.recording(self.run(theta, rng))

    def run(
        self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator, raster: bool = False
    ) -> Activity:
        """The same in steps of .1 ms, the transient included, with every spike if ``raster``."""
        live = self.start(theta, rng)
        return live.advance(round(self.transient_ms) + round(self.duration_ms), self._signal, raster)

    @abstractmethod
    def start(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> LiveNetwork:
        """The network at theta, before its first step."""

    @property
    def _signal(self) -> Float[np.ndarray, " ms"] | None:
        ms = round(self.transient_ms) + round(self.duration_ms)
        return np.resize(np.array(self.signal, float), ms) if self.signal else None

    def recording(self, activity: Activity) -> Recording:
        """Of what ran, the spikes in each ms and the signal."""
        values = activity.per_ms.T.astype(np.float32)
        channels: tuple[str, ...] = ("E spikes", "I spikes")
        if self._signal is not None:
            values = np.concatenate([values, self._signal[None].astype(np.float32)])
            channels = (*channels, "input")
        return Recording(values, 1000.0, "1", channels, round(self.transient_ms))


@dataclass(frozen=True)
class RingSimulator(_EventSimulator):
    """The ring, by the strength S of its connections.

    Where ``free`` has it, "log_ratio" is the logarithm of the number of E connections over that of I connections: of
    the rarer kind some are missing at random, of the other none.
    """

    network: RingNetwork = field(default_factory=RingNetwork)
    free: tuple[Parameter, ...] = (_S,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := set(self.parameters.names) - {"S", "log_ratio"}:
            raise ValueError(f"the ring has no parameter {', '.join(sorted(unknown))}; it has S and log_ratio")
        if "S" not in self.parameters.names:
            raise ValueError("the ring needs its strength S among its parameters")

    @property
    def parameters(self) -> ParameterSpace:
        """S, and whatever else is free."""
        return ParameterSpace(self.free)

    def forward_model(self, probe: "Probe | None" = None) -> "RingSignal | None":
        """What a probe sees of the ring; without one spikes are taken as they are."""
        from simulators.firing_events.field import RingSignal

        return None if probe is None else RingSignal(self.parameters, probe, self.network)

    def start(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> LiveNetwork:
        """The network at theta, before its first step. Raises ValueError for a theta outside the box."""
        values = dict(zip(self.parameters.names, self.parameters.check(theta).tolist(), strict=True))
        ratio = values.get("log_ratio", 0.0)
        return self.network.start(values["S"], rng, float(np.exp(min(ratio, 0.0))), float(np.exp(min(-ratio, 0.0))))


@dataclass(frozen=True)
class BeatSimulator(_EventSimulator):
    """The beat network, by the strength c of the inhibition of its E cells."""

    network: BeatNetwork = field(default_factory=BeatNetwork)
    free: tuple[Parameter, ...] = (_C,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parameters.names != ("c",):
            raise ValueError(f"the beat network's parameter is c; got {', '.join(self.parameters.names)}")

    @property
    def parameters(self) -> ParameterSpace:
        """The one there is, c."""
        return ParameterSpace(self.free)

    def forward_model(self, probe: "Probe | None" = None) -> None:
        """Spikes are taken as they are. Raises ValueError for a probe: no field of this network is defined."""
        if probe is not None:
            raise ValueError("the beat network has no field that a probe could see; leave the probe out")

    def start(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> LiveNetwork:
        """The network at theta, before its first step. Raises ValueError for a theta outside the box."""
        return self.network.start(float(self.parameters.check(theta)[0]), rng)


RATIO = (_S, _RATIO)
"""Strength and ratio of connections, for ``RingSimulator(free=RATIO)``."""
