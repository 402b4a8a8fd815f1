"""Sections of a user's own cell in NEURON: from a morphology file or a hoc template, with their parameters."""

import contextlib
import hashlib
import io
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.cells.detailed.parameters import Axon, CellParameters, Setting
from simulators.cells.mechanisms import loaded_libraries

LISTS = {"somatic": "soma", "basal": "dend", "apical": "apic", "axonal": "axon"}
"""Names of the lists of sections, and of the arrays that these are in; either may be said. A fifth list is "all"."""

_KINDS = (1, 2, 3, 4)  # of SWC samples: soma, axon, basal and apical dendrite
_LARGEST_SAMPLE = 10_000_000  # numbers of samples become indices
_LONGEST_UM = 1e5  # of a section; no dendrite is a decimetre long
_STUB_UM = 30.0
_FAR_UM = 60.0
_MARK = "\xef\xbb\xbf"  # of UTF-8, as latin-1 reads it
_LAST_LINES = 8  # of NEURON's messages

_TRIAL = """
import sys
from neuron import h
path, *libraries = sys.argv[1:]
for library in libraries:
    h.nrn_load_dll(library)
h.load_file("stdlib.hoc")
h.load_file("import3d.hoc")
sys.exit(0 if h.load_file(path) else "")
"""

_templates: dict[str, str] = {}


@dataclass(frozen=True, eq=False)
class Shape:
    """Sections of one cell in NEURON's memory, all of them connected to its soma.

    lists: by the names in ``LISTS`` and "all"; alive: whatever NEURON would drop if Python did; source: the file.
    """

    lists: Mapping[str, Sequence[Any]]
    alive: Any
    source: str

    @property
    def soma(self) -> Any:
        """The first section of the soma."""
        return self.lists["somatic"][0]

    def sections(self, which: str, asked_by: str) -> Sequence[Any]:
        """The sections of a list. Raises ValueError where there is none."""
        arrays = {array: name for name, array in LISTS.items()}
        found = self.lists.get(arrays.get(which, which), ())
        if not found:
            there = [name for name, sections in self.lists.items() if sections]
            raise ValueError(
                f"{asked_by}: {self.source} has no sections '{which}', only {', '.join(there)}; name one of these, or "
                f"take the morphology that the parameters belong to"
            )
        return found

    def section(self, name: str) -> Any:
        """One section by its name, such as "apic[0]". Raises ValueError where there is none."""
        named = {section.name().rpartition(".")[2]: section for section in self.lists["all"]}
        section = named.get(name, named.get(f"{name}[0]"))
        if section is None:
            raise ValueError(f"{self.source} has no section {name}; it has {_some(list(named))}")
        return section


