"""Groups of recordings and their differences: sentences, tables for the terminal, rows of a file."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inference.estimate import decimals
from inference.estimators.along import LOG_GAIN
from inference.groups.compare import Answered, Compared, Contrast
from inference.groups.hierarchical import MASS, Summary, summary
from inference.groups.shared import Shared
from inference.reports.answers import plain
from inference.reports.predicted import Predicted
from inference.reports.tables import show
from simulators.interface import Parameter

_COLUMNS = (
    "between", "first", "second", "paired", "subjects_first", "subjects_second", "parameter", "unit", "difference",
    "low", "high", "differs",
)  # fmt: skip
INTERVAL = f"{MASS:.0%}".replace("%", " %")


@dataclass(frozen=True, eq=False)
class GroupStudy:
    """Groups, the answers they were made of, and what recordings were taken to share ({} for nothing).

    shared: by the label of the recordings that share it (the subject, say), or "" of all; within: that label's name;
    sharing: what is shared. contradicting: recordings of which another value of that is told than of the others;
    predicted: of recordings whose results hold them, their spectra beside the band of their answer.
    """

    method: str
    found: Compared
    answers: tuple[Answered, ...]
    shared: Mapping[str, Shared]
    contradicting: tuple[str, ...]
    predicted: Mapping[str, Predicted]
    sharing: tuple[str, ...] = ()
    within: str = ""


def in_units(parameter: Parameter, told: Summary, offset: bool) -> Summary:
    """Of a place in the range, or (``offset`` False) of a difference of places, in the parameter's unit."""
    width = parameter.high - parameter.low
    return Summary(*((parameter.low if offset else 0.0) + width * v for v in told))


def cell(parameter: Parameter, told: Summary, signed: bool = False) -> str:
    """Median and interval, with two digits of the interval's width."""
    d, sign = decimals([told.high - told.low], parameter), "+" if signed else ""
    return f"{told.median:{sign}.{d}f} [{told.low:{sign}.{d}f}, {told.high:{sign}.{d}f}]"


def sentences(found: Compared) -> Iterator[str]:
    """What differs, a line each, then what does not."""
    for contrast in found.contrasts:
        same = []
        for parameter, one in zip(found.parameters, contrast.differences, strict=True):
            if not one.differs:
                same.append(parameter.name)
                continue
            told = cell(parameter, in_units(parameter, summary(one.draws), False), signed=True)
            unit = "" if parameter.unit == "1" else f" {parameter.unit}"
            yield f"{parameter.name} differs: {contrast.second} against {contrast.first} {told}{unit} ({INTERVAL})."
        if same:
            yield (
                f"Of {', '.join(same)} no difference is told between {contrast.first} and {contrast.second}, which "
                f"does not say that there is none: see how wide the intervals are."
            )


def notes(study: GroupStudy) -> Iterator[str]:
    """Who does not count, and why; how often chance alone differs."""
    found = study.found
    if study.contradicting:
        names = ", ".join(study.contradicting)
        its = " or ".join(_in_words(name) for name in study.sharing)
        yield f"their {its} is not that of the others, so they share it with none: {names}"
    for contrast in found.contrasts:
        if contrast.alone:
            names = ", ".join(contrast.alone)
            yield f"in one of {contrast.first} and {contrast.second} only, so not among the pairs: {names}"
        if contrast.twice:
            names = ", ".join(contrast.twice)
            yield (
                f"in both {contrast.first} and {contrast.second}, and counted as different subjects: {names} (--paired "
                f"compares these alone, with themselves)"
            )
    for name in found.too_few:
        yield f"{name} has one subject that counts, of which no spread is told: it is not compared"
    for recording, why in found.left_out:
        yield f"left out: {recording} {why}"
    tests = sum(len(c.differences) for c in found.contrasts)
    if tests > 1:
        yield f"{tests} differences are looked at; by chance alone one in twenty differs"


def changes(found: Compared) -> Iterator[str]:
    """What taking along what no circuit explains would change."""
    for kept, everything in zip(found.contrasts, found.with_all, strict=False):
        for parameter, one, other in zip(found.parameters, kept.differences, everything.differences, strict=True):
            told = cell(parameter, in_units(parameter, summary(other.draws), False), signed=True)
            unlike = "" if one.differs == other.differs else ": another answer"
            against = f"{parameter.name} of {kept.second} against {kept.first}"
            yield f"with what no circuit explains, {against}: {told}{unlike}"


