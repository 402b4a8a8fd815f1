"""The multicompartment cells that stand for a network's point neurons, and the use of NEURON that simulates them."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulators.resident import forget


@dataclass(frozen=True)
class Morphology:
    """Shape of the cells of one population, and where their synapses lie.

    file: a .hoc or .swc morphology with sections named soma, dend, apic; None builds a soma of 20 x 20 um with four
        oblique sticks to (+-100, +-100, +-100) um, all of them 3 um thick.
    apical_um: height of the tip of a vertical apical stick above the soma, when there is no file; None for no stick.
    sections: the sections that carry synapses.
    excitation, inhibition: fraction of the synapses in each layer of the ``CellModel``.
    """

    file: str | None = None
    apical_um: float | None = None
    sections: tuple[str, ...] = ("dend", "soma")
    excitation: tuple[float, ...] = (0.0, 1.0)
    inhibition: tuple[float, ...] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.file is not None and not Path(self.file).is_file():
            raise ValueError(f"morphology {self.file} is not a file; give the path of a .hoc or .swc file")

    def hoc(self) -> str:
        """The ball and sticks in NEURON's language (hybridLFPy's Brunel example)."""
        sticks = [("dend", z, (x, y * z, 100.0 * z)) for z in (1, -1) for x, y in ((100, -100), (-100, 100))]
        if self.apical_um is not None:
            sticks.append(("apic", 1, (0, 0, self.apical_um)))
        names = [f"{kind}[{i if kind == 'dend' else 0}]" for i, (kind, _, _) in enumerate(sticks)]
        lines = ["create soma[1], dend[4]" + (", apic[1]" if self.apical_um is not None else "")]
        lines += ["soma[0] { pt3dadd(0, 0, -10, 20) pt3dadd(0, 0, 10, 20) }"]
        for name, (_, side, (x, y, z)) in zip(names, sticks, strict=True):
            lines += [f"{name} {{ pt3dadd(0, 0, {10 * side}, 3) pt3dadd({x}, {y}, {z}, 3) }}"]
            lines += [f"connect {name}(0), soma[0]({1 if side > 0 else 0})"]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class CellModel:
    """The multicompartment cells that stand for the point neurons. Defaults: Skaar et al. 2020.

    radius_um: radius of the cylinder that holds the somata. Their depths are uniform in ``soma_depths_um``.
    layers_um: bottom and top of each layer, uppermost first.
    synaptic_current_nA: peak of the alpha-shaped current for a weight of 1 mV (it charges 100 pF by 1 mV).

    Raises ValueError where the fractions of synapses do not fit the layers, or an interval is empty.
    """

    excitatory: Morphology = Morphology(apical_um=400.0, sections=("apic", "dend"), excitation=(0.5, 0.5))
    inhibitory: Morphology = Morphology()
    radius_um: float = 1000 / np.pi**0.5
    soma_depths_um: tuple[float, float] = (-450.0, -350.0)
    layers_um: tuple[tuple[float, float], ...] = ((-300.0, 0.0), (-500.0, -300.0))
    axial_resistance_ohm_cm: float = 150.0
    capacitance_uF_per_cm2: float = 1.0
    leak_S_per_cm2: float = 1 / 20000
    synaptic_time_constant_ms: float = 5.0
    synaptic_current_nA: float = 7.357e-3

    def __post_init__(self) -> None:
        for low, high in (self.soma_depths_um, *self.layers_um):
            if not low < high:
                raise ValueError(f"depths {low} ... {high} um are no interval; give the deeper bound first")
        for fractions in (f for cell in self.morphologies.values() for f in (cell.excitation, cell.inhibition)):
            if len(fractions) != len(self.layers_um) or abs(sum(fractions) - 1) > 1e-9 or min(fractions) < 0:
                raise ValueError(f"synapses {fractions} must be {len(self.layers_um)} fractions, one a layer, of sum 1")

    @property
    def morphologies(self) -> dict[str, Morphology]:
        """The morphology of each population, in the order of the network's."""
        return {"excitatory": self.excitatory, "inhibitory": self.inhibitory}

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary; a morphology file appears as the hash of its content."""
        cells = asdict(self)
        for name, morphology in self.morphologies.items():
            if morphology.file is not None:
                cells[name]["file"] = hashlib.sha256(Path(morphology.file).read_bytes()).hexdigest()
        return cells


@contextmanager
def neuron_session() -> Iterator[Path]:
    """Quiet use of NEURON that is cleaned up afterwards. Yields a folder for the files of one use.

    Time step, integrator and membrane current switch are set back; all sections are deleted.
    """
    os.environ.setdefault("NEURON_MODULE_OPTIONS", "-nogui")
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), tempfile.TemporaryDirectory() as folder:
        from neuron import h

        integrator = h.CVode()
        forget()  # or it would run beside what is built now, and be deleted with it
        before = h.dt, integrator.active(), integrator.use_fast_imem()
        try:
            yield Path(folder)
        finally:
            h("forall delete_section()")
            h.dt, active, fast_imem = before
            integrator.active(active)
            integrator.use_fast_imem(fast_imem)


def template_cell(morphology: Morphology, cells: CellModel, folder: Path) -> dict[str, Any]:
    """Arguments of ``LFPy.TemplateCell`` for one population's cells; writes the files it reads into ``folder``."""
    template = folder / "template.hoc"
    lists = "all, somatic, basal, apical, axonal"
    template.write_text(
        f"begintemplate CircuitCell\npublic init, soma, dend, apic, axon, {lists}\nobjref {lists}, this\n"
        "proc init() { " + " ".join(f"{name} = new SectionList()" for name in lists.split(", ")) + " }\n"
        "create soma[1], dend[1], apic[1], axon[1]\nendtemplate CircuitCell\n"
    )
    file = morphology.file or "ball_and_sticks.hoc"
    if file.endswith(".hoc"):
        shape = morphology.hoc() if morphology.file is None else Path(file).read_text()
        # Morphology files differ in whether they list their sections; a section without points is one they do not have.
        file = str(folder / "morphology.hoc")
        Path(file).write_text(f"{shape}\nobjref all\nall = new SectionList()\nforall if (n3d() > 0) all.append()\n")
    return dict(
        morphology=file,
        templatefile=str(template),
        templatename="CircuitCell",
        Ra=cells.axial_resistance_ohm_cm,
        cm=cells.capacitance_uF_per_cm2,
        v_init=0.0,
        passive=True,
        passive_parameters={"g_pas": cells.leak_S_per_cm2, "e_pas": 0.0},
        nsegs_method="lambda_f",
        lambda_f=100.0,
    )
