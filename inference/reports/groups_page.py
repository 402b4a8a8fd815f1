"""Groups of recordings on one HTML page that needs nothing beside itself."""

from pathlib import Path
from typing import NamedTuple

from inference.groups.hierarchical import summary
from inference.recordings.dataset import LABELS
from inference.reports.groups import (
    GroupStudy,
    cell,
    changes,
    heading,
    in_units,
    named,
    notes,
    sentences,
    sharing,
    subjects,
)
from inference.reports.groups_figure import groups_figure
from inference.reports.html import embedded, flat, rendered
from inference.reports.predicted import MOST, predicted_figure
from inference.reports.verdict import DOUBTFUL, OK
from simulators.provenance import versions


class _Row(NamedTuple):
    name: str
    cells: tuple[str, ...]


def write_groups_page(path: Path, study: GroupStudy, results: Path) -> None:
    """Sentences, subjects and groups in a figure, tables of means and differences, every recording with its verdict."""
    found = study.found
    means, differences = [], []
    for k, parameter in enumerate(found.parameters):
        own = [groups[k] for groups in found.groups.values()]
        told = [
            f"{cell(parameter, in_units(parameter, summary(one.place), True))}, sd "
            f"{cell(parameter, in_units(parameter, summary(one.scatter), False))}"
            for one in own
        ]
        means.append(_Row(named(parameter), tuple(told)))
        each = [contrast.differences[k] for contrast in found.contrasts]
        told = [
            cell(parameter, in_units(parameter, summary(one.draws), False), signed=True)
            + (": differs" if one.differs else "")
            for one in each
        ]
        differences.append(_Row(named(parameter), tuple(told)))
    out = {name for name, _ in found.left_out}
    rows = [
        (a.recording, {**a.labels}, a.status, a.reason, "left out" if a.recording in out else "") for a in study.answers
    ]
    labels = [name for name in LABELS if any(name in a.labels for a in study.answers)]
    page = rendered(
        "groups.html.jinja",
        title=f"Groups by {found.between}",
        method=study.method,
        groups={name: own[0].n for name, own in found.groups.items()},
        headings=[f"{heading(c)} ({subjects(c)})" for c in found.contrasts],
        sentences=list(sentences(found)),
        differs=any(one.differs for c in found.contrasts for one in c.differences),
        means=means,
        differences=differences,
        notes=list(notes(study)),
        changes=list(changes(found)),
        figure=embedded(groups_figure(found, list(study.answers))),
        spectra=_spectra(study, out),
        labels=labels,
        recordings=rows,
        styles={OK: "", DOUBTFUL: "missed"},
        shared=sharing(study),
        provenance=list(flat({"results": str(results), "method": study.method, "versions": versions()})),
    )
    path.write_text(page, encoding="utf-8")


def _spectra(study: GroupStudy, out: set[str]) -> str:
    """Of all recordings, as a picture; empty where results hold none."""
    between = study.found.between
    ordered = sorted(study.answers, key=lambda a: (a.labels.get(between, ""), a.recording))
    # Where there are too many to show, some of every group.
    ordered = ordered[:: -(-len(ordered) // MOST)] if len(ordered) > MOST else ordered
    shown = [
        (f"{Path(a.subject).name}, {a.labels.get(between, '')}", one, a.recording not in out)
        for a in ordered
        if (one := study.predicted.get(a.recording)) is not None
    ]
    return embedded(predicted_figure(shown)) if shown else ""