def sharing(study: GroupStudy) -> str:
    """What was taken to be the same in which recordings, without a full stop; empty for nothing."""
    if not study.shared:
        return ""
    whose = f" of one {study.within}" if study.within else ""
    each = "; ".join(f"{label + ': ' if label else ''}{_told(one)}" for label, one in study.shared.items())
    return f"Taken to be the same in all recordings{whose}: {each}"


def _in_words(name: str) -> str:
    return "gain" if name == LOG_GAIN else name.replace("_", " ")


def _told(shared: Shared) -> str:
    """The gain as a factor, anything else as it is."""
    told = []
    for name in shared.names:
        mean, sd = shared.mean_sd(name)
        value = f"{mean:.3g} +- {sd:.2g}"
        if name == LOG_GAIN:
            low, high = np.exp([mean - 2 * sd, mean + 2 * sd])
            value = f"a factor of {np.exp(mean):.3g} [{low:.3g}, {high:.3g}]"
        told.append(f"{_in_words(name)} {value}")
    return ", ".join(told)


def show_groups(console: Console, study: GroupStudy) -> None:
    """Sentences, the groups, their differences, and who was left out."""
    found = study.found
    differs = any(one.differs for c in found.contrasts for one in c.differences)
    show(console, *(Text(line, "green" if differs and " differs: " in line else "") for line in sentences(found)))
    show(console, groups_table(found), differences_table(found))
    show(console, *(Text(f"  {line}", "dim") for line in (*notes(study), *changes(found))))


def groups_table(found: Compared) -> Table:
    """Mean over each group with its interval, and how far its subjects scatter."""
    table = Table("parameter", *found.groups, title=f"mean over subjects ({INTERVAL}), and their standard deviation")
    for k, parameter in enumerate(found.parameters):
        cells = []
        for groups in found.groups.values():
            mean = in_units(parameter, summary(groups[k].place), True)
            scatter = in_units(parameter, summary(groups[k].scatter), False)
            cells.append(f"{cell(parameter, mean)}\nsd {cell(parameter, scatter)}")
        table.add_row(named(parameter), *cells)
    table.add_row("subjects", *(str(groups[0].n) for groups in found.groups.values()))
    return table


def differences_table(found: Compared) -> Table:
    """The second group's mean less the first's."""
    table = Table("parameter", title=f"difference of means ({INTERVAL})")
    for contrast in found.contrasts:
        table.add_column(f"{heading(contrast)}\n{subjects(contrast)}")
    for k, parameter in enumerate(found.parameters):
        cells = []
        for contrast in found.contrasts:
            one = contrast.differences[k]
            told = cell(parameter, in_units(parameter, summary(one.draws), False), signed=True)
            cells.append(f"{told}{' differs' if one.differs else ''}")
        table.add_row(named(parameter), *cells)
    return table


def heading(contrast: Contrast) -> str:
    """Which group against which."""
    return f"{contrast.second} against {contrast.first}"


def subjects(contrast: Contrast) -> str:
    """How many, and whether they are the same."""
    first, second = contrast.subjects
    return f"{first} pairs" if contrast.paired else f"{second} and {first} subjects"


def named(parameter: Parameter) -> str:
    """With its unit."""
    return parameter.name if parameter.unit == "1" else f"{parameter.name} ({parameter.unit})"


def write_differences(path: Path, found: Compared) -> None:
    """A .csv with a row a contrast and parameter: median and 90 % interval of the difference, in its unit."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(_COLUMNS)
        for contrast in found.contrasts:
            for parameter, one in zip(found.parameters, contrast.differences, strict=True):
                told = in_units(parameter, summary(one.draws), False)
                names = (plain(found.between), plain(contrast.first), plain(contrast.second))
                about = (contrast.paired, *contrast.subjects, plain(parameter.name), plain(parameter.unit))
                table.writerow([*names, *about, *(f"{v:.6g}" for v in told), one.differs])
