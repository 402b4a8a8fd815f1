"""What 'circuitsbi infer' and 'circuitsbi explain' ask of each recording of a data set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.estimators.gradient_fit import GradientFit
from inference.explaining.comparison import CircuitComparison
from inference.explaining.explain import Explained
from inference.recordings.dataset import Listed
from inference.reports.answers import Answer, answer_columns, answer_row, to_xarray
from inference.reports.explained import EXPLAINED_COLUMNS, explained_rows
from inference.reports.explained_page import write_explained_page
from inference.reports.predicted import GROUP as PREDICTED
from inference.reports.predicted import predicted_dataset
from inference.reports.results import Record
from inference.workflows.explain import CIRCUITS, explain_files, shipped_circuits
from inference.workflows.infer import AnsweredWindow, answered_windows, write_page
from inference.workflows.methods import Methods, digest, loaded
from inference.workflows.shipped import other_ranges
from simulators.provenance import versions
from simulators.text import printable

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Reading:
    """How recordings are read, where neither they nor the files beside them say: as in ``read_listed``."""

    sampling_rate: float | None = None
    unit: str | None = None
    pick: tuple[str, ...] | None = None
    variable: str | None = None


@dataclass(frozen=True)
class Pages:
    """A folder for pages, and the name of each recording's (without .html)."""

    folder: Path
    names: tuple[tuple[Path, str], ...]

    def of(self, one: Listed, ending: str = "") -> Path:
        """The page of a recording, or of a window of it."""
        return self.folder / f"{dict(self.names)[one.path]}{ending}.html"

    def hold(self, record: Record) -> bool:
        """Whether all that was written of a recording lies in this folder."""
        return bool(record.pages) and all(Path(page).parent == self.folder.resolve() for page in record.pages)


@dataclass(frozen=True)
class Infer:
    """Parameters by several methods; a ``Work``.

    window_s, notch, detrend: as in ``answered_windows``. other_than: the shipped range that is asked, where the others
    are tried on what it refuses. pages: None for none.
    """

    methods: Methods
    reading: Reading
    window_s: float | None = None
    notch: float | None = None
    detrend: bool = False
    other_than: str | None = None
    pages: Pages | None = None

    def asked(self) -> dict[str, Any]:
        """Everything that answers depend on but the recordings, as JSON."""
        how = {"window_s": self.window_s, "notch": self.notch, "detrend": self.detrend, "other_than": self.other_than}
        return {"command": "infer", **_version(), **vars(self.reading), **how, **self.methods.asked()}

    def columns(self, labels: Sequence[str]) -> list[str]:
        """Of the table."""
        return answer_columns(loaded(self.methods).estimators[0].parameters, labels)

    def complete(self, record: Record) -> bool:
        """Whether what is kept of a recording is all that is asked for."""
        return self.pages is None or self.pages.hold(record)

    def __call__(self, one: Listed) -> "tuple[Record, xarray.DataTree | None]":
        """A row a window and method, and all samples."""
        windows = list(self.windows([one]))
        answers = [answer for window in windows for answer in window.answers]
        rows = tuple(map(answer_row, answers))
        lines = tuple(_line(window) for window in windows)
        tree = to_xarray(answers) if any(a.estimate is not None for a in answers) else None
        if tree is not None:
            _add_spectra(tree, one, windows)
        return Record(str(one.path), rows, lines, pages=tuple(self._write_pages(one, windows))), tree

    def windows(self, recordings: Sequence[Listed]) -> Iterator[AnsweredWindow]:
        """Of recordings, one after the other."""
        other = None if self.other_than is None else partial(other_ranges, self.other_than, self.methods.noise)
        return answered_windows(
            recordings, loaded(self.methods).estimators, self.window_s, self.notch, False, other, self.detrend,
            **vars(self.reading),
        )  # fmt: skip

    def _write_pages(self, one: Listed, windows: Sequence[AnsweredWindow]) -> list[str]:
        written = []
        for window in windows if self.pages is not None else ():
            if self.pages is not None and window.estimates:
                page = self.pages.of(one, f"_{window.start_s:g}s" if len(windows) > 1 else "")
                write_page(page, f"circuitsbi: {one.path.name}", window)
                written.append(str(page.resolve()))
        return written


@dataclass(frozen=True)
class Explain:
    """Which circuit, of those that ship; a ``Work``. band_hz: frequencies that count (Hz); pages: None for none."""

    reading: Reading
    band_hz: tuple[float, float] | None = None
    pages: Pages | None = None
    folder: Path = CIRCUITS

    def asked(self) -> dict[str, Any]:
        """Everything that answers depend on but the recordings, as JSON."""
        circuits = [digest(file) for file in sorted(self.folder.glob("*.safetensors"))]
        band = self.band_hz and list(self.band_hz)
        return {"command": "explain", **_version(), **vars(self.reading), "band_hz": band, "circuits": circuits}

    def columns(self, labels: Sequence[str]) -> list[str]:
        """Of the table."""
        recording, *others = EXPLAINED_COLUMNS
        return [recording, *labels, *others]

    def complete(self, record: Record) -> bool:
        """Whether what is kept of a recording is all that is asked for."""
        return self.pages is None or self.pages.hold(record)

    def __call__(self, one: Listed) -> "tuple[Record, xarray.DataTree | None]":
        """A row a circuit, and the samples of the one that is spoken of."""
        (found,) = explain_files(
            [one], pick=self.reading.pick, band_hz=self.band_hz, circuits=_circuits(self.folder),
            sampling_rate=self.reading.sampling_rate, unit=self.reading.unit, variable=self.reading.variable,
        )  # fmt: skip
        rows = tuple(explained_rows(found))
        if isinstance(found, tuple):
            return Record(str(one.path), rows, (f"{found[0]}: {found[1]}",)), None
        pages = []
        if self.pages is not None:
            page = self.pages.of(one)
            write_explained_page(page, found)
            pages.append(str(page.resolve()))
        line = f"{found.recording}, {found.channel}: {found.sentence}"
        return Record(str(one.path), rows, (line,), pages=tuple(pages)), _samples(one, found)


def _add_spectra(tree: "xarray.DataTree", one: Listed, windows: Sequence[AnsweredWindow]) -> None:
    """Beside the samples of each window its spectra, and the band of its answer."""
    for number, window in enumerate(windows):
        if window.check is not None and window.measured is not None and window.seen_by is not None:
            found = predicted_dataset(window.seen_by.ready(window.measured), window.seen_by.features, window.check)
            if found is not None:
                attributes = {"recording": printable(str(one.path)), "start_s": window.start_s, **one.labels}
                tree[f"/{PREDICTED}/0/{number}"] = type(tree)(found.assign_attrs(attributes))


def _samples(one: Listed, found: Explained) -> "xarray.DataTree | None":
    """Of the circuit that a verdict speaks of; None where it speaks of none."""
    if found.best is None or found.best.estimate is None:
        return None
    answer = Answer(str(one.path), 0, 0.0, found.best.name, found.best.estimate, labels=one.labels)
    tree = to_xarray([answer])
    for node in tree.leaves:
        node.attrs["status"] = found.status
    return tree


@lru_cache(maxsize=1)
def _circuits(folder: Path) -> tuple[dict[str, GradientFit], CircuitComparison]:
    """Read once a process."""
    return shipped_circuits(folder)


def _line(window: AnsweredWindow) -> str:
    at = f", {window.start_s:g} s" if window.start_s else ""
    return f"{window.recording}{at}: {window.verdict.sentence}"


def _version() -> dict[str, str]:
    return {"circuitsbi": versions().get("circuitsbi", "")}
