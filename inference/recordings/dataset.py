"""A folder of recordings, or a BIDS data set -> its recordings, each with its subject, session and condition."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from inference.recordings.files import FOLDERS, READERS, UNREAD_FOLDERS, read_beside
from inference.recordings.formats import library
from inference.recordings.sidecars import Sidecar, hertz, read_channels, read_metadata, read_table
from simulators.recording import Recording
from simulators.text import printable

TABLES = ("recordings.csv", "recordings.tsv")
"""Names of a table that says which recordings of a plain folder are of whom."""

_DESCRIPTION = "dataset_description.json"
_KINDS = ("eeg", "ieeg", "meg")  # of BIDS
_NOT_RAW = ("derivatives", "sourcedata", "code", "stimuli", "phenotype")
_ARRAYS = (".zarr",)  # folders that are files of arrays, and no recordings
_EMPTY_ROOM = "emptyroom"
_OWN_TABLES = (b"recording,", b"file,")  # how tables begin that are of recordings, and are none
_DEEPEST = 40


@dataclass(frozen=True)
class Listed:
    """A recording and what is known of it; "" for what is not.

    condition: the task, or the sub-folder; group: of the subject. channels and metadata: the files beside it that say
    units, bad channels and sampling rate; missing: names of those that a data set should have and has not. unit and
    sampling_rate (Hz): as a table of recordings gives them.
    """

    path: Path
    subject: str = ""
    session: str = ""
    condition: str = ""
    run: str = ""
    acquisition: str = ""
    group: str = ""
    channels: Path | None = None
    metadata: tuple[Path, ...] = ()
    missing: tuple[str, ...] = ()
    unit: str = ""
    sampling_rate: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """What is known of whose recording it is, by name."""
        return {name: printable(value) for name in LABELS if (value := getattr(self, name))}

    def sidecar(self) -> Sidecar:
        """What stands beside it. Raises ValueError naming a file that does not hold what it should."""
        said = read_metadata(self.metadata)
        metadata = self.metadata[-1].name if self.metadata else "the table of recordings"
        rate = said.get("SamplingFrequency") if self.metadata else self.sampling_rate
        return Sidecar(
            () if self.channels is None else read_channels(self.channels),
            hertz(rate, f"the sampling rate in {metadata}"),
            hertz(said.get("PowerLineFrequency"), f"PowerLineFrequency in {metadata}"),
            "" if self.channels is None else self.channels.name,
            metadata,
            self.missing,
        )


LABELS = ("subject", "session", "condition", "run", "acquisition", "group")
"""What a recording may be labelled with, in the order of a table's columns."""

assert set(LABELS) < {field.name for field in fields(Listed)}


def is_data_set(path: Path) -> bool:
    """Whether it is a folder of recordings, and not a recording that is a folder."""
    return path.is_dir() and path.suffix.lower() not in (*FOLDERS, *UNREAD_FOLDERS, *_ARRAYS)


def listed(paths: Sequence[Path], skipped: Sequence[Path] = ()) -> list[Listed]:
    """The recordings that files and folders stand for, in the order given and, within a folder, of their names.

    A folder within a BIDS data set gives the recordings of EEG, iEEG and MEG in it, labelled by their names; subject's
    groups come from participants.tsv, units and bad channels from the files beside. Of another folder a table
    ``recordings.csv`` lists what is taken (``file``, ``subject``, ``session``, ``condition``, ``run``, ``acquisition``,
    ``group``, ``unit``, ``sampling_rate``); without one, every file is that looks like a recording, and the sub-folder
    is the condition. A file of a BIDS data set is the same alone. skipped: folders that are not looked into.

    Raises ValueError for a folder without recordings, one that links lead to twice, a table that does not hold what it
    should and a recording that is named twice; OSError for a folder that cannot be read; ImportError for a BIDS data
    set where mne-bids is not installed.
    """
    found = [one for path in paths for one in (_in_folder(path, skipped) if is_data_set(path) else [_single(path)])]
    seen: dict[Path, Path] = {}
    for one in found:
        place = one.path.resolve()
        if place in seen:
            raise ValueError(f"{one.path} is asked for twice (as {seen[place]} too); name each recording once")
        seen[place] = one.path
    return found


