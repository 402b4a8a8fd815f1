"""Entries of a file's header, checked before anything is built from them: the file may be a stranger's.

Each function takes the entry ``name`` of ``fields`` and raises ValueError, naming value and expectation, where it is
not what it must be. Bounds are far beyond what anybody trains and far below what fills a memory.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from simulators.interface import ParameterSpace
from simulators.text import printable

LARGEST_SEED = 2**63 - 1
_LONGEST = 300  # characters of a name
_LONGEST_MEANING = 5_000  # characters
_MOST_NAMES = 10_000
_MOST_PARAMETERS = 100


def integer(fields: Mapping[str, Any], name: str, least: int, most: int) -> int:
    """A whole number from ``least`` to ``most``."""
    value = fields[name]
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {_shown(value)}; expected a whole number from {least} to {most}")
    return value


def number(fields: Mapping[str, Any], name: str, least: float, most: float) -> float:
    """A number from ``least`` to ``most``, which are finite."""
    value = fields[name]
    if type(value) not in (int, float) or not least <= value <= most:
        raise ValueError(f"{name} is {_shown(value)}; expected a number from {least:g} to {most:g}")
    return float(value)


def flag(fields: Mapping[str, Any], name: str) -> bool:
    """True or false."""
    value = fields[name]
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {_shown(value)}; expected true or false")
    return value


def text(fields: Mapping[str, Any], name: str, longest: int = _LONGEST) -> str:
    """A text that a terminal shows as it is."""
    value = fields[name]
    if not isinstance(value, str) or len(value) > longest or printable(value) != value:
        raise ValueError(f"{name} is {_shown(value)}; expected up to {longest} characters that can be printed")
    return value


def texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of one or more texts."""
    value = fields[name]
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST_NAMES:
        raise ValueError(f"{name} is {_shown(value)}; expected a list of names, 1 to {_MOST_NAMES:,}")
    return tuple(text({name: entry}, name) for entry in value)


def parameter_space(fields: Mapping[str, Any], name: str) -> ParameterSpace:
    """A parameter space as ``ParameterSpace.to_json`` writes it."""
    value = fields[name]
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST_PARAMETERS:
        raise ValueError(f"{name} is {_shown(value)}; expected a list of 1 to {_MOST_PARAMETERS} parameters")
    for entry in value:
        for key in ("name", "unit"):
            text(entry, key)
        text(entry, "meaning", _LONGEST_MEANING)
        for key in ("low", "high"):
            number(entry, key, -1e30, 1e30)
    return ParameterSpace.from_json(value)


def shaped(tensors: Mapping[str, Tensor], name: str, shape: Sequence[int | None]) -> Tensor:
    """The tensor ``name`` in single precision, if it has this shape; None stands for any length but 0."""
    tensor = tensors[name]
    fits = tensor.ndim == len(shape) and all(
        n and n == (wanted or n) for n, wanted in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        expected = " x ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected {expected}")
    return tensor.float()


def no_larger_than_file(tensors: Mapping[str, Tensor], network: str, *products: Sequence[int]) -> None:
    """Raises ValueError if a network with so many weights in some of its layers has more than the file holds."""
    held = sum(tensor.numel() for tensor in tensors.values())
    least = max(math.prod(product) for product in products)
    if least > held:
        raise ValueError(f"its settings describe a {network} of {least:,} weights or more; the file holds {held:,}")


def _shown(value: Any) -> str:
    return printable(json.dumps(value))[:80]
