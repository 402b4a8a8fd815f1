"""A folder of results: a file for each recording of a data set, so that work that was stopped goes on where it was.

``circuitsbi-results.json`` says what was asked, ``recordings/`` holds rows (.json) and samples (.nc) of each recording,
``table.csv`` all rows. A recording is done once its .json is there, which is written last and at once.
"""

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.recordings.dataset import RESULTS_MARK, Listed
from inference.reports.answers import plain, write_tree
from inference.reports.verdict import FAILED
from simulators.provenance import differences, versions
from simulators.text import printable

if TYPE_CHECKING:
    import xarray

_FORMAT = 1
_DATA = (".eeg", ".dat", ".avg", ".vmrk", ".fdt")  # where headers of BrainVision and EEGLAB have their data
_NAME = 80  # characters of a recording's name that the names of its files begin with


@dataclass(frozen=True)
class Record:
    """What is kept of one recording.

    rows: of the table, cells by their columns; lines: what the terminal says. samples: bytes of the file of samples, 0
    without one. pages: files that were written besides.
    """

    recording: str
    rows: tuple[dict[str, str], ...]
    lines: tuple[str, ...]
    samples: int = 0
    pages: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether there is no answer at all."""
        return all(row["status"] == FAILED for row in self.rows)


@dataclass(frozen=True)
class Results:
    """A folder that ``open_results`` has looked at."""

    folder: Path

    @property
    def table(self) -> Path:
        """All rows, in the order of the data set."""
        return self.folder / "table.csv"

    def samples_of(self, one: Listed) -> Path:
        """Where the samples of a recording are, as ArviZ lays them out (netCDF)."""
        return self._base(one).with_name(f"{self._base(one).name}.nc")

    def stored(self, one: Listed) -> Record | None:
        """What is kept of a recording; None where there is nothing, it failed, or a file of it has changed since."""
        try:
            kept = json.loads(self._json(one).read_text(encoding="utf-8"))
            if kept["asked_of"] != state_of(one):
                return None
            rows = tuple(dict(row) for row in kept["rows"])
            record = Record(str(one.path), rows, tuple(kept["lines"]), kept["samples"], tuple(kept["pages"]))
            whole = not record.samples or self.samples_of(one).stat().st_size == record.samples
            complete = whole and all(Path(page).is_file() for page in record.pages)
            return record if complete and rows and not record.failed else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None  # not there, or not as it was written: answered again

    def keep(
        self, one: Listed, record: Record, tree: "xarray.DataTree | None" = None, state: dict[str, Any] | None = None
    ) -> Record:
        """Write what a recording gave, whole or not at all. state: of its files when it was read, by default as now."""
        samples = self.samples_of(one)
        self._json(one).unlink(missing_ok=True)  # no old rows beside new samples
        for unfinished in samples.parent.glob(f".*-{self._base(one).name}.*"):
            unfinished.unlink(missing_ok=True)
        if tree is None:
            samples.unlink(missing_ok=True)
        else:
            written = _beside(samples)
            write_tree(written, tree)
            os.replace(written, samples)
            record = Record(**(vars(record) | {"samples": samples.stat().st_size}))
        kept = asdict(record) | {"asked_of": state_of(one) if state is None else state}
        _write_at_once(self._json(one), json.dumps(kept, indent=1))
        return record

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While it lasts, no other command writes to this folder. Raises ValueError where another one does."""
        try:
            import fcntl  # not on every system
        except ImportError:
            yield
            return
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            # The folder itself is the lock: the system gives it back even when this process is killed.
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(folder)
            raise ValueError(
                f"another command is writing to {self.folder}; wait for it, or name another folder (--results)"
            ) from None
        except OSError:  # a file system without locks
            pass
        try:
            yield
        finally:
            os.close(folder)

    def _base(self, one: Listed) -> Path:
        place = os.path.realpath(one.path)
        name = re.sub(r"[^A-Za-z0-9._+-]", "_", one.path.stem)[:_NAME].lstrip(".")
        return self.folder / "recordings" / f"{name}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:12]}"

    def _json(self, one: Listed) -> Path:
        return self._base(one).with_name(f"{self._base(one).name}.json")


