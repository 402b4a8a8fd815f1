"""Groups of answered recordings: who is in which, who is left out and why, and by how much they differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

from inference.groups.hierarchical import Difference, Group, difference, group, paired_difference
from inference.reports.verdict import FAILED, REFUSED
from simulators.interface import ParameterSpace

_SPREAD_NEEDS = 2  # subjects


@dataclass(frozen=True, eq=False)
class Answered:
    """One recording's answer. draws: (draws, n_parameters) in the unit cube, None where there is none.

    labels: whose it is and under what (subject, session, condition, group); status: as a table of answers has it.
    """

    recording: str
    labels: Mapping[str, str]
    status: str
    reason: str
    draws: Float[np.ndarray, "draws n_parameters"] | None

    @property
    def subject(self) -> str:
        """Where none is named, each recording is of another."""
        return self.labels.get("subject") or self.recording


@dataclass(frozen=True, eq=False)
class Contrast:
    """The second of two groups against the first: a difference for each parameter, in its order.

    subjects: how many are in each; alone: those of a paired comparison that are in one condition only, left out.
    """

    first: str
    second: str
    paired: bool
    differences: tuple[Difference, ...]
    subjects: tuple[int, int]
    alone: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Compared:
    """Groups of recordings by one label.

    groups: of each its distribution of every parameter; left_out: recordings that do not count, each with why;
    too_few: groups of which no spread is told; with_all: contrasts as they would be with what no circuit explains.
    """

    parameters: ParameterSpace
    between: str
    groups: Mapping[str, tuple[Group, ...]]
    contrasts: tuple[Contrast, ...]
    left_out: tuple[tuple[str, str], ...]
    too_few: tuple[str, ...]
    with_all: tuple[Contrast, ...] = ()


_Members = dict[str, list[Answered]]


def compared(
    parameters: ParameterSpace, answers: Sequence[Answered], between: str, paired: bool | None = None, seed: int = 0
) -> Compared:
    """Recordings grouped by the label ``between``, every two groups against each other.

    What is refused or failed is left out, and so is what lacks the label. paired: whether subjects that are in two
    groups are compared with themselves; by default where most of them are. Raises ValueError where fewer than two
    groups have two subjects or more, and for pairs where there are none.
    """
    left_out = [(a.recording, why) for a in answers if (why := _why_not(a, between))]
    gone = {name for name, _ in left_out}
    members = _members([a for a in answers if a.recording not in gone], between)
    few = tuple(name for name, some in members.items() if len(_by_subject(some)) < _SPREAD_NEEDS)
    kept = {name: some for name, some in members.items() if name not in few}
    if len(kept) < 2:
        raise ValueError(_nothing_to_compare(between, members, left_out))
    groups = {
        name: tuple(group(subjects, seed) for subjects in _each(_by_subject(some), len(parameters)))
        for name, some in kept.items()
    }
    every = _members([a for a in answers if a.draws is not None and a.labels.get(between)], between)
    again = {name: every[name] for name in kept} if any(a.status == REFUSED for a in answers) else {}
    n = len(parameters)
    return Compared(
        parameters, between, groups, tuple(_contrasts(kept, n, paired, seed)), tuple(left_out), few,
        tuple(_contrasts(again, n, paired, seed)),
    )  # fmt: skip


def _why_not(answer: Answered, between: str) -> str:
    """Why a recording does not count; empty where it does."""
    if answer.status in (FAILED, REFUSED) or answer.draws is None:
        said = "has no answer" if answer.status == FAILED else "is explained by no parameters in the range"
        return f"{said}: {answer.reason}" if answer.reason else said
    return "" if answer.labels.get(between) else f"has no {between}"


def _members(answers: Sequence[Answered], between: str) -> dict[str, list[Answered]]:
    found: dict[str, list[Answered]] = {}
    for a in answers:
        found.setdefault(a.labels[between], []).append(a)
    return dict(sorted(found.items()))


def _by_subject(answers: Sequence[Answered]) -> _Members:
    found: _Members = {}
    for a in answers:
        found.setdefault(a.subject, []).append(a)
    return found


def _each(members: _Members, n: int) -> Iterator[list[list[np.ndarray]]]:
    """Of each parameter, the draws of each subject's recordings."""
    for k in range(n):
        yield [[a.draws[:, k] for a in some if a.draws is not None] for some in members.values()]


def _contrasts(groups: Mapping[str, list[Answered]], n: int, paired: bool | None, seed: int) -> Iterator[Contrast]:
    for first, second in combinations(groups, 2):
        one, other = (_by_subject(groups[name]) for name in (first, second))
        both = [subject for subject in one if subject in other]
        most = 2 * len(both) >= max(len(one), len(other))
        if paired and len(both) < _SPREAD_NEEDS:
            raise ValueError(f"{len(both)} of the subjects are in both {first} and {second}: they are no pairs")
        pairs = len(both) >= _SPREAD_NEEDS and (most if paired is None else paired)
        alone: tuple[str, ...] = ()
        if pairs:
            alone = tuple(sorted((one.keys() | other.keys()) - set(both)))
            one, other = ({subject: some[subject] for subject in both} for some in (one, other))
        told = paired_difference if pairs else difference
        found = zip(_each(one, n), _each(other, n), strict=True)
        yield Contrast(first, second, pairs, tuple(told(a, b, seed) for a, b in found), (len(one), len(other)), alone)


def _nothing_to_compare(
    between: str, members: Mapping[str, list[Answered]], left_out: Sequence[tuple[str, str]]
) -> str:
    sizes = ", ".join(f"{name} ({len(_by_subject(some))})" for name, some in members.items()) or "none"
    out = f"; {len(left_out)} recordings are left out, the first since it {left_out[0][1]}" if left_out else ""
    return (
        f"two groups of two subjects or more are needed to compare by {between}; there are {sizes} (subjects that "
        f"count){out}"
    )
