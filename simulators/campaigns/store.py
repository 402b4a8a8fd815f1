"""A campaign on disk: many simulations of one simulator, in Zarr, one row each.

Arrays: ``theta`` (simulation, parameter), ``values`` (simulation, channel, sample), ``status`` and ``reason``
(simulation). One chunk a row while it grows, each with a checksum and each written atomically, values before status:
a row is there entirely or not at all. Everything else is JSON in the attributes. Readable by ``xarray.open_zarr``.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float, Integer, Real
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from simulators.campaigns.packed_counts import Packed, pack, unpack
from simulators.interface import ParameterSpace
from simulators.recording import Recording

FORMAT = 1
_OWN_FILES = {"zarr.json", "theta", "status", "reason", "values"}
_SHOWN, _LONGEST = 5, 120  # differences between two configurations, and characters of each side


class CampaignError(RuntimeError):
    """A campaign cannot be opened, continued or written; the message says why and what to do."""


class Status(IntEnum):
    """What became of a simulation."""

    PENDING = 0
    OK = 1
    SILENT = 2
    FAILED = 3


class Campaign:
    """A stored campaign, read lazily.

    theta: (simulations, n_parameters); status: (simulations,) of ``Status``; configuration: what made it (JSON).
    """

    def __init__(self, path: str | os.PathLike) -> None:
        """Open for reading. Raises CampaignError where there is no (readable) campaign."""
        self.path = Path(path)
        self._group = _open_group(self.path)
        about = self._group.attrs.get("campaign")
        if not isinstance(about, dict):
            raise CampaignError(f"{self.path} is not a campaign; make one with 'circuitsbi simulate --out {self.path}'")
        if about.get("format") != FORMAT:
            raise CampaignError(
                f"{self.path} has campaign format {about.get('format')}, this version reads {FORMAT}; "
                f"read it with the version that made it ({about.get('versions')}) or simulate anew"
            )
        self.configuration: dict[str, Any] = about
        self.parameters = ParameterSpace.from_json(about["parameters"])

    def __len__(self) -> int:
        return int(self._array("status").shape[0])

    @property
    def theta(self) -> Float[np.ndarray, "simulations n_parameters"]:
        return np.asarray(self._read("theta"), dtype=float)

    @property
    def status(self) -> Integer[np.ndarray, " simulations"]:
        return np.asarray(self._read("status"))

    @property
    def reasons(self) -> dict[int, str]:
        """Why each row that is neither pending nor OK is not."""
        reason = self._read("reason")
        return {int(i): str(reason[i]) for i in np.flatnonzero(self.status > Status.OK)}

    @property
    def usable(self) -> Integer[np.ndarray, " usable"]:
        """Indices of the rows with status OK."""
        return np.flatnonzero(self.status == Status.OK)

    def summary(self) -> str:
        """One line: how many rows have which status."""
        status = self.status
        parts = [f"{np.sum(status == s)} {s.name.lower()}" for s in Status if np.any(status == s)]
        return f"{len(status)} simulations: {', '.join(parts)}"

    def values(self, rows: Integer[np.ndarray, " rows"]) -> Real[np.ndarray, "rows channels samples"]:
        """Values of some rows. Raises CampaignError for damaged values, naming them."""
        rows = np.asarray(rows)
        if "news" in self._group:
            fields = {name: self._read(name) for name in Packed._fields}
            return unpack(Packed(**{name: array[rows] for name, array in fields.items()}))
        return np.concatenate([self._read_values(slice(int(r), int(r) + 1)) for r in rows])

    def recordings(self, rows: Integer[np.ndarray, " rows"] | None = None) -> list[Recording]:
        """Recordings of some rows (of the usable ones by default)."""
        rows = self.usable if rows is None else np.asarray(rows)
        about = dict(self._array("news" if "news" in self._group else "values").attrs)
        return [
            Recording(
                v, float(about["sampling_rate"]), about["unit"], tuple(about["channels"]), int(about["transient"])
            )
            for v in self.values(rows)
        ]

    def _array(self, name: str) -> zarr.Array:
        if name not in self._group:
            missing = "no simulation has succeeded yet" if name == "values" else "the file is incomplete"
            raise CampaignError(f"{self.path} has no {name}: {missing}")
        array = self._group[name]
        assert isinstance(array, zarr.Array)
        return array

    def _read(self, name: str) -> np.ndarray:
        array = self._array(name)
        try:
            return array[:]
        except Exception as error:  # zarr raises as many types as it has codecs
            raise CampaignError(
                f"{self.path}: the array {name} is damaged ({error}); restore it from a copy"
            ) from error

    def _read_values(self, rows: slice) -> np.ndarray:
        try:
            return self._array("values")[rows]
        except CampaignError:
            raise
        except Exception as error:  # as above
            raise CampaignError(
                f"{self.path}: the values of simulation {rows.start} are damaged ({error}); "
                f"run the same 'circuitsbi simulate' command again: it simulates damaged rows anew"
            ) from error


def write_packed(campaign: Campaign, path: str | os.PathLike, n: int, step: float, settling: int) -> Campaign:
    """Write the first ``n`` rows of a finished campaign of spike counts in little space, as ``packed_counts`` says.

    step: as ``pack`` takes it; settling: samples of the transient that are kept, at least as many as the longest kernel
    the counts will be convolved with has lags. Raises CampaignError if a row is pending.
    """
    if (campaign.status[:n] == Status.PENDING).any():
        raise CampaignError(f"{campaign.path} is not finished ({campaign.summary()}); run its command again first")
    cut = campaign.recordings(campaign.usable[:1])[0].transient - settling
    usable = campaign.usable[campaign.usable < n]
    counts = np.zeros((n, *campaign.values(usable[:1]).shape[1:]), np.uint16)
    counts[usable] = campaign.values(usable)
    packed = pack(counts[:, :, cut:], step)
    group = zarr.open_group(path, mode="w")
    reasons = campaign.reasons
    arrays = {"theta": campaign.theta[:n], "status": campaign.status[:n], **packed._asdict()}
    for name, array in arrays.items():
        # Each population by itself: what is coded together should have one distribution.
        chunks = (array.shape[0], 1, *array.shape[2:]) if name == "news" else array.shape
        group.create_array(name, data=array, chunks=chunks, compressors=[ZstdCodec(level=19), Crc32cCodec()])
    reason = group.create_array("reason", shape=(n,), chunks=(n,), dtype="string")
    reason[:] = np.array([reasons.get(i, "") for i in range(n)], dtype=object)
    group["news"].attrs.update(dict(campaign._array("values").attrs) | {"transient": settling})
    group.attrs["campaign"] = campaign.configuration | {"n": n, "packed": {"step": step, "settling": settling}}
    return Campaign(path)


class CampaignWriter(Campaign):
    """A campaign open for writing by this process alone."""

    def unfinished(self) -> tuple[Integer[np.ndarray, " rows"], Integer[np.ndarray, " damaged"]]:
        """Rows still to be simulated, and those among them that were there but are damaged."""
        status = self.status
        there = np.flatnonzero((status == Status.OK) | (status == Status.SILENT))
        damaged = [i for i in map(int, there) if self._is_damaged(i, Status(status[i]))]
        status[damaged] = Status.PENDING
        return np.flatnonzero(status == Status.PENDING), np.array(damaged, dtype=int)

    def write(self, row: int, status: Status, reason: str, recording: Recording | None) -> None:
        """Store one finished simulation. Raises CampaignError if the disk refuses."""
        try:
            if recording is not None:
                self._values_like(recording)[row] = recording.values
            if reason:
                self._array("reason")[row] = reason
            self._array("status")[row] = int(status)
        except OSError as error:
            raise CampaignError(
                f"cannot write to {self.path}: {error.strerror or error}; the simulations so far are kept: "
                f"make room (or make it writable) and run the same command again"
            ) from error

    def _is_damaged(self, row: int, status: Status) -> bool:
        if "values" not in self._group:
            return True
        try:
            values = self._read_values(slice(row, row + 1))
        except CampaignError:
            return True
        return bool(status == Status.OK and (values == 0).all())  # a chunk that is gone reads as zeros

    def _values_like(self, recording: Recording) -> zarr.Array:
        """The array of values, made when the first recording tells its shape; refuses recordings of another shape."""
        about = {
            "sampling_rate": recording.sampling_rate,
            "unit": recording.unit,
            "channels": list(recording.channels),
            "transient": recording.transient,
        }
        if "values" not in self._group:
            return self._group.create_array(
                "values",
                shape=(len(self), *recording.values.shape),
                chunks=(1, *recording.values.shape),
                dtype=recording.values.dtype,
                compressors=[BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"), Crc32cCodec()],
                dimension_names=("simulation", "channel", "sample"),
                attributes=about,
            )
        array = self._array("values")
        if dict(array.attrs) != about or array.shape[1:] != recording.values.shape:
            raise CampaignError(f"{self.path} holds recordings {dict(array.attrs)}; the simulator now returns {about}")
        return array


@contextmanager
def writing(
    path: str | os.PathLike, about: dict[str, Any], theta: Float[np.ndarray, "simulations p"]
) -> Iterator[CampaignWriter]:
    """Open a campaign for writing, making it if there is none; a lock keeps every other process out.

    Raises CampaignError where another process writes, the folder holds something else, or ``about`` differs from what
    the campaign there was made with.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        strangers = {p.name for p in path.iterdir()} - _OWN_FILES
        if strangers:
            raise CampaignError(f"{path} holds other things ({', '.join(sorted(strangers)[:3])}); name a new folder")
        folder = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise CampaignError(f"cannot write to {path}: {error.strerror or error}") from error
    try:
        # The folder itself is the lock: the system gives it back even when this process is killed.
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(folder)
        raise CampaignError(
            f"another process is writing to {path}; wait for it, or give this campaign another --out"
        ) from error
    try:
        _create_unless_there(path, about, theta)
        writer = CampaignWriter(path)
        _refuse_changes(path, writer.configuration, about)
        yield writer
    finally:
        os.close(folder)


