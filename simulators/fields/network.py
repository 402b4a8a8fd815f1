"""What a field depends on of the network behind it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@runtime_checkable
class PointNetwork(Protocol):
    """A network of point neurons, whose spikes are replayed onto multicompartment cells.

    populations: name -> first and past-the-last neuron; in_degrees: contacts on every neuron from each population;
    delays_ms: of conduction, equally likely; dt_ms: step of its spike times; bin_ms: in which spikes are counted.
    """

    @property
    def populations(self) -> dict[str, tuple[int, int]]:
        """Name -> first and past-the-last neuron."""
        ...

    @property
    def in_degrees(self) -> tuple[int, ...]:
        """Contacts on every neuron from each population."""
        ...

    @property
    def delays_ms(self) -> tuple[float, ...]:
        """Of conduction, equally likely."""
        ...

    @property
    def dt_ms(self) -> float:
        """Step of the spike times."""
        ...

    @property
    def bin_ms(self) -> float:
        """In which spikes are counted."""
        ...

    @property
    def duration_ms(self) -> float:
        """Of a simulation, its transient included."""
        ...

    @property
    def transient_ms(self) -> float:
        """At the start, kept but not analysed."""
        ...


@dataclass(frozen=True)
class PointPopulations:
    """A network as kernels see it: only how many cells there are, and what reaches each of them when."""

    populations: dict[str, tuple[int, int]]
    in_degrees: tuple[int, ...]
    delays_ms: tuple[float, ...]
    dt_ms: float
    bin_ms: float = 1.0
    duration_ms: float = 1000.0
    transient_ms: float = 0.0
