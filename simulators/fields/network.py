"""What a field depends on of the network behind it."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class PointNetwork(Protocol):
    """A network of point neurons, whose spikes are replayed onto multicompartment cells.

    populations: name -> first and past-the-last neuron; in_degrees: contacts on every neuron from each population;
    delays_ms: of conduction, equally likely; dt_ms: step of its spike times; bin_ms: in which spikes are counted.
    """

    @property
    def populations(self) -> dict[str, tuple[int, int]]: ...

    @property
    def in_degrees(self) -> tuple[int, ...]: ...

    @property
    def delays_ms(self) -> tuple[float, ...]: ...

    @property
    def dt_ms(self) -> float: ...

    @property
    def bin_ms(self) -> float: ...

    @property
    def duration_ms(self) -> float: ...

    @property
    def transient_ms(self) -> float: ...
