"""Events in counts of E and I spikes a ms, and how well their onsets are predicted."""

from typing import Any, NamedTuple

import numpy as np

from simulators.firing_events.events import FiringEvents, detect_events
from surrogates.sequences.baselines import hazard
from surrogates.sequences.measures import average_precision, brier_score, ks_passes
from surrogates.sequences.models import CountModel

BEGIN_MS = 100  # of a network, before a model goes on alone
_CONTEXT_MS = 30  # longer than any event: what of the past decides whether one is under way


class Thresholds(NamedTuple):
    """E spikes a ms, above which an event opens, and not above which it ends."""

    opens: float
    closes: float


BEAT = Thresholds(2, 2)
RING = Thresholds(20, 10)  # at S = .05 a mean of 6 with a standard deviation of 9


def events_of(counts: np.ndarray, thresholds: Thresholds) -> FiringEvents:
    """Events in spikes a ms (ms, 2), of a network or of a model."""
    e, i = np.rint(counts).astype(int).T
    return detect_events(
        e, i, step_ms=1.0, window_ms=1.0, longest_ms=20.0, merge_ms=2.0, opens=thresholds.opens,
        closes=thresholds.closes,
    )  # fmt: skip


def onsets(counts: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    """Whether an event begins in each ms."""
    begins = np.zeros(len(counts), bool)
    begins[np.rint(events_of(counts, thresholds).onset_ms).astype(int)] = True
    return begins


def quiet_ms(begins: np.ndarray) -> np.ndarray:
    """At the start of each ms, since the last onset; before the first, since the start."""
    at = np.where(begins, np.arange(len(begins)), -1)
    last = np.concatenate([[-1], np.maximum.accumulate(at)[:-1]])
    return np.arange(len(begins)) - last


def within(begins: np.ndarray, lead: int) -> np.ndarray:
    """Whether an event begins in this ms or the ``lead`` - 1 after it."""
    padded = np.concatenate([begins, np.zeros(lead - 1, bool)])
    return np.any(np.lib.stride_tricks.sliding_window_view(padded, lead), axis=1)


def passed(one: np.ndarray, other: np.ndarray) -> float:
    """Share of Kolmogorov-Smirnov tests at n = 200 that do not tell two samples apart."""
    return round(ks_passes(one, other), 2) if min(len(one), len(other)) >= 200 else float("nan")


def onset_scores(
    model: CountModel, learned: np.ndarray, tested: np.ndarray, thresholds: Thresholds, leads=(1, 2, 5), draws: int = 40
) -> dict[str, Any]:
    """Average precision and Brier score of an event's onset within so many ms.

    By sequences that a model of counts draws, by the time since the last onset (hazard), and without skill.
    """
    at = np.arange(1000, min(len(tested) - 50, 31_000), 60)
    before = np.stack([tested[t - BEGIN_MS : t] for t in at])
    drawn = model.free_run(np.repeat(before, draws, axis=0), max(leads), seed=1)
    drawn = drawn.reshape(len(at), draws, max(leads), 2)
    pasts = before[:, -_CONTEXT_MS:]
    foreseen = np.stack([[_coming(past, d, thresholds) for d in each] for past, each in zip(pasts, drawn, strict=True)])
    begins, known = onsets(tested, thresholds), onsets(learned, thresholds)
    found = {}
    for lead in leads:
        real = within(begins, lead)[at]
        by_time = hazard(quiet_ms(known), within(known, lead))(quiet_ms(begins)[at])
        chances = {"counts": foreseen[:, :, :lead].any(2).mean(1), "hazard": by_time}
        chances["no_skill"] = np.full(len(at), real.mean())
        found[f"{lead} ms"] = {
            "average_precision": {name: round(average_precision(real, c), 3) for name, c in chances.items()},
            "brier": {name: round(brier_score(real, c), 4) for name, c in chances.items()},
        }
    return found


def _coming(before: np.ndarray, drawn: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    return onsets(np.concatenate([before, drawn]), thresholds)[len(before) :]
