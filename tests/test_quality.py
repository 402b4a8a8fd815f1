"""What is wrong with a recording is named, and what is right is left alone."""

import numpy as np
import pytest
from scipy.signal import butter, firwin, iirpeak, lfilter, sosfiltfilt

from inference.recordings.conform import detrended, notched
from inference.recordings.edges import highest_hz, low_pass
from inference.recordings.quality import quality_warnings, wrong_rate
from inference.workflows.shipped import SHIPPED, reference_campaign
from inference.workflows.study import study_of
from simulators.recording import Recording


def noise(rng, seconds=3.0, channels=3):
    x = np.cumsum(rng.standard_normal((channels, int(1000 * seconds))), axis=1)
    x = x - np.stack([np.convolve(row, np.ones(101) / 101, "same") for row in x])
    return Recording(x / x.std(), 1000.0, "mV", tuple(f"c{i}" for i in range(channels)))


def with_line(recording, hertz, amplitude, channel=1):
    values = recording.values.copy()
    values[channel] += amplitude * np.sin(2 * np.pi * hertz * recording.times_ms / 1e3 + 0.3)
    return recording.with_values(values)


@pytest.mark.parametrize("hertz", [50.0, 60.2, 100.0, 180.0, 250.0, 450.0, 480.0])
def test_line_noise_is_named_with_its_channel(rng, hertz):
    (found,) = quality_warnings(with_line(noise(rng), hertz, 0.5))
    line = 60 if hertz in (60.2, 180.0, 480.0) else 50
    assert found.startswith(f"{line} Hz line noise in c1:")
    assert f"--notch {line}" in found


def test_a_notch_takes_the_line_away_and_little_else(rng):
    clean = noise(rng)
    lines = with_line(with_line(clean, 50.0, 0.5), 150.0, 0.3)
    filtered = notched(lines, 50.0)
    assert quality_warnings(lines)
    assert not quality_warnings(filtered)
    assert np.corrcoef(filtered.values[1], clean.values[1])[0, 1] > 0.97
    for hertz in (600.0, 1e-6, np.nan):
        with pytest.raises(ValueError, match=f"no line of {hertz:g} Hz.*give the frequency of the mains"):
            notched(clean, hertz)


def test_other_rhythms_and_plain_noise_are_left_alone(rng):
    assert not any(quality_warnings(noise(rng)) for _ in range(100))
    assert not quality_warnings(with_line(noise(rng), 41.0, 0.5))
    assert not quality_warnings(noise(rng, seconds=0.2))


def test_lines_are_looked_for_up_to_the_highest_frequency(rng):
    recording = Recording(rng.standard_normal((1, 20_000)), 10_000.0, "mV", ("c1",))
    assert not quality_warnings(recording)
    (found,) = quality_warnings(with_line(recording, 4250.0, 0.5, channel=0))
    assert found.startswith("50 Hz line noise in c1:")


def test_drift_is_named(rng):
    recording = noise(rng)
    slope = np.array([[0], [12], [0]]) * np.linspace(-1, 1, recording.values.shape[1])
    (found,) = quality_warnings(recording.with_values(recording.values + slope))
    assert found.startswith("drift: a straight line explains 98% of c1;")
    assert "--detrend" in found
    assert "high-pass" in found
    assert not quality_warnings(detrended(recording.with_values(recording.values + slope)))
    assert not quality_warnings(recording.with_values(recording.values + slope / 10))


def test_clipped_channels_are_named(rng):
    recording = noise(rng)
    values = recording.values.copy()
    values[2] = values[2].clip(-1.5, 1.5)
    (found,) = quality_warnings(recording.with_values(values))
    assert found.startswith("clipped: c2 (")


@pytest.mark.skipif(not (SHIPPED / "brunel_full.zarr").is_dir(), reason="no shipped campaign")
@pytest.mark.slow
def test_simulated_networks_raise_no_doubt_even_where_they_oscillate():

    campaign = reference_campaign("full")
    _, recordings = study_of(campaign).recordings(campaign, campaign.usable[:150])
    assert np.mean([bool(quality_warnings(r)) for r in recordings]) <= 0.02
    assert not any(wrong_rate(r) or low_pass(r) for r in recordings)  # their LFP, too, ends steeply, at 200 Hz


# --- what the spectrum says of the sampling rate ---


def power_law(rng, exponent, rate=500.0, seconds=20.0):
    """Noise of density f^-exponent, of unit variance: white, pink, brown ..."""
    n = int(rate * seconds)
    frequencies = np.fft.rfftfreq(n, 1 / rate).clip(0.5)
    x = np.fft.irfft(np.fft.rfft(rng.standard_normal((2, n))) * frequencies ** (-exponent / 2), n)
    return Recording(x / x.std(), rate, "uV", ("a", "b"))


def with_mains(recording, hertz, amplitude=0.4):
    """The mains and two odd harmonics of it."""
    time = np.arange(recording.values.shape[1]) / recording.sampling_rate
    waves = sum(amplitude / k**2 * np.sin(2 * np.pi * k * hertz * time + k) for k in (1, 3, 5))
    return recording.with_values(recording.values + waves)