def read_listed(
    one: Listed,
    *,
    sampling_rate: float | None = None,
    unit: str | None = None,
    pick: Sequence[str] | None = None,
    variable: str | None = None,
    any_unit: bool = False,
    notch: float | None = None,
) -> tuple[list[Recording], tuple[str, ...]]:
    """The trials of a recording, as ``read_trials`` has them, and notes on what the files beside it changed.

    What the command says goes before what stands beside the file. notch: line noise that is to be filtered out (Hz),
    noted where the mains have another frequency. Raises ValueError naming the recording for what cannot be read, for a
    file beside it that holds something else, and for two of them that contradict each other.
    """
    try:
        sidecar = one.sidecar()
    except (ValueError, OSError) as error:
        raise ValueError(f"cannot read {one.path}: {error}") from error
    try:
        trials, notes = read_beside(
            one.path, sidecar, sampling_rate, unit or one.unit or None, None, pick, variable, any_unit
        )
    except ValueError as error:
        silent = one.missing and "does not say" in str(error)
        if not silent:
            raise
        raise ValueError(f"{error}; there is no {' and no '.join(one.missing)} to say it") from error
    if notch is not None and sidecar.mains is not None and notch != sidecar.mains:
        notes = (*notes, f"filtered at {notch:g} Hz, and {sidecar.metadata} says that mains have {sidecar.mains:g} Hz")
    return trials, notes


def _single(path: Path) -> Listed:
    root = _bids_root(path.parent)
    return Listed(path) if root is None or not _is_bids_recording(path) else _Bids(root).listed(path)


def _in_folder(folder: Path, skipped: Sequence[Path]) -> list[Listed]:
    root = _bids_root(folder)
    if root is not None:
        unwanted = _NOT_RAW if folder.resolve() == root.resolve() else ()
        files = [path for path in _files(folder, skipped, unwanted) if _is_bids_recording(path)]
        if files:
            bids = _Bids(root)
            return [bids.listed(path) for path in files]
        if unwanted:
            raise ValueError(
                f"{folder} is a BIDS data set without recordings of EEG, iEEG or MEG that are read here: "
                f"sub-01_task-rest_eeg.edf and the like in sub-01/eeg"
            )
    table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    found = _in_plain_folder(folder, skipped) if table is None else _from_table(table)
    if not found:
        raise ValueError(f"{table or folder} holds no recordings; those that are read end in {', '.join(READERS)}")
    return found


def _in_plain_folder(folder: Path, skipped: Sequence[Path]) -> list[Listed]:
    files = [path for path in _files(folder, skipped) if _is_recording(path)]
    below = [path.parent.relative_to(folder).as_posix() for path in files]
    return [Listed(path, condition="" if at == "." else at) for path, at in zip(files, below, strict=True)]


def _from_table(table: Path) -> list[Listed]:
    """The recordings that a table lists; one that is not there is a fault of its own."""
    known = {*LABELS, "unit", "sampling_rate"}
    found = []
    for number, row in enumerate(read_table(table, ("file",)), 2):
        if not row["file"]:
            raise ValueError(f"{table}: row {number} names no file")
        if "\0" in row["file"]:
            raise ValueError(f"{table}: what row {number} names as a file is no name")
        said: dict[str, Any] = {k: v for k, v in row.items() if k in known}
        found.append(Listed(table.parent / row["file"], **said))
    return found


def _files(folder: Path, skipped: Sequence[Path], unwanted: Sequence[str] = ()) -> Iterator[Path]:
    """Files, and folders that are recordings, below a folder, by name; hidden ones and results of ours are left out.

    Raises ValueError for a folder that links lead to twice.
    """
    left_out = {path.resolve() for path in skipped}
    seen: dict[tuple[int, int], Path] = {}

    def below(here: Path, depth: int) -> Iterator[Path]:
        status = here.stat()
        place = (status.st_dev, status.st_ino)
        if place in seen:
            raise ValueError(f"{here} is the same folder as {seen[place]}: a link leads there; remove it")
        seen[place] = here
        if depth > _DEEPEST:
            raise ValueError(f"{here} lies more than {_DEEPEST} folders deep; name a folder further in")
        for path in sorted(here.iterdir()):
            if path.name.startswith(".") or (depth == 0 and path.name in unwanted):
                continue
            if not is_data_set(path):
                yield path
            elif path.resolve() not in left_out and not (path / RESULTS_MARK).is_file():
                yield from below(path, depth + 1)

    yield from below(folder, 0)


RESULTS_MARK = "circuitsbi-results.json"
"""A file of this name is in folders that hold results, and no recordings."""


