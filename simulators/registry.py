"""Simulators by what a terminal can say of them: ``file.py:name``, ``package.module:name``, or an announced name."""

import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from simulators.interface import ParameterSpace, Simulator
from simulators.provenance import describe

GROUP = "circuitsbi.simulators"
"""Entry points by which installed packages announce simulators, circuitsbi its own."""


_EXAMPLE = """\
from circuitsbi import simulator

@simulator(
    parameters={"w_ee": (5.0, 20.0), "tau_e": (5.0, 20.0, "ms")}, sampling_rate=1000.0, unit="mV", channels=("E",)
)
def my_circuit(w_ee, tau_e, rng):
    ...
    return values  # channels x samples"""


def announced() -> dict[str, Any]:
    """The entry points by which installed packages announce simulators, by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load_simulator(reference: str) -> Simulator:
    """The simulator that ``file.py:name``, ``package.module:name`` or an announced name stands for.

    A class is made without arguments. The file or module is run: take it from those you trust.

    Raises ValueError where there is none, what is there cannot be run, or it is no simulator.
    """
    place, colon, name = reference.rpartition(":")
    if not colon:
        points = announced()
        if reference not in points:
            raise ValueError(
                f"there is no simulator '{reference}'; choose one of {', '.join(sorted(points)) or 'none installed'}, "
                f"or name your own as my_model.py:my_circuit"
            )
        return _as_simulator(points[reference].load(), reference)
    module = _run_file(Path(place)) if place.endswith(".py") else _import(place)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            there = [n for n, v in vars(module).items() if isinstance(v, Simulator) and not isinstance(v, type)]
            raise ValueError(
                f"{place} has no '{name}'; " + (f"it has {', '.join(there)}" if there else _not_one("it has none"))
            )
        found = getattr(found, part)
    return _as_simulator(found, reference)


def _run_file(path: Path) -> ModuleType:
    """A file as a module, under its own name, so that what it defines can be found again from another process."""
    path = path.resolve()
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    if known is not None or _importable(path):
        raise ValueError(f"there is a module '{path.stem}' already; give {path.name} another name")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last, so that nothing beside the file hides a library
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} cannot be run as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[path.stem]
        if isinstance(error, Exception):
            raise ValueError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
        raise
    return module


def _importable(path: Path) -> bool:
    """Whether another module than this file has its name."""
    spec = importlib.util.find_spec(path.stem)
    return spec is not None and spec.origin != str(path)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ValueError(f"cannot import {name}: {type(error).__name__}: {error}") from error


def _as_simulator(found: Any, reference: str) -> Simulator:
    if isinstance(found, type):
        try:
            found = found()
        except TypeError as error:
            raise ValueError(f"{reference} cannot be made without arguments: {error}") from error
    if isinstance(found, Simulator) and isinstance(found.parameters, ParameterSpace):
        if not is_dataclass(found):
            raise ValueError(
                f"{reference} is of class {type(found).__name__}, which is no dataclass: a campaign could not say what "
                f"made it; put @dataclass(frozen=True) above the class"
            )
        return found
    what = "a plain function" if inspect.isfunction(found) else f"a {type(found).__name__}"
    raise ValueError(_not_one(f"{reference} is {what}, not a simulator"))


def _not_one(what: str) -> str:
    return f"{what}. A simulator is a decorated function:\n\n{_EXAMPLE}\n\nor a dataclass with parameters and simulate"


def rebuilt(description: Mapping[str, Any]) -> Simulator | None:
    """The announced simulator that a campaign's description is of; None where no announced one has its class.

    No code that a description names is run: it only chooses among the installed simulators and sets their fields.
    Raises ValueError for fields that they do not have.
    """
    for point in announced().values():
        module, _, name = point.value.partition(":")
        if name == description.get("class") and description.get("module", module) == module:
            try:
                made = _restored(point.load(), description)
            except (TypeError, ValueError, KeyError, AttributeError) as error:
                raise ValueError(f"this {name} cannot be made again ({error}); give --simulator") from error
            return made if isinstance(made, Simulator) else None
    return None


def as_described(simulator: Simulator, description: Mapping[str, Any]) -> Simulator:
    """The simulator with the fields that a campaign's description says, such as another duration.

    Raises ValueError where the description is of another class or function, or of other code of that name.
    """
    own = json.loads(json.dumps(describe(simulator)))
    name = own.get("class")
    if name != description.get("class"):
        if "code" in own or "code" in description:
            raise ValueError(f"it was made by {description.get('class')}, not by {name}; name that as the simulator")
        return simulator  # ours that differ in how they compute, such as with NEST or compiled
    if own.get("code") != description.get("code"):
        raise ValueError(
            f"the code of {name} is not what made it; take the code of then, or simulate a campaign with that of now"
        )
    if own == description:
        return simulator
    try:
        made = _restored(type(simulator), {**description, "class": type(simulator).__name__})
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        different = [k for k in own if own[k] != description.get(k)]
        raise ValueError(f"the {name} that made it had another {', '.join(different)} ({error})") from error
    return made


def _restored(kind: Any, value: Any) -> Any:
    """A value of JSON as what a field's type says, dataclasses from their fields."""
    if get_origin(kind) in (Union, UnionType):
        kinds = [k for k in get_args(kind) if isinstance(value, Mapping) == is_dataclass(k)]
        kind = next((k for k in kinds if isinstance(value, Mapping) and k.__name__ == value.get("class")), None) or (
            kinds[0] if kinds else Any
        )
    if is_dataclass(kind) and isinstance(value, Mapping):
        hints = get_type_hints(kind)
        given = {f.name: value[f.name] for f in fields(kind) if f.init and f.name in value}
        return kind(**{name: _restored(hints[name], v) for name, v in given.items()})  # type: ignore[operator]
    if get_origin(kind) is tuple and isinstance(value, list):
        inner = get_args(kind)
        each = [inner[0]] * len(value) if len(inner) == 2 and inner[1] is Ellipsis else list(inner)
        return tuple(_restored(k, v) for k, v in zip(each, value, strict=True))
    return value


def configured(simulator: Simulator, changes: Mapping[str, Any]) -> Simulator:
    """A simulator with other values in its fields, by dotted names such as ``network.order``.

    Raises ValueError for a simulator without fields, a field that is not there, and a value that it refuses.
    """
    for name, value in changes.items():
        simulator = _changed(simulator, name.split("."), value, name)
    return simulator


def _changed(thing: Any, path: list[str], value: Any, name: str) -> Any:
    there = [f.name for f in fields(thing) if f.init] if is_dataclass(thing) else []
    if path[0] not in there:
        raise ValueError(f"there is no '{name}' to set; {type(thing).__name__} has {', '.join(there) or 'no fields'}")
    inner = getattr(thing, path[0])
    if len(path) > 1:
        return replace(thing, **{path[0]: _changed(inner, path[1:], value, name)})
    if is_dataclass(inner) and not is_dataclass(value):
        its = ", ".join(f"{name}.{f.name}" for f in fields(inner) if f.init)
        raise ValueError(f"{name} is a {type(inner).__name__}, which is set by its parts: {its}")
    kind = (int, float) if isinstance(inner, float) else type(inner)
    if isinstance(inner, int | float | str) and not isinstance(value, kind):
        raise ValueError(f"{name} is {inner!r}; '{value}' is no {type(inner).__name__}")
    if isinstance(inner, tuple) and isinstance(value, list):
        value = tuple(value)
    return replace(thing, **{path[0]: value})
