"""A cell of one compartment: passive, with Hodgkin and Huxley's channels, or with a potassium current that shifts."""

from dataclasses import dataclass

from simulators.cells.cell import LiveCell, Output
from simulators.cells.inputs import Synapse

AMPA = Synapse("AMPA", 1.98, 2.0, 0.0, 2.5e-3)
GABA = Synapse("GABA", 0.99, 1.0, -90.0, 8e-3, inhibitory=True)
NMDA = Synapse("NMDA", 2.0, 80.0, 0.0, 2.5e-3, magnesium_mM=1.0)


@dataclass(frozen=True)
class PointCell:
    """Sphere-like compartment of 25 um (Olah et al. 2022): a leak, and in an active cell Hodgkin and Huxley's channels.

    Alpha functions are Exp2Syn with a rise of .99 of the decay. A cell may also have a delayed-rectifier potassium
    current, whose activation and inactivation shift along the voltage; positive to the right. currents: give I_Na and
    I_K (nA, outward positive), the latter of all potassium channels.
    """

    active: bool = True
    synapses: tuple[Synapse, ...] = (AMPA, GABA)
    currents: bool = False
    diameter_um: float = 25.0
    leak_S_per_cm2: float = 1e-3
    potassium_S_per_cm2: float = 0.0
    potassium_shift_mV: float = 0.0
    rest_mV: float = -70.0
    celsius: float = 6.3
    threshold_mV: float = -20.0

    def __post_init__(self) -> None:
        if self.potassium_S_per_cm2 < 0:
            raise ValueError(f"a potassium conductance of {self.potassium_S_per_cm2} S/cm2; it must not be negative")
        if self.currents and not self._ions:
            raise ValueError("a passive cell has no I_Na and I_K; ask for currents of an active one")

    @property
    def _ions(self) -> tuple[str, ...]:
        return ("na", "k") if self.active else ("k",) if self.potassium_S_per_cm2 else ()

    @property
    def outputs(self) -> tuple[Output, ...]:
        return tuple(Output(f"I_{ion.capitalize()}", "nA") for ion in self._ions) if self.currents else ()

    def build(self) -> LiveCell:
        from neuron import h

        from simulators.cells.mechanisms import load_own
        from simulators.cells.synapses import point_processes

        soma = h.Section(name="soma")
        soma.L = soma.diam = self.diameter_um
        soma.insert("pas")
        soma.g_pas, soma.e_pas = self.leak_S_per_cm2, self.rest_mV
        if self.active:
            soma.insert("hh")
        if self.potassium_S_per_cm2:
            load_own()
            soma.insert("kdrshift")
            soma.gbar_kdrshift, soma.shift_kdrshift = self.potassium_S_per_cm2, self.potassium_shift_mV
        middle = soma(0.5)
        references = [getattr(middle, f"_ref_i{ion}") for ion in self._ions] if self.currents else []
        area_cm2 = middle.area() * 1e-8
        # mA/cm2 times cm2 is mA.
        scales = [area_cm2 * 1e6] * len(references)

        def initialise() -> None:
            soma.v = self.rest_mV

        synapses = point_processes([middle] * len(self.synapses), self.synapses)
        return LiveCell(middle, synapses, references, scales, initialise, soma)
