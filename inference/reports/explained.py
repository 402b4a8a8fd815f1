"""Which circuit explains a recording: lines for the terminal, and a table."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inference.explaining.explain import DOUBTFUL, EXPLAINED, PHASES, Explained, line_of
from inference.reports.answers import plain
from inference.reports.explained_figure import ranked
from inference.reports.tables import estimates_table, show

_STYLE = {EXPLAINED: "green", DOUBTFUL: "bold yellow"}


def show_explained(console: Console, one: Explained | tuple[str, str]) -> str:
    """Verdict, a line a circuit, and the parameters where they mean something. Returns the status."""
    if isinstance(one, tuple):
        show(console, Text(f"{one[0]}: {one[1]}", "bold red"))
        return "failed"
    told = one.probabilities
    table = Table("circuit", "", "where, by how much", *["probability,\nif one of these made it"] * bool(told))
    for explanation in ranked(one):
        table.add_row(*line_of(explanation, told.get(explanation.name))[: 3 + bool(told)])
    show(console, Text(f"{one.recording}, {one.channel}: {one.sentence}", _STYLE.get(one.status, "bold red")))
    show(console, *(Text(f"{remark}.") for remark in one.remarks))
    if one.advice:
        show(console, Text(one.advice))
    show(console, table)
    if one.best is not None and one.best.estimate is not None:
        show(console, estimates_table([one.best.estimate], with_range=True))
        show(console, *(Text(f"  {warning}", "dim") for warning in one.best.estimate.warnings))
    show(console, Text(PHASES, "dim"))
    return one.status


EXPLAINED_COLUMNS = ("recording", "channel", "status", "verdict", "circuit", "explains", "probability", "misfit_nats",
                     "background_share", "departures", "low_hz", "high_hz", "remarks")  # fmt: skip


def explained_rows(one: Explained | tuple[str, str]) -> list[dict[str, str]]:
    """A row a circuit, its cells by their columns; of a recording without an answer one that says why."""
    if isinstance(one, tuple):
        return [{"recording": plain(one[0]), "status": "failed", "verdict": plain(one[1])}]
    low, high = one.features.band
    rows = []
    for e in one.explanations:
        told = f"{one.probabilities[e.name]:.4f}" if one.probabilities else ""
        _, _, where, _ = line_of(e, 0.0)
        cells = [plain(one.recording), plain(one.channel), one.status, plain(one.sentence), plain(e.name), str(e.fits),
                 told, f"{e.misfit:.2f}", f"{e.share:.3f}", where, f"{low:g}", f"{high:g}",
                 plain("; ".join(one.remarks))]  # fmt: skip
        rows.append(dict(zip(EXPLAINED_COLUMNS, cells, strict=True)))
    return rows


class ExplainedTable:
    """A row a recording and circuit. labels: columns of whose recordings they are."""

    def __init__(self, labels: Sequence[str] = ()) -> None:
        self._labels = labels
        self._rows: list[dict[str, str]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, one: Explained | tuple[str, str], labels: Mapping[str, str] | None = None) -> None:
        """All rows of a recording; of one without an answer a row that says why."""
        said = {name: plain(label) for name, label in (labels or {}).items()}
        self._rows += [row | said for row in explained_rows(one)]

    def write(self, path: Path) -> None:
        """As .csv."""
        recording, *others = EXPLAINED_COLUMNS
        with open(path, "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, [recording, *self._labels, *others], restval="")
            table.writeheader()
            table.writerows(self._rows)
