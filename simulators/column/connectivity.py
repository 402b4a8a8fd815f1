"""Who drives whom in the column: its cells, its connections, and the pairs of cell types whose strength can change."""

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from simulators.cells.hnn import CELL_TYPES, synapse_names
from simulators.interface import Parameter

MODELS = ("calcium", "jones_2009", "law_2021")
SHORT = {"L2_basket": "L2i", "L2_pyramidal": "L2e", "L5_basket": "L5i", "L5_pyramidal": "L5e"}
"""Abbreviations of the types of cells in the names of gains."""
_GAIN = -1.0, 1.0  # decades
_NEVER_MS = 1e6  # delays grow as weights fade, in wide meshes beyond all bounds
_MOST_CELLS = 1000  # pyramidal, of a layer: connections grow with the square


class Connections(NamedTuple):
    """One row for each connection: from a cell to a synapse of another.

    sources, targets: indices of cells; synapses: index among the target's; weights_uS and delays_ms: before any gain;
    pathways: index into ``ColumnModel.pathways``.
    """

    sources: Integer[np.ndarray, " connections"]
    targets: Integer[np.ndarray, " connections"]
    synapses: Integer[np.ndarray, " connections"]
    weights_uS: Float[np.ndarray, " connections"]
    delays_ms: Float[np.ndarray, " connections"]
    pathways: Integer[np.ndarray, " connections"]


class Pathway(NamedTuple):
    """All connections of two cell types by one receptor. Its gain has the name "L2e_L5e_nmda"."""

    source: str
    target: str
    receptor: str

    @property
    def pair(self) -> str:
        """Name of the gain of this pair of cell types, whatever the receptor."""
        return f"{SHORT[self.source]}_{SHORT[self.target]}"

    @property
    def name(self) -> str:
        """Name of the gain of this pathway alone."""
        return f"{self.pair}_{self.receptor}"


class _Layout(NamedTuple):
    """What a model and a mesh give: (network, type of each cell, position of each, pathways, connections)."""

    network: Any
    types: tuple[str, ...]
    positions: Float[np.ndarray, "cells 2"]
    origin: Float[np.ndarray, "2"]
    pathways: tuple[Pathway, ...]
    connections: Connections


@dataclass(frozen=True)
class ColumnModel:
    """A column of hnn-core, without drives.

    model: "calcium" (Kohl et al. 2022), "jones_2009" or "law_2021"; mesh: how many pyramidal cells a layer has along x
    and y; there is a basket cell for every three of them. Cells are in the order of ``CELL_TYPES``.
    """

    model: str = "calcium"
    mesh: tuple[int, int] = (3, 3)

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"hnn-core has no model '{self.model}'; choose one of {', '.join(MODELS)}")
        mesh = self.mesh if isinstance(self.mesh, tuple | list) else ()
        if len(mesh) != 2 or not all(type(n) is int and n >= 1 for n in mesh):
            raise ValueError(f"the mesh is {self.mesh}; expected two whole numbers above 0, such as (3, 3)")
        if mesh[0] * mesh[1] > _MOST_CELLS:
            raise ValueError(f"a mesh of {mesh[0]} x {mesh[1]} has over {_MOST_CELLS:,} pyramidal cells in a layer")
        object.__setattr__(self, "mesh", tuple(mesh))

    @property
    def types(self) -> tuple[str, ...]:
        """Type of each cell."""
        return _layout(self.model, self.mesh).types

    @property
    def pathways(self) -> tuple[Pathway, ...]:
        """Those that exist."""
        return _layout(self.model, self.mesh).pathways

    @property
    def pairs(self) -> tuple[str, ...]:
        """Names of the gains of pairs that exist, such as "L2e_L5e": L2 pyramidal cells onto L5 pyramidal cells."""
        return tuple(dict.fromkeys(pathway.pair for pathway in self.pathways))

    @property
    def connections(self) -> Connections:
        """All of them."""
        return _layout(self.model, self.mesh).connections

    @property
    def network(self) -> Any:
        """hnn-core's own description of it, which nobody may change."""
        return _layout(self.model, self.mesh).network

    def cells_of(self, cell_type: str) -> Integer[np.ndarray, " cells"]:
        """Indices of the cells of a type."""
        return np.flatnonzero(np.array(self.types) == cell_type)

    def distances_from_origin(self) -> Float[np.ndarray, " cells"]:
        """Of each cell, in the plane, in units of the mesh: drives fade with it."""
        found = _layout(self.model, self.mesh)
        return np.hypot(*(found.positions - found.origin).T) / found.network._inplane_distance

    def places(self, cell_type: str, location: str, receptor: str) -> list[int]:
        """Indices of the synapses of a receptor at "proximal", "distal" or a section.

        Raises ValueError, naming those there are, where the cell has none.
        """
        cell = self.network.cell_types[cell_type]["cell_object"]
        names = synapse_names(cell)
        sections = cell.sect_loc.get(location, [location])
        wanted = [f"{section}_{receptor}" for section in sections]
        if not wanted or not set(wanted) <= set(names):
            raise ValueError(
                f"{cell_type} has no {receptor} at '{location}'; its locations are "
                f"{', '.join((*(k for k, v in cell.sect_loc.items() if v), *cell.sections))}, its receptors there "
                f"{', '.join(sorted({n.rpartition('_')[2] for n in names if n.rpartition('_')[0] in sections})) or '-'}"
            )
        return [names.index(name) for name in wanted]

    def factors(self, gains: dict[str, float]) -> Float[np.ndarray, " connections"]:
        """What log10 gains, by the name of a pair or a pathway, multiply each connection's weight with.

        Raises ValueError for a name of none that exists, and for a gain that is not finite.
        """
        log10 = np.zeros(len(self.pathways))
        for name, gain in gains.items():
            if not np.isfinite(gain):
                raise ValueError(f"the gain {name} is {gain}; a log10 gain is a finite number, 0 for none")
            log10[self.pathways_of(name)] += gain
        return (10.0**log10)[self.connections.pathways]

    def pathways_of(self, name: str) -> list[int]:
        """Indices of the pathways that a gain acts on. Raises ValueError where there are none."""
        found = [k for k, pathway in enumerate(self.pathways) if name in (pathway.pair, pathway.name)]
        if not found:
            raise ValueError(
                f"the column has no connection '{name}'; its pairs are {', '.join(self.pairs)} (source_target, e for "
                f"pyramidal and i for basket cells), each also with a receptor, such as {self.pathways[0].name}"
            )
        return found

    def gain(self, name: str, low: float = _GAIN[0], high: float = _GAIN[1]) -> Parameter:
        """The log10 gain of a pair or pathway as a parameter. Raises ValueError where it does not exist."""
        first = self.pathways[self.pathways_of(name)[0]]
        receptor = f", {first.receptor}" if name == first.name else ""
        return Parameter(name, "1", low, high, f"log10 gain of {first.source} -> {first.target}{receptor}")

    def gains(self, low: float = _GAIN[0], high: float = _GAIN[1]) -> tuple[Parameter, ...]:
        """Those of all pairs that exist."""
        return tuple(self.gain(name, low, high) for name in self.pairs)


