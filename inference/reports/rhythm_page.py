"""A rhythm that was looked for, on one HTML page: gains, spectra and spikes before and after, in every simulator."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from rich.table import Table

from inference.estimate import Estimate
from inference.evaluation.rhythm import Rhythm
from inference.reports.circuit_figure import SIMULATED, draw_dipole, draw_gains, draw_spikes
from inference.reports.html import embedded, flat, rendered
from inference.reports.style import INK, MUTED, legend, plain
from inference.reports.verdict import Verdict

_COLOURS = (MUTED, SIMULATED, "#56B4E9", "#0072B2")
_BAND = "#fdf3d8"
_HEADINGS = {"share_in_band": "power in the band", "unlike_decades": "off the wanted spectrum", "peak_Hz": "peak"}

Measured = Callable[[Rhythm], Mapping[str, Any]]
"""Numbers of a rhythm: "peak_Hz", "rates_Hz" by population, and "share_in_band" or "unlike_decades" if wanted."""


def rhythm_rows(runs: Mapping[str, Rhythm], measured: Measured) -> list[list[str]]:
    """A heading, and a row for every simulator, before and after: peak, what was wanted, rates of the populations."""
    numbers = {name: measured(rhythm) for name, rhythm in runs.items()}
    first = next(iter(numbers.values()))
    asked = [key for key in _HEADINGS if key in first]
    rows = [["", *(_HEADINGS[key] for key in asked), *(f"{p} (Hz)" for p in first["rates_Hz"])]]
    for name, one in numbers.items():
        rows.append([name, *(_shown(key, one[key]) for key in asked), *(f"{r:.1f}" for r in one["rates_Hz"].values())])
    return rows


def rhythm_table(runs: Mapping[str, Rhythm], measured: Measured) -> Table:
    """The same for the terminal."""
    heading, *rows = rhythm_rows(runs, measured)
    table = Table(*heading)
    for row in rows:
        table.add_row(*row)
    return table


def write_rhythm(
    path: str | Path,
    *,
    verdict: Verdict,
    runs: Mapping[str, Rhythm],
    measured: Measured,
    estimate: Estimate,
    alternatives: Float[np.ndarray, "places n_parameters"],
    circuit: Figure,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the page. circuit: what ``circuit_and_spectra`` draws."""
    places = np.vstack([estimate.point, alternatives])
    gains = []
    for p, value, low, high in zip(estimate.parameters, estimate.point, places.min(0), places.max(0), strict=True):
        found = f"{value:+z.2f}" if estimate.trusted else f"({value:+z.2f})"
        gains.append((p.name, p.meaning, f"{p.low:g} … {p.high:g}", found, f"{low:+z.2f} … {high:+z.2f}"))
    heading, *rows = rhythm_rows(runs, measured)
    page = rendered(
        "rhythm.html.jinja",
        title="A rhythm, and gains that make it",
        verdict=verdict,
        heading=heading,
        rows=rows,
        gains=gains,
        trusted=estimate.trusted,
        places=len(alternatives),
        circuit=embedded(circuit),
        spikes=embedded(runs_figure(runs)),
        provenance=list(flat(provenance or {})),
    )
    Path(path).write_text(page, encoding="utf-8")


def circuit_and_spectra(
    runs: Mapping[str, Rhythm],
    estimate: Estimate,
    alternatives: Float[np.ndarray, "places n_parameters"],
    band_Hz: tuple[float, float] | None = None,
    like: Float[np.ndarray, " frequencies"] | None = None,
) -> Figure:
    """The gains that were found beside the mean spectra of all runs.

    band_Hz: shaded; like: log10 power that was wanted, on the frequencies of the rhythms, dotted.
    """
    figure = Figure((11.0, 5.4), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.0, 1.1])
    populations = tuple(next(iter(runs.values())).runs[0].spikes.populations)
    draw_gains(left, estimate, populations, alternatives if len(alternatives) else None)
    for (name, rhythm), colour in zip(runs.items(), _COLOURS, strict=False):
        power = (10**rhythm.spectra).mean(axis=0)
        style = "--" if "as it comes" in name else "-"
        right.loglog(rhythm.features.frequencies, power, color=colour, lw=1.6, ls=style, label=name)
        frequencies = rhythm.features.frequencies
    if like is not None:
        fitted = (10 ** list(runs.values())[1].spectra).mean(axis=0)
        scaled = 10 ** (like - like.mean() + np.log10(fitted).mean())
        right.plot(frequencies, scaled, color=INK, lw=1.2, ls=":", label="wanted (any scale)")
    if band_Hz is not None:
        right.axvspan(*band_Hz, color=_BAND, lw=0, zorder=0)
    right.set_xlim(frequencies[0], frequencies[-1])
    right.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
    right.minorticks_off()
    right.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    right.set_xlabel("frequency (Hz)", color=INK)
    right.set_ylabel(f"power of the dipole ({next(iter(runs.values())).runs[0].dipole.unit}²/Hz)", color=INK)
    plain(right)
    legend(right, fontsize=8.5, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return figure


def runs_figure(runs: Mapping[str, Rhythm]) -> Figure:
    """Dipole and spikes of the first run of each, side by side, dipoles on one scale."""
    columns = min(2, len(runs))
    rows = -(-len(runs) // columns)
    figure = Figure((11.0, 3.4 * rows), dpi=130, layout="constrained")
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[1, 1.5] * rows)
    ends = [rhythm.runs[0].dipole.steady for rhythm in runs.values()]
    low, high = min(float(e.min()) for e in ends), max(float(e.max()) for e in ends)
    for k, ((name, rhythm), colour) in enumerate(zip(runs.items(), _COLOURS, strict=False)):
        upper, lower = grid[2 * (k // columns) : 2 * (k // columns) + 2, k % columns]
        draw_dipole(upper, rhythm.runs[0].dipole, name, colour)
        upper.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        upper.tick_params(labelbottom=False)
        draw_spikes(lower, rhythm.runs[0])
    return figure


def _shown(key: str, value: float) -> str:
    if key == "share_in_band":
        return f"{100 * value:.0f} %"
    return f"{value:.0f} Hz" if key == "peak_Hz" else f"{value:.2f} decades"