class _Container:
    """Import3d puts the sections of a cell into the attributes of one of these."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self.soma: list[Any] = []
        self.dend: list[Any] = []
        self.apic: list[Any] = []
        self.axon: list[Any] = []


def check_morphology(file: str | os.PathLike) -> None:
    """Raises ValueError, without NEURON, for a file that is no SWC or ASC morphology with a soma."""
    path = Path(file)
    kind = path.suffix.lower()
    if kind not in (".swc", ".asc"):
        raise ValueError(f"morphology {file}: {kind or 'no suffix'} is not known; give an .swc or .asc file")
    try:
        # Comments in files of old programs are often not in UTF-8.
        text = path.read_text(encoding="latin-1")  # universal newlines: every line ends in \n
    except OSError as error:
        raise ValueError(f"morphology {file} cannot be read: {error.strerror}; give the path of a file") from error
    if text.startswith(_MARK):
        raise ValueError(f"morphology {file} begins with a mark that NEURON cannot read; save it as UTF-8 without BOM")
    if "\0" in text:
        raise ValueError(f"morphology {file} is no text, so it is no {kind} file")
    if kind == ".swc":
        _check_swc(text, file)
    else:
        _check_asc(text, file)


def _check_swc(text: str, file: str | os.PathLike) -> None:
    kinds: dict[int, int] = {}
    roots = 0
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"morphology {file}, line {number}"
        try:
            sample, kind, x, y, z, radius, parent = (float(word.replace("_", "?")) for word in words[:7])
        except ValueError as error:
            raise ValueError(
                f"{where}: '{line.strip()[:60]}' is no sample of an SWC file: number, kind, x, y, z, radius, parent"
            ) from error
        if not all(math.isfinite(value) for value in (x, y, z, radius)) or radius <= 0:
            raise ValueError(f"{where}: place {x:g}, {y:g}, {z:g} and radius {radius:g} um must be finite, and it > 0")
        if kind not in _KINDS:
            raise ValueError(f"{where}: samples of kind {kind:g} have no place in a cell; make it 1, 2, 3 or 4")
        if not 0 <= sample <= _LARGEST_SAMPLE or sample != int(sample) or sample in kinds:
            raise ValueError(f"{where}: {sample:g} is the number of another sample too, or is none; number them anew")
        if parent < 0:
            roots += 1
        elif parent not in kinds:
            raise ValueError(f"{where}: the parent {parent:g} must be a sample before it; sort the samples")
        kinds[int(sample)] = int(kind)
    if 1 not in kinds.values():
        raise ValueError(f"morphology {file} has no soma (samples of kind 1); give a whole cell")
    if roots != 1:
        raise ValueError(f"morphology {file} has {roots} samples without a parent; connect its parts to one cell")


def _check_asc(text: str, file: str | os.PathLike) -> None:
    bare = re.sub(r'"[^"\n]*"|;[^\n]*', " ", text)
    if "(" not in bare or bare.count("(") != bare.count(")"):
        raise ValueError(f"morphology {file} is no whole Neurolucida file: its brackets do not match; save it again")
    if not re.search(r"\(\s*cellbody\s*\)", bare, re.IGNORECASE):
        raise ValueError(f"morphology {file} has no soma (a contour that is a CellBody); give a whole cell")


def from_file(file: str | os.PathLike, axon: Axon) -> Shape:
    """A cell from an SWC or ASC morphology, with 1 + 2 int(L / 40 um) segments a section.

    Raises ValueError as ``check_morphology`` does, and for what NEURON cannot read.
    """
    from neuron import h

    check_morphology(file)
    h.load_file("stdlib.hoc")
    h.load_file("import3d.hoc")
    cell = _Container()
    with _hoc(f"NEURON cannot read the morphology {file}"):
        reader = h.Import3d_SWC_read() if Path(file).suffix.lower() == ".swc" else h.Import3d_Neurolucida3()
        reader.quiet = 1
        reader.input(os.path.abspath(file))
        h.Import3d_GUI(reader, 0).instantiate(cell)
    if not cell.soma:
        raise ValueError(f"morphology {file}: NEURON finds no soma in it; give a whole cell")
    for section in cell.all:
        name = section.name().rpartition(".")[2]
        if not 0 < section.L <= _LONGEST_UM:
            raise ValueError(f"morphology {file}: {name} is {section.L:g} um long; is the file's unit um?")
        section.nseg = 1 + 2 * int(section.L / 40)
        if not all(0 < segment.diam < math.inf for segment in section):
            raise ValueError(f"morphology {file}: {name} has a diameter that is not above 0")
    if axon != "kept":
        _replace_axon(cell, axon)
    return _shape({name: getattr(cell, array) for name, array in LISTS.items()}, cell, file)


def _replace_axon(cell: _Container, axon: Axon) -> None:
    """As the models do that the parameters were fitted with; few reconstructions have much of an axon."""
    from neuron import h

    diameters = [1.0, 1.0]
    if axon == "own stub" and cell.axon:
        far = [s for s in cell.axon if h.distance(cell.soma[0](0), s(0.5)) > _FAR_UM]
        diameters = [cell.axon[0].diam, (far or cell.axon)[0].diam]
    for section in cell.axon:
        h.delete_section(sec=section)
    cell.axon = [h.Section(name=f"axon[{k}]", cell=cell) for k in range(2)]
    for section, diameter in zip(cell.axon, diameters, strict=True):
        section.L, section.diam = _STUB_UM, diameter
    cell.axon[0].connect(cell.soma[0](0.5 if axon == "thin stub" else 1.0), 0)
    cell.axon[1].connect(cell.axon[0](1), 0)
    cell.all = [*cell.soma, *cell.dend, *cell.apic, *cell.axon]


def from_template(file: str | os.PathLike, name: str, arguments: Sequence[str | float]) -> Shape:
    """A cell from a hoc template, which is made in the folder of its file: paths among its arguments begin there.

    Raises ValueError for a file without this template, a name that is taken in NEURON, a template without a soma, and
    for whatever hoc complains of.
    """
    from neuron import h

    path = Path(file).absolute()
    _load_template(path, name)
    with _hoc(f"the template {name} of {file} makes no cell of the arguments {tuple(arguments)}"):
        with contextlib.chdir(path.parent):
            cell = getattr(h, name)(*arguments)
        lists = {key: _listed(cell, key) or _listed(cell, array) for key, array in LISTS.items()}
    if not lists["somatic"]:
        raise ValueError(f"the template {name} of {file} has no section in somatic, nor a public soma; it needs one")
    return _shape(lists, cell, file)


def _load_template(path: Path, name: str) -> None:
    """Once a process: NEURON cannot forget a template."""
    from neuron import h

    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise ValueError(f"hoc file {path} cannot be read: {error.strerror}; give the path of a file") from error
    defined = re.findall(r"^\s*begintemplate\s+(\w+)", text, re.MULTILINE)
    if name not in defined:
        raise ValueError(f"{path} defines no template {name}; it defines {', '.join(defined) or 'none'}")
    digest = hashlib.sha256(text.encode()).hexdigest()
    if _templates.get(name) == digest:
        return
    if hasattr(h, name):
        raise ValueError(
            f"{path}: NEURON has something else of the name {name} in this process (an earlier version of the file, a "
            f"mechanism ...); use a fresh Python process, or rename the template"
        )
    _try(path)
    with _hoc(f"NEURON cannot read {path}"), contextlib.chdir(path.parent):
        h.load_file("stdlib.hoc")
        h.load_file("import3d.hoc")
        h.load_file(str(path))
    _templates[name] = digest


def _try(path: Path) -> None:
    """Read a hoc file in another process: a mistake inside a template would leave NEURON about to crash in this one."""
    # Without -P Python would import modules from the folder of the file.
    command = [sys.executable, "-P", "-c", _TRIAL, str(path), *map(str, loaded_libraries())]
    done = subprocess.run(
        command,
        cwd=path.parent,
        env=os.environ | {"NEURON_MODULE_OPTIONS": "-nogui"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise ValueError(
            f"NEURON cannot read {path}: {_last(done.stdout)}\n"
            f"Are the .mod files of all its mechanisms in the folder `mechanisms`?"
        )


def _listed(cell: Any, name: str) -> list[Any]:
    """Sections of a list or an array of a template's object; none where it has neither."""
    found = getattr(cell, name, None)
    if found is None:
        return []
    return [found] if hasattr(found, "nseg") else list(found)


