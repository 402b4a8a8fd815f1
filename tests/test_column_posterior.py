"""The shipped posterior of the column's gains, on dipoles that NEURON's column made."""

import numpy as np
import pytest

from inference.estimators.load import load_estimator
from inference.evaluation.scores import score
from inference.recordings.conform import resampled
from inference.workflows.column import RATE_HZ, evoked_study, rhythm_study, rhythmic_column
from inference.workflows.shipped import SHIPPED
from simulators.recording import Recording

TESTS = 300


@pytest.fixture(scope="module")
def in_neuron():
    """Thetas, dipoles and what their generators began with, of those that taught nothing."""
    with np.load(SHIPPED / "column_dipoles.npz", allow_pickle=False) as file:
        theta, dipoles, seeds = (file[name][-TESTS:] for name in ("theta", "dipoles", "seeds"))
    return theta, [Recording(x[None].astype(float), RATE_HZ, "fAm", ("dipole",), 100) for x in dipoles], seeds


@pytest.fixture(scope="module")
def posterior():
    return load_estimator(SHIPPED / "column_rhythm.safetensors")


class TestShippedPosterior:
    def test_its_intervals_cover_neurons_truths_and_not_those_of_others(self, posterior, in_neuron):
        theta, recordings, _ = in_neuron
        estimates = [posterior.estimate(r) for r in recordings]
        right = score(theta, estimates)
        assert abs(right.coverage90.mean() - 0.9) < 0.04
        assert abs(right.coverage50.mean() - 0.5) < 0.05
        told = right.r2.argmax()  # the parameter that a spectrum tells best
        assert right.r2[told] > 0.3
        wrong = score(np.roll(theta, 1, axis=0), estimates)
        assert wrong.coverage90[told] < right.coverage90[told] - 0.1
        assert wrong.r2[told] < 0

    def test_a_dipole_that_no_column_makes_is_refused(self, posterior, in_neuron):
        """White noise is not: columns that fire at random have spectra as flat."""
        t = np.arange(600) / RATE_HZ
        rng = np.random.default_rng(0)
        lines = [np.sin(2 * np.pi * f * t) + 0.05 * rng.normal(size=t.size) for f in rng.uniform(5, 80, 20)]
        assert not any(posterior.estimate(Recording(x[None], RATE_HZ, "nAm", ("dipole",))).trusted for x in lines)
        assert np.mean([posterior.estimate(r).trusted for r in in_neuron[1][:100]]) > 0.9

    def test_scale_and_unit_make_no_difference(self, posterior, in_neuron):
        recording = in_neuron[1][0]
        given = posterior.estimate(recording).point
        larger = recording.with_values(3e3 * recording.values)
        fainter = Recording(1e-6 * recording.values, RATE_HZ, "nAm", ("dipole",), 100)
        for other in (larger, fainter):
            np.testing.assert_allclose(posterior.estimate(other).point, given, atol=1e-3)


@pytest.mark.slow
def test_the_shipped_dipoles_are_those_that_neuron_gives():
    pytest.importorskip("hnn_core")
    with np.load(SHIPPED / "column_dipoles.npz", allow_pickle=False) as file:
        theta, dipole, seed = file["theta"][-1], file["dipoles"][-1], file["seeds"][-1]
    column, rng = rhythmic_column(), np.random.default_rng(seed.tolist())
    drawn = column.parameters.sample(1, rng)[0]
    np.testing.assert_allclose(drawn, theta)
    found = resampled(column.simulate(drawn, rng), RATE_HZ)
    # Another processor rounds otherwise, and a spike may come a step later: alike, not the same.
    assert np.corrcoef(found.steady[0, :200], dipole[100:300])[0, 1] > 0.9


@pytest.mark.parametrize("study", [rhythm_study(), evoked_study()], ids=["rhythm", "evoked"])
def test_a_study_of_the_column_simulates_what_its_features_see(study):
    theta = study.parameters.sample(1, np.random.default_rng(0))[0]
    recording = study.observed.simulate(theta, np.random.default_rng(1))
    features = study.features(resampled(recording, RATE_HZ))
    assert features.shape == (1, len(study.features.axis.values))
    assert np.isfinite(features).all()