def _is_recording(path: Path) -> bool:
    """Whether a file is to be answered for, as its name says: of a kind that is read, and no table of recordings."""
    suffix = path.suffix.lower()
    if suffix in UNREAD_FOLDERS:
        return path.is_dir()
    return suffix in READERS and not (suffix == ".csv" and _is_own_table(path))


def _is_own_table(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(20).removeprefix(b"\xef\xbb\xbf").startswith(_OWN_TABLES)
    except OSError:
        return False  # whoever reads it as a recording says why it cannot be read


def _is_bids_recording(path: Path) -> bool:
    """Whether it is named as BIDS names a recording; of one in several files, the first."""
    stem, suffix = path.stem, path.suffix.lower()
    parts = stem.split("_")
    if not stem.startswith("sub-") or parts[-1] not in _KINDS or parts[0] == f"sub-{_EMPTY_ROOM}":
        return False
    split = next((part.removeprefix("split-") for part in parts if part.startswith("split-")), "1")
    return (suffix in READERS or (suffix in UNREAD_FOLDERS and path.is_dir())) and split.lstrip("0") == "1"


def _bids_root(folder: Path) -> Path | None:
    """The BIDS data set that a folder is, or lies in; None for none."""
    if (folder / _DESCRIPTION).is_file():
        return folder
    for above in folder.resolve().parents:
        if (above / _DESCRIPTION).is_file():
            return above
    whole = folder.is_dir() and any(path.name.startswith("sub-") and path.is_dir() for path in folder.iterdir())
    return folder if whole and any(map(_is_bids_recording, _files(folder, ()))) else None


class _Bids:
    """A BIDS data set: what the names of its files say, and which files stand beside which."""

    def __init__(self, root: Path):
        self._root = root.resolve()
        self._names: dict[Path, list[str]] = {}
        self._groups = _groups(root / "participants.tsv")

    def listed(self, path: Path) -> Listed:
        """A recording with its labels and the files beside it."""
        said = _entities(path.name)
        name, _, kind = path.stem.rpartition("_")
        tables, metadata = self._beside(path, "channels.tsv"), self._beside(path, f"{kind}.json")
        missing = [
            f"{name}_{end}" for end, there in (("channels.tsv", tables), (f"{kind}.json", metadata)) if not there
        ]
        return Listed(
            path,
            subject=said.get("subject", ""),
            session=said.get("session", ""),
            condition=said.get("task", ""),
            run=said.get("run", ""),
            acquisition=said.get("acquisition", ""),
            group=self._groups.get(said.get("subject", ""), ""),
            channels=tables[-1] if tables else None,
            metadata=tuple(metadata),
            missing=tuple(missing),
        )

    def _beside(self, path: Path, ending: str) -> list[Path]:
        """Files of an ending that apply to a recording, from the root to its own folder, the closest last.

        As BIDS has it, a file applies to all below its folder whose names hold what its own holds.
        """
        own = _entities(path.name).items()
        found = []
        for folder in self._way(path.parent):
            here = [
                name
                for name in self._listing(folder)
                if (name == ending or name.endswith(f"_{ending}")) and _entities(name).items() <= own
            ]
            found += [folder / name for name in sorted(here, key=lambda name: len(_entities(name)))]
        return found

    def _way(self, folder: Path) -> list[Path]:
        """The folders from the root down to this one."""
        for here in (folder.absolute(), folder.resolve()):
            way = [here, *here.parents]
            for depth, above in enumerate(way):
                if above.resolve() == self._root:
                    return way[depth::-1]
        return [folder]

    def _listing(self, folder: Path) -> list[str]:
        if folder not in self._names:
            self._names[folder] = [name for name in os.listdir(folder) if name.endswith((".tsv", ".json"))]
        return self._names[folder]


@cache
def _entities(name: str) -> dict[str, str]:
    """What the name of a BIDS file says, but for the part of a recording that is in several files."""
    said: dict[str, Any] = library("mne_bids", "mne-bids").get_entities_from_fname(name, on_error="ignore")
    return {entity: str(value) for entity, value in said.items() if value is not None and entity != "split"}


def _groups(participants: Path) -> dict[str, str]:
    """Subject -> group, of a participants.tsv that has such a column."""
    if not participants.is_file():
        return {}
    rows = read_table(participants, ("participant_id",))
    return {row["participant_id"].removeprefix("sub-"): row.get("group", "") for row in rows}
