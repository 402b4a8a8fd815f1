"""A campaign in shards, for the job arrays of a cluster: each job simulates its share, ``merge`` puts them together.

Shard k of N has the rows k - 1, k - 1 + N ..., so that a campaign can grow. It is a campaign of its own in
``PATH.shards``, where rows have the numbers, seeds and thetas of the whole. Jobs share nothing and wait for nobody.
"""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from simulators.campaigns.layouts import RowFiles
from simulators.campaigns.rows import CampaignError, Status
from simulators.campaigns.sealed import damaged, write_metadata
from simulators.campaigns.store import Campaign
from simulators.campaigns.writer import CampaignWriter, refuse_changes, writing

Shard = tuple[int, int]
_MOST_SHARDS = 100_000


class Part(NamedTuple):
    """A campaign or a shard of one, with the status of its own rows."""

    path: Path
    shard: Shard | None
    status: Integer[np.ndarray, " rows"]


class CampaignState(NamedTuple):
    """How far a campaign is.

    status: of each of its rows, wherever it is stored; reasons: of those that are neither pending nor OK; parts: the
    whole, if it is there, and its shards.
    """

    status: Integer[np.ndarray, " simulations"]
    reasons: dict[int, str]
    parts: list[Part]


def refuse_wrong_shard(shard: Shard) -> None:
    """Raises ValueError unless it is k of N."""
    k, of = shard
    if not 1 <= k <= of <= _MOST_SHARDS:
        raise ValueError(f"shard {k}/{of}; expected K/N with K from 1 to N, e.g. 3/8, and N up to {_MOST_SHARDS:,}")


def rows_of(n: int, shard: Shard | None) -> Integer[np.ndarray, " rows"]:
    """Numbers of the rows of a shard, among ``n``; of all without one."""
    k, of = shard or (1, 1)
    return np.arange(k - 1, n, of)


def shard_path(path: str | os.PathLike, shard: Shard) -> Path:
    """Where a shard of the campaign at ``path`` is."""
    return _folder(Path(path)) / f"{shard[0]}_of_{shard[1]}"


def _folder(path: Path) -> Path:
    return path.with_name(path.name + ".shards")


def campaign_status(path: str | os.PathLike) -> CampaignState:
    """How far a campaign and its shards are, also while they are being written.

    Raises CampaignError where there is neither, and as ``Campaign``.
    """
    path = Path(path)
    whole = [Campaign(path)] if (path / "zarr.json").exists() or not _folder(path).is_dir() else []
    campaigns = whole + _shards(path)
    _refuse_strangers(campaigns)
    status = np.zeros(max(len(c) for c in campaigns), np.int8)
    parts: list[Part] = []
    reasons: dict[int, str] = {}
    for campaign in campaigns:
        rows, said = _own_rows(campaign), campaign.reasons
        parts.append(Part(campaign.path, _shard_of(campaign), campaign.status[rows]))
        # Damaged in one place counts for nothing where the row is whole in another.
        new = np.isin(status[rows], (Status.PENDING, Status.DAMAGED)) & (campaign.status[rows] != Status.PENDING)
        status[rows[new]] = campaign.status[rows[new]]
        reasons |= {row: said[row] for row in rows[new].tolist() if row in said}
    return CampaignState(status, {row: reasons[row] for row in sorted(reasons) if status[row] != Status.OK}, parts)


def shards_to_come(state: CampaignState) -> list[Shard]:
    """Shards that have not begun, of each number of shards that any job was told."""
    begun = {part.shard for part in state.parts if part.shard is not None}
    return [(k, of) for of in sorted({of for _, of in begun}) for k in range(1, of + 1) if (k, of) not in begun]


