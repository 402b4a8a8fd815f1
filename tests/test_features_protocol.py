"""What all features promise, in one test over all of them. New features are one line in FEATURES."""

import json

import numpy as np
import pytest

from inference.features.cross_spectra import CrossSpectra
from inference.features.evoked import EvokedResponse
from inference.features.interface import Features, features_of_all
from inference.features.load import features_from_json
from inference.features.spectra import SpectralFeatures
from inference.features.timed import TimedSpectra
from simulators.recording import Recording

FEATURES = {
    "spectra": SpectralFeatures(),
    "spectra in a band": SpectralFeatures(500.0, 200.0, (10.0, 100.0)),
    "relative spectra": SpectralFeatures(relative=True),
    "cross-spectra": CrossSpectra(weights=((0.6, 0.8, 0.0), (0.0, 0.0, 1.0))),
    "relative cross-spectra": CrossSpectra(band_hz=(10.0, 200.0), relative=True, weights=((1.0, 0.0, 0.0),)),
    "spectra and the length": TimedSpectra(SpectralFeatures(relative=True), (1.0, 10.0)),
    "evoked": EvokedResponse(),
    "evoked, coarse": EvokedResponse(500.0, 100.0, 10.0),
    "relative evoked": EvokedResponse(relative=True),
}
every = pytest.mark.parametrize("features", FEATURES.values(), ids=FEATURES)
of_channels = pytest.mark.parametrize("features", [f for f in FEATURES.values() if f.rows(("a",)) == ("a",)])
scale_free = pytest.mark.parametrize("features", [f for f in FEATURES.values() if f.scale_free])
scaled = pytest.mark.parametrize("features", [f for f in FEATURES.values() if not f.scale_free])


def recording(features: Features, channels: int = 3, transient: int = 20, ms: float | None = None) -> Recording:
    """Noise, just long enough unless told otherwise."""
    samples = transient + round((features.least_ms if ms is None else ms) * features.sampling_rate / 1e3)
    values = np.random.default_rng(0).standard_normal((channels, samples))
    return Recording(values, features.sampling_rate, "mV", tuple("abc"[:channels]), transient)


@every
def test_named_rows_and_a_column_a_value_of_the_axis(features):
    assert isinstance(features, Features)
    given = recording(features)
    found, rows = features(given), features.rows(given.channels)
    assert found.shape == (len(rows), len(features.axis.values))
    assert len(set(rows)) == len(rows)
    assert np.isfinite(found).all()
    assert (np.diff(features.axis.values) > 0).all()


@every
def test_json_and_back(features):
    again = features_from_json(json.loads(json.dumps(features.to_json())))
    assert again == features
    np.testing.assert_array_equal(again(recording(features)), features(recording(features)))


@every
def test_the_transient_is_not_looked_at(features):
    given = recording(features)
    values = given.values.copy()
    values[:, : given.transient] = 1e6
    np.testing.assert_array_equal(features(given.with_values(values)), features(given))


@of_channels
def test_channels_keep_their_order_and_may_be_one(features):
    given = recording(features)
    assert features(recording(features, channels=1)).shape == (1, len(features.axis.values))
    np.testing.assert_allclose(features(given.with_values(given.values[::-1])), features(given)[::-1], rtol=1e-12)


@scale_free
@pytest.mark.parametrize("gain", [1e-6, 1e6])
def test_gain_does_not_matter_to_what_is_scale_free(features, gain):
    given = recording(features)
    np.testing.assert_allclose(features(given.with_values(gain * given.values)), features(given), rtol=1e-6)


@scaled
def test_gain_matters_to_the_others(features):
    given = recording(features)
    assert not np.allclose(features(given.with_values(2 * given.values)), features(given))


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_by_channel(features, bad):
    values = recording(features).values.copy()
    values[1, 25] = bad
    with pytest.raises(ValueError, match=r"1 values are not finite \(channels b\); cut the recording"):
        features(recording(features).with_values(values))


@every
def test_another_rate_or_too_short_a_recording_is_refused(features):
    given = recording(features)
    with pytest.raises(ValueError, match=r"sampled at 777 Hz, these features need .* Hz; resample it"):
        features(Recording(given.values, 777.0, "mV", given.channels))
    with pytest.raises(ValueError, match=r"these features need .* ms at least"):
        features(recording(features, ms=features.least_ms / 2))


@every
def test_of_many_recordings_the_one_without_features_is_named(features):
    good, short = recording(features), recording(features, ms=features.least_ms / 2)
    assert features_of_all(features, [good] * 3).shape == (3, *features(good).shape)
    with pytest.raises(ValueError, match=r"recording 2: .* at least"):
        features_of_all(features, [good, good, short])


@pytest.mark.parametrize("fields", [{"kind": "wavelets"}, {"kind": "evoked", "bin_ms": 0.0}])
def test_features_of_no_known_kind_are_refused(fields):
    with pytest.raises(ValueError, match=r"no features of kind 'wavelets', only spectra, cross-sp|no two bins"):
        features_from_json(fields)
