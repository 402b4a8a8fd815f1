"""Estimates side by side, for the terminal."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inference.estimate import Estimate
from inference.evaluation.calibration import Finding
from inference.evaluation.constraint import in_words, range_left
from inference.reports.verdict import DOUBTFUL, OK, Verdict

_NEARLY_ALL = 0.998
_WIDE = 200  # characters, in a file


def show(console: Console, *things: Table | Text | str) -> None:
    """Tables and lines on a console; where its output goes to a file, none is broken at the width of a terminal."""
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)
    for thing in things:
        console.print(thing, soft_wrap=not console.is_terminal and not isinstance(thing, Table))


def verdict_lines(verdict: Verdict) -> Iterator[Text]:
    """What to make of the answers, where the recording is unlike the fit, and what to do next."""
    style = {OK: "green", DOUBTFUL: "bold yellow"}.get(verdict.status, "bold red")
    yield Text(verdict.sentence, style)
    yield from (Text(line) for line in (verdict.where, verdict.advice, verdict.agreed, verdict.unconstrained) if line)


def detail_lines(verdict: Verdict) -> Iterator[Text]:
    """Every warning as its method words it, but where the verdict's sentence is one already."""
    if verdict.details and not (len(verdict.details) == 1 and verdict.details[0] in verdict.sentence):
        yield from (Text(f"  {detail}", "dim") for detail in verdict.details)


def estimates_table(
    estimates: Sequence[Estimate], truth: Float[np.ndarray, " n_parameters"] | None = None, with_range: bool = False
) -> Table:
    """One row a parameter; per method the point and its 95 % interval, starred where the interval misses the truth.

    Numbers are grey and in round brackets, under a heading that says why, where one of the estimates is not to be
    trusted: one method that finds the recording unlike the circuit is enough. with_range: also how much of the range is
    left.
    """
    first = estimates[0]
    table = Table("parameter", *([] if truth is None else ["truth"]), show_lines=True)
    trusted = all(estimate.trusted for estimate in estimates)
    for estimate in estimates:
        heading = f"{estimate.method}\n" + ("(95 %)" if trusted else "not to be trusted")
        table.add_column(heading, style="" if trusted else "dim", no_wrap=True)
    for k, (name, unit) in enumerate(zip(first.names, first.units, strict=True)):
        row = [name if unit == "1" else f"{name} ({unit})"]
        if truth is not None:
            row.append(f"{truth[k]:.4g}")
        row += [_cell(estimate, k, truth, trusted, with_range) for estimate in estimates]
        table.add_row(*row)
    return table


def _cell(
    estimate: Estimate, k: int, truth: Float[np.ndarray, " n_parameters"] | None, trusted: bool, with_range: bool
) -> str:
    if estimate.samples is None:
        cell = f"{estimate.point[k]:.4g}"
    elif not estimate.has_interval:
        return "-"  # no draw fell into the parameter space: there is neither a point nor an interval
    else:
        low, high = estimate.interval(0.95)[k]
        missed = truth is not None and not low <= truth[k] <= high
        cell = f"{estimate.point[k]:.4g}\n[{low:.4g}, {high:.4g}]" + (" *" if missed else "")
        if with_range and trusted:
            cell += f"\nrange left {in_words(range_left(estimate)[k])}"
    return cell if trusted else f"({cell})"


def known_lines(
    without: Sequence[Estimate], given: Sequence[Estimate], known: Mapping[str, float]
) -> Iterator[Table | Text]:
    """What known values change: each method's interval without and with them; and those that a method speaks against.

    without: estimates of all parameters, by the same methods in the same order.
    """
    for estimate in without:
        for name, value in known.items():
            if not estimate.has_interval:
                continue
            low, high = estimate.interval(_NEARLY_ALL)[estimate.names.index(name)]
            if not low <= value <= high:
                yield Text(
                    f"{estimate.method}: without knowing it, {name} would be {low:.4g} ... {high:.4g} "
                    f"({100 * _NEARLY_ALL:g} %), and not {value:g}",
                    "bold yellow",
                )
    told = ", ".join(f"{name} = {value:g}" for name, value in known.items())
    table = Table("parameter", title=f"95 % intervals without and with {told}")
    for estimate in given:
        table.add_column(estimate.method, no_wrap=True)
    for k, name in enumerate(given[0].names):
        cells = []
        for before, after in zip(without, given, strict=True):
            ends = [
                "-" if not one.has_interval else "{:.4g} ... {:.4g}".format(*one.interval(0.95)[one.names.index(name)])
                for one in (before, after)
            ]
            cells.append(" -> ".join(ends))
        unit = given[0].units[k]
        table.add_row(name if unit == "1" else f"{name} ({unit})", *cells)
    yield table


def findings_table(found: Mapping[str, Sequence[Finding]]) -> Table:
    """One row for each estimator and diagnostic: the verdict and what it means."""
    table = Table("estimator", "diagnostic", "verdict", "in plain words")
    for name, findings in found.items():
        for i, f in enumerate(findings):
            verdict = Text(f.verdict, "" if f.good else "bold yellow")
            table.add_row(name if i == 0 else "", f.diagnostic, verdict, f.text, end_section=i == len(findings) - 1)
    return table
