"""A campaign open for writing by one process: made, gone on with, or made longer."""

import errno
import fcntl
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float, Integer
from zarr.codecs import BloscCodec, Crc32cCodec

from simulators.campaigns.first_format import FirstRows, upgrade
from simulators.campaigns.layouts import FORMAT, PackedRows, RowFiles, declare
from simulators.campaigns.rows import CampaignError, Row, Status
from simulators.campaigns.sealed import float_bytes, metadata_of, text_bytes, write_chunk, write_metadata
from simulators.campaigns.store import Campaign
from simulators.provenance import differences
from simulators.recording import Recording

_OWN_FILES = {"zarr.json", "theta", "status", "reason", "values", "upgrading", "upgraded"}
_SHOWN = 5  # differences between two configurations
_MAY_DIFFER = {"format", "n", "versions"}  # of a campaign and the command that goes on with it
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL}
RECORDED = ("sampling_rate", "unit", "channels", "transient")


class CampaignWriter(Campaign):
    """A campaign open for writing by this process alone."""

    layout: RowFiles

    def unfinished(
        self, rows: Integer[np.ndarray, " rows"]
    ) -> tuple[Integer[np.ndarray, " todo"], Integer[np.ndarray, " damaged"]]:
        """Those of some rows still to be simulated, and those among them that were there but are damaged."""
        status = self.status[rows]
        return rows[(status == Status.PENDING) | (status == Status.DAMAGED)], rows[status == Status.DAMAGED]

    def write(self, row: Row, theta: Float[np.ndarray, " n_parameters"]) -> None:
        """Store one finished simulation; its status last, so that it is there entirely or not at all.

        Raises CampaignError if the disk refuses, or the recording is of another kind than those before.
        """
        try:
            if row.recording is not None:
                self._values_for(row.recording)[row.number] = row.recording.values
            write_chunk(self.layout.chunk("theta", row.number), float_bytes(theta))
            if row.reason:
                write_chunk(self.layout.chunk("reason", row.number), text_bytes(row.reason))
            write_chunk(self.layout.chunk("status", row.number), bytes([row.status]))
        except OSError as error:
            raise CampaignError(
                f"cannot write to {self.path}: {error.strerror or error}; the simulations so far are kept: "
                f"make room (or make it writable) and run the same command again"
            ) from error
        self.status[row.number] = row.status

    def _values_for(self, recording: Recording) -> zarr.Array:
        """The array of values, made when the first recording tells its shape; refuses recordings of another kind."""
        about = {name: getattr(recording, name) for name in RECORDED} | {"channels": list(recording.channels)}
        folder = self.path / "values"
        if not (folder / "zarr.json").exists():
            metadata = metadata_of(
                about,
                shape=(len(self), *recording.values.shape),
                chunks=(1, *recording.values.shape),
                dtype=recording.values.dtype,
                compressors=[BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"), Crc32cCodec()],
                dimension_names=("simulation", "channel", "sample"),
            )
            write_metadata(folder, metadata)
        there = self.layout.declared()
        if there["attributes"] != about or tuple(there["shape"][1:]) != recording.values.shape:
            raise CampaignError(
                f"{self.path} holds recordings {there['attributes']} of shape {there['shape'][1:]}; "
                f"the simulator now returns {about} of shape {recording.values.shape}"
            )
        # All-zero chunks too: one that is missing is a damaged one. (Zarr's open_array ignores its own config.)
        with zarr.config.set({"array.write_empty_chunks": True}):
            return zarr.open_array(folder, mode="r+")


@contextmanager
def writing(path: str | os.PathLike, about: dict[str, Any]) -> Iterator[CampaignWriter]:
    """Open a campaign for writing, making it if there is none; a lock keeps every other process out.

    about: what makes its rows (see ``CampaignWriter.configuration``); ``n`` may be more than there is. Raises
    CampaignError where another process writes, the folder holds something else, ``n`` is less than there is, or
    ``about`` differs from what the campaign there was made with.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        strangers = {p.name for p in path.iterdir() if p.suffix != ".partial"} - _OWN_FILES
        if strangers:
            raise CampaignError(f"{path} holds other things ({', '.join(sorted(strangers)[:3])}); name a new folder")
        folder = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise CampaignError(f"cannot write to {path}: {error.strerror or error}") from error
    try:
        _lock(folder, path)
        try:
            _prepare(path, about)
        except OSError as error:
            raise CampaignError(f"cannot write to {path}: {error.strerror or error}") from error
        yield CampaignWriter(path)
    finally:
        os.close(folder)


def _lock(folder: int, path: Path) -> None:
    try:
        # The folder itself is the lock: the system gives it back even when this process is killed.
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise CampaignError(
                f"another process is writing to {path}; wait for it, or give this campaign another --out"
            ) from error
        warnings.warn(f"{path} is on a file system without locks; let no two commands write to it", stacklevel=2)


def _prepare(path: Path, about: dict[str, Any]) -> None:
    """Make the campaign, or see that what is there is its beginning, and give it the length asked for."""
    n, there = about["n"], about
    if (path / "zarr.json").exists():
        campaign = Campaign(path)
        refuse_changes(path, campaign.configuration, about)
        if isinstance(campaign.layout, PackedRows):
            raise CampaignError(f"{path} is packed and cannot be gone on with; simulate into another folder")
        if len(campaign) > n:
            raise CampaignError(
                f"{path} holds {len(campaign)} simulations, of which the first {n} are those asked for; nothing is "
                f"changed: ask for {len(campaign)} or more, or read what there is"
            )
        there = campaign.configuration | {"format": FORMAT, "n": n}
        if isinstance(campaign.layout, FirstRows):
            upgrade(campaign.layout, there | {"n": len(campaign)})
        if len(campaign) == n and all((path / name / "zarr.json").exists() for name in ("theta", "status", "reason")):
            return
    declare(path, there)


def refuse_changes(path: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raises CampaignError naming what makes a campaign another one than is wanted."""
    for key in dict.fromkeys((*stored, *wanted)):
        if key in _MAY_DIFFER or not (changes := list(differences(stored.get(key), wanted.get(key), key))):
            continue
        more = f"\n  and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
        raise CampaignError(
            f"{path} was made with another {key}:\n  " + "\n  ".join(changes[:_SHOWN]) + more + "\n"
            "go on with the command that made it, or give this campaign another folder (--out, or --data)"
        )
