"""The four cells of the Human Neocortical Neurosolver's column, taken out of their network."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from simulators.cells.cell import LiveCell, Output
from simulators.cells.inputs import Synapse

CELL_TYPES = ("L2_basket", "L2_pyramidal", "L5_basket", "L5_pyramidal")
_INHIBITORY = ("gabaa", "gabab")


@dataclass(frozen=True)
class HNNCell:
    """One of hnn-core's cells, with a synapse for every section and receptor that the column has there.

    Besides the soma's voltage it gives, for a pyramidal cell, its dipole along the apical dendrite (nA um); dendrites:
    the voltage in the middle of every other section too.
    """

    cell_type: str = "L5_pyramidal"
    dendrites: bool = False
    threshold_mV: float = 0.0
    celsius: float = 37.0

    def __post_init__(self) -> None:
        if self.cell_type not in CELL_TYPES:
            raise ValueError(f"the column has no cell '{self.cell_type}'; choose one of {', '.join(CELL_TYPES)}")

    @property
    def pyramidal(self) -> bool:
        """Whether the cell has an apical dendrite, and so a dipole."""
        return self.cell_type.endswith("pyramidal")

    @property
    def synapses(self) -> tuple[Synapse, ...]:
        return _synapses(self.cell_type)

    @property
    def outputs(self) -> tuple[Output, ...]:
        dipole = (Output("dipole", "nA um"),) if self.pyramidal else ()
        return dipole + tuple(Output(f"{name} V", "mV") for name in self._dendrites())

    def _dendrites(self) -> list[str]:
        return [name for name in _template(self.cell_type).sections if name != "soma"] if self.dendrites else []

    def build(self) -> LiveCell:
        return live_cell(_template(self.cell_type), self.pyramidal, self._dendrites())


def live_cell(template: Any, pyramidal: bool, dendrites: Sequence[str] = ()) -> LiveCell:
    """A copy of one of hnn-core's cells in NEURON; its outputs are the dipole, if pyramidal, and V of the dendrites."""
    from hnn_core.network_builder import load_custom_mechanisms

    load_custom_mechanisms(net_verbose=False)
    cell = template.copy()
    cell.build(sec_name_apical="apical_trunk" if pyramidal else None)
    sections = cell._nrn_sections
    references = [cell.dpl_vec._ref_x[0]] if pyramidal else []
    references += [sections[name](0.5)._ref_v for name in dendrites]

    def initialise() -> None:
        for name, section in cell.sections.items():
            for segment in sections[name]:
                segment.v = section.v0

    scales = [1.0] * len(references)
    return LiveCell(sections["soma"](0.5), list(cell._nrn_synapses.values()), references, scales, initialise, cell)


def synapse_names(template: Any) -> list[str]:
    """Section and receptor of each synapse of one of hnn-core's cells, in their order."""
    return [f"{name}_{receptor}" for name, section in template.sections.items() for receptor in section.syns]


@cache
def _template(cell_type: str):
    try:
        from hnn_core import calcium_model
    except ImportError as error:
        raise ImportError("the column's cells need hnn-core: pip install hnn-core==0.6.1") from error
    return calcium_model(mesh_shape=(3, 3)).cell_types[cell_type]["cell_object"]


@cache
def _synapses(cell_type: str) -> tuple[Synapse, ...]:
    template = _template(cell_type)
    found = []
    for name in synapse_names(template):
        receptor = name.rpartition("_")[2]
        about = template.synapses[receptor]
        inhibitory = receptor in _INHIBITORY
        found.append(Synapse(name, about["tau1"], about["tau2"], about["e"], 1e-3, inhibitory=inhibitory))
    return tuple(found)
