"""Multiple firing events: when populations fire together for a few ms."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real


class FiringEvents(NamedTuple):
    """Events in the order of their onsets (ms). e_size and i_size: spikes of E and of I cells from onset to end."""

    onset_ms: Float[np.ndarray, " events"]
    end_ms: Float[np.ndarray, " events"]
    e_size: Real[np.ndarray, " events"]
    i_size: Real[np.ndarray, " events"]

    @property
    def size(self) -> Real[np.ndarray, " events"]:
        """Spikes of all cells."""
        return self.e_size + self.i_size

    @property
    def duration_ms(self) -> Float[np.ndarray, " events"]:
        """From onset to end."""
        return self.end_ms - self.onset_ms

    @property
    def intervals_ms(self) -> Float[np.ndarray, " intervals"]:
        """From each onset to the next."""
        return np.diff(self.onset_ms)


def detect_events(
    e_spikes: Real[np.ndarray, " steps"],
    i_spikes: Real[np.ndarray, " of_i"],
    recurrent: Real[np.ndarray, " of_recurrent"] | None = None,
    *,
    step_ms: float = 0.1,
    window_ms: float = 2.0,
    opens: float = 2,
    closes: float = 2,
    longest_ms: float = 10.0,
    merge_ms: float = 1.0,
    smallest: int = 0,
) -> FiringEvents:
    """Events in spikes a step (Zhang, Xiao, Li et al. 2024).

    An event opens where more than ``opens`` of the recurrently driven E spikes (``recurrent``; all E spikes by default)
    fall within ``window_ms``, and begins with the first of these. It ends when no more than ``closes`` remain in the
    window, or after ``longest_ms``. Events less than ``merge_ms`` apart are one, if that is no longer than
    ``longest_ms``; those of fewer than ``smallest`` spikes are dropped. There may be none.

    Raises ValueError for trains of different lengths, negative numbers, and thresholds that no event can meet.
    """
    driving = e_spikes if recurrent is None else recurrent
    if not len(e_spikes) == len(i_spikes) == len(driving) or not len(e_spikes):
        raise ValueError(
            f"trains of {len(e_spikes)}, {len(i_spikes)} and {len(driving)} steps; expected three of one length"
        )
    if min(map(np.min, (e_spikes, i_spikes, driving))) < 0:
        raise ValueError("a number of spikes is negative; give spikes a step, not centred or scaled")
    window, longest = round(window_ms / step_ms), round(longest_ms / step_ms)
    if window < 1 or longest < 1 or opens < 0 or not 0 <= closes <= opens or merge_ms < 0:
        raise ValueError(
            f"a window of {window_ms} ms, opening above {opens} and closing at {closes}, {longest_ms} ms at most: "
            f"expected times of a step or more, and closing at no more than opens"
        )
    summed = np.concatenate([[0], np.cumsum(driving)])
    ends = np.arange(1, len(summed))
    recent = summed[ends] - summed[np.maximum(ends - window, 0)]
    spans = _merged(_spans(driving, recent, window, longest, opens, closes), round(merge_ms / step_ms), longest)
    totals = [np.concatenate([[0], np.cumsum(x)]) for x in (e_spikes, i_spikes)]
    first, last = np.array(spans, int).reshape(-1, 2).T
    sizes = [total[last + 1] - total[first] for total in totals]
    kept = sizes[0] + sizes[1] >= smallest
    return FiringEvents(first[kept] * step_ms, (last[kept] + 1) * step_ms, sizes[0][kept], sizes[1][kept])


def _spans(driving, recent, window: int, longest: int, opens: float, closes: float) -> list[list[int]]:
    """First and last step of each event, before any are merged."""
    spans: list[list[int]] = []
    above, step = np.flatnonzero(recent > opens), 0
    while True:
        place = np.searchsorted(above, step)
        if place == len(above):
            return spans
        opening = int(above[place])
        earliest = max(opening - min(window, longest) + 1, spans[-1][1] + 1 if spans else 0)
        first = earliest + int(np.argmax(driving[earliest : opening + 1] > 0))
        limit = min(first + longest, len(recent))
        low = np.flatnonzero(recent[opening:limit] <= closes)
        last = opening + int(low[0]) - 1 if low.size else limit - 1
        spans.append([first, max(last, opening)])
        step = spans[-1][1] + 1


def _merged(spans: list[list[int]], gap: int, longest: int) -> list[list[int]]:
    joined: list[list[int]] = []
    for first, last in spans:
        if joined and first - joined[-1][1] - 1 < gap and last - joined[-1][0] < longest:
            joined[-1][1] = last
        else:
            joined.append([first, last])
    return joined
