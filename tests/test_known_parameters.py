"""Known values of some parameters: what estimators say of the others."""

import numpy as np
import pytest
import torch

from inference.estimators.cnn import CNNRegressor
from inference.estimators.gaussian_mixture import GaussianMixture
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.nearest import NearestSimulations
from inference.estimators.neural_posterior import NeuralPosterior
from inference.features.spectra import SpectralFeatures
from inference.fitting.descent import Descent
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.cross_spectrum import Bands
from surrogates.spectra.emulator import SpectralEmulator
from surrogates.spectra.likelihood import SpectralModel

SPACE = ParameterSpace(
    (Parameter("a", "1", 1.0, 3.0), Parameter("b", "1", 1.0, 3.0), Parameter("corner_Hz", "Hz", 20.0, 100.0))
)
FEATURES = SpectralFeatures(500.0, 100.0)


def simulate(theta: np.ndarray, seed: int) -> Recording:
    """Low-pass noise whose amplitude is the product a b: known a, b is told, and neither without the other."""
    a, b, corner = theta
    keep = np.exp(-2 * np.pi * corner / 500.0)
    noise = np.random.default_rng(seed).standard_normal(1500)
    values = np.zeros(1500)
    for k in range(1, 1500):
        values[k] = keep * values[k - 1] + noise[k]
    return Recording(a * b * values[None], 500.0, "mV", ("V",))


@pytest.fixture(scope="module")
def simulations():
    theta = SPACE.sample(500, np.random.default_rng(0))
    return theta, [simulate(t, k) for k, t in enumerate(theta)]


@pytest.fixture(scope="module")
def estimators(simulations):
    made = (
        CNNRegressor(SPACE, FEATURES),
        NeuralPosterior(SPACE, FEATURES, bounded=True),
        GradientFit(SpectralModel(SpectralEmulator(SPACE, Bands(5.0, 240.0, 5.0))), FEATURES, Descent(draws=500)),
    )
    return {e.kind: e.fit(*simulations) for e in made}


TESTED = [(t, simulate(t, 10_000 + k)) for k, t in enumerate(SPACE.sample(20, np.random.default_rng(9)))]


@pytest.mark.parametrize("kind", ["cnn", "npe", "gradient"])
def test_a_known_factor_tells_the_other(estimators, kind):
    """The product is told to a few percent: b's error falls to a half or less, and its intervals still hold."""
    estimator = estimators[kind]
    without, given, wrong, held = [], [], [], []
    for theta, recording in TESTED:
        without.append(abs(estimator.estimate(recording).point[1] - theta[1]))
        answer = estimator.given({"a": theta[0]}).estimate(recording)
        assert answer.names == ("b", "corner_Hz")
        given.append(abs(answer.point[0] - theta[1]))
        low, high = answer.interval(0.9)[0]
        held.append(low <= theta[1] <= high)
        wrong.append(abs(estimator.given({"a": 4.0 - theta[0]}).estimate(recording).point[0] - theta[1]))
    assert np.mean(given) < 0.5 * np.mean(without)
    assert np.mean(wrong) > 2 * np.mean(given)
    assert np.mean(held) > 0.6


def test_what_was_given_can_be_changed_and_leaves_the_estimator_alone(estimators):
    _, recording = TESTED[0]
    for estimator in estimators.values():
        before = estimator.estimate(recording).point
        once = estimator.given({"a": 2.0})
        again = once.given({"corner_Hz": 50.0})
        assert once.parameters.names == ("b", "corner_Hz")
        assert again.parameters.names == ("a", "b")
        assert again.estimate(recording).names == ("a", "b")
        np.testing.assert_array_equal(estimator.estimate(recording).point, before)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"tau": 1.0}, "there is no parameter 'tau'; parameters are a, b, corner_Hz"),
        ({"a": 9.0}, "a = 9 lies outside 1 ... 3, in which it was learned"),
        ({"a": float("nan")}, "a = nan lies outside"),
        ({"a": 1.0, "b": 1.0, "corner_Hz": 50.0}, "all parameters are known"),
    ],
)
def test_values_that_were_not_learned_are_refused(estimators, known, said):
    for estimator in estimators.values():
        with pytest.raises(ValueError, match=said):
            estimator.given(known)


def test_an_estimator_with_known_values_is_not_kept(estimators, tmp_path):
    for estimator in estimators.values():
        with pytest.raises(ValueError, match=r"known values \(a\) only estimates"):
            estimator.given({"a": 2.0}).save(tmp_path / "given.safetensors")


def test_estimators_that_cannot_say_so(simulations):
    nearest = NearestSimulations(SPACE, FEATURES).fit(*simulations)
    with pytest.raises(ValueError, match="'nearest' cannot take known values"):
        nearest.given({"a": 2.0})
    flow = NeuralPosterior(SPACE, FEATURES, density="maf")
    with pytest.raises(ValueError, match="cannot take known values; take the gradient fit"):
        flow.given({"a": 2.0})


def test_a_parameter_that_is_told_exactly_spoils_nothing():
    """Normals that are a million times as narrow along one parameter, and tilted: single precision has no inverse."""
    torch.manual_seed(0)
    mixture = GaussianMixture(4, 1, 8, 3, 16, 0.0, bounded=True).eval()
    with torch.no_grad():
        outputs = mixture.network.last[-1].bias.view(3, -1)
        outputs[:, 1 + 4 : 1 + 8] = torch.tensor([10.0, 0.0, 6.0, -2.0])
        outputs[:, 1 + 8 :] = 30.0
        given = mixture.draws_given(torch.randn(1, 1, 8), 500, [1, 2], torch.tensor([0.3, 0.6]))
    assert given.shape == (500, 2)
    assert given.isfinite().all()
    assert ((given >= 0) & (given <= 1)).all()


@pytest.mark.parametrize("bounded", [True, False])
def test_draws_given_known_values_are_those_of_the_joint_density_nearby(bounded):
    """Of a random mixture: among its draws, those whose known parameter lies near the value have the same moments."""
    torch.manual_seed(1)
    mixture = GaussianMixture(3, 1, 8, 4, 16, 0.0, bounded=bounded).eval()
    x = 3 * torch.randn(1, 1, 8)
    with torch.no_grad():
        joint = mixture.draws(x, 400_000)[:, 0]
        value = joint[:, 1].median()
        near = joint[(joint[:, 1] - value).abs() < 0.01 * joint[:, 1].std()]
        given = mixture.draws_given(x, 20_000, [1], value[None])
    assert len(near) > 1000
    for got, expected in ((given, near[:, [0, 2]]),):
        assert (got.mean(0) - expected.mean(0)).abs().max() < 5 * float((expected.std(0) / len(near) ** 0.5).max())
        torch.testing.assert_close(got.std(0), expected.std(0), rtol=0.1, atol=0.0)
        torch.testing.assert_close(torch.corrcoef(got.T), torch.corrcoef(expected.T), rtol=0, atol=0.12)
