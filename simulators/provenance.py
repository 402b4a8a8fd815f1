"""What made a result: configurations as JSON, and the versions of the libraries behind it."""

import dataclasses
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from simulators.fingerprint import code_fingerprint, module_name

_OURS = ("simulators", "surrogates", "inference")
_VERSIONED = ("circuitsbi", "numpy", "numba", "nest-simulator", "neuron", "torch", "sbi")


def describe(thing: Any) -> Any:
    """A configuration object as plain JSON values, dataclasses with their class name, others' also with their code."""
    if not isinstance(thing, type) and callable(own := getattr(thing, "identity", None)):
        return describe(own())
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        fields = {f.name: describe(getattr(thing, f.name)) for f in dataclasses.fields(thing)}
        return {"class": type(thing).__qualname__, **_origin(type(thing)), **fields}
    if isinstance(thing, list | tuple):
        return [describe(x) for x in thing]
    if isinstance(thing, dict):
        return {str(k): describe(v) for k, v in thing.items()}
    if isinstance(thing, np.ndarray | np.generic):
        return thing.tolist()
    if isinstance(thing, os.PathLike):
        # Where a file lies makes no difference; who depends on its content describes that too.
        return Path(thing).name
    return thing


def _origin(kind: type) -> dict[str, str]:
    """Module and code of a class; nothing for one of ours, which the version of circuitsbi tells."""
    if kind.__module__.partition(".")[0] in _OURS:
        return {}
    return {"module": module_name(kind), "code": code_fingerprint(kind)}


def versions() -> dict[str, str]:
    """Versions of the libraries that results depend on."""
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