def _shape(lists: Mapping[str, Sequence[Any]], alive: Any, source: str | os.PathLike) -> Shape:
    """Templates have sections that no one connected, where a morphology lacks a kind; they are not of the cell."""
    tree = list(lists["somatic"][0].wholetree())
    members = set(tree)
    connected = {name: [s for s in sections if s in members] for name, sections in lists.items()}
    return Shape({"all": tree, **connected}, alive, os.fspath(source))


def apply_parameters(shape: Shape, parameters: CellParameters, file: str | os.PathLike) -> dict[str, float]:
    """Insert mechanisms and set their parameters. Returns what is to be set in NEURON as a whole.

    Raises ValueError for a mechanism, a variable or a list of sections that is not there.
    """
    from neuron import h

    known = _density_mechanisms()
    for which, mechanism in parameters.channels:
        if mechanism not in known:
            raise ValueError(
                f"{file}: NEURON has no mechanism {mechanism}; put {mechanism}.mod (or the file whose SUFFIX it is) "
                f"into the folder `mechanisms`. There is {_some(sorted(known))}"
            )
        for section in shape.sections(which, f"{file}: mechanism {mechanism}"):
            section.insert(mechanism)
    globals_ = {}
    for setting in parameters.settings:
        if not (setting.name.isascii() and setting.name.isidentifier()):
            raise ValueError(f"{file}: {setting.name!r} is no name of a variable")
        if setting.sections:
            for section in shape.sections(setting.sections, f"{file}: {setting.name}"):
                _set(section, setting, shape, file)
        elif any(setting.name.endswith(f"_{m}") for m in known) and isinstance(getattr(h, setting.name, None), float):
            globals_[setting.name] = setting.value
        else:
            raise ValueError(f"{file}: {setting.name} is no global variable of a mechanism that NEURON has")
    return globals_


def _set(section: Any, setting: Setting, shape: Shape, file: str | os.PathLike) -> None:
    from neuron import h

    name = setting.name
    inserted = [mechanism.name() for mechanism in section(0.5)]
    ion = re.fullmatch(r"e(\w+)", name)
    if ion and f"{ion.group(1)}_ion" not in inserted and name in ("ena", "ek", "eca"):
        # A reversal potential of an ion that nothing there conducts has no effect.
        return
    ions = {part for m in inserted if m.endswith("_ion") for part in (f"e{m[:-4]}", f"{m[:-4]}i", f"{m[:-4]}o")}
    own = any(name.endswith(f"_{mechanism}") for mechanism in inserted) and hasattr(section(0.5), name)
    if name not in ("Ra", "cm") and name not in ions and not own:
        raise ValueError(
            f"{file}: there is no {name} in '{setting.sections}'; its mechanisms are {', '.join(inserted)}. Name the "
            f"mechanism that it belongs to (BluePyOpt: in mechanisms.json), or correct the name"
        )
    if setting.formula is None:
        setattr(section, name, setting.value)
        return
    for segment in section:
        setattr(segment, name, setting.formula(setting.value, h.distance(shape.soma(0.5), segment)))


def _density_mechanisms() -> set[str]:
    from neuron import h

    kinds, name, found = h.MechanismType(0), h.ref(""), set()
    for k in range(int(kinds.count())):
        kinds.select(k)
        kinds.selected(name)
        found.add(name[0])
    return found - {"morphology", "capacitance"}  # which every section has


@contextlib.contextmanager
def _hoc(problem: str) -> Iterator[None]:
    """Keep quiet what hoc prints, and raise its errors as ValueError with the last of it."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield
    except (RuntimeError, TypeError, LookupError) as error:
        raise ValueError(f"{problem}: {_last(said.getvalue()) or error}") from error


def _last(said: str) -> str:
    return "\n".join([line for line in said.splitlines() if line.strip()][-_LAST_LINES:])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
