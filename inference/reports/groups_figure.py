"""Subjects' answers by group, the groups' means, and pairs joined."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inference.groups.compare import Answered, Compared
from inference.groups.hierarchical import summary
from inference.reports.groups import in_units, named
from inference.reports.style import BAND_COLOUR, INK, MUTED, plain, short
from simulators.interface import Parameter

_COLUMNS = 3
_ROOM = 0.28  # in which the subjects of a group stand side by side


def groups_figure(found: Compared, answers: list[Answered]) -> Figure:
    """A panel a parameter: each subject's median and 90 % interval, and the mean of its group with its own."""
    n = len(found.parameters)
    rows = -(-n // _COLUMNS)
    columns = min(n, _COLUMNS)
    figure = Figure((3.2 * columns + 0.4, 2.9 * rows), dpi=160, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    gone = {name for name, _ in found.left_out}
    kept = [a for a in answers if a.recording not in gone and a.labels.get(found.between) in found.groups]
    for k, (ax, parameter) in enumerate(zip(axes, found.parameters, strict=False)):
        _draw(ax, found, kept, parameter, k)
    for ax in axes[n:]:
        ax.set_axis_off()
    return figure


def _draw(ax: Axes, found: Compared, answers: list[Answered], parameter: Parameter, k: int) -> None:
    places = {name: i for i, name in enumerate(found.groups)}
    middles: dict[str, dict[str, tuple[float, float]]] = {}
    for name, x in places.items():
        mean = in_units(parameter, summary(found.groups[name][k].place), True)
        ax.fill_between([x - 0.4, x + 0.4], mean.low, mean.high, color=BAND_COLOUR, lw=0)
        ax.plot([x - 0.4, x + 0.4], [mean.median] * 2, color="white", lw=1.2)
        own = [a for a in answers if a.labels[found.between] == name and a.draws is not None]
        for a, shift in zip(own, np.linspace(-_ROOM, _ROOM, len(own)) if len(own) > 1 else [0.0], strict=True):
            assert a.draws is not None
            told = in_units(parameter, summary(a.draws[:, k]), True)
            ax.plot([x + shift] * 2, [told.low, told.high], color=MUTED, lw=0.8, zorder=2)
            ax.plot(x + shift, told.median, "o", color=INK, ms=2.5, zorder=3)
            middles.setdefault(a.subject, {})[name] = (x + shift, told.median)
    for contrast in found.contrasts if len(places) == 2 else ():
        ends = (contrast.first, contrast.second)
        for own_middles in middles.values() if contrast.paired else ():
            if all(end in own_middles for end in ends):
                ax.plot(*zip(*(own_middles[end] for end in ends), strict=True), color=MUTED, lw=0.5, alpha=0.6)
    ax.set_xlim(-0.6, len(places) - 0.4)
    ax.set_ylim(parameter.low, parameter.high)
    ax.set_xticks(list(places.values()), [short(name, 14) for name in places], parse_math=False)
    ax.set_title(named(parameter), fontsize=10, color=INK, parse_math=False)
    plain(ax)
