"""Features from the JSON that an estimator's file holds."""

from typing import Any

from inference.features.cross_spectra import CrossSpectra
from inference.features.evoked import EvokedResponse
from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from inference.features.timed import TimedSpectra

_KINDS: dict[str, type[SpectralFeatures] | type[EvokedResponse] | type[TimedSpectra]] = {
    "spectra": SpectralFeatures,
    "cross-spectra": CrossSpectra,
    "evoked": EvokedResponse,
    "timed-spectra": TimedSpectra,
}


def features_from_json(fields: dict[str, Any]) -> Features:
    """The inverse of a Features' ``to_json``; without a "kind" they are spectra. Raises ValueError for another kind."""
    kind = fields.get("kind", "spectra")
    if kind not in _KINDS:
        raise ValueError(f"there are no features of kind '{kind}', only {', '.join(_KINDS)}")
    return _KINDS[kind].from_json(fields)
