"""Estimates side by side, for the terminal."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from rich.table import Table
from rich.text import Text

from inference.estimate import Estimate
from inference.evaluation.calibration import Finding


def estimates_table(estimates: Sequence[Estimate], truth: Float[np.ndarray, " n_parameters"] | None = None) -> Table:
    """One row a parameter; per method the point and its 95 % interval, starred where the interval misses the truth."""
    first = estimates[0]
    table = Table("parameter", *([] if truth is None else ["truth"]))
    for estimate in estimates:
        table.add_column(f"{estimate.method} (95 %)")
    for k, (name, unit) in enumerate(zip(first.names, first.units, strict=True)):
        row = [name if unit == "1" else f"{name} ({unit})"]
        if truth is not None:
            row.append(f"{truth[k]:.4g}")
        for estimate in estimates:
            cell = f"{estimate.point[k]:.4g}"
            if estimate.samples is not None:
                low, high = estimate.interval(0.95)[k]
                missed = truth is not None and not low <= truth[k] <= high
                # Where no draw fell into the parameter space there is no interval to show.
                cell = f"{cell}  [{low:.4g}, {high:.4g}]" + (" *" if missed else "") if high > low else "-"
            row.append(cell)
        table.add_row(*row)
    return table


def findings_table(found: Mapping[str, Sequence[Finding]]) -> Table:
    """One row for each estimator and diagnostic: the verdict and what it means."""
    table = Table("estimator", "diagnostic", "verdict", "in plain words")
    for name, findings in found.items():
        for i, f in enumerate(findings):
            verdict = Text(f.verdict, "" if f.good else "bold yellow")
            table.add_row(name if i == 0 else "", f.diagnostic, verdict, f.text, end_section=i == len(findings) - 1)
    return table
