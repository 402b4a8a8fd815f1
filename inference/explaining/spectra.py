"""What is compared of a recording: one channel, 10 to 200 Hz, of unknown gain."""

import numpy as np

from inference.features.spectra import SpectralFeatures
from inference.recordings.conform import resampled
from simulators.recording import SAME_RATE, Recording
from surrogates.spectra.cross_spectrum import Bands

RATE_HZ = 500.0
FEATURES = SpectralFeatures(RATE_HZ, segment_ms=250.0, band_hz=(10.0, 200.0), relative=True)
BANDS = Bands(11.0, 199.0, 2.0)
SECONDS = 2.8  # for which fits and probabilities are calibrated
_FLAT = 1e-9  # of the values' size


def one_channel(recording: Recording, channel: int = 0) -> Recording:
    """One channel without transient, mean and slope, at the common rate.

    Raises ValueError where it is slower than 500 Hz, shorter than 2.8 s, not finite or flat.
    """
    values = recording.steady[channel].astype(float)
    if recording.sampling_rate < RATE_HZ * (1 - SAME_RATE):
        raise ValueError(
            f"the recording has {recording.sampling_rate:g} Hz; the circuits are told apart by 10 to 200 Hz, for which "
            f"{RATE_HZ:g} Hz or more are needed"
        )
    if len(values) < SECONDS * recording.sampling_rate - 1:
        raise ValueError(
            f"the recording lasts {len(values) / recording.sampling_rate:.2g} s; give {SECONDS:g} s or more"
        )
    if not np.isfinite(values).all():
        raise ValueError("some samples are not finite; cut them out")
    time, size = np.arange(len(values)), np.abs(values).max()
    values = values - np.polynomial.Polynomial.fit(time, values, 1)(time)
    if not values.std() > _FLAT * size:
        raise ValueError(f"{recording.channels[channel]} never changes, or only as a line; take another --channel")
    scale = values.std()  # the gain is unknown anyway, and single precision is safe
    alone = Recording(values[None] / scale, recording.sampling_rate, "1", ("signal",))
    return resampled(alone, RATE_HZ)


def middle(recording: Recording) -> Recording:
    """The stretch of 2.8 s in the middle of a recording."""
    samples = round(SECONDS * recording.sampling_rate)
    first = max(0, (recording.values.shape[1] - samples) // 2)
    return recording.with_values(recording.values[:, first : first + samples])
