"""What the diagnostics found, as a figure and a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from inference.evaluation.calibration import (
    Finding,
)
from inference.reports.html import embedded, flat, rendered
from simulators.interface import ParameterSpace


def diagnosis_figure(space: ParameterSpace, findings: Sequence[Finding]) -> Figure:
    """Ranks, coverage of joint and single posteriors, recovery and bias, a column a parameter."""
    by_name = {f.diagnostic: f.values for f in findings}
    ranks, coverage, found = (
        by_name[name] for name in ("simulation-based calibration", "expected coverage", "recovery")
    )
    n = len(space)
    figure = Figure(figsize=(3.4 * (n + 1), 9), layout="constrained")
    axes = figure.subplots(3, n + 1)
    rows = len(ranks["ranks"])
    bins = 15
    low, high = stats.binom.ppf([0.005, 0.995], rows, 1 / bins)
    for k, p in enumerate(space):
        top, middle, bottom = axes[:, k]
        top.axhspan(low, high, color="#e5e7eb")
        top.hist(ranks["ranks"][:, k] / ranks["draws"], bins=bins, range=(0, 1), color="#0072B2")
        top.set(title=f"rank of {p.name}", xlabel="share of draws below the truth", ylabel="recordings")
        middle.plot(found["truths"][:, k], found["points"][:, k], ".", ms=3, color="#0072B2")
        middle.axline((p.low, p.low), slope=1, color="k", lw=0.7)
        middle.set(title=f"{p.name}: estimate and truth", xlabel="truth", ylabel="estimate")
        image = bottom.imshow(100 * found["bias"][:, :, k], cmap="RdBu", vmin=-3, vmax=3, aspect="auto")
        parts = found["bias"].shape[1]
        bottom.set_yticks(range(n), space.names)
        bottom.set_xticks(range(parts), ["low", *["middle"] * (parts - 2), "high"])
        bottom.set(title=f"bias of {p.name} (% of range)", xlabel="where the estimate is, of ...")
        figure.colorbar(image, ax=bottom)
    joint, single, empty = axes[:, n]
    joint.plot(coverage["levels"], coverage["curve"], color="#0072B2")
    joint.axline((0, 0), slope=1, color="k", lw=0.7)
    joint.set(title="joint coverage (TARP)", xlabel="region's content", ylabel="share of truths inside", xlim=(0, 1))
    places = np.arange(n)
    for offset, mass in ((-0.2, 50), (0.2, 90)):
        single.bar(places + offset, 100 * coverage[f"coverage{mass}"], 0.36, label=f"{mass} % intervals")
        single.axhline(mass, color="k", lw=0.7)
    single.set_xticks(places, space.names)
    single.set(title="truth inside intervals", ylabel="% of recordings", ylim=(0, 100))
    single.legend(fontsize=8, loc="lower right")
    empty.axis("off")
    return figure


def write_diagnosis(
    path: str | Path,
    title: str,
    recordings: int,
    found: Mapping[str, Sequence[Finding]],
    space: ParameterSpace,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the page: first what is wrong, then every estimator's findings and figure."""
    doubts = [f"{name}, {f.diagnostic}: {f.text}" for name, findings in found.items() for f in findings if not f.good]
    estimators = [
        {"name": name, "findings": findings, "figure": embedded(diagnosis_figure(space, findings))}
        for name, findings in found.items()
    ]
    page = rendered(
        "diagnosis.html.jinja",
        title=title,
        recordings=recordings,
        doubts=doubts,
        estimators=estimators,
        provenance=list(flat(provenance or {})),
    )
    Path(path).write_text(page, encoding="utf-8")
