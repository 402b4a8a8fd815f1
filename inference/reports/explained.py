"""Which circuit explains a recording: lines for the terminal, and a table."""

import csv
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


class ExplainedTable:
    """A row a recording and circuit."""

    _COLUMNS = ("recording", "channel", "status", "verdict", "circuit", "explains", "probability", "misfit_nats",
                "background_share", "departures", "low_hz", "high_hz", "remarks")  # fmt: skip

    def __init__(self) -> None:
        self._rows: list[list[str]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, one: Explained | tuple[str, str]) -> None:
        """All rows of a recording; of one without an answer a row that says why."""
        if isinstance(one, tuple):
            self._rows.append([plain(one[0]), "", "failed", plain(one[1]), *[""] * 9])
            return
        low, high = one.features.band
        for e in one.explanations:
            told = f"{one.probabilities[e.name]:.4f}" if one.probabilities else ""
            _, _, where, _ = line_of(e, 0.0)
            self._rows.append(
                [plain(one.recording), plain(one.channel), one.status, plain(one.sentence), plain(e.name), str(e.fits),
                 told, f"{e.misfit:.2f}", f"{e.share:.3f}", where, f"{low:g}", f"{high:g}",
                 plain("; ".join(one.remarks))]
            )  # fmt: skip

    def write(self, path: Path) -> None:
        """As .csv."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([list(self._COLUMNS), *self._rows])