@pytest.mark.parametrize("mains", [50.0, 60.0])
@pytest.mark.parametrize(("true", "stated"), [(1000, 500), (1000, 250), (256, 250), (250, 256), (1024, 1000)])
def test_a_rate_that_puts_the_mains_elsewhere_is_doubted(true, stated, mains, rng):
    recording = with_mains(power_law(rng, 1.0, float(true)), mains)
    assert not wrong_rate(recording)
    misread = Recording(recording.values, float(stated), "uV", recording.channels)
    (said,) = wrong_rate(misread)
    assert f"stands at {mains * stated / true:.3g} Hz" in said
    assert f"was sampled at {true} Hz, not at {stated} Hz" in said
    assert said in quality_warnings(misread)


@pytest.mark.parametrize("stated", [1000, 2000])
def test_lines_at_twice_or_four_times_the_mains_are_line_noise_and_a_doubt(stated, rng):
    recording = with_mains(power_law(rng, 1.0, 500.0), 50.0)
    assert "was sampled at" not in " ".join(quality_warnings(recording))
    said = " ".join(quality_warnings(Recording(recording.values, float(stated), "uV", recording.channels)))
    assert "50 Hz line noise" in said
    assert f"was sampled at 500 Hz, not at {stated} Hz" in said


def test_a_mains_frequency_that_was_filtered_out_leaves_no_doubt(rng):
    """What is left then begins at 100 Hz."""
    recording = power_law(rng, 1.0)
    time = np.arange(recording.values.shape[1]) / 500.0
    recording = notched(recording.with_values(recording.values + 0.3 * np.sin(2 * np.pi * 50 * time)), 50.0)
    harmonic = recording.with_values(recording.values + 0.2 * np.sin(2 * np.pi * 100 * time))
    assert "50 Hz line noise" in " ".join(quality_warnings(harmonic))
    assert "was sampled at" not in " ".join(quality_warnings(harmonic))


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 4.0])
def test_noise_of_any_colour_has_neither_edge_nor_line(exponent, rng):
    for _ in range(20):
        recording = power_law(rng, exponent, seconds=5.0)
        assert not wrong_rate(recording)
        assert low_pass(recording) is None
        assert highest_hz(recording)[0] == 200.0
    with np.errstate(all="ignore"):
        assert low_pass(recording.with_values(1e300 * recording.values)) is None


def test_rhythms_are_no_lines(rng):
    """Narrower than a brain's, and where the mains would be at half or a quarter of the true rate."""
    doubted = 0
    for hertz in (12.5, 15.0, 25.0, 30.0):
        for _ in range(5):
            background = power_law(rng, 1.0, seconds=8.0)
            rhythm = lfilter(*iirpeak(hertz, 20, fs=500.0), rng.standard_normal(background.values.shape))
            doubted += bool(wrong_rate(background.with_values(background.values + rhythm / rhythm.std())))
    assert doubted <= 1


@pytest.mark.parametrize("corner", [40.0, 70.0])
@pytest.mark.parametrize("rate", [250.0, 500.0, 1000.0])
@pytest.mark.parametrize("kind", ["fir", "butterworth"])
def test_an_eeg_that_was_low_passed_is_called_so_and_its_rate_not_doubted(kind, rate, corner, rng):
    eeg = power_law(rng, 1.0, rate)
    if kind == "fir":
        values = lfilter(firwin(int(3.3 * rate / (corner / 4)) | 1, corner, fs=rate), 1, eeg.values)
    else:
        values = sosfiltfilt(butter(4, corner, fs=rate, output="sos"), eeg.values)
    filtered = eeg.with_values(values + 1e-3 * rng.standard_normal(values.shape))
    (said,) = quality_warnings(filtered)
    assert said.startswith("low-passed: power falls by ")
    edge = low_pass(filtered)
    assert edge is not None
    assert 0.5 * corner < edge.low_hz < 1.1 * corner < edge.high_hz * 1.3
    assert f"--band 1,{int(edge.low_hz)}" in said
    assert highest_hz(filtered)[0] == edge.low_hz
    assert not quality_warnings(filtered, (1.0, edge.low_hz))


def test_samples_that_were_interpolated_end_where_they_were_recorded(rng):
    from scipy.signal import resample_poly

    slow = power_law(rng, 1.0, 250.0)
    edge = low_pass(Recording(resample_poly(slow.values, 4, 1, axis=1), 1000.0, "uV", slow.channels))
    assert edge is not None
    assert 80 < edge.low_hz < 125


def test_a_band_leaves_out_lines_beyond_it(rng):
    recording = with_line(noise(rng), 50.0, 0.5)
    assert quality_warnings(recording)
    assert not quality_warnings(recording, (1.0, 45.0))
    (said,) = quality_warnings(with_line(recording, 100.0, 0.5), (60.0, 200.0))
    assert "was sampled at" not in said
