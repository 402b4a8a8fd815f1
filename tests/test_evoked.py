"""Evoked responses: their bins, and estimators that learn from them."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from inference.estimators.cnn import CNNRegressor
from inference.estimators.load import load_estimator
from inference.estimators.nearest import NearestSimulations
from inference.estimators.neural_posterior import NeuralPosterior
from inference.features.evoked import EvokedResponse
from inference.workflows.study import Study
from inference.workflows.train import train, untrained_estimators
from simulators.campaigns.run import run_campaign
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

SPACE = ParameterSpace((Parameter("latency", "ms", 20.0, 60.0), Parameter("size", "mV", 0.5, 2.0)))
RESPONSE = EvokedResponse(500.0, 100.0, 4.0)


@dataclass(frozen=True)
class Bump:
    """A response that only its time tells from another: its spectrum is that of any bump."""

    parameters: ParameterSpace = SPACE
    sd: float = 0.05

    def simulate(self, theta, rng):
        latency, size = self.parameters.check(theta)
        times = np.arange(-20, 100, 2.0)
        values = size * np.exp(-(((times - latency) / 8) ** 2)) + self.sd * rng.standard_normal(60)
        return Recording(values[None], 500.0, "mV", ("V",), 10)


@pytest.fixture(scope="module")
def simulations():
    rng = np.random.default_rng(0)
    theta = SPACE.sample(260, rng)
    return theta, [Bump().simulate(t, rng) for t in theta]


def test_values_are_means_over_bins_after_the_stimulus():
    values = np.concatenate([np.full(10, 99.0), np.repeat(np.arange(25.0), 2)])[None]
    found = RESPONSE(Recording(values, 500.0, "mV", ("V",), 10))
    np.testing.assert_array_equal(found, np.arange(25.0)[None])
    np.testing.assert_allclose(RESPONSE.axis.values, 2 + 4 * np.arange(25))
    assert (RESPONSE.axis.name, RESPONSE.axis.unit) == ("time", "ms")


def test_ratios_between_channels_stay_in_a_relative_response():
    values = np.array([[1.0], [3.0]]) * np.hanning(60)
    found = replace(RESPONSE, relative=True)(Recording(values, 500.0, "mV", ("a", "b"), 10))
    np.testing.assert_allclose(found[1], 3 * found[0])
    assert np.mean(found**2) == pytest.approx(1.0)


def test_a_response_of_zeros_has_no_shape():
    with pytest.raises(ValueError, match="zero everywhere"):
        replace(RESPONSE, relative=True)(Recording(np.zeros((1, 60)), 500.0, "mV", ("V",), 10))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"bin_ms": 150.0}, "a response of 200 ms has no two bins of 150 ms"),
        ({"bin_ms": 0.2}, "a bin of 0.2 ms holds no sample at 1000 Hz"),
        ({"sampling_rate": -1.0}, "no two bins"),
        ({"duration_ms": 1e12}, "a response has up to 100,000 bins"),
    ],
)
def test_bins_that_cannot_be_are_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        EvokedResponse(**fields)


@pytest.mark.parametrize(
    "untrained",
    [
        CNNRegressor(SPACE, RESPONSE, members=1, epochs=30),
        NeuralPosterior(SPACE, RESPONSE, members=1, epochs=30, draws=300),
        NearestSimulations(SPACE, RESPONSE),
    ],
    ids=lambda e: e.kind,
)
def test_estimators_learn_latencies_and_keep_them_in_their_file(untrained, simulations, tmp_path):
    theta, recordings = simulations
    fitted = untrained.fit(theta[:200], recordings[:200])
    fitted.save(tmp_path / "e.safetensors")
    loaded = load_estimator(tmp_path / "e.safetensors")
    assert loaded.features == RESPONSE
    points = np.stack([loaded.estimate(r).point for r in recordings[200:]])
    assert np.corrcoef(points[:, 0], theta[200:, 0])[0, 1] > 0.9
    # The same answers given to other recordings are no estimates.
    assert abs(np.corrcoef(points[:, 0], np.roll(theta[200:, 0], 7))[0, 1]) < 0.5


def test_a_study_of_responses_trains_all_but_the_gradient_fit(tmp_path):
    campaign = run_campaign(Bump(), 60, 1, tmp_path / "bump.zarr", progress=False)
    study = Study(Bump(), features=RESPONSE)
    made = dict(train(study, campaign, ["nearest"], test=10, progress=False))
    assert made["nearest"].about["trained_rows"] == [[0, 50]]
    assert made["nearest"].about["simulations"] == 50
    with pytest.raises(ValueError, match="the gradient fit compares spectra; leave 'gradient' out"):
        untrained_estimators(SPACE, RESPONSE)["gradient"]()
