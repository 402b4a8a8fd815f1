"""What is wrong with a recording is named, and what is right is left alone."""

import numpy as np
import pytest

from inference.recordings.conform import notched
from inference.recordings.quality import quality_warnings
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
    assert "high-pass" in found
    assert not quality_warnings(recording.with_values(recording.values + slope / 10))


def test_clipped_channels_are_named(rng):
    recording = noise(rng)
    values = recording.values.copy()
    values[2] = values[2].clip(-1.5, 1.5)
    (found,) = quality_warnings(recording.with_values(values))
    assert found.startswith("clipped: c2 (")


@pytest.mark.skipif(not (SHIPPED / "brunel_full.zarr").is_dir(), reason="no shipped campaign")
def test_simulated_networks_raise_no_doubt_even_where_they_oscillate():

    campaign = reference_campaign("full")
    _, recordings = study_of(campaign).recordings(campaign, campaign.usable[:150])
    assert np.mean([bool(quality_warnings(r)) for r in recordings]) <= 0.02
