"""Units of the field as text, such as "mV", "µV" or "nA um", and the factor that converts one into another."""

import re
from typing import NamedTuple

_PREFIXES = {"G": 9, "M": 6, "k": 3, "": 0, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15}

# Powers of volt, ampere, metre and second: what a product measures is the sum, however it is written.
_DIMENSIONS = {
    "V": (1, 0, 0, 0),
    "A": (0, 1, 0, 0),
    "m": (0, 0, 1, 0),
    "s": (0, 0, 0, 1),
    "S": (-1, 1, 0, 0),
    "F": (-1, 1, 0, 1),
    "Hz": (0, 0, 0, -1),
}

_ONE = re.compile(f"({'|'.join(_PREFIXES)})({'|'.join(_DIMENSIONS)})")
_DIPOLE = re.compile(r"A(?=[kcmunpf]?m$)")  # "nAm" is written without a space
_MICRO = str.maketrans("µμ", "uu")  # the micro sign and the Greek letter look alike


class _Unit(NamedTuple):
    exponent: int
    dimensions: tuple[int, ...]


def factor(unit: str, to: str) -> float:
    """What numbers in ``unit`` are multiplied by to be in the unit ``to``.

    Known are "1" and V, A, m, s, S, F, Hz with an SI prefix, and products of them: "nA um", "nA*um", "nAm".
    Raises ValueError for another unit, and for two that measure different things.
    """
    if unit == to:
        return 1.0
    given, wanted = (_parsed(text, f"cannot convert '{unit}' to '{to}'") for text in (unit, to))
    if given.dimensions != wanted.dimensions:
        raise ValueError(
            f"cannot convert '{unit}' to '{to}': they measure different things; give the unit that the values are in, "
            f"or use what was made for values in '{unit}'"
        )
    return 10.0 ** (given.exponent - wanted.exponent)


def _parsed(text: str, context: str) -> _Unit:
    exponent, dimensions = 0, [0, 0, 0, 0]
    for part in re.split(r"[ *·]+", _DIPOLE.sub("A ", text.translate(_MICRO).strip())):
        found = _ONE.fullmatch(part)
        if part != "1" and not found:
            raise ValueError(
                f"{context}: '{text}' is no unit known here; write {', '.join(_DIMENSIONS)} with a prefix of "
                f"{', '.join(filter(None, _PREFIXES))} (u for micro), a product such as 'nA um', or '1' for a number"
            )
        if found:
            exponent += _PREFIXES[found[1]]
            dimensions = [a + b for a, b in zip(dimensions, _DIMENSIONS[found[2]], strict=True)]
    return _Unit(exponent, tuple(dimensions))