@cache
def _layout(model: str, mesh: tuple[int, int]) -> _Layout:
    network = _described(model, mesh)
    types = tuple(t for t in CELL_TYPES for _ in network.gid_ranges[t])
    positions = np.array([p[:2] for t in CELL_TYPES for p in network.pos_dict[t]], float)
    index = {gid: k for k, gid in enumerate(gid for t in CELL_TYPES for gid in network.gid_ranges[t])}
    names = {t: synapse_names(network.cell_types[t]["cell_object"]) for t in CELL_TYPES}
    order = {t: k for k, t in enumerate(CELL_TYPES)}
    found = {Pathway(g["src_type"], g["target_type"], g["receptor"]) for g in network.connectivity}
    pathways = sorted(found, key=lambda p: (order[p.source], order[p.target], p.receptor))
    parts = []
    for group in network.connectivity:
        pathway = Pathway(group["src_type"], group["target_type"], group["receptor"])
        cell, about = network.cell_types[pathway.target]["cell_object"], group["nc_dict"]
        sections = cell.sect_loc.get(group["loc"], [group["loc"]])
        places = [names[pathway.target].index(f"{section}_{pathway.receptor}") for section in sections]
        pairs = [(index[source], index[target]) for source, targets in group["gid_pairs"].items() for target in targets]
        sources, targets = np.array(pairs, np.int64).reshape(-1, 2).T
        distances = np.linalg.norm(positions[targets] - positions[sources], axis=1)
        near = np.exp(-((distances / (about["lamtha"] * network._inplane_distance)) ** 2))
        arriving = near > about["A_delay"] / _NEVER_MS
        sources, targets, near = sources[arriving], targets[arriving], near[arriving]
        delays = about["A_delay"] / near
        columns = sources, targets, about["A_weight"] * about["gain"] * near, delays
        sources, targets, weights, delays = (np.repeat(column, len(places)) for column in columns)
        number = np.full(len(sources), pathways.index(pathway))
        parts.append((sources, targets, np.tile(places, len(near)), weights, delays, number))
    connections = Connections(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    origin = np.array(network.pos_dict["origin"][:2], float)
    return _Layout(network, types, positions, origin, tuple(pathways), connections)


def _described(model: str, mesh: tuple[int, int]) -> Any:
    try:
        import hnn_core
    except ImportError as error:
        raise ImportError("the column needs hnn-core: pip install 'circuitsbi[hnn]'") from error
    return getattr(hnn_core, f"{model}_model")(mesh_shape=mesh)
