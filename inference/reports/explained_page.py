"""Which circuit explains a recording, on one HTML page that needs nothing beside itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from inference.evaluation.constraint import LITTLE, TradeOff, range_left, trade_offs
from inference.explaining.comparison import BACKGROUND
from inference.explaining.explain import DOUBTFUL, EXPLAINED, NOT_EXPLAINED, Explained, in_decibels
from inference.explaining.fits import Explanation
from inference.reports.explained_figure import explained_figure, ranked
from inference.reports.html import embedded, flat, rendered
from inference.reports.recording_page import table_rows
from simulators.provenance import versions

MEASURED = {
    "each": 12, "strangers": 32, "own_accepted": 100.0, "maker_named": 36.1, "another_named": 0.0,
    "strangers_accepted": 3.1, "backgrounds_accepted": 0.0,
}  # fmt: skip
"""Per cent, of ``each`` recordings of every circuit and ``strangers`` of every kind of these: docs/measured.md, "Which
circuit"."""

_STYLES = {EXPLAINED: "ok", DOUBTFUL: "doubtful", NOT_EXPLAINED: "refused"}
_WORDS = {EXPLAINED: "explains it", DOUBTFUL: "doubtful", NOT_EXPLAINED: "does not"}
_SPOKEN_OF = 0.05  # of the probability: a circuit that has less is not asked for parameters
_NEARLY = 0.9  # of the share that is expected in the band
_MAINS_HZ = (50.0, 60.0)
_NARROW_HZ = 16.0  # a line fills two or three of the frequencies that are compared


class Line(NamedTuple):
    """One circuit in the table: what it is to the recording; where the recording leaves it, and what else to know."""

    name: str
    standing: str
    words: str
    where: tuple[str, ...]
    inside: str
    probability: str
    background: str


class Told(NamedTuple):
    """Parameters of one circuit, if it made the recording; without rows, ``refused`` says why there are none."""

    name: str
    probability: str
    rows: tuple["Row", ...]
    pairs: tuple[TradeOff, ...]
    refused: str
    warnings: tuple[str, ...]


class Row(NamedTuple):
    """One parameter; value and interval are empty where the recording tells little of it."""

    name: str
    meaning: str
    range: str
    value: str
    interval: str
    left: str


def write_explained_page(path: str | Path, one: Explained) -> None:
    """The page: verdict, a line a circuit, spectra, parameters, what to try, what spectra cannot see, error rates."""
    page = rendered(
        "explained.html.jinja",
        title=f"Which circuit? {Path(one.recording).name}",
        one=one,
        style=_STYLES[one.status],
        lines=lines_of(one),
        told=told_of(one),
        steps=list(next_steps(one)),
        caution=caution(one),
        figure=embedded(explained_figure(one, titled=False)),
        measured=MEASURED,
        provenance=list(flat({"recording": one.recording, "channel": one.channel, "versions": versions()})),
    )
    Path(path).write_text(page, encoding="utf-8")


def standing(one: Explained, explanation: Explanation) -> str:
    """Explained, doubtful or not explained: what one circuit is to the recording, given the others."""
    if not explanation.fits:
        return NOT_EXPLAINED
    if one.status == DOUBTFUL:
        return DOUBTFUL
    if one.best is None:  # a background alone is enough, and no circuit fits
        return EXPLAINED
    circuits = one.circuits
    same = circuits.get(explanation.name, explanation.name) == circuits.get(one.best.name, one.best.name)
    return EXPLAINED if same else DOUBTFUL


def caution(one: Explained) -> str:
    """What the figure shows against the circuit that the verdict names; mostly empty."""
    if one.best is None:
        return ""
    check, name = one.best.check, one.best.name
    if check.departures:
        where = " and ".join(in_decibels(d) for d in check.departures)
        return f"Even so the recording leaves what {name} makes {where}. Look at the figure before you believe it."
    if check.inside < _NEARLY * check.expected:
        return (
            f"Even so only {check.inside:.0%} of the spectrum lies in the band of {name}, where {check.expected:.0%} "
            f"are expected. Look at the figure before you believe it."
        )
    return ""


def lines_of(one: Explained) -> list[Line]:
    """A line a circuit, those that fit first."""
    found = []
    for explanation in ranked(one):
        share = one.probabilities.get(explanation.name)  # none where a part of the frequencies is not compared
        is_ = standing(one, explanation)
        probability = "not told" if share is None else f"{share:.0%}" if explanation.fits else f"({share:.0%})"
        where = tuple(in_decibels(d) for d in explanation.check.departures)
        if explanation.fits and is_ == DOUBTFUL and share is not None and share <= _SPOKEN_OF:
            where = ("others are more probable", *where)
        elif not explanation.fits and not where:
            where = ("at all frequencies a little",)
        background = f"{explanation.share:.0%}" if explanation.fits and explanation.name != BACKGROUND else ""
        inside = f"{explanation.check.inside:.0%}"
        found.append(Line(explanation.name, is_, _WORDS[is_], where, inside, probability, background))
    return found


def told_of(one: Explained) -> list[Told]:
    """Parameters of the circuit that the verdict names; where that is doubtful, of every one that is probable."""
    if one.best is None:
        return []
    spoken = [one.best]
    if one.status == DOUBTFUL:
        spoken += [
            e for e in ranked(one) if e is not one.best and e.fits and one.probabilities.get(e.name, 1.0) > _SPOKEN_OF
        ]
    return [_told(e, one.probabilities.get(e.name)) for e in spoken if e.estimate is not None]


def _told(explanation: Explanation, probability: float | None) -> Told:
    estimate = explanation.estimate
    assert estimate is not None
    warnings, chance = estimate.warnings, "" if probability is None else f"{probability:.0%}"
    if not estimate.trusted or not estimate.has_interval:
        why = warnings[0] if warnings else "its posterior could not be drawn"
        return Told(explanation.name, chance, (), (), why, warnings[1:])
    rows = []
    for row, left in zip(table_rows([estimate], with_range=True), range_left(estimate), strict=True):
        (cell,) = row.cells
        value, interval = ("", "") if left > LITTLE else (cell.value, cell.interval)
        rows.append(Row(row.name, row.meaning, row.range, value, interval, cell.left))
    return Told(explanation.name, chance, tuple(rows), trade_offs(estimate), "", warnings)


def next_steps(one: Explained) -> Iterator[str]:
    """What to try after this verdict, the likeliest to help first."""
    if one.status == NOT_EXPLAINED and (line := _mains(one)):
        yield line
    if one.advice:
        yield one.advice
    if one.status == EXPLAINED:
        yield (
            "Ask again with other channels (--channel) and other stretches: the same circuit, with about the same "
            "parameters, should come out."
        )
        yield (
            "Look at what spectra do not show: simulate the circuit ('circuitsbi simulate'), and compare events, "
            "phases and relations between channels with the recording's."
        )


def _mains(one: Explained) -> str:
    """What to do about more power than circuits make at 50 or 60 Hz and nowhere near; empty where there is none."""
    for explanation in one.explanations:
        for low, high, _, factor, _ in () if explanation.fits else explanation.check.departures:
            if factor > 1 and high - low <= _NARROW_HZ and any(low - 4 <= hz <= high + 4 for hz in _MAINS_HZ):
                return (
                    f"The recording has more power than {explanation.name} makes at {low:g}-{high:g} Hz, where the "
                    f"mains are: if this is line noise, filter it out and ask again."
                )
    return ""