def open_results(folder: Path, asked: Mapping[str, Any]) -> Results:
    """The results in a folder, which is made if it is not there.

    asked: everything that answers depend on but the recordings, as JSON. Raises ValueError for a folder that holds
    something else, or answers to something else; nothing is written there then.
    """
    mark = folder / RESULTS_MARK
    about = json.loads(json.dumps({"format": _FORMAT, "asked": asked}))
    if mark.is_file():
        _refuse_others(mark, about)
    elif folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder} holds something else than results; name another folder for them (--results)")
    elif folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is no folder; name one for the results (--results)")
    (folder / "recordings").mkdir(parents=True, exist_ok=True)
    if not mark.is_file():
        _write_at_once(mark, json.dumps(about | {"versions": versions()}, indent=1))
    return Results(folder)


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """A .csv, whole or not at all; cells without a column are left out."""
    written = _beside(path)
    with written.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    os.replace(written, path)


def labelled(record: Record, one: Listed) -> list[dict[str, str]]:
    """A recording's rows with its name and labels as they are today."""
    labels = {name: plain(label) for name, label in one.labels.items()}
    return [row | labels | {"recording": plain(str(one.path))} for row in record.rows]


def write_all_samples(path: Path, results: Results, found: Sequence[tuple[Listed, Record]]) -> None:
    """Samples of all recordings in one file (.nc, .zarr), the group of each numbered by its place in the data set.

    Raises ValueError where there are none.
    """
    import xarray

    groups, failures = {}, []
    for place, (one, record) in enumerate(found):
        failures += [
            f"{one.path}, {row.get('method', '')}: {row.get('remarks') or row.get('verdict', '')}"
            for row in record.rows
            if row["status"] == FAILED
        ]
        if not record.samples:
            continue
        with xarray.open_datatree(results.samples_of(one), engine="h5netcdf") as tree:
            for node in tree.subtree:
                parts = node.path.strip("/").split("/")
                if len(parts) > 2 and node.has_data:
                    parts[1] = str(place)
                    groups["/" + "/".join(parts)] = node.to_dataset(inherit=False).load()
    if not groups:
        raise ValueError("no recording could be answered, so there are no posteriors to write")
    out = xarray.DataTree.from_dict(groups)
    out.attrs["recordings"] = [printable(str(one.path)) for one, _ in found]
    out.attrs["failures"] = [printable(failure) for failure in failures]
    write_tree(path, out)


def _refuse_others(mark: Path, about: Mapping[str, Any]) -> None:
    try:
        there = json.loads(mark.read_text(encoding="utf-8"))
        if there["format"] != _FORMAT:
            raise ValueError("another version of circuitsbi wrote it")
        differing = list(differences(there["asked"], about["asked"], "asked"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{mark} cannot be read ({error}); name another folder (--results)") from None
    if differing:
        raise ValueError(
            f"{mark.parent} holds answers to something else, and none of them is overwritten: {'; '.join(differing)}. "
            f"Name another folder (--results), or ask as before"
        )


def state_of(one: Listed) -> dict[str, Any]:
    """What a recording's answer depends on: its files, those beside it, and its labels."""
    parts = sorted(one.path.rglob("*")) if one.path.is_dir() else _parts(one.path)
    beside = [*one.metadata, *([one.channels] if one.channels else [])]
    state = {"labels": one.labels, "unit": one.unit, "sampling_rate": one.sampling_rate, "missing": one.missing}
    return json.loads(json.dumps(state | {"files": [_stamp(path) for path in (*parts, *beside)]}))


def _parts(path: Path) -> list[Path]:
    """The files of a recording: a header beside its data, or a recording in several files."""
    beside = [path.with_suffix(ending) for ending in _DATA if path.with_suffix(ending).is_file()]
    stem, split, _ = path.name.partition("_split-")
    return [path, *beside, *(sorted(path.parent.glob(f"{escape(stem)}_split-*")) if split else [])]


def _stamp(path: Path) -> list[Any]:
    try:
        status = path.stat()
    except OSError:
        return [path.name]
    return [path.name, status.st_size, status.st_mtime_ns]


def _beside(path: Path) -> Path:
    """Where a file is written until it is whole."""
    return path.with_name(f".{os.getpid()}-{path.name}")


def _write_at_once(path: Path, text: str) -> None:
    written = _beside(path)
    written.write_text(text, encoding="utf-8")
    os.replace(written, path)
