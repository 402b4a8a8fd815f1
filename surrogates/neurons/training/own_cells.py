"""A user's own cell from one JSON file: where its parts are, its synapses, and how hard to drive it.

    {"morphology": "cell.swc", "parameters": "fit_parameters.json", "mechanisms": "modfiles",
     "synapses": [{"name": "basal", "section_list": "basal", "count": 50, "rise_ms": 0.2, "decay_ms": 1.7,
                   "reversal_mV": 0, "weight_uS": 0.001}, ...],
     "record": ["apic[0]"], "rates_Hz": [20, 20]}

Instead of morphology and parameters there may be "template": {"file": "cell.hoc", "name": "Cell", "arguments": [...]}.
Paths are relative to the file, those among a template's arguments to the hoc file. They stay inside the file's folder,
links followed, unless the file is trusted: a stranger's file is not to say what else is read. rates_Hz: the highest
rates of each excitatory and each inhibitory synapse.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulators.cells.detailed.cell import MOST_SYNAPSES, Body, DetailedCell, HocTemplate, Reconstruction, SynapseGroup
from simulators.cells.inputs import PoissonRates, rates_up_to
from surrogates.neurons.training.curricula import Curriculum, Regime
from surrogates.neurons.training.loop import Schedule

_RATES_HZ = (20.0, 20.0)
_FASTEST_HZ = 1000.0
_OPTIONAL = ("arguments", "celsius", "rest_mV")  # in a template
_FILES = ("morphology", "parameters", "channels", "values")
_BODY = (*_FILES, "template")
_REST = ("synapses", "mechanisms", "record", "currents", "seed", "threshold_mV", "rates_Hz", "rounds", "passes")


def read_own_cell(path: str | Path, trust: bool = False) -> Curriculum:
    """The curriculum of the cell that a JSON file describes.

    trust: the .mod and hoc files it names are programs; without it they are refused, and so are files outside its
    folder. Raises ValueError where the file is not what the module says, naming what is wrong, and as ``DetailedCell``
    does.
    """
    path = Path(path)
    about = _read(path)
    programs = [name for name in ("mechanisms", "template") if name in about]
    if programs and not trust:
        raise ValueError(
            f"{path} names {' and '.join(programs)}: programs that will run with all your rights. If you trust whoever "
            f"wrote them, say so with --trust"
        )
    if not trust:
        _refuse_outside(path, {name: about[name] for name in _FILES if name in about})
    cell = DetailedCell(
        _body(about, path.parent),
        tuple(_group(path, k, group) for k, group in enumerate(about["synapses"])),
        mechanisms=path.parent / about["mechanisms"] if "mechanisms" in about else None,
        record=tuple(about.get("record", ())),
        currents=tuple(about.get("currents", ())),
        seed=about.get("seed", 0),
        threshold_mV=about.get("threshold_mV", -20.0),
    )
    excitatory_Hz, inhibitory_Hz = map(float, about.get("rates_Hz", _RATES_HZ))
    highest = excitatory_Hz, inhibitory_Hz
    regimes = tuple(
        Regime(name, PoissonRates(parameters=rates_up_to(*(share * rate for rate in highest))), runs)
        for name, share, runs in (("low", 0.2, 200), ("high", 1.0, 800))
    )
    schedule = Schedule(about.get("passes", 1500), batch=64, stretch_bins=100, shares=(0.1, 0.9))
    network = {"hidden": 64, "membranes": 16, "frame": 2}
    rounds = about.get("rounds", 1)
    return Curriculum(cell, regimes, schedule, highest, 1000.0, 0.5, rounds=rounds, batch_size=10, network=network)


def _read(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({error}); see docs/your_cell.md") from error
    if not isinstance(about, dict) or not isinstance(about.get("synapses"), list) or not about["synapses"]:
        raise ValueError(f"{path} has no list of synapses; a cell without them has no input to learn from")
    unknown = set(about) - {*_BODY, *_REST}
    if unknown:
        raise ValueError(f"{path} says {', '.join(sorted(unknown))}, which is none of {', '.join((*_BODY, *_REST))}")
    for name, value in about.items():
        expected, right = _EXPECTED[name]
        if not right(value):
            raise ValueError(f"{path}: {name} is {json.dumps(value)[:80]}; expected {expected}")
    return about


def _refuse_outside(path: Path, named: dict[str, str]) -> None:
    """Raises ValueError for a file that does not lie in the folder of ``path``, or below it."""
    folder = path.parent.resolve()
    for name, file in named.items():
        if not (folder / file).resolve().is_relative_to(folder):
            raise ValueError(
                f"{path}: {name} is {json.dumps(file)[:80]}, which lies outside its folder; put the file beside it, or "
                f"if you trust whoever wrote it, say so with --trust"
            )


def _integer(least: int, most: int) -> tuple[str, Callable[[Any], bool]]:
    return f"a whole number from {least} to {most}", lambda x: type(x) is int and least <= x <= most


def _is_number(x: Any) -> bool:
    return type(x) in (int, float) and math.isfinite(x)


def _is_list_of(x: Any, kind: type) -> bool:
    return isinstance(x, list) and all(isinstance(entry, kind) for entry in x)


def _is_template(x: Any) -> bool:
    return (
        isinstance(x, dict)
        and {"file", "name"} <= set(x) <= {"file", "name", *_OPTIONAL}
        and isinstance(x["file"], str)
        and isinstance(x["name"], str)
        and isinstance(x.get("arguments", []), list)
        and all(isinstance(a, str) or _is_number(a) for a in x.get("arguments", []))
        and all(_is_number(x.get(name, 0)) for name in _OPTIONAL[1:])
    )


_FILE = ("the name of a file", lambda x: isinstance(x, str))
_NAMES = ("a list of names", lambda x: _is_list_of(x, str))
_EXPECTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(_FILES, _FILE),
    "mechanisms": ("the name of a folder", lambda x: isinstance(x, str)),
    "template": (
        '{"file": ..., "name": ...} and, if needed, "arguments" (a list), "celsius", "rest_mV" (numbers)',
        lambda x: _is_template(x),
    ),
    "synapses": ("a list of groups of synapses", lambda x: _is_list_of(x, dict)),
    "record": _NAMES,
    "currents": _NAMES,
    "seed": _integer(0, 2**32 - 1),
    "threshold_mV": ("a finite number", _is_number),
    "rates_Hz": (
        f"two numbers above 0 and up to {_FASTEST_HZ:g}, also where the cell has synapses of one kind only",
        lambda x: isinstance(x, list) and len(x) == 2 and all(_is_number(r) and 0 < r <= _FASTEST_HZ for r in x),
    ),
    "rounds": _integer(1, 99),
    "passes": _integer(1, 10**7),
}


_TEXT = ("a name", lambda x: isinstance(x, str))
_NUMBER = ("a finite number", _is_number)
_GROUP: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": _TEXT,
    "section_list": _TEXT,
    "count": _integer(1, MOST_SYNAPSES),
    **dict.fromkeys(("rise_ms", "decay_ms", "reversal_mV", "weight_uS"), _NUMBER),
    "inhibitory": ("true or false", lambda x: isinstance(x, bool)),
    "magnesium_mM": _NUMBER,
}
_GROUP_OPTIONAL = ("inhibitory", "magnesium_mM")


def _body(about: dict[str, Any], folder: Path) -> Body:
    if "template" in about:
        template = about["template"]
        if others := [name for name in _BODY[:-1] if name in about]:
            raise ValueError(f"the cell has a template, which makes all of it, and {', '.join(others)}; leave out one")
        arguments = tuple(template.get("arguments", ()))
        extra = {k: template[k] for k in _OPTIONAL[1:] if k in template}
        return HocTemplate(folder / template["file"], template["name"], arguments, **extra)
    missing = [name for name in ("morphology", "parameters") if name not in about]
    if missing:
        raise ValueError(f"the cell has no {' and no '.join(missing)}; name a file for each, or a template")
    optional = {name: folder / about[name] for name in ("channels", "values") if name in about}
    return Reconstruction(folder / about["morphology"], folder / about["parameters"], **optional)


def _group(path: Path, number: int, entry: dict[str, Any]) -> SynapseGroup:
    where = f"{path}: entry {number} of synapses, counted from 0"
    if unknown := set(entry) - set(_GROUP):
        raise ValueError(f"{where}, says {', '.join(sorted(unknown))}, which is none of {', '.join(_GROUP)}")
    for name, (expected, right) in _GROUP.items():
        if name in entry and not right(entry[name]):
            raise ValueError(f"{where}: {name} is {json.dumps(entry[name])[:80]}; expected {expected}")
        if name not in entry and name not in _GROUP_OPTIONAL:
            raise ValueError(f"{where}, has no {name}; expected {expected}")
    try:
        return SynapseGroup(**entry)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
