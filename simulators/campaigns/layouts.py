"""How the rows of a campaign lie on the disk: a chunk for each, or all packed together.

Both say the same of themselves: ``status`` (DAMAGED where a part of a row is), ``theta`` (NaN where unknown),
``reason``, ``values``, and what the recordings are.
"""

import math
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import zarr
from jaxtyping import Float, Integer, Real
from zarr.codecs import Crc32cCodec

from simulators.campaigns.packed_counts import Packed, unpack
from simulators.campaigns.rows import CampaignError, Status
from simulators.campaigns.sealed import array_metadata, metadata_of, read_chunk, text_of, write_metadata

FORMAT = 2
AGAIN = "run the same 'circuitsbi simulate' command again: it simulates damaged rows anew"


def declare(path: Path, about: dict[str, Any]) -> None:
    """Write metadata of a campaign, new or longer than before; those of the whole last, as they say what there is."""
    n, p = about["n"], len(about["parameters"])
    one: dict[str, Any] = {"shape": (n,), "chunks": (1,), "dimension_names": ("simulation",)}
    two: dict[str, Any] = {"shape": (n, p), "chunks": (1, p), "dimension_names": ("simulation", "parameter")}
    arrays = {
        "theta": two | {"dtype": "float64", "fill_value": np.nan},
        "status": one | {"dtype": "int8"},
        "reason": one | {"dtype": "string"},
    }
    for name, options in arrays.items():
        write_metadata(path / name, metadata_of(**options, compressors=[Crc32cCodec()]))
    if (path / "values" / "zarr.json").exists():
        metadata = array_metadata(path / "values", 1, sealed=True)
        write_metadata(path / "values", metadata | {"shape": [n, *metadata["shape"][1:]]})
    write_metadata(path, metadata_of({"campaign": about}))


@runtime_checkable
class Layout(Protocol):
    """Rows as they are stored."""

    def status(self) -> Integer[np.ndarray, " n"]:
        """``Status`` of each row, after a look at its checksums."""

    def theta(self) -> Float[np.ndarray, "n n_parameters"]:
        """Theta of each row; NaN where it is pending or damaged."""

    def reason(self, row: int) -> str:
        """Why a row failed or is silent."""

    def values(self, rows: Integer[np.ndarray, " rows"]) -> Real[np.ndarray, "rows channels samples"]:
        """Values of some rows. Raises CampaignError for damaged or missing ones, naming them."""

    def recorded(self) -> dict[str, Any]:
        """Sampling rate, unit, channels and transient of the recordings."""
        ...


