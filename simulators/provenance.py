"""What made a result: configurations as JSON, how two of them differ, and the versions of the libraries behind it."""

import dataclasses
import json
import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from simulators.fingerprint import code_fingerprint, module_name

_OURS = ("simulators", "surrogates", "inference")
_VERSIONED = ("circuitsbi", "numpy", "numba", "nest-simulator", "neuron", "hnn-core", "torch", "sbi")
_LONGEST = 120  # characters of a value that differs


def describe(thing: Any) -> Any:
    """A configuration object as plain JSON values, with class, module and, of classes that are not ours, code.

    Of a dataclass these are its fields; an object with a method ``identity() -> dict`` says itself what it is.
    """
    if not isinstance(thing, type):
        if callable(own := getattr(thing, "identity", None)):
            return {"class": type(thing).__qualname__, "module": module_name(type(thing))} | describe(own())
        if dataclasses.is_dataclass(thing):
            own_fields = {f.name: describe(getattr(thing, f.name)) for f in dataclasses.fields(thing)}
            return {"class": type(thing).__qualname__, **_origin(type(thing)), **own_fields}
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
    """Module and code of a class; no code of one of ours, which the version of circuitsbi tells."""
    module = {"module": module_name(kind)}
    return module if kind.__module__.partition(".")[0] in _OURS else module | {"code": code_fingerprint(kind)}


def differences(there: Any, asked: Any, name: str) -> Iterator[str]:
    """A line for each value that differs between two descriptions, by its place in them.

    A stored description from before modules were named is not another one for that.
    """
    if isinstance(there, dict) and isinstance(asked, dict) and there.get("class") == asked.get("class"):
        for key in dict.fromkeys((*there, *asked)):
            if key != "module" or key in there:
                yield from differences(there.get(key), asked.get(key), f"{name}.{key}")
    elif isinstance(there, list) and isinstance(asked, list) and len(there) == len(asked):
        for k, (one, other) in enumerate(zip(there, asked, strict=True)):
            yield from differences(one, other, f"{name}[{k}]")
    elif there != asked:
        yield f"{name}: there {_brief(there)}, asked {_brief(asked)}"


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 4] + " ..."


def versions() -> dict[str, str]:
    """Versions of the libraries that results depend on."""
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