def _create_unless_there(path: Path, about: dict[str, Any], theta: np.ndarray) -> None:
    try:
        group = zarr.open_group(path, mode="a")
        if "campaign" in group.attrs:
            return
        n = len(theta)
        names = ("simulation", "parameter")
        group.create_array("theta", data=theta, chunks=theta.shape, dimension_names=names, overwrite=True)
        for name, dtype in (("status", "int8"), ("reason", "string")):
            group.create_array(
                name, shape=(n,), chunks=(1,), dtype=dtype, dimension_names=("simulation",), overwrite=True
            )
        # Last, so that a campaign half made is made again.
        group.attrs["campaign"] = about
    except OSError as error:
        raise CampaignError(f"cannot write to {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise CampaignError(f"{path} is damaged: its metadata are no Zarr ({error}); remove it") from error


def _refuse_changes(path: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    for key, value in wanted.items():
        if key != "versions" and stored.get(key) != value:
            changes = list(_differences(stored.get(key), value, key))
            more = f"\n  and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
            raise CampaignError(
                f"{path} was made with another {key}:\n  " + "\n  ".join(changes[:_SHOWN]) + more + "\n"
                "go on with the command that made it, or give this campaign another folder (--out, or --data)"
            )


def _differences(there: Any, asked: Any, name: str) -> Iterator[str]:
    """A line for each value that differs, by its place in the two."""
    if isinstance(there, dict) and isinstance(asked, dict) and there.get("class") == asked.get("class"):
        for key in dict.fromkeys((*there, *asked)):
            yield from _differences(there.get(key), asked.get(key), f"{name}.{key}")
    elif isinstance(there, list) and isinstance(asked, list) and len(there) == len(asked):
        for k, (one, other) in enumerate(zip(there, asked, strict=True)):
            yield from _differences(one, other, f"{name}[{k}]")
    elif there != asked:
        yield f"{name}: there {_brief(there)}, asked {_brief(asked)}"


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 4] + " ..."


def _open_group(path: Path) -> zarr.Group:
    if not path.is_dir():
        raise CampaignError(f"there is no campaign at {path}; make one with 'circuitsbi simulate --out {path}'")
    try:
        return zarr.open_group(path, mode="r+" if os.access(path, os.W_OK) else "r")
    except Exception as error:  # as many types as there are ways for metadata to be broken
        raise CampaignError(f"{path} is not a readable Zarr group ({error})") from error
