"""The interfaces every room keeps to: parameters, simulators, forward models."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from simulators.recording import Recording

LEAST_SIMULATIONS = 40
"""Fewer are refused for training anything."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a model, uniform between ``low`` and ``high`` (in ``unit``) before any data are seen."""

    name: str
    unit: str
    low: float
    high: float
    meaning: str = ""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"parameter {self.name}: range {self.low} ... {self.high} is not an interval")


@dataclass(frozen=True)
class ParameterSpace:
    """An ordered set of parameters: the box in which a simulator works and an estimator answers."""

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        if not self.parameters or len(set(self.names)) != len(self.parameters):
            raise ValueError(f"a parameter space needs parameters with distinct names; got {self.names}")

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in their order."""
        return tuple(p.name for p in self.parameters)

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the parameters, in their order; "1" for a number without one."""
        return tuple(p.unit for p in self.parameters)

    @property
    def low(self) -> Float[np.ndarray, " n_parameters"]:
        """Lowest values, in physical units."""
        return np.array([p.low for p in self.parameters])

    @property
    def high(self) -> Float[np.ndarray, " n_parameters"]:
        """Highest values, in physical units."""
        return np.array([p.high for p in self.parameters])

    def sample(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n n_parameters"]:
        """``n`` uniform draws; the first ``m`` of them do not depend on ``n``."""
        return self.from_unit(rng.random((n, len(self))))

    def to_unit(self, theta: Float[np.ndarray, "*batch n_parameters"]) -> Float[np.ndarray, "*batch n_parameters"]:
        """From physical units to the unit cube."""
        return (theta - self.low) / (self.high - self.low)

    def from_unit(self, unit: Float[np.ndarray, "*batch n_parameters"]) -> Float[np.ndarray, "*batch n_parameters"]:
        """From the unit cube to physical units."""
        return self.low + unit * (self.high - self.low)

    def contains(self, theta: Float[np.ndarray, "*batch n_parameters"]) -> np.ndarray:
        """Whether each theta lies in the box (edges included)."""
        return np.asarray(((theta >= self.low) & (theta <= self.high)).all(-1))

    def check(self, theta: Sequence[float] | np.ndarray) -> Float[np.ndarray, " n_parameters"]:
        """Theta as an array of floats; raises ValueError naming the value that is missing, not finite or outside."""
        array = np.asarray(theta, dtype=float)
        if array.shape != (len(self),):
            raise ValueError(f"theta has shape {array.shape}; expected {len(self)} values: {', '.join(self.names)}")
        for p, value in zip(self.parameters, array, strict=True):
            if not p.low <= value <= p.high:
                unit = "" if p.unit == "1" else f" {p.unit}"
                raise ValueError(
                    f"{p.name} = {value:g}{unit} lies outside {p.low:g} ... {p.high:g}; "
                    f"choose a value inside, or build the simulator with a wider ParameterSpace"
                )
        return array

    def without(self, known: Mapping[str, float]) -> "ParameterSpace":
        """What is free where some parameters have known values. Raises ValueError for values or names there are not."""
        for name, value in known.items():
            if name not in self.names:
                raise ValueError(f"there is no parameter '{name}'; parameters are {', '.join(self.names)}")
            p = self.parameters[self.names.index(name)]
            if not p.low <= value <= p.high:
                raise ValueError(f"{name} = {value:g} lies outside {p.low:g} ... {p.high:g}, in which it was learned")
        if len(known) == len(self):
            raise ValueError("all parameters are known; leave one or more to be estimated")
        return ParameterSpace(tuple(p for p in self if p.name not in known))

    def check_simulations(self, theta: Float[np.ndarray, "simulations n_parameters"], recordings: int) -> None:
        """Raises ValueError unless there are as many recordings as thetas, enough to learn from, and all in the box."""
        if len(theta) != recordings or recordings < LEAST_SIMULATIONS:
            raise ValueError(
                f"{len(theta)} thetas and {recordings} recordings; training needs {LEAST_SIMULATIONS} or more of both"
            )
        outside = ~self.contains(theta)
        if outside.any():
            raise ValueError(
                f"theta {theta[outside][0]} (simulation {np.argmax(outside)}) lies outside the parameter space"
            )

    def to_json(self) -> list[dict[str, Any]]:
        """As plain lists and dictionaries, for JSON."""
        return [asdict(p) for p in self.parameters]

    @classmethod
    def from_json(cls, parameters: Iterable[dict[str, Any]]) -> "ParameterSpace":
        """The inverse of ``to_json``."""
        return cls(tuple(Parameter(**p) for p in parameters))


@runtime_checkable
class Simulator(Protocol):
    """A model with parameters. The same theta and generator state give the same recording on one machine.

    ``simulate`` raises ValueError for a theta outside ``parameters``. A simulator that is faster in batches also has
    ``simulate_batch(thetas, rngs) -> list[Recording]`` and ``batch_size``. Simulators are plain configuration: they
    hold no live state and can be sent to another process.
    """

    @property
    def parameters(self) -> ParameterSpace:
        """The box that ``simulate`` takes theta from."""
        ...

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """One recording at theta (physical units). Raises ValueError for a theta outside ``parameters``."""
        ...


def simulate_all(
    simulator: Simulator, thetas: Float[np.ndarray, "rows n_parameters"], rngs: Sequence[np.random.Generator]
) -> list[Recording]:
    """Recordings at each theta with a generator of its own, side by side where the simulator can do that.

    In this process; ``run_campaign`` keeps them, and shares them out. Raises ValueError as the simulator.
    """
    batch = getattr(simulator, "simulate_batch", None)
    if batch is None:
        return [simulator.simulate(theta, rng) for theta, rng in zip(thetas, rngs, strict=True)]
    size, found = int(getattr(simulator, "batch_size", 1)), []
    for first in range(0, len(thetas), size):
        found += batch(thetas[first : first + size], rngs[first : first + size])
    return found


@runtime_checkable
class ForwardModel(Protocol):
    """What an instrument sees of a simulated recording: counts to LFP, dipoles to EEG."""

    def observe(self, source: Recording, theta: Float[np.ndarray, " n_parameters"]) -> Recording:
        """The instrument's recording of ``source``, which was simulated at theta (physical units)."""
        ...


@dataclass(frozen=True)
class Observed:
    """A simulator seen through a forward model is a simulator again."""

    simulator: Simulator
    forward_model: ForwardModel

    @property
    def parameters(self) -> ParameterSpace:
        """The parameter space of the simulator."""
        return self.simulator.parameters

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """One recording as the instrument sees it. Raises ValueError as simulator and forward model do."""
        return self.forward_model.observe(self.simulator.simulate(theta, rng), theta)
