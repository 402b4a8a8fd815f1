"""A user's own cell: a hoc template, or a reconstructed morphology with parameters by section."""

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from simulators.cells.cell import LiveCell, Output
from simulators.cells.detailed.morphology import Shape, apply_parameters, check_morphology, from_file, from_template
from simulators.cells.detailed.parameters import Axon, CellParameters, read_parameters
from simulators.cells.inputs import Synapse
from simulators.cells.mechanisms import load_mechanisms, read_sources

FilePath = str | os.PathLike
MOST_SYNAPSES = 10_000  # each is one of its own; a million would fill the memory


@dataclass(frozen=True)
class SynapseGroup:
    """``count`` equal synapses, spread over a list of sections with probability proportional to length.

    section_list: "soma" or "somatic", "dend" or "basal", "apic" or "apical", "axon" or "axonal", or "all". The rest as
    in ``Synapse``, which raises ValueError for what does not fit together.
    """

    name: str
    section_list: str
    count: int
    rise_ms: float
    decay_ms: float
    reversal_mV: float
    weight_uS: float
    inhibitory: bool = False
    magnesium_mM: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_SYNAPSES:
            raise ValueError(
                f"group {self.name} has {self.count} synapses; leave it out, or give it one to {MOST_SYNAPSES:,}"
            )
        self.synapses()  # raises what a synapse would

    def synapses(self) -> tuple[Synapse, ...]:
        """Each synapse of the group, with a name of its own."""
        kinetics = (self.rise_ms, self.decay_ms, self.reversal_mV, self.weight_uS, self.inhibitory, self.magnesium_mM)
        return tuple(Synapse(f"{self.name}_{k}", *kinetics) for k in range(self.count))


@runtime_checkable
class Body(Protocol):
    """Where the sections of a cell come from, and what they start from."""

    @property
    def celsius(self) -> float:
        """Temperature of the channels."""

    @property
    def rest_mV(self) -> float:
        """Voltage that a run begins with."""

    def files(self) -> tuple[FilePath, ...]:
        """What the cell is read from."""

    def instantiate(self) -> tuple[Shape, dict[str, float]]:
        """Sections in NEURON, and what is to be set in NEURON as a whole before a run."""


@dataclass(frozen=True)
class HocTemplate:
    """A cell that a template of a hoc file makes, with all its channels, as BluePyOpt and others export them.

    file: hoc file; name: of the template; arguments: of its constructor, such as the morphology's folder; paths among
    them are relative to the hoc file. The template lists its sections in somatic, basal, apical, axonal, or has
    them in public arrays soma, dend, apic, axon. rest_mV: voltage from which a run starts.

    A hoc file is a program that runs with all rights of the user; name none that you do not trust.
    """

    file: FilePath
    name: str
    arguments: tuple[str | float, ...] = ()
    celsius: float = 34.0
    rest_mV: float = -70.0

    def files(self) -> tuple[FilePath, ...]:
        """The hoc file, and files and folders that its arguments name; what hoc loads by itself is not known."""
        places = [Path(self.file).parent / a for a in self.arguments if isinstance(a, str) and a]
        named = [sorted(place.iterdir()) if place.is_dir() else [place] for place in places]
        return (self.file, *(file for files in named for file in files if file.is_file()))

    def instantiate(self) -> tuple[Shape, dict[str, float]]:
        """Raises ValueError where hoc does not make the cell."""
        return from_template(self.file, self.name, self.arguments), {}


@dataclass(frozen=True)
class Reconstruction:
    """A morphology (.swc or .asc) with parameters by section.

    parameters, channels, values: JSON files, as in ``read_parameters``. axon: None for what the parameters were fitted
    with: the Allen Institute's perisomatic models have a stub of 60 x 1 um, its other ones and BluePyOpt's a stub with
    the diameters of the axon. Raises ValueError for files that are wrong in themselves.
    """

    morphology: FilePath
    parameters: FilePath
    channels: FilePath | None = None
    values: FilePath | None = None
    axon: Axon | None = None

    def __post_init__(self) -> None:
        check_morphology(self.morphology)
        self._read()

    @property
    def celsius(self) -> float:
        return self._read().celsius

    @property
    def rest_mV(self) -> float:
        return self._read().rest_mV

    def files(self) -> tuple[FilePath, ...]:
        return tuple(f for f in (self.morphology, self.parameters, self.channels, self.values) if f is not None)

    def instantiate(self) -> tuple[Shape, dict[str, float]]:
        """Raises ValueError where the parameters do not fit the morphology or the mechanisms that NEURON has."""
        parameters = self._read()
        shape = from_file(self.morphology, self.axon or parameters.axon)
        return shape, apply_parameters(shape, parameters, self.parameters)

    def _read(self) -> CellParameters:
        return read_parameters(self.parameters, self.channels, self.values)


