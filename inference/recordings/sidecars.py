"""What stands beside a recording, as in a BIDS data set: units, bad channels, sampling rate, mains."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inference.recordings.contents import Contents
from inference.recordings.formats import NEURAL
from simulators.recording import SAME_RATE
from simulators.text import printable
from simulators.units import factor

_LARGEST_BYTES = 20_000_000
_NOTHING = ("", "n/a")
_WORDS = {"microv": "uV", "microvolt": "uV", "microvolts": "uV", "volt": "V", "volts": "V", "millivolts": "mV"}
_MOST_NAMES = 8


@dataclass(frozen=True)
class Channel:
    """A row of a channels.tsv; "" for what it does not say. kind in lower case."""

    name: str
    kind: str = ""
    unit: str = ""
    bad: bool = False

    @property
    def why_left_out(self) -> str:
        """What keeps it from being taken for a channel of the brain; "" for nothing."""
        return "bad" if self.bad else "" if self.kind in ("", "lfp", *NEURAL) else self.kind.upper()


@dataclass(frozen=True)
class Sidecar:
    """What stands beside a recording; empty where nothing does.

    sampling_rate and mains in Hz. table: the name of the file that lists the channels; metadata: of that with the rate;
    missing: names of files that a data set should have and has not.
    """

    channels: tuple[Channel, ...] = ()
    sampling_rate: float | None = None
    mains: float | None = None
    table: str = ""
    metadata: str = ""
    missing: tuple[str, ...] = ()


def read_channels(path: Path) -> tuple[Channel, ...]:
    """The rows of a channels.tsv. Raises ValueError naming it where it is none."""
    rows = read_table(path, ("name",))
    found = tuple(
        Channel(row["name"], row.get("type", "").lower(), _unit(row.get("units", "")), row.get("status", "") == "bad")
        for row in rows
    )
    if len({channel.name for channel in found}) < len(found):
        raise ValueError(f"{printable(path.name)} lists a channel twice; correct it")
    return found


def read_table(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a text table (.tsv, .csv), without blanks around cells, "" for n/a.

    Raises ValueError naming the file for one that is no such table, is too large, or lacks one of the columns needed.
    """
    name = printable(path.name)
    _refuse_large(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", restval="")
            rows = [{_cell(k): _cell(v) for k, v in row.items() if isinstance(k, str)} for row in reader]
            columns = [_cell(column) for column in reader.fieldnames or ()]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{name} is no table of text: {error}") from None
    lacking = [column for column in needed if column not in columns]
    if lacking:
        raise ValueError(f"{name} has no column '{lacking[0]}', only {', '.join(map(printable, columns)) or 'none'}")
    return rows


def read_metadata(paths: Sequence[Path]) -> dict[str, Any]:
    """JSON objects put together, later ones over earlier ones. Raises ValueError naming a file that is none."""
    found: dict[str, Any] = {}
    for path in paths:
        _refuse_large(path)
        try:
            said = json.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{printable(path.name)} is no JSON: {error}") from None
        if not isinstance(said, dict):
            raise ValueError(f"{printable(path.name)} is no JSON object")
        found |= said
    return found


def hertz(said: Any, name: str) -> float | None:
    """A frequency of a sidecar (Hz); None for "n/a" and for nothing. Raises ValueError for what is none."""
    if said is None or said in _NOTHING:
        return None
    try:
        value = float(said) if isinstance(said, int | float | str) and not isinstance(said, bool) else math.nan
    except (ValueError, OverflowError):
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is {said!r:.40}; expected a number of Hz")
    return value


def joined(
    contents: Contents,
    sidecar: Sidecar,
    unit: str | None = None,
    pick: Sequence[str] | None = None,
    plain: bool = True,
    any_unit: bool = False,
) -> tuple[Contents, tuple[str, ...]]:
    """What a file and its sidecar say together, and notes on what was left out.

    Channels that the sidecar marks as bad, or as none of the brain, are left out. Where the file does not state the
    unit of a channel or the sampling rate, the sidecar does; several units become the first one. unit: what the user
    says, who is believed rather than the sidecar. pick: channels that are asked for. plain: numbers are as they are in
    the file, in its unit. any_unit: the gain does not count, so that where units contradict each other the file's do.

    Raises ValueError for channels that do not fit together, units or rates that contradict each other, and where no
    channel is left.
    """
    contents = replace(contents, sampling_rate=_rate(contents, sidecar))
    if not sidecar.channels:
        return contents, _about_missing(sidecar)
    names = _names(contents, sidecar)
    beside = {channel.name: channel for channel in sidecar.channels}
    rows = [beside.get(name, Channel(name)) for name in names]
    taken, notes = _taken(rows, pick, sidecar.table)
    kept = replace(
        contents,
        values=contents.values[..., taken, :],
        channels=tuple(names[i] for i in taken),
        stated=None,
    )
    if unit is None:
        own = _own_units(contents, plain, len(names))
        doubts = [doubt for i in taken if (doubt := _doubt(own[i], rows[i], sidecar.table))]
        if doubts and not any_unit:
            raise ValueError(f"{doubts[0]}; correct one of them, or go by the file (--unit {own[taken[0]][0]})")
        notes += [f"{doubts[0]}; the gain does not count here"] if doubts else []
        kept = _in_one_unit(kept, [own[i][0] or rows[i].unit for i in taken], sidecar.table)
    return kept, (*_about_missing(sidecar), *notes)


def _rate(contents: Contents, sidecar: Sidecar) -> float | None:
    own, beside = contents.sampling_rate, sidecar.sampling_rate
    if own is not None and beside is not None and not abs(own - beside) <= SAME_RATE * own:
        raise ValueError(f"it says {own:g} Hz, {sidecar.metadata} says {beside:g} Hz; correct one of them")
    return beside if own is None else own


def _names(contents: Contents, sidecar: Sidecar) -> tuple[str, ...]:
    """Those of the file, or the sidecar's in their order where it has none."""
    rows = contents.values.shape[-2]
    if contents.channels is not None:
        if not {channel.name for channel in sidecar.channels} & set(contents.channels):
            raise ValueError(f"{sidecar.table} lists none of its channels ({_listed(contents.channels)}); correct it")
        return contents.channels
    if len(sidecar.channels) != rows:
        raise ValueError(
            f"{sidecar.table} lists {len(sidecar.channels)} channels, and the file holds {rows} without names"
        )
    return tuple(channel.name for channel in sidecar.channels)


def _taken(rows: Sequence[Channel], pick: Sequence[str] | None, table: str) -> tuple[list[int], list[str]]:
    """Places of the channels that are taken, and what is said of those that are not."""
    if pick is not None:
        for row in rows:
            if row.name in pick and row.why_left_out:
                raise ValueError(f"channel '{row.name}' is asked for and {table} has it as {row.why_left_out}")
        chosen = [i for i, row in enumerate(rows) if row.name in pick]
        return chosen or list(range(len(rows))), []  # whoever picks says which are missing
    taken = [i for i, row in enumerate(rows) if not row.why_left_out]
    if not taken:
        raise ValueError(f"{table} leaves no channel: {_listed([f'{r.name} ({r.why_left_out})' for r in rows])}")
    out = [f"{row.name} ({row.why_left_out})" for row in rows if row.why_left_out]
    return taken, [f"left out, as {table} says: {_listed(out)}"] if out else []


def _own_units(contents: Contents, plain: bool, rows: int) -> list[tuple[str, str]]:
    """Of each channel the unit that its values are in, and that which the file states; "" for none."""
    if contents.stated is not None:
        return [("V" if stated else "", stated) for stated in contents.stated]
    unit = contents.unit or ""
    each = [part.strip() for part in unit.split(",")]
    units = each if len(each) == rows else [unit] * rows
    return [(one, one if plain else "") for one in units]


def _doubt(own: tuple[str, str], row: Channel, table: str) -> str:
    """Where a file states another unit of a channel than the table does; "" where it does not."""
    stated = own[1]
    if not (stated and row.unit and _differs(stated, row.unit)):
        return ""
    return f"two units: the file says '{stated}' of channel {row.name}, {table} says '{row.unit}'"


def _differs(a: str, b: str) -> bool:
    try:
        return factor(a, b) != 1
    except ValueError:
        return True


def _in_one_unit(contents: Contents, units: Sequence[str], table: str) -> Contents:
    """Values of channels in several units, in the first of them."""
    if len(set(units)) == 1:
        return replace(contents, unit=units[0] or None)
    by_unit = {one: [n for n, u in zip(contents.channels or (), units, strict=True) if u == one] for one in units}
    listed = "; ".join(f"{one or 'none'}: {_listed(names)}" for one, names in by_unit.items())
    if "" in by_unit:
        raise ValueError(f"the unit of {_listed(by_unit[''])} stands neither in the file nor in {table} ({listed})")
    try:
        factors = np.array([factor(one, units[0]) for one in units])
    except ValueError as error:
        raise ValueError(f"its channels are in units that do not go together ({listed}): {error}") from None
    return replace(contents, values=contents.values * factors[:, None], unit=units[0])


def _about_missing(sidecar: Sidecar) -> tuple[str, ...]:
    if not sidecar.missing:
        return ()
    return (f"no {' and no '.join(sidecar.missing)}: units, rate and channels are what the file itself says",)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (f" ... ({len(names)})" if len(names) > _MOST_NAMES else "")


def _unit(text: str) -> str:
    return _WORDS.get(text.lower(), text)


def _cell(text: Any) -> str:
    cell = text.strip() if isinstance(text, str) else ""
    return "" if cell.lower() in _NOTHING else cell


def _refuse_large(path: Path) -> None:
    if path.stat().st_size > _LARGEST_BYTES:
        raise ValueError(
            f"{printable(path.name)} has {path.stat().st_size:,} bytes, too many for a table beside a file"
        )
