"""Campaigns of format 1: read as they are, and brought to format 2 when they are gone on with.

Their values have checksums; theta, status and reasons have none. So theta is held against the seed it came from, and a
row that reads differently, or not at all, is a damaged one.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float, Integer

from simulators.campaigns.layouts import RowFiles, declare
from simulators.campaigns.rows import Status
from simulators.campaigns.sealed import array_metadata, float_bytes, read_chunk, text_bytes, write_chunk, write_metadata
from simulators.interface import ParameterSpace

_SAME = 1e-9  # of theta on another machine, relative to its range


class FirstRows(RowFiles):
    """Rows of a campaign of format 1."""

    sealed = False

    def __init__(self, path: Path, n: int, parameters: ParameterSpace, seed: int) -> None:
        super().__init__(path, n, len(parameters))
        self.parameters, self.seed = parameters, seed
        self._status: np.ndarray | None = None

    def status(self) -> Integer[np.ndarray, " n"]:
        status = self.simulated()
        known = np.isfinite(self.theta()).all(1)
        status[(status != Status.PENDING) & ~known] = Status.DAMAGED
        return status

    def simulated(self) -> Integer[np.ndarray, " n"]:
        """What became of the rows, whatever there is of theta."""
        self._status = status = np.zeros(self.n, np.int8)
        rows = self.there()
        for row, stored in zip(rows, self._each("status", rows), strict=True):
            status[row] = stored if stored in (Status.OK, Status.SILENT, Status.FAILED) else Status.DAMAGED
        for row in map(int, np.flatnonzero((status == Status.OK) | (status == Status.SILENT))):
            if read_chunk(self.chunk("values", row)) is None and not self.may_lack(row):
                status[row] = Status.DAMAGED
        return status

    def may_lack(self, row: int) -> bool:
        """Whether a row is whole without a file of values."""
        # All zero, it was not written; and only a silent row is.
        status = self._status if self._status is not None else self.simulated()
        return bool(status[row] == Status.SILENT) and not self.chunk("values", row).exists()

    def theta(self) -> Float[np.ndarray, "n n_parameters"]:
        drawn = self.parameters.sample(self.n, np.random.default_rng(np.random.SeedSequence(self.seed)))
        (stored,) = self._each("theta", [slice(0, self.n)])
        if stored is None or stored.shape != drawn.shape:
            return drawn
        tolerance = _SAME * (self.parameters.high - self.parameters.low)
        return np.where((np.abs(stored - drawn) <= tolerance).all(1)[:, None], stored, np.nan)

    def reason(self, row: int) -> str:
        (stored,) = self._each("reason", [row])
        return "" if stored is None else str(stored)

    def _each(self, name: str, parts: list) -> list[Any]:
        """Parts of an array; None for those that cannot be read."""
        array_metadata(self.path / name, self.n, self.sealed)
        array = zarr.open_array(self.path / name, mode="r")
        found: list[Any] = []
        for part in parts:
            try:
                found.append(array[part])
            except Exception:  # zarr raises as many types as it has codecs
                found.append(None)
        return found


def upgrade(first: FirstRows, about: dict[str, Any]) -> None:
    """Write theta, status and reasons anew, with checksums; rows that cannot be vouched for become pending.

    about: what the campaign says of itself from now on. Theta comes from the seed; values stay where they are. Killed
    on the way it is finished by the next command.
    """
    begun, made = first.path / "upgrading", first.path / "upgraded"
    if (first.path / "values").exists():
        write_metadata(first.path / "values", first.declared())
    if not made.exists():
        shutil.rmtree(begun, ignore_errors=True)
        declare(begun, about)
        _copy(first, RowFiles(begun, first.n, first.n_parameters))
        begun.rename(made)
    # What says that the format is another one comes last.
    for part in sorted(made.iterdir(), key=lambda part: part.name == "zarr.json"):
        shutil.rmtree(first.path / part.name, ignore_errors=True)
        part.replace(first.path / part.name)
    made.rmdir()


def _copy(first: FirstRows, new: RowFiles) -> None:
    theta = first.parameters.sample(first.n, np.random.default_rng(np.random.SeedSequence(first.seed)))
    status = first.simulated()
    for row in map(int, np.flatnonzero(np.isin(status, (Status.OK, Status.SILENT, Status.FAILED)))):
        reason = "" if status[row] == Status.OK else first.reason(row)
        if status[row] != Status.OK and not reason:
            continue
        if status[row] == Status.SILENT and not first.chunk("values", row).exists():
            continue
        write_chunk(new.chunk("theta", row), float_bytes(theta[row]))
        if reason:
            write_chunk(new.chunk("reason", row), text_bytes(reason))
        write_chunk(new.chunk("status", row), bytes([status[row]]))
