"""Recordings unlike the simulations are named; those of the trained kind are left alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.estimators.familiarity import Familiarity
from inference.estimators.load import load_estimator
from inference.estimators.nearest import NearestSimulations
from inference.features.interface import features_of_all
from tests.test_estimators import FEATURES, SPACE, white_noise


@pytest.fixture(scope="module")
def nearest():
    rng = np.random.default_rng(1)
    theta = SPACE.sample(600, rng)
    return NearestSimulations(SPACE, FEATURES).fit(theta, [white_noise(t, rng) for t in theta])


def with_line(recording, rng):
    line = np.sin(2 * np.pi * 200 * recording.times_ms / 1e3)
    return recording.with_values(recording.values + np.array([[0.7], [0.0]]) * recording.values.std(1)[:, None] * line)


def smoothed(recording, rng):
    return recording.with_values(np.stack([np.convolve(row, np.ones(4) / 4, "same") for row in recording.values]))


def drifting(recording, rng):
    values = np.cumsum(rng.standard_normal(recording.values.shape), axis=1)
    return recording.with_values(values / values.std(1, keepdims=True) * recording.values.std(1, keepdims=True))


STRANGERS = [with_line, smoothed, drifting]


@pytest.mark.parametrize("strange", STRANGERS)
def test_strangers_are_not_trusted_and_the_warning_comes_first(nearest, strange, rng):
    for theta in SPACE.sample(10, rng):
        estimate = nearest.estimate(strange(white_noise(theta, rng), rng))
        assert not estimate.trusted
        assert estimate.warnings[0].startswith("this recording does not look like the simulations")


def test_the_warning_names_the_frequency_and_the_channel(nearest, rng):
    warning = nearest.estimate(with_line(white_noise([0.0, 0.5], rng), rng)).warnings[0]
    assert "at 200 Hz in " in warning


def test_recordings_of_the_trained_kind_are_trusted(nearest, rng):
    """So are shorter ones, whose spectra scatter more."""
    for samples in (1000, 700):
        estimates = [nearest.estimate(white_noise(t, rng, samples)) for t in SPACE.sample(200, rng)]
        assert np.mean([not e.trusted for e in estimates]) <= 0.03


def test_a_limit_too_high_lets_strangers_pass(nearest, rng):
    """Negative control: what the tests above find comes from the limits that were learnt."""
    x = torch.as_tensor(features_of_all(FEATURES, [with_line(white_noise([0.0, 0.5], rng), rng)]))
    known = nearest.familiarity
    assert known.strangeness(x).distance > 1
    assert replace(known, limits=100 * known.limits).strangeness(x).distance < 1


def test_it_travels_with_the_file_and_older_files_say_that_they_cannot_tell(nearest, tmp_path, rng):
    stranger = with_line(white_noise([0.0, 0.5], rng), rng)
    nearest.save(tmp_path / "new.safetensors")
    again = load_estimator(tmp_path / "new.safetensors")
    assert again.estimate(stranger).warnings[0][:80] == nearest.estimate(stranger).warnings[0][:80]
    again.familiarity = None
    again.save(tmp_path / "old.safetensors")
    estimate = load_estimator(tmp_path / "old.safetensors").estimate(stranger)
    assert estimate.trusted
    assert "cannot tell whether a recording looks like its training data" in estimate.warnings[-1]


def test_more_components_than_are_learned_are_refused_before_their_products_are_made(nearest):
    """Half a million of them, in a file of four megabytes, would have some hundred thousand million products."""
    rows, columns = 1, 2
    tensors = {name: torch.zeros(rows * columns) for name in nearest.familiarity.tensors()}
    tensors["familiarity.components"] = torch.zeros(500_000, rows * columns)
    with pytest.raises(ValueError, match=r"familiarity\.components is \(500000, 2\)"):
        Familiarity.restored(tensors, rows, columns)
