"""What an estimator sees of a recording: the interface, and what follows from it alone."""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from simulators.recording import SAME_RATE, Recording


class Axis(NamedTuple):
    """What the values of one channel's features belong to, such as frequencies in Hz or times in ms."""

    name: str
    unit: str
    values: Float[np.ndarray, " values"]


@runtime_checkable
class Features(Protocol):
    """Recording -> numbers: a row a channel, or rows that several channels make together.

    sampling_rate: Hz to which recordings are brought before. least_ms: the shortest recording that has features.
    scale_free: whether a recording's gain, and so its unit, makes no difference. axis: of the second dimension.
    ``to_json`` gives a dictionary whose "kind" says which class reads it, as ``inference.features.load`` does.
    """

    @property
    def sampling_rate(self) -> float:
        """Of the recordings, Hz."""
        ...

    @property
    def least_ms(self) -> float:
        """The shortest recording that has features, without its transient (ms)."""
        ...

    @property
    def scale_free(self) -> bool:
        """Whether a recording's gain makes no difference."""
        ...

    @property
    def axis(self) -> Axis:
        """What the second dimension runs over."""
        ...

    def rows(self, channels: tuple[str, ...]) -> tuple[str, ...]:
        """What the rows are of a recording with these channels: they themselves, or names of what they make."""
        ...

    def __call__(self, recording: Recording) -> Float[np.ndarray, "rows values"]:
        """Raises ValueError for a recording that has none, saying what to do."""
        ...

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary with its "kind", for JSON."""
        ...


def shown(features: Features) -> Features:
    """What a figure shows in place of features: themselves, unless they say what else."""
    return getattr(features, "shown", features)


def features_of_all(features: Features, recordings: Iterable[Recording]) -> Float[np.ndarray, "recordings c values"]:
    """Features of many recordings, single precision. Raises ValueError naming the recording that has none."""
    rows = []
    for i, recording in enumerate(recordings):
        try:
            rows.append(features(recording).astype(np.float32))
        except ValueError as error:
            raise ValueError(f"recording {i}: {error}") from error
    return np.stack(rows)


def refuse_unusable(recording: Recording, features: Features) -> None:
    """Raises ValueError for values that are not finite, another sampling rate, or too short a recording."""
    x = recording.steady
    finite = np.isfinite(x)
    if not finite.all():
        bad = [c for c, ok in zip(recording.channels, finite.all(1), strict=True) if not ok]
        raise ValueError(
            f"{np.sum(~finite)} values are not finite (channels {', '.join(bad)}); "
            f"cut the recording to a stretch without gaps, or interpolate them"
        )
    if abs(recording.sampling_rate / features.sampling_rate - 1) > SAME_RATE:
        raise ValueError(
            f"the recording is sampled at {recording.sampling_rate:g} Hz, these features need "
            f"{features.sampling_rate:g} Hz; resample it, or record it faster"
        )
    if recording.duration_ms < features.least_ms * (1 - SAME_RATE):
        raise ValueError(
            f"the recording has {x.shape[1]} samples ({recording.duration_ms:g} ms) after its transient; these "
            f"features need {features.least_ms:g} ms at least (a few seconds for a useful estimate)"
        )
