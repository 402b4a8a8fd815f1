"""What stays in NEURON's memory between runs: one thing at most, for every run advances all that is there."""

from collections.abc import Callable
from typing import Any

_kept: dict[Any, Any] = {}


def resident(key: Any, build: Callable[[], Any]) -> Any:
    """What ``build`` makes in NEURON, kept until something else is to run in this process."""
    if key not in _kept:
        forget()
        _kept[key] = build()
    return _kept[key]


def forget() -> None:
    """Let NEURON drop what was kept; for whoever is about to build, or to delete, something else."""
    _kept.clear()
