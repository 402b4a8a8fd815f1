"""Which circuit explains a recording: lines for the terminal, a figure, a table."""

import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inference.explaining.explain import DOUBTFUL, EXPLAINED, PHASES, Explained, line_of
from inference.reports.answers import plain
from inference.reports.tables import estimates_table, show

_STYLE = {EXPLAINED: "green", DOUBTFUL: "bold yellow"}
_BAND = 0.025, 0.975
_TICKS_HZ = (10.0, 20.0, 50.0, 100.0, 200.0)


def show_explained(console: Console, one: Explained | tuple[str, str]) -> str:
    """Verdict, a line a circuit, and the parameters where they mean something. Returns the status."""
    if isinstance(one, tuple):
        show(console, Text(f"{one[0]}: {one[1]}", "bold red"))
        return "failed"
    told = one.probabilities
    table = Table("circuit", "", "where, by how much", *["probability,\nif one of these made it"] * bool(told))
    for explanation in sorted(one.explanations, key=lambda e: (not e.fits, -told.get(e.name, 0.0), e.misfit - e.worst)):
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


def explained_figure(one: Explained) -> Figure:
    """The recording's spectrum in the predictive band of every circuit with its background."""
    n = len(one.explanations)
    columns = min(4, n)
    figure = Figure(figsize=(3.2 * columns, 2.7 * -(-n // columns) + 0.5), layout="constrained")
    axes = np.atleast_1d(figure.subplots(-(-n // columns), columns, sharex=True, sharey=True)).ravel()
    observed, f = one.spectrum[0], one.features.frequencies
    for axis, e in zip(axes, one.explanations, strict=False):
        low, middle, high = np.quantile(e.check.spectra[:, 0], [_BAND[0], 0.5, _BAND[1]], axis=0)
        axis.fill_between(f, low, high, color="C0" if e.fits else "0.8", alpha=0.4, lw=0)
        axis.plot(f, middle, color="C0" if e.fits else "0.6", lw=1)
        axis.plot(f, observed, color="k", lw=1)
        says = "explains it" if e.fits else "does not"
        told = f" ({one.probabilities[e.name]:.0%})" if one.probabilities else ""
        axis.set_title(f"{e.name}: {says}{told}", fontsize=8, parse_math=False)
        axis.set_xscale("log")
        ticks = [hz for hz in _TICKS_HZ if one.features.band[0] <= hz <= one.features.band[1]]
        axis.set_xticks(ticks, [f"{hz:g}" for hz in ticks])
        axis.xaxis.set_minor_formatter(NullFormatter())
    for axis in axes[n:]:
        axis.set_visible(False)
    figure.supxlabel("frequency (Hz)", fontsize=9)
    figure.supylabel("log10 of the share of power", fontsize=9)
    figure.suptitle(f"{Path(one.recording).name}, {one.channel}: {one.status}", fontsize=10, parse_math=False)
    return figure
