"""What makes a recording fit an estimator: units, rates, channels, and what no estimator can use."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import welch

from inference.features.spectra import SpectralFeatures
from inference.recordings import conform
from inference.recordings.conform import matched, notched, resampled, to_unit
from inference.workflows.shipped import reference_campaign, shipped_estimators
from inference.workflows.study import study_of
from simulators.recording import Recording

FEATURES = SpectralFeatures(segment_ms=150.0)
DEPTHS = tuple(f"z = {-100 * k} um" for k in range(6))
LFP = np.random.default_rng(1).normal(size=(6, 1000))


def lfp(values=LFP, sampling_rate=1000.0, unit="mV", channels=None, transient=0):
    names = channels or tuple(f"ch{i}" for i in range(len(values)))
    return Recording(values, sampling_rate, unit, names, transient)


# --- units and rates ---


@pytest.mark.parametrize(("unit", "factor"), [("V", 1e3), ("mV", 1), ("uV", 1e-3), ("µV", 1e-3), ("μV", 1e-3)])
def test_voltages_convert_to_mV(unit, factor):
    converted = to_unit(lfp(unit=unit), "mV")
    assert converted.unit == "mV"
    np.testing.assert_allclose(converted.values, LFP * factor, rtol=1e-12)


@pytest.mark.parametrize("unit", ["1", "a.u.", "pA"])
def test_what_is_no_voltage_is_not_converted(unit):
    with pytest.raises(ValueError, match=f"cannot convert '{unit}' to 'mV': "):
        to_unit(lfp(unit=unit), "mV")


@pytest.mark.parametrize("rate", [1500.0, 2000.0, 20_000.0, 30_000.07])
def test_resampling_keeps_the_band_and_lets_nothing_alias(rate, rng):
    """A 100 Hz sine and an offset stay as they are; one at 800 Hz, above the new Nyquist frequency, goes."""
    t = np.arange(int(3 * rate)) / rate
    slow, fast = np.sin(2 * np.pi * 100 * t), np.sin(2 * np.pi * min(800, 0.45 * rate) * t)
    out = resampled(lfp(np.stack([5 + slow, fast]), rate, transient=101), 1000)
    assert out.sampling_rate == pytest.approx(1000, rel=1e-4)
    assert out.times_ms[-1] == pytest.approx(1e3 * (3 - 101 / rate), abs=2.1)
    inner = slice(100, -100)
    steady_ms = out.times_ms + 101e3 / rate
    start = out.transient * 1e3 / out.sampling_rate - 101e3 / rate
    expected = 5 + np.sin(2 * np.pi * 0.1 * (steady_ms + start))
    np.testing.assert_allclose(out.values[0, inner], expected[inner], atol=0.02)
    assert np.abs(out.values[1, inner]).max() < 0.01


def test_units_of_channels_convert_one_by_one():
    cell = lfp(LFP[:3], unit="mV, 1, nA um")
    converted = to_unit(cell, "uV,1,A m")
    np.testing.assert_allclose(converted.values, LFP[:3] * [[1e3], [1], [1e-15]], rtol=1e-12)
    with pytest.raises(ValueError, match="cannot convert '1' to 'mV'"):
        to_unit(cell, "mV")
    with pytest.raises(ValueError, match="2 units"):
        to_unit(cell, "mV, 1")


@pytest.mark.parametrize("rate", [1e8, 1e300, 2e6])
def test_rates_that_no_amplifier_has_are_refused_before_anything_is_filtered(rate, monkeypatch):
    monkeypatch.setattr(conform, "firwin", None)
    recording = lfp(np.ones((1, 3000)), rate)
    for refuse in (lambda: resampled(recording, 1000.0), lambda: notched(recording, 50.0)):
        with pytest.raises(ValueError, match=r"Hz is not possible; give one above 0 and up to 1,000,000 Hz"):
            refuse()


def test_recordings_that_stay_too_short_are_refused_before_they_are_filtered(monkeypatch):
    monkeypatch.setattr(conform, "resample_poly", None)
    with pytest.raises(ValueError, match=r"3000 samples \(3 ms\) at 1e\+06 Hz; give at least 150 ms"):
        matched_lfp(lfp(np.random.default_rng(0).normal(size=(6, 3000)), 1e6))


@pytest.mark.parametrize("rate", [123_456.789, 24_414.0625, 999_999.9])
def test_filters_stay_small_at_odd_rates(rate, monkeypatch):
    taps = []
    real = conform.firwin
    monkeypatch.setattr(conform, "firwin", lambda n, *rest, **more: taps.append(n) or real(n, *rest, **more))
    out = resampled(lfp(np.random.default_rng(0).normal(size=(1, 50_000)), rate), 1000.0)
    assert taps[0] <= 4_000_001
    assert out.sampling_rate == pytest.approx(1000, rel=1e-4)


def test_resampling_does_not_bend_the_spectrum(rng):
    """White noise stays white up to 480 Hz."""
    out = resampled(lfp(rng.normal(size=(1, 400_000)), 4000.0), 1000)
    frequencies, density = welch(out.values[0], 1000, nperseg=500)
    assert np.abs(np.log10(density[(frequencies > 2) & (frequencies < 480)] * 2000)).max() < 0.1


def test_a_lower_rate_is_refused():
    with pytest.raises(ValueError, match="holds nothing above 25 Hz"):
        resampled(lfp(sampling_rate=50.0), 1000)


# --- making a recording fit an estimator ---


def matched_lfp(recording, features=FEATURES, **kwargs):
    return matched(recording, features, DEPTHS, "mV", **kwargs)


def spoiled(values):
    """The recording with some values overwritten: {(channel, sample or slice): value}."""
    out = LFP.copy()
    for place, value in values.items():
        out[place] = value
    return lfp(out)


REFUSED = {
    "4 channels": (lfp(LFP[:4]), r"has 4 channels; .* for 6 \(z = 0 um ... z = -500 um\).*circuitsbi train --probe"),
    "1 channel": (lfp(LFP[:1]), "has 1 channel; "),
    "transposed": (lfp(LFP.T), r"\(1000, 6\) looks like samples x channels.*values\.T"),
    "50 Hz": (lfp(sampling_rate=50.0), "sampled at 50 Hz .* 1000 Hz are needed: record"),
    "10 samples": (lfp(LFP[:, :10]), r"10 samples \(10 ms\).* give at least 150 ms"),
    "short after resampling": (lfp(sampling_rate=10_000.0), r"1000 samples \(100 ms\)"),
    "short after transient": (lfp(transient=900), r"100 samples \(100 ms\)"),
    "gaps": (
        spoiled({(1, 7): np.nan, (1, 9): np.inf, (4, 100): np.nan}),
        r"3 values .*: ch1 \(2, .* 7 ms\), ch4 \(1, .* 100 ms\)",
    ),
    "flat": (spoiled({2: 0.3, 5: 0.0}), "channel ch2, ch5 never changes"),
    "huge": (lfp(LFP * 1e154), r"channel ch0 reaches .*e\+154 \(in 'mV'\), which no amplifier records"),
    "huge before the transient": (
        Recording(np.where(np.arange(1000) < 100, 1e200, LFP), 1000.0, "mV", DEPTHS, 200),
        "channel z = 0 um reaches 1e",
    ),
    "tiny": (lfp(LFP * 1e-200), r"channel ch0 changes by .*e-200 only"),
    "no voltage": (lfp(unit="a.u."), "cannot convert 'a.u.' to 'mV'"),
}


@pytest.mark.parametrize(("recording", "says"), REFUSED.values(), ids=REFUSED)
def test_recordings_that_no_estimator_can_use(recording, says):
    with pytest.raises(ValueError, match=says):
        matched_lfp(recording)


@pytest.mark.parametrize(
    ("factor", "suspect"), [(1e3, r"larger by 10\^3"), (1e-3, r"smaller by 10\^3"), (1e6, r"10\^6")]
)
def test_amplitudes_off_by_a_unit_are_named(factor, suspect):
    with pytest.raises(ValueError, match=suspect):
        matched_lfp(lfp(LFP * factor), trained_sd=np.ones((2, 6)))


@pytest.mark.parametrize("factor", [1e-4, 0.05, 1.0, 20.0, 1e3])
def test_amplitudes_near_those_of_training_pass(factor):
    trained = np.array([[1e-3] * 6, [100.0] * 6])
    np.testing.assert_array_equal(matched_lfp(lfp(LFP * factor), trained_sd=trained).values, LFP * factor)


def test_relative_features_need_neither_unit_nor_amplitude():
    recording = lfp(LFP * 1e6, unit="a.u.")
    relative = replace(FEATURES, relative=True)
    assert matched_lfp(recording, relative, trained_sd=np.ones((2, 6))) is recording


def test_recordings_of_unknown_gain_come_in_one_scale():
    """Else files in uV and in mV would seem to have gains that are a thousand apart."""
    relative = replace(FEATURES, relative=True)
    for unit, size in (("V", 1e-3), ("uV", 1e3), ("mV", 1.0)):
        for asked in ("mV", "1"):
            found = matched(lfp(LFP * size, unit=unit), relative, DEPTHS, asked)
            np.testing.assert_allclose(found.values, LFP, rtol=1e-9)
            assert found.unit == "mV"


def test_channels_of_the_same_names_are_put_in_order():
    shuffled = lfp(LFP[::-1], channels=DEPTHS[::-1])
    ordered = matched_lfp(shuffled)
    assert ordered.channels == DEPTHS
    np.testing.assert_array_equal(ordered.values, LFP)
    assert matched_lfp(lfp()).channels == lfp().channels


@pytest.mark.parametrize("order", [[1, 2, 0, 3, 4, 5], [5, 0, 1, 2, 3, 4], [2, 0, 4, 1, 5, 3]])
def test_each_channel_goes_to_the_place_of_its_name(order):
    """Orders that are not their own inverse, as a mere reversal would be."""
    shuffled = lfp(LFP[order], channels=tuple(DEPTHS[i] for i in order))
    ordered = matched_lfp(shuffled)
    assert ordered.channels == DEPTHS
    np.testing.assert_array_equal(ordered.values, LFP)


def test_rate_and_unit_are_brought_to_the_estimators(rng):
    out = matched_lfp(lfp(rng.normal(size=(6, 8000)), 4000.0, "uV"), trained_sd=np.full((2, 6), 1e-3))
    assert (out.sampling_rate, out.unit, out.values.shape) == (1000, "mV", (6, 2000))
    assert FEATURES(out).shape == (6, FEATURES.frequencies.size)


@pytest.mark.parametrize("name", ["asynchronous", "full"])
def test_shipped_estimators_take_the_quietest_and_the_loudest_of_their_range(name):
    """Amplitudes of the full range span five orders of magnitude, and none of them is a wrong unit."""
    campaign = reference_campaign(name)
    rows = campaign.usable
    variance = campaign.values(rows)[:, 0].var(1)
    extremes = rows[[variance.argmin(), variance.argmax()]]
    _, recordings = study_of(campaign).recordings(campaign, extremes)
    estimator = shipped_estimators(name)[0]
    for recording in recordings:
        assert estimator.ready(recording) is recording
    loud = recordings[1].with_values(recordings[1].values * 1e3)
    with pytest.raises(ValueError, match=r"10\^3"):
        estimator.ready(loud)
