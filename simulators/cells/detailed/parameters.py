"""Parameters of a cell by section, from the JSON files that the Allen Institute and BluePyOpt's users publish."""

import ast
import json
import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

Axon = Literal["kept", "thin stub", "own stub"]
"""What becomes of an axon: kept as it is, or replaced by two sections of 30 um, of 1 um or of its own diameters."""


def _power(base: float, exponent: float) -> float:
    """Raises ArithmeticError where Python would go on with a complex number."""
    result = base**exponent
    if isinstance(result, complex):
        raise ArithmeticError("a root of a negative number")
    return result


_OPERATIONS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: _power,
}
_LONGEST_FORMULA = 500
_Evaluate = Callable[[Mapping[str, float]], float]


@dataclass(frozen=True)
class Formula:
    """Arithmetic of ``{value}`` and ``{distance}`` (um from the soma), and nothing else: + - * / ** () and math.exp.

    Formulas come in files from strangers, so they are never run as Python. Raises ValueError for anything else.
    """

    text: str

    def __post_init__(self) -> None:
        _compiled(self.text)

    def __call__(self, value: float, distance_um: float) -> float:
        """Raises ValueError where the result is no finite number."""
        try:
            result = _compiled(self.text)({"value": value, "distance": distance_um})
        except (ArithmeticError, RecursionError) as error:
            raise self._undefined(value, distance_um) from error
        if not math.isfinite(result):
            raise self._undefined(value, distance_um)
        return result

    def _undefined(self, value: float, distance_um: float) -> ValueError:
        return ValueError(f"formula '{self.text}' has no value {distance_um:g} um from the soma for a value of {value}")


class Setting(NamedTuple):
    """One value of a variable in a list of sections; sections is "" for a variable that is one for the whole cell."""

    name: str
    value: float
    sections: str = ""
    formula: Formula | None = None


class CellParameters(NamedTuple):
    """What a file says of a cell. channels: (list of sections, mechanism); settings are to be made in their order."""

    channels: tuple[tuple[str, str], ...]
    settings: tuple[Setting, ...]
    celsius: float
    rest_mV: float
    axon: Axon


def read_parameters(
    file: str | os.PathLike, channels: str | os.PathLike | None = None, values: str | os.PathLike | None = None
) -> CellParameters:
    """Parameters from a fit_parameters.json of the Allen Cell Types database or a parameters.json of BluePyOpt.

    channels: BluePyOpt's mechanisms.json; values: JSON of the values that a fit has found for parameters that have
    only bounds, by "name.sections". Raises ValueError naming what is wrong in which file.
    """
    content = _read(file)
    if isinstance(content, dict) and "genome" in content:
        if channels is not None or values is not None:
            raise ValueError(f"{file}: the Allen Institute's files name their own mechanisms and values; give it alone")
        return _allen(content, file)
    if isinstance(content, list):
        return _bluepyopt(content, file, channels, values)
    raise ValueError(
        f"{file} is neither a fit_parameters.json of the Allen Institute (passive, conditions, genome) nor a "
        f"parameters.json of BluePyOpt (a list of parameters)"
    )


def _allen(content: dict[str, Any], file: str | os.PathLike) -> CellParameters:
    passive = _entry(_only(content, "passive", file), f"{file}: passive")
    conditions = _entry(_only(content, "conditions", file), f"{file}: conditions")
    settings, channels = [], [("all", "pas")]
    for name, key in (("Ra", "ra"), ("e_pas", "e_pas")):
        if key in passive:
            settings.append(Setting(name, _number(passive, key, f"{file}: passive"), "all"))
    for entry in _entries(passive.get("cm", []), f"{file}: passive cm"):
        where = f"{file}: passive cm"
        settings.append(Setting("cm", _number(entry, "cm", where), _text(entry, "section", where)))
    for entry in _entries(content["genome"], f"{file}: genome"):
        name = _text(entry, "name", f"{file}: genome")
        where = f"{file}: genome {name}"
        sections, value = _text(entry, "section", where), _number(entry, "value", where)
        if sections == "glob":
            settings.append(Setting(name, value))
            continue
        if entry.get("mechanism"):
            channels.append((sections, _text(entry, "mechanism", where)))
        settings.append(Setting(name, value, sections))
    for entry in _entries(conditions.get("erev", []), f"{file}: conditions erev"):
        where = f"{file}: conditions erev"
        sections = _text(entry, "section", where)
        settings += [Setting(name, _number(entry, name, where), sections) for name in entry if name != "section"]
    where = f"{file}: conditions"
    return CellParameters(
        tuple(dict.fromkeys(channels)),
        tuple(settings),
        _number(conditions, "celsius", where),
        _number(conditions, "v_init", where),
        # The perisomatic models alone have one reversal potential of the leak; the others set it by section.
        "thin stub" if "e_pas" in passive else "own stub",
    )


