"""Spectral features against closed forms, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from inference.features.interface import features_of_all
from inference.features.spectra import STASIK_FEATURES, SpectralFeatures, welch
from inference.features.timed import TimedSpectra
from simulators.recording import Recording


def recording(values, rate=1000.0, transient=0):
    return Recording(
        np.atleast_2d(values), rate, "mV", tuple(f"c{i}" for i in range(len(np.atleast_2d(values)))), transient
    )


def test_white_noise_has_the_density_of_its_variance(rng):
    values = np.array([[1.0], [3.0]]) * rng.standard_normal((2, 60_000))
    density = SpectralFeatures().power(recording(values))
    np.testing.assert_allclose(density[:, 1:-1].mean(1), np.array([1.0, 9.0]) / 500.0, rtol=0.03)


@pytest.mark.parametrize(("samples", "segment"), [(3000, 100), (2999, 300), (151, 101), (100, 100), (600_000, 1000)])
def test_spectra_are_those_of_scipy(samples, segment, rng):
    """Also of an odd segment, of one that is all there is, and of more segments than are transformed at once."""
    x = 3 + rng.standard_normal((2, samples))
    expected = signal.welch(x, 500.0, nperseg=segment)[1]
    np.testing.assert_allclose(welch(x, 500.0, segment), expected, rtol=1e-9, atol=1e-12 * expected.max())


def test_a_sine_has_its_power_at_its_frequency():
    t = np.arange(20_000) / 1000
    features = SpectralFeatures(segment_ms=500.0)
    density = features.power(recording(2.0 * np.sin(2 * np.pi * 80.0 * t)))[0]
    assert features.frequencies[density.argmax()] == 80.0
    np.testing.assert_allclose(density.sum() * 2.0, 2.0, rtol=0.01)  # bins of 2 Hz, mean square of the sine


def test_the_poster_has_151_bins():
    assert len(STASIK_FEATURES.frequencies) == 151


@given(gain=st.floats(1e-6, 1e6), seed=st.integers(0, 1000))
def test_relative_power_forgets_the_gain_and_absolute_power_does_not(gain, seed):
    values = np.random.default_rng(seed).standard_normal((2, 500))
    relative = SpectralFeatures(relative=True)
    np.testing.assert_allclose(relative(recording(gain * values)), relative(recording(values)), atol=1e-6)
    shift = SpectralFeatures()(recording(gain * values)) - SpectralFeatures()(recording(values))
    np.testing.assert_allclose(shift, 2 * np.log10(gain), atol=1e-6)


def test_the_transient_is_not_analysed(rng):
    steady = rng.standard_normal((1, 400))
    loud = np.concatenate([1e3 * np.ones((1, 100)), steady], 1)
    np.testing.assert_array_equal(
        SpectralFeatures()(recording(loud, transient=100)), SpectralFeatures()(recording(steady))
    )


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (recording(np.r_[np.ones(300), np.nan]), "1 values are not finite"),
        (recording(np.random.default_rng(0).standard_normal(300), rate=50.0), "sampled at 50 Hz"),
        (recording(np.random.default_rng(0).standard_normal(10)), "10 samples .* after its transient"),
        (recording(np.ones(300)), "have no power"),
    ],
)
def test_bad_recordings_are_refused(bad, words):
    with pytest.raises(ValueError, match=words):
        SpectralFeatures()(bad)
    with pytest.raises(ValueError, match="recording 0: "):
        features_of_all(SpectralFeatures(), [bad])


@pytest.mark.parametrize("fields", [{"band_hz": (1.0, 600.0)}, {"band_hz": (50.0, 10.0)}, {"segment_ms": 1.0}])
def test_impossible_features_are_refused(fields):
    with pytest.raises(ValueError, match="Hz"):
        SpectralFeatures(**fields)


def test_json_round_trip():
    features = SpectralFeatures(500.0, 200.0, (2.0, 100.0), True)
    assert SpectralFeatures.from_json(features.to_json()) == features


def test_relative_power_is_a_share_of_the_power_of_all_channels(rng):
    """White noise of four times the power in the second channel: a fifth and four fifths of the whole."""
    values = np.array([[1.0], [2.0]]) * rng.standard_normal((2, 60_000))
    share = 10 ** SpectralFeatures(relative=True)(recording(values))
    np.testing.assert_allclose(share.sum(), 1)
    np.testing.assert_allclose(share.sum(1), [0.2, 0.8], atol=0.01)


def test_the_length_is_the_last_row_and_no_longer_than_was_learned_from():
    features = TimedSpectra(SpectralFeatures(1000.0, 100.0, relative=True), (1.0, 10.0))
    noise = np.random.default_rng(0).standard_normal((2, 30_000))
    for seconds, said in ((1, 1), (4, 4), (30, 10)):
        recording = Recording(noise[:, : 1000 * seconds], 1000.0, "mV", ("a", "b"))
        np.testing.assert_allclose(features(recording)[-1], np.log10(said))
        np.testing.assert_array_equal(features(recording)[:-1], features.shown(recording))
    for lengths in ((2.0, 1.0), (0.0, 1.0), (1.0, np.inf)):
        with pytest.raises(ValueError, match="are no range"):
            TimedSpectra(lengths_s=lengths)