class RowFiles:
    """Format 2: arrays ``theta``, ``values``, ``status`` and ``reason`` with one chunk a row, each with a checksum."""

    sealed = True

    def __init__(self, path: Path, n: int, n_parameters: int) -> None:
        self.path, self.n, self.n_parameters = path, n, n_parameters

    def there(self, name: str = "status") -> list[int]:
        """Rows with a chunk in an array."""
        folder = self.path / name / "c"
        names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        return sorted(row for row in (int(name) for name in names if name.isdigit()) if row < self.n)

    def chunk(self, name: str, row: int) -> Path:
        """The file with a row's part of an array."""
        return self.path / name / "c" / str(row) / {"theta": "0", "values": "0/0"}.get(name, "")

    def status(self) -> Integer[np.ndarray, " n"]:
        status = np.zeros(self.n, np.int8)
        for row in self.there():
            status[row] = self._status_of(row)
        return status

    def _status_of(self, row: int) -> Status:
        stored = read_chunk(self.chunk("status", row))
        if stored not in (b"\1", b"\2", b"\3"):
            return Status.DAMAGED
        status = Status(stored[0])
        parts = {Status.OK: ("values",), Status.SILENT: ("values", "reason"), Status.FAILED: ("reason",)}[status]
        whole = all(read_chunk(self.chunk(name, row)) is not None for name in parts)
        return status if whole and self._theta_of(row) is not None else Status.DAMAGED

    def _theta_of(self, row: int) -> np.ndarray | None:
        stored = read_chunk(self.chunk("theta", row))
        return np.frombuffer(stored, "<f8") if stored is not None and len(stored) == 8 * self.n_parameters else None

    def theta(self) -> Float[np.ndarray, "n n_parameters"]:
        theta = np.full((self.n, self.n_parameters), np.nan)
        for row in self.there("theta"):
            if (known := self._theta_of(row)) is not None:
                theta[row] = known
        return theta

    def reason(self, row: int) -> str:
        return text_of(read_chunk(self.chunk("reason", row)) or b"")

    def recorded(self) -> dict[str, Any]:
        return self.declared()["attributes"]

    def declared(self) -> dict[str, Any]:
        """Metadata of the recordings. Raises CampaignError where there are none, or damaged ones."""
        if not (self.path / "values" / "zarr.json").exists() and not self.there("values"):
            raise CampaignError(f"{self.path} has no values: no simulation has succeeded yet")
        metadata = array_metadata(self.path / "values", self.n, self.sealed)
        if metadata["chunk_grid"]["configuration"]["chunk_shape"] != [1, *metadata["shape"][1:]]:
            raise CampaignError(f"{self.path / 'values' / 'zarr.json'} is damaged: it has not one chunk a simulation")
        return metadata

    def values(self, rows: Integer[np.ndarray, " rows"]) -> Real[np.ndarray, "rows channels samples"]:
        """Values of some rows. Raises CampaignError naming those that are damaged or gone."""
        shape = self.declared()["shape"]
        gone = [
            row for row in rows.tolist() if read_chunk(self.chunk("values", row)) is None and not self.may_lack(row)
        ]
        if gone:
            named = ", ".join(map(str, gone[:5])) + (" ..." if len(gone) > 5 else "")
            raise CampaignError(f"{self.path}: the values of simulation {named} are damaged or missing; {AGAIN}")
        try:
            array = zarr.open_array(self.path / "values", mode="r")
            return array.oindex[rows] if len(rows) else np.empty((0, *shape[1:]), array.dtype)
        except Exception as error:  # zarr raises as many types as it has codecs
            raise CampaignError(f"{self.path}: values are damaged ({error}); {AGAIN}") from error

    def may_lack(self, row: int) -> bool:
        """Whether a row without a chunk of values may be whole."""
        return False


class PackedRows:
    """A campaign of spike counts, all rows in a few chunks, as ``write_packed`` writes it."""

    def __init__(self, path: Path, n: int, n_parameters: int, sealed: bool) -> None:
        self.path, self.n, self.n_parameters, self.sealed = path, n, n_parameters, sealed

    def _read(self, name: str, *shape: int | None) -> np.ndarray:
        """An array of all rows, whose further dimensions are given; None: any."""
        metadata = array_metadata(self.path / name, self.n, self.sealed)
        stored, expected = metadata["shape"], (self.n, *shape)
        try:
            if len(stored) != len(expected) or any(b not in (None, a) for a, b in zip(stored, expected, strict=True)):
                raise ValueError(f"its shape is {stored}, expected {expected}")
            chunk = metadata["chunk_grid"]["configuration"]["chunk_shape"]
            wanted = math.prod(-(-a // b) for a, b in zip(stored, chunk, strict=True))
            found = sum(file.is_file() for file in (self.path / name / "c").rglob("*"))
            # Format 1 left chunks out that are all empty, as reasons are where no simulation failed.
            if found != wanted and (self.sealed or name != "reason"):
                raise ValueError(f"it has {found} of {wanted} chunks")
            return zarr.open_array(self.path / name, mode="r")[:]
        except Exception as error:  # zarr raises as many types as it has codecs
            raise CampaignError(
                f"{self.path}: the array {name} is damaged ({error}); restore it from a copy"
            ) from error

    def status(self) -> Integer[np.ndarray, " n"]:
        return self._read("status")

    def theta(self) -> Float[np.ndarray, "n n_parameters"]:
        return self._read("theta", self.n_parameters).astype(float)

    def reason(self, row: int) -> str:
        return str(self._read("reason")[row])

    def recorded(self) -> dict[str, Any]:
        return array_metadata(self.path / "news", self.n, self.sealed)["attributes"]

    def values(self, rows: Integer[np.ndarray, " rows"]) -> Real[np.ndarray, "rows channels samples"]:
        shapes = {"news": (2, None), "steps": (2,), "means": (2,), "predictors": (2, 2, None), "shared": ()}
        return unpack(Packed(**{name: self._read(name, *shapes[name])[rows] for name in Packed._fields}))
