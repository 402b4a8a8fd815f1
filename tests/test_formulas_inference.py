"""The formulas behind the estimators' numbers, each stated a second time and independently."""

import numpy as np
import pytest
import torch
from scipy import stats

from inference.estimate import Estimate
from inference.estimators.cnn import CNNRegressor
from inference.estimators.sbi_flows import _Base
from inference.evaluation.scores import score
from simulators.interface import Parameter, ParameterSpace

SPACE = ParameterSpace((Parameter("first", "1", -1.0, 1.0), Parameter("second", "mV", 0.0, 100.0)))


@pytest.mark.parametrize(("mass", "low", "high"), [(0.95, 25, 975), (0.9, 50, 950), (0.5, 250, 750)])
def test_an_interval_leaves_as_much_out_on_either_side(mass, low, high):
    """Of the numbers 0 ... 1000, in any order, quantiles are the numbers themselves."""
    samples = np.random.default_rng(0).permutation(np.arange(1001.0))[:, None] * [1.0, -2.0]
    found = Estimate(SPACE, np.zeros(2), samples).interval(mass)
    np.testing.assert_allclose(found, [[low, high], [-2 * high, -2 * low]])


def test_scores_are_those_counted_by_hand():
    """Gneiting & Raftery 2007, eq. 43, with alpha = 0.1: width plus 2 / alpha times what is missed."""
    truth = np.array([0.0, 0.2, 0.96, -0.9])
    samples = np.linspace(-1, 1, 2001)  # 90 % interval -0.9 ... 0.9, 50 % interval -0.5 ... 0.5
    theta = np.stack([truth, 50 + 50 * truth], 1)
    draws = np.stack([samples, 50 + 50 * samples], 1)
    found = score(theta, [Estimate(SPACE, np.array([0.1, 55.0]), draws) for _ in truth])
    # Shares of a range of length 2.
    error = (0.1 - truth) / 2
    np.testing.assert_allclose(found.error, np.abs(error).mean())
    np.testing.assert_allclose(found.bias, error.mean())
    np.testing.assert_allclose(found.r2, 1 - np.square(error).sum() / np.square((truth - truth.mean()) / 2).sum())
    np.testing.assert_allclose(found.coverage50, 0.5)
    np.testing.assert_allclose(found.coverage90, [0.75, 0.75])
    np.testing.assert_allclose(found.interval_score, 0.9 + 20 * 0.03 / 4, rtol=1e-6)


@pytest.mark.parametrize("mass", [0.89, 0.91])
def test_the_90_percent_interval_has_neither_89_nor_91(mass):
    """Truths just inside and just outside the ends of the interval, which are 0.9 of the way from the middle."""
    samples = np.linspace(-1, 1, 2001)
    draws = np.stack([samples, 50 + 50 * samples], 1)
    theta = np.array([[mass, 50 + 50 * mass], [-mass, 50 - 50 * mass]])
    assert (score(theta, [Estimate(SPACE, draws.mean(0), draws)] * 2).coverage90 == (mass < 0.9)).all()


@pytest.mark.parametrize("width", [0.5, 1.0, 1.7])
def test_the_base_of_a_flow_is_a_normal_of_its_width(width):
    base = _Base(3)
    base.width.fill_(width)
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    expected = stats.norm.logpdf(x.numpy(), scale=width).sum(1)
    np.testing.assert_allclose(base.log_prob(x), expected, rtol=1e-5)
    torch.manual_seed(0)
    assert float(base.sample(20_000).std()) == pytest.approx(width, rel=0.02)


def test_a_cnns_samples_are_its_point_plus_truth_minus_estimate():
    """Networks that came out 0.1 too low in held-out simulations of nearby estimates: the truth lies higher."""
    cnn = CNNRegressor(SPACE, neighbours=3)
    cnn._predict = lambda x: torch.tensor([[0.5, 0.5]])
    cnn._points = torch.tensor([[0.5, 0.5], [0.52, 0.5], [0.5, 0.45], [0.9, 0.9]])
    cnn._errors = torch.tensor([[0.1, 0.0], [0.2, 0.05], [0.3, -0.1], [-0.4, -0.4]])
    samples = SPACE.to_unit(cnn._answer(torch.zeros(1, 1, 2)).samples)
    np.testing.assert_allclose(np.sort(samples, 0), [[0.6, 0.4], [0.7, 0.5], [0.8, 0.55]], atol=1e-6)