def _bluepyopt(
    content: list[Any],
    file: str | os.PathLike,
    channels_file: str | os.PathLike | None,
    values_file: str | os.PathLike | None,
) -> CellParameters:
    channels = _channels(channels_file) if channels_file is not None else []
    found = _entry(_read(values_file), str(values_file)) if values_file is not None else {}
    settings, globals_ = [], {}
    names = []
    for entry in _entries(content, str(file)):
        setting = _setting(entry, file, found, values_file)
        names.append(_key(setting.name, setting.sections))
        if setting.sections:
            settings.append(setting)
            if entry.get("mech"):
                channels.append((setting.sections, _text(entry, "mech", f"{file}: {setting.name}")))
        else:
            globals_[setting.name] = setting.value
    if unknown := set(found) - set(names):
        raise ValueError(f"{values_file}: there is no parameter {min(unknown)} in {file}; there is {', '.join(names)}")
    for name in ("celsius", "v_init"):
        if name not in globals_:
            raise ValueError(f"{file}: no {name}; add {{'param_name': '{name}', 'type': 'global', 'value': ...}}")
    celsius, rest = globals_.pop("celsius"), globals_.pop("v_init")
    settings += [Setting(name, value) for name, value in globals_.items()]
    return CellParameters(tuple(dict.fromkeys(channels)), tuple(settings), celsius, rest, "own stub")


def _channels(file: str | os.PathLike) -> list[tuple[str, str]]:
    channels = []
    for sections, names in _entry(_read(file), str(file)).items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{file}: {sections} must be a list of names of mechanisms")
        channels += [(sections, name) for name in names]
    return channels


def _setting(
    entry: dict[str, Any], file: str | os.PathLike, found: dict[str, Any], values_file: str | os.PathLike | None
) -> Setting:
    """One parameter of BluePyOpt's."""
    if "param_name" in entry:
        name = _text(entry, "param_name", str(file))
    else:
        name = f"{_text(entry, 'mech_param', str(file))}_{_text(entry, 'mech', str(file))}"
    kind = entry.get("type", "section")
    if kind not in ("global", "section", "range"):
        raise ValueError(f"{file}: {name} is of type {kind!r}; this must be global, section or range")
    sections = "" if kind == "global" else _text(entry, "sectionlist", f"{file}: {name}")
    key = _key(name, sections)
    if key in found:
        value = _number(found, key, str(values_file))
    elif "value" in entry:
        value = _number(entry, "value", f"{file}: {key}")
    else:
        raise ValueError(f"{file}: {key} has bounds but no value; add one, or give a file of fitted values that has it")
    shape = entry.get("dist_type", "uniform")
    if shape == "uniform" or kind == "global":
        return Setting(name, value, sections)
    if shape != "exp" or kind != "range":
        raise ValueError(
            f"{file}: {key} is of type {kind} with the distribution {shape!r}; known are uniform, and for a range exp"
        )
    try:
        return Setting(name, value, sections, Formula(_text(entry, "dist", f"{file}: {key}")))
    except ValueError as error:
        raise ValueError(f"{file}: {key}: {error}") from error


def _key(name: str, sections: str) -> str:
    return f"{name}.{sections}" if sections else name


def _read(file: str | os.PathLike) -> Any:
    try:
        return json.loads(Path(file).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}; give the path of a JSON file") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON: {error}") from error


def _only(content: dict[str, Any], key: str, file: str | os.PathLike) -> Any:
    items = content.get(key)
    if not isinstance(items, list) or len(items) != 1:
        raise ValueError(f"{file}: {key} must be a list with one entry, as in the Allen Institute's files")
    return items[0]


def _entry(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise ValueError(f"{where}: {str(item)[:60]!r} must be an object with names and values")
    return item


def _entries(items: Any, where: str) -> Iterable[dict[str, Any]]:
    if not isinstance(items, list):
        raise ValueError(f"{where}: {str(items)[:60]!r} must be a list")
    return [_entry(item, where) for item in items]


def _text(entry: dict[str, Any], key: str, where: str) -> str:
    text = entry.get(key)
    if not isinstance(text, str) or not text:
        raise ValueError(f"{where}: {key} is {text!r}; it must be a name")
    return text


def _number(entry: dict[str, Any], key: str, where: str) -> float:
    """A number, also where a file gives it as text, as some of the Allen Institute's do."""
    try:
        number = math.nan if isinstance(entry.get(key), bool) else float(entry[key])
    except (KeyError, TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: {key} is {str(entry.get(key))[:60]}; it must be a finite number")
    return number


@lru_cache(maxsize=256)
def _compiled(text: str) -> _Evaluate:
    formula = text.replace("{distance}", "distance").replace("{value}", "value")
    try:
        if len(text) > _LONGEST_FORMULA:
            raise ValueError(f"longer than {_LONGEST_FORMULA} characters")
        return _evaluate(ast.parse(formula.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"formula '{text[:100]}' is not arithmetic of numbers, {{value}}, {{distance}} and math.exp: {error}"
        ) from error


def _evaluate(node: ast.expr) -> _Evaluate:
    """What computes a node, for the few kinds of nodes that a formula may have."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            # Powers of whole numbers could fill the memory; those of floats overflow at once.
            constant = float(number)
            return lambda names: constant
        case ast.Name(id="value" | "distance" as name):
            return lambda names: names[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _evaluate(operand)
            return lambda names: -inner(names)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _evaluate(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            operation, first, second = _OPERATIONS[type(op)], _evaluate(left), _evaluate(right)
            return lambda names: operation(first(names), second(names))
        case ast.Call(func=ast.Attribute(value=ast.Name(id="math"), attr="exp"), args=[argument], keywords=[]):
            exponent = _evaluate(argument)
            return lambda names: math.exp(exponent(names))
    raise ValueError(f"it has {ast.unparse(node)[:60]!r}")
