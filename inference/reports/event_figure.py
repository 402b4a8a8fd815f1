"""A network's spikes with its multiple firing events marked."""

import numpy as np
from matplotlib.figure import Figure

from inference.reports.figures import draw_raster
from inference.reports.style import BAND_COLOUR, INK, plain
from simulators.firing_events.events import FiringEvents
from simulators.recording import Spikes


def event_figure(spikes: Spikes, events: FiringEvents, window_ms: tuple[float, float], title: str = "") -> Figure:
    """Each spike of a window above the spikes in each ms; events are shaded from onset to end.

    Raises ValueError for a window that holds nothing.
    """
    low, high = window_ms
    if not low < high:
        raise ValueError(f"a window from {low} to {high} ms holds nothing")
    figure = Figure((9.0, 4.6), dpi=110, layout="constrained")
    raster, rate = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
    draw_raster(raster, spikes, low, high - low)
    counts, edges = np.histogram(spikes.times_ms - low, np.arange(0.0, high - low + 1.0))
    rate.stairs(counts, edges, color=INK, lw=0.9)
    for onset, end in zip(events.onset_ms, events.end_ms, strict=True):
        if end > low and onset < high:
            for axis in (raster, rate):
                axis.axvspan(max(onset, low) - low, min(end, high) - low, color=BAND_COLOUR, alpha=0.5, lw=0, zorder=0)
    plain(rate)
    rate.set(xlim=(0, high - low), xlabel=f"time after {low:g} ms (ms)", ylabel="spikes a ms")
    number = int(np.sum((events.onset_ms >= low) & (events.onset_ms < high)))
    figure.suptitle(f"{title + ': ' if title else ''}{number} events", fontsize=11)
    return figure
