"""One file for a trained network: safetensors, with all that is no weight as JSON in its header. No code, no pickle."""

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from simulators.text import printable

_KEY = "circuitsbi"


def write_weights(path: str | os.PathLike, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write the file in one step: no reader sees half of it."""
    contiguous = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
    partial = Path(path).with_name(Path(path).name + ".partial")
    partial.write_bytes(save(contiguous, {_KEY: json.dumps(header)}))
    partial.replace(path)


def read_weights(
    path: str | os.PathLike, thing: str, version: int, remedy: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a file that holds a ``thing`` (such as "estimator") in format ``version``.

    Raises ValueError, ending in ``remedy``, where there is no such file, or it holds something else, only a part, or
    numbers that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}; {remedy}")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, RecursionError, OSError) as error:
        raise ValueError(f"{path} is damaged or no {thing} ({error}); copy it again, or {remedy}") from error
    if not isinstance(header, dict) or header.get("thing", "estimator") != thing:
        raise ValueError(f"{path} holds weights, but not those of a circuitsbi {thing}; {remedy}")
    if header.get("format") != version:
        made_by: Any = header
        for key in ("about", "versions", "circuitsbi"):
            made_by = made_by.get(key) if isinstance(made_by, dict) else None
        raise ValueError(
            f"{path} has {thing} format {header.get('format')}, this version reads {version} (it was made by "
            f"{made_by or 'another version'}); {remedy}"
        )
    wrong = [name for name, x in tensors.items() if x.is_floating_point() and not x.float().isfinite().all()]
    if wrong:
        names = printable(f"{', '.join(wrong[:5])}{' ...' if wrong[5:] else ''}")
        raise ValueError(f"{path} holds weights that are not finite ({names}); {remedy}")
    return header, tensors
