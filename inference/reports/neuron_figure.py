"""A figure of cells beside their surrogates."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from surrogates.neurons.trained import TrainedNeuron
from surrogates.neurons.training.data import Runs

_CELL, _SURROGATE = "#222222", "#D55E00"


def neuron_figure(neuron: TrainedNeuron, runs: dict[str, Runs], title: str, window_ms: float = 400.0) -> Figure:
    """Voltage and first output of one run of each regime, the cell's and the surrogate's, with their spikes above.

    Of each regime the run with the median number of spikes is drawn, so that it is neither the best nor the worst.
    """
    outputs = neuron.outputs[:1]
    rows = 1 + len(outputs)
    figure = Figure((4.2 * len(runs), 1.0 + 2.0 * rows), dpi=110, layout="constrained")
    axes = figure.subplots(rows, len(runs), sharex=True, squeeze=False)
    for column, (regime, some) in zip(axes.T, runs.items(), strict=True):
        order = np.argsort(some.target.spikes.sum(1).numpy(), kind="stable")
        _draw(column, neuron, some.rows(order[len(order) // 2 : len(order) // 2 + 1]), window_ms)
        column[0].set_title(regime, fontsize=10, pad=22)
        column[-1].set_xlabel("time (ms)")
    for axis, label in zip(axes[:, 0], ("V (mV)", *(f"{o.name} ({o.unit})" for o in outputs)), strict=True):
        axis.set_ylabel(label)
    handles = [Line2D([], [], color=colour) for colour in (_CELL, _SURROGATE)]
    figure.legend(handles, ["NEURON", "surrogate"], loc="outside lower right", ncols=2, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def _draw(axes: Sequence[Axes], neuron: TrainedNeuron, run: Runs, window_ms: float) -> None:
    bins = slice(0, round(window_ms / neuron.network.bin_ms))
    response = neuron.network.respond(run.events)
    pairs = [(run.target.v, response.v)]
    if len(axes) > 1:
        pairs.append((run.target.outputs[..., 0], response.outputs[..., 0]))
    t = np.arange(run.events.shape[1])[bins] * neuron.network.bin_ms
    for axis, (true, predicted) in zip(axes, pairs, strict=True):
        axis.plot(t, true[0, bins], color=_CELL, lw=1.4)
        axis.plot(t, predicted[0, bins], color=_SURROGATE, lw=0.9)
        axis.spines[["top", "right"]].set_visible(False)
    above = axes[0].get_xaxis_transform()
    for height, colour, spikes in ((1.08, _CELL, run.target.spikes), (1.02, _SURROGATE, response.spikes)):
        at = t[spikes[0, bins].numpy() > 0]
        (marks,) = axes[0].plot(at, np.full(len(at), height), "|", color=colour, ms=5, transform=above, clip_on=False)
        # Above the axes on purpose: the layout would make room for them inside.
        marks.set_in_layout(False)
