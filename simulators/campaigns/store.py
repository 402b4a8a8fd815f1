"""A campaign on disk: many simulations of one simulator, in Zarr, one row each.

Arrays: ``theta`` (simulation, parameter), ``values`` (simulation, channel, sample), ``status`` and ``reason``
(simulation). One chunk a row, each with a checksum and each written atomically, status last: a row is there entirely or
not at all. Everything else is JSON in the attributes. Readable by ``xarray.open_zarr``.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float, Integer, Real
from zarr.codecs import Crc32cCodec, ZstdCodec

from simulators.campaigns.first_format import FirstRows
from simulators.campaigns.layouts import AGAIN, FORMAT, Layout, PackedRows, RowFiles
from simulators.campaigns.packed_counts import pack
from simulators.campaigns.rows import CampaignError, Status
from simulators.campaigns.sealed import damaged, metadata_of, read_metadata, write_metadata
from simulators.interface import ParameterSpace
from simulators.recording import Recording

_MOST_ROWS = 10_000_000
_MOST_NUMBERS = 2**28  # in all thetas


class Campaign:
    """A stored campaign, read lazily.

    configuration: what made it (JSON); ``status`` and all that follows from it are as they were when first asked for.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        """Open for reading. Raises CampaignError where there is no (readable) campaign."""
        self.path = Path(path)
        self.configuration: dict[str, Any] = _configuration(self.path)
        try:
            self.parameters = ParameterSpace.from_json(self.configuration["parameters"])
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(self.path, f"parameters: {error}") from error
        if len(self) * len(self.parameters) > _MOST_NUMBERS:
            raise damaged(self.path, f"{len(self):,} simulations with {len(self.parameters):,} parameters each")
        self.layout = self._layout()

    def _layout(self) -> Layout:
        about, n, p = self.configuration, len(self), len(self.parameters)
        if "packed" in about:
            return PackedRows(self.path, n, p, sealed=about["format"] == FORMAT)
        if about["format"] == 1:
            return FirstRows(self.path, n, self.parameters, about["seed"])
        return RowFiles(self.path, n, p)

    def __len__(self) -> int:
        return self.configuration["n"]

    @property
    def theta(self) -> Float[np.ndarray, "simulations n_parameters"]:
        """Theta of each row; NaN where it is pending or damaged."""
        return self.layout.theta()

    @cached_property
    def status(self) -> Integer[np.ndarray, " simulations"]:
        """``Status`` of each row, after a look at the checksums of all its parts."""
        return self.layout.status()

    @property
    def reasons(self) -> dict[int, str]:
        """Why each row that is neither pending nor OK is not."""
        status = self.status
        said = {
            int(i): self.layout.reason(int(i)) for i in np.flatnonzero(np.isin(status, (Status.SILENT, Status.FAILED)))
        }
        lost = {int(i): f"damaged on the disk; {AGAIN}" for i in np.flatnonzero(status == Status.DAMAGED)}
        return dict(sorted((said | lost).items()))

    @property
    def usable(self) -> Integer[np.ndarray, " usable"]:
        """Indices of the rows with status OK."""
        return np.flatnonzero(self.status == Status.OK)

    def summary(self) -> str:
        """One line: how many rows have which status."""
        return f"{len(self)} simulations: {counted(self.status)}"

    def values(self, rows: Integer[np.ndarray, " rows"]) -> Real[np.ndarray, "rows channels samples"]:
        """Values of some rows. Raises CampaignError for damaged or missing values, naming them."""
        return self.layout.values(np.asarray(rows))

    def recordings(self, rows: Integer[np.ndarray, " rows"] | None = None) -> list[Recording]:
        """Recordings of some rows (of the usable ones by default)."""
        rows = self.usable if rows is None else np.asarray(rows)
        about = self.layout.recorded()
        rate, transient, channels = float(about["sampling_rate"]), int(about["transient"]), tuple(about["channels"])
        return [Recording(v, rate, about["unit"], channels, transient) for v in self.values(rows)]


def counted(status: Integer[np.ndarray, " rows"]) -> str:
    """How many rows have which status, in words."""
    return ", ".join(f"{np.sum(status == s)} {s.name.lower()}" for s in Status if np.any(status == s))


def _configuration(path: Path) -> dict[str, Any]:
    """What a campaign says of itself. Raises CampaignError where there is none, or none that can be."""
    if not path.is_dir():
        raise CampaignError(f"there is no campaign at {path}; make one with 'circuitsbi simulate --out {path}'")
    if not (path / "zarr.json").exists():
        raise CampaignError(f"{path} is not a campaign; make one with 'circuitsbi simulate --out {path}'")
    metadata, sealed = read_metadata(path)
    about = metadata["attributes"].get("campaign")
    if not isinstance(about, dict):
        raise CampaignError(f"{path} is not a campaign; make one with 'circuitsbi simulate --out {path}'")
    if about.get("format") not in (1, FORMAT):
        raise CampaignError(
            f"{path} has campaign format {about.get('format')}, this version reads 1 and {FORMAT}; "
            f"read it with the version that made it ({about.get('versions')}) or simulate anew"
        )
    if about["format"] == FORMAT and not sealed:
        raise damaged(path, "its checksum is gone")
    for key, most in (("n", _MOST_ROWS), ("seed", None)):
        value = about.get(key)
        if type(value) is not int or value < (key == "n") or (most is not None and value > most):
            limit = f" up to {most:,}" if most else ""
            raise damaged(path, f"{key} = {value!r}, expected a whole number{limit}")
    return about


def write_packed(campaign: Campaign, path: str | os.PathLike, n: int, step: float, settling: int) -> Campaign:
    """Write the first ``n`` rows of a finished campaign of spike counts in little space, as ``packed_counts`` says.

    step: as ``pack`` takes it; settling: samples of the transient that are kept, at least as many as the longest kernel
    the counts will be convolved with has lags. Raises CampaignError if a row is pending.
    """
    if np.isin(campaign.status[:n], (Status.PENDING, Status.DAMAGED)).any():
        raise CampaignError(f"{campaign.path} is not finished ({campaign.summary()}); run its command again first")
    cut = campaign.recordings(campaign.usable[:1])[0].transient - settling
    usable = campaign.usable[campaign.usable < n]
    counts = np.zeros((n, *campaign.values(usable[:1]).shape[1:]), np.uint16)
    counts[usable] = campaign.values(usable)
    packed = pack(counts[:, :, cut:], step)
    group, reasons = zarr.open_group(path, mode="w"), campaign.reasons
    reason = np.array([reasons.get(i, "") for i in range(n)], dtype=np.dtypes.StringDType())
    arrays = {"theta": campaign.theta[:n], "status": campaign.status[:n], "reason": reason, **packed._asdict()}
    for name, array in arrays.items():
        # Each population by itself: what is coded together should have one distribution.
        chunks = (array.shape[0], 1, *array.shape[2:]) if name == "news" else array.shape
        group.create_array(
            name,
            data=array,
            chunks=chunks,
            compressors=[ZstdCodec(level=19), Crc32cCodec()],
            attributes=campaign.layout.recorded() | {"transient": settling} if name == "news" else None,
            config={"write_empty_chunks": True},
        )
        write_metadata(Path(path) / name, read_metadata(Path(path) / name)[0])
    about = campaign.configuration | {"format": FORMAT, "n": n, "packed": {"step": step, "settling": settling}}
    write_metadata(Path(path), metadata_of({"campaign": about}))
    return Campaign(path)
