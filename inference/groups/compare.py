"""Groups of answered recordings: who is in which, who is left out and why, and by how much they differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

from inference.estimate import FAILED, REFUSED
from inference.groups.hierarchical import Difference, Group, difference, group, paired_difference
from simulators.interface import ParameterSpace

_SPREAD_NEEDS = 2  # subjects


@dataclass(frozen=True, eq=False)
class Answered:
    """One recording's answer, or a window's. draws: in the unit cube, None where there is no posterior.

    labels: whose it is and under what (subject, session, condition, group); status: the worst of all methods'; reason:
    why that is so; file: that it is a window of, where it is one.
    """

    recording: str
    labels: Mapping[str, str]
    status: str
    reason: str
    draws: Float[np.ndarray, "draws n_parameters"] | None
    file: str = ""

    @property
    def subject(self) -> str:
        """Where none is named, each recording is of another, and its windows are of one."""
        return self.labels.get("subject") or self.file or self.recording


@dataclass(frozen=True, eq=False)
class Contrast:
    """The second of two groups against the first: a difference for each parameter, in its order.

    subjects: how many are in each; alone: those of a paired comparison that are in one condition only, left out; twice:
    those of another comparison that are in both, and count as different ones.
    """

    first: str
    second: str
    paired: bool
    differences: tuple[Difference, ...]
    subjects: tuple[int, int]
    alone: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Compared:
    """Groups of recordings by one label.

    groups: of each its distribution of every parameter; left_out: recordings that do not count, each with why;
    too_few: groups of which no spread is told; with_all: contrasts as they would be with what no parameters explain,
    none where there is no such recording.
    """

    parameters: ParameterSpace
    between: str
    groups: Mapping[str, tuple[Group, ...]]
    contrasts: tuple[Contrast, ...]
    left_out: tuple[tuple[str, str], ...]
    too_few: tuple[str, ...]
    with_all: tuple[Contrast, ...] = ()


_BySubject = dict[str, list[Answered]]


def compared(
    parameters: ParameterSpace, answers: Sequence[Answered], between: str, paired: bool | None = None, seed: int = 0
) -> Compared:
    """Recordings grouped by the label ``between``, every two groups against each other.

    What is refused or failed is left out, and so is what lacks the label. paired: whether subjects that are in two
    groups are compared with themselves; by default where most of them are. Raises ValueError where fewer than two
    groups have two subjects or more, and for pairs where there are none.
    """
    reasons = [_why_not(a, between) for a in answers]
    left_out = [(a.recording, why) for a, why in zip(answers, reasons, strict=True) if why]
    members = _in_groups([a for a, why in zip(answers, reasons, strict=True) if not why], between)
    few = tuple(name for name, some in members.items() if len(_by_subject(some)) < _SPREAD_NEEDS)
    kept = {name: some for name, some in members.items() if name not in few}
    if len(kept) < 2:
        raise ValueError(_nothing_to_compare(between, members, left_out))
    groups = {
        name: tuple(group(subjects, seed) for subjects in _each(_by_subject(some), len(parameters)))
        for name, some in kept.items()
    }
    every = _in_groups([a for a in answers if a.draws is not None and a.labels.get(between) in kept], between)
    again = every if any(a.status == REFUSED for some in every.values() for a in some) else {}
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


def _in_groups(answers: Sequence[Answered], between: str) -> dict[str, list[Answered]]:
    found: dict[str, list[Answered]] = {}
    for a in answers:
        found.setdefault(a.labels[between], []).append(a)
    return dict(sorted(found.items()))


def _by_subject(answers: Sequence[Answered]) -> _BySubject:
    found: _BySubject = {}
    for a in answers:
        found.setdefault(a.subject, []).append(a)
    return found


def _each(members: _BySubject, n: int) -> Iterator[list[list[np.ndarray]]]:
    """Of each parameter, the draws of each subject's recordings."""
    for k in range(n):
        yield [[a.draws[:, k] for a in some if a.draws is not None] for some in members.values()]


def _contrasts(groups: Mapping[str, list[Answered]], n: int, paired: bool | None, seed: int) -> Iterator[Contrast]:
    for first, second in combinations(groups, 2):
        one, other = (_by_subject(groups[name]) for name in (first, second))
        both = tuple(subject for subject in one if subject in other)
        most = 2 * len(both) >= max(len(one), len(other))
        if paired and len(both) < _SPREAD_NEEDS:
            common = f"{len(both)} subject{'s' * (len(both) != 1)} in common"
            raise ValueError(
                f"{first} and {second} have {common}, too few for pairs; leave --paired out or take another label"
            )
        pairs = len(both) >= _SPREAD_NEEDS and (most if paired is None else paired)
        alone = tuple(sorted((one.keys() | other.keys()) - set(both))) if pairs else ()
        if pairs:
            one, other = ({subject: some[subject] for subject in both} for some in (one, other))
        told = paired_difference if pairs else difference
        found = zip(_each(one, n), _each(other, n), strict=True)
        differences = tuple(told(a, b, seed) for a, b in found)
        yield Contrast(first, second, pairs, differences, (len(one), len(other)), alone, () if pairs else both)


def _nothing_to_compare(
    between: str, members: Mapping[str, list[Answered]], left_out: Sequence[tuple[str, str]]
) -> str:
    sizes = ", ".join(f"{name} ({len(_by_subject(some))})" for name, some in members.items()) or "none"
    out = f"; {len(left_out)} recordings are left out, the first since it {left_out[0][1]}" if left_out else ""
    return (
        f"two groups of two subjects or more are needed to compare by {between}; there are {sizes} (subjects that "
        f"count){out}"
    )