@dataclass(frozen=True)
class DetailedCell:
    """A user's own cell. Besides the soma's voltage it gives what is asked for, and takes synapses by density.

    body: the sections; synapse_groups: where synapses lie, drawn with ``seed``; mechanisms: a folder of .mod files,
    which are compiled and run: name none that you do not trust. record: sections whose voltage in the middle is given,
    such as "apic[0]"; currents: ions whose current through the soma's middle segment is given (nA, outward positive),
    such as "na". content is the hash of all files, so that a campaign knows when one was changed.

    Raises ValueError where files are missing or names are said twice, and when it is built, where something does not
    fit together.
    """

    body: Body
    synapse_groups: tuple[SynapseGroup, ...] = ()
    mechanisms: FilePath | None = None
    record: tuple[str, ...] = ()
    currents: tuple[str, ...] = ()
    seed: int = 0
    threshold_mV: float = -20.0
    content: str = field(init=False, default="")

    def __post_init__(self) -> None:
        names = [group.name for group in self.synapse_groups]
        if len(set(names)) != len(names):
            raise ValueError(f"groups of synapses are called {', '.join(names)}; give each a name of its own")
        if len(set(self.outputs)) != len(self.outputs):
            raise ValueError(f"record {self.record} or currents {self.currents} name one thing twice")
        if sum(group.count for group in self.synapse_groups) > MOST_SYNAPSES:
            raise ValueError(f"a cell may have {MOST_SYNAPSES:,} synapses in all")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must not be negative")
        object.__setattr__(self, "content", self._content())

    @property
    def synapses(self) -> tuple[Synapse, ...]:
        return tuple(synapse for group in self.synapse_groups for synapse in group.synapses())

    @property
    def outputs(self) -> tuple[Output, ...]:
        voltages = (Output(f"{name} V", "mV") for name in self.record)
        return (*voltages, *(Output(f"I_{ion.capitalize()}", "nA") for ion in self.currents))

    @property
    def celsius(self) -> float:
        return self.body.celsius

    def build(self) -> LiveCell:
        from simulators.cells.synapses import point_processes

        if self.mechanisms is not None:
            load_mechanisms(self.mechanisms)
        shape, globals_ = self.body.instantiate()
        rest_mV = self.body.rest_mV
        middle = shape.soma(0.5)
        references = [shape.section(name)(0.5)._ref_v for name in self.record]
        references += [_current(middle, ion, shape.source) for ion in self.currents]
        # mA/cm2 times um2 is 1e-8 mA.
        scales = [1.0] * len(self.record) + [middle.area() * 1e-2] * len(self.currents)
        synapses = point_processes(list(self._places(shape)), self.synapses)

        def initialise() -> None:
            for section in shape.lists["all"]:
                section.v = rest_mV

        return LiveCell(middle, synapses, references, scales, initialise, shape, globals_)

    def _places(self, shape: Shape) -> Iterator[Any]:
        for group in self.synapse_groups:
            sections = shape.sections(group.section_list, f"synapses {group.name}")
            # A group's places are its own: other groups, before or after it, do not move them.
            rng = np.random.default_rng([self.seed, zlib.crc32(group.name.encode())])
            yield from _by_length(sections, group.count, rng)

    def _content(self) -> str:
        found = hashlib.sha256()
        for file in self.body.files():
            try:
                found.update(hashlib.sha256(Path(file).read_bytes()).digest())
            except OSError as error:
                raise ValueError(f"{file} cannot be read: {error.strerror}; give the path of a file") from error
        sources = {} if self.mechanisms is None else read_sources(self.mechanisms)
        for name, content in sources.items():
            found.update(name.encode() + hashlib.sha256(content).digest())
        return found.hexdigest()


def _by_length(sections: Sequence[Any], count: int, rng: np.random.Generator) -> list[Any]:
    """Segments at random places, each um of the sections as likely as the next."""
    lengths = np.array([section.L for section in sections])
    ends = np.cumsum(lengths)
    at = rng.uniform(0, ends[-1], count)
    which = np.minimum(np.searchsorted(ends, at, side="right"), len(sections) - 1)
    along = np.clip((at - (ends - lengths)[which]) / lengths[which], 0, 1)
    return [sections[k](x) for k, x in zip(which, along, strict=True)]


def _current(soma: Any, ion: str, source: str) -> Any:
    reference = getattr(soma, f"_ref_i{ion}", None)
    if reference is None:
        ions = [mechanism.name()[:-4] for mechanism in soma if mechanism.name().endswith("_ion")]
        raise ValueError(f"the soma of {source} has no current of {ion}; it has those of {', '.join(ions) or 'no ion'}")
    return reference
