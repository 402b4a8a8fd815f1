"""A gradient fit by some of its bands: likelihood, files, and answers to recordings that are slower than training."""

import numpy as np
import pytest
import torch

from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.recordings.conform import detrended, interpolated, resampled
from inference.workflows.shipped import SHIPPED, reference_campaign
from inference.workflows.study import study_of
from simulators.recording import Recording
from surrogates.spectra.cross_spectrum import Bands
from surrogates.spectra.observed import ObservedSpectrum

pytestmark = pytest.mark.skipif(not (SHIPPED / "brunel_ai.zarr").exists(), reason="no reference campaign is shipped")
FEW = 12


@pytest.fixture(scope="module")
def fit() -> GradientFit:
    loaded = load_estimator(SHIPPED / "brunel_ai_gradient.safetensors")
    assert isinstance(loaded, GradientFit)
    return loaded


@pytest.fixture(scope="module")
def networks():
    """Parameters and LFP of networks that nothing was learned from."""
    campaign = reference_campaign()
    return study_of(campaign).recordings(campaign, campaign.usable[-FEW:])


def test_bands_within_two_frequencies_lie_there_as_a_whole():
    bands = Bands(2.5, 52.5, 5.0)
    assert bands.within(2.5, 52.5).all()
    np.testing.assert_array_equal(np.flatnonzero(bands.within(7.6, 33.0)), [2, 3, 4, 5])
    assert not bands.within(100.0, 200.0).any()


def test_bands_outside_have_no_samples_and_do_not_count(fit, networks):
    """Whatever the recording does there, data and loss are the same."""
    _, (first, *_) = networks
    within = fit.within(20.0, 150.0)
    hum = 0.3 * np.sin(2 * np.pi * 300 * first.times_ms / 1e3)
    loss = []
    for recording in (first, first.with_values(first.values + hum)):
        data = within.model.observe(within.ready(recording))
        used = data.samples > 0
        assert int(used.sum()) == within.model.counting.sum() == 25
        u = torch.full((1, 3), 0.5)
        components = torch.zeros(1, within.model.n_components)
        loss.append(float(within.model.loss(u, components, torch.zeros(1, 0), data)[0].detach()))
        assert within.model.unseen(within.ready(recording), [range(6)])[0] < 1e-4
    assert loss[0] == pytest.approx(loss[1], abs=0.1)  # nats; a taper's leakage
    assert within.counted == "22.5 to 147.5 Hz"
    assert within.features.band == (22.5, 147.5)


@pytest.mark.parametrize("rate", [None, 250.0])
def test_answers_within_a_band_hold_the_truth_and_are_wider(rate, fit, networks):
    """Bands below 100 Hz of networks, sampled fast or slow: intervals are honest, no network is refused."""
    theta, recordings = networks
    if rate is None:
        asked = fit.within(0.0, 100.0)
        estimates = asked.estimate_each(recordings)
    else:
        recordings = [resampled(one, rate) for one in recordings]
        asked = fit.suited(recordings[0])
        estimates = asked.estimate_each(recordings)
        assert all("sampled at 250 Hz: 2.5 to 97.5 Hz alone count" in " ".join(e.warnings) for e in estimates)
        with pytest.raises(ValueError, match="1000 Hz are needed"):
            fit.estimate(recordings[0])
    inside = [
        (e.interval(0.9)[:, 0] <= t) & (t <= e.interval(0.9)[:, 1]) for e, t in zip(estimates, theta, strict=True)
    ]
    assert np.mean(inside) > 0.75
    assert np.mean([e.trusted for e in estimates]) > 0.85
    if rate is None:
        whole = fit.estimate_each(recordings)
        widths = [np.mean([np.diff(e.interval(0.9), axis=1) for e in each], axis=0) for each in (estimates, whole)]
        assert (widths[0] > widths[1]).all()


@pytest.mark.parametrize("rate", [1000.0, 250.0])
def test_noise_and_sources_that_channels_mix_are_fitted_within_a_band(rate, fit, networks, rng):
    """Bands that do not count must not spoil the slopes of those that do."""
    theta, recordings = networks
    noisy = [r.with_values(r.values + 1e-3 * rng.standard_normal(r.values.shape)) for r in recordings[:3]]
    noisy = [resampled(r, rate) for r in noisy]
    asked = fit.with_nuisances(floor=True).within(0.0, 100.0)
    for estimate, truth in zip(asked.estimate_each(noisy), theta, strict=False):
        assert np.isfinite(estimate.point).all()
        assert estimate.trusted
        low, high = estimate.interval(0.999).T
        assert ((low <= truth) & (truth <= high)).all()


def test_a_fit_that_suits_is_left_as_it_is(fit, networks):
    _, (first, *_) = networks
    assert fit.suited(first) is fit
    narrow = fit.within(0.0, 90.0)
    assert narrow.suited(resampled(first, 250.0)) is narrow
    assert narrow.estimate(resampled(first, 250.0)).point == pytest.approx(narrow.estimate(first).point, rel=0.02)


def test_too_few_bands_and_saving_are_refused(fit, tmp_path):
    for low, high in ((10.0, 20.0), (600.0, 900.0), (90.0, 20.0)):
        with pytest.raises(ValueError, match=r"of the bands that the fit compares.*give a band with 5 of them or more"):
            fit.within(low, high)
    with pytest.raises(ValueError, match="a fit within a band only estimates"):
        fit.within(10.0, 100.0).save(tmp_path / "fit.safetensors")


def test_trials_average_to_a_recording_of_as_many_samples(fit, networks):
    _, recordings = networks
    each = [fit.model.observe(fit.ready(one)) for one in recordings[:3]]
    mean = ObservedSpectrum.averaged(each)
    torch.testing.assert_close(mean.samples, 3 * each[0].samples)
    spectra = torch.stack([one.factors @ one.factors.mH for one in each]).mean(0)
    torch.testing.assert_close(mean.factors @ mean.factors.mH, spectra, rtol=1e-3, atol=1e-9)


def test_detrending_takes_a_line_and_leaves_the_rest(rng):
    x = rng.standard_normal((2, 500))
    line = np.array([[3.0], [-1.0]]) + np.array([[0.01], [0.2]]) * np.arange(500)
    recording = Recording(x + line, 500.0, "mV", ("a", "b"), 50)
    clean = detrended(Recording(x, 500.0, "mV", ("a", "b"), 50))
    np.testing.assert_allclose(detrended(recording).values, clean.values, atol=1e-9)
    np.testing.assert_allclose(detrended(recording).steady.mean(1), 0, atol=1e-9)
    with pytest.raises(ValueError, match="not finite"):
        detrended(recording.with_values(np.where(recording.values > 90, np.nan, recording.values)))


def test_interpolation_adds_samples_and_nothing_else():
    time = np.arange(1000) / 250.0
    wave = Recording(np.sin(2 * np.pi * 30 * time)[None], 250.0, "mV", ("a",), 25)
    fast = interpolated(wave, 1000.0)
    assert (fast.sampling_rate, fast.transient, fast.values.shape) == (1000.0, 100, (1, 4000))
    middle = slice(500, 3500)
    expected = np.sin(2 * np.pi * 30 * np.arange(4000) / 1000.0)
    np.testing.assert_allclose(fast.values[0, middle], expected[middle], atol=0.02)