def merge(path: str | os.PathLike) -> Campaign:
    """Put the rows of all shards of a campaign into the one at ``path``, which is made if it is not there.

    Rows that are pending or damaged in the shards are left out; merging again later adds them. The shards are kept, and
    take no space of their own where the file system links files. Raises CampaignError where there are no shards, where
    they are not of one campaign, and as ``writing``.
    """
    path = Path(path)
    shards = _shards(path)
    if not shards:
        raise CampaignError(f"there are no shards in {_folder(path)}; make them with 'circuitsbi simulate --shard'")
    there = [Campaign(path)] if (path / "zarr.json").exists() else []
    _refuse_strangers(shards)
    about = {key: value for key, value in shards[0].configuration.items() if key != "shard"}
    with writing(path, about | {"n": max(len(c) for c in there + shards)}) as target:
        for shard in shards:
            try:
                _adopt(target, shard)
            except OSError as error:
                raise CampaignError(f"cannot write to {path}: {error.strerror or error}; merge again later") from error
    return Campaign(path)


def _shards(path: Path) -> list[Campaign]:
    """The shards of a campaign, in their order; those just begun, which have no metadata yet, are none."""
    found = [Campaign(file.parent) for file in _folder(path).glob("*_of_*/zarr.json")]
    return sorted(found, key=lambda c: (_shard_of(c) or (1, 1))[::-1])


def _refuse_strangers(campaigns: list[Campaign]) -> None:
    """Raises CampaignError unless all are parts of one campaign."""
    first, *others = ({**c.configuration, "shard": None} for c in campaigns)
    for campaign, other in zip(campaigns[1:], others, strict=True):
        refuse_changes(campaign.path, other, first)


def _shard_of(campaign: Campaign) -> Shard | None:
    """Raises CampaignError where it says what cannot be."""
    shard = campaign.configuration.get("shard")
    if shard is None:
        return None
    try:
        k, of = (int(number) for number in shard)
        refuse_wrong_shard((k, of))
    except (TypeError, ValueError) as error:
        raise damaged(campaign.path, f"shard = {shard!r}") from error
    return k, of


def _own_rows(campaign: Campaign) -> Integer[np.ndarray, " rows"]:
    return rows_of(len(campaign), _shard_of(campaign))


def _adopt(target: CampaignWriter, shard: Campaign) -> None:
    """Link the files of a shard's rows that the target lacks, status last as in writing."""
    todo, _ = target.unfinished(_own_rows(shard))
    rows = [int(row) for row in todo if shard.status[row] in (Status.OK, Status.SILENT, Status.FAILED)]
    if any(shard.status[row] != Status.FAILED for row in rows):
        _declare_values(target, shard)
    files = _files(shard)
    for row in rows:
        for name in ("values", "theta", "reason", "status"):
            if (source := files.chunk(name, row)).exists():
                _link(source, target.layout.chunk(name, row))
        target.status[row] = shard.status[row]


def _files(shard: Campaign) -> RowFiles:
    return RowFiles(shard.path, len(shard), len(shard.parameters))


def _declare_values(target: CampaignWriter, shard: Campaign) -> None:
    """Let the target have recordings like the shard's. Raises CampaignError if it has others."""
    metadata = _files(shard).declared()
    metadata["shape"][0] = len(target)
    if not (target.path / "values" / "zarr.json").exists():
        write_metadata(target.path / "values", metadata)
    elif (there := target.layout.declared()) != metadata:
        raise CampaignError(
            f"{shard.path} holds recordings {metadata['attributes']} of shape {metadata['shape'][1:]}, others than "
            f"{target.path}, {there['attributes']} of shape {there['shape'][1:]}; its simulator changes its recordings"
        )


def _link(source: Path, link: Path) -> None:
    """One file under two names, or a copy where the file system has no links."""
    link.parent.mkdir(parents=True, exist_ok=True)
    partial = link.with_name(f"{link.name}.{os.getpid()}.partial")
    try:
        os.link(source, partial)
    except OSError:
        shutil.copyfile(source, partial)
    os.replace(partial, link)
    partial.unlink(missing_ok=True)  # is still there if both were one file before
