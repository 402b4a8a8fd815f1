"""A posterior that learned from a fast simulator is mended for the slow one."""

import numpy as np
import pytest
import torch

from inference.estimators.feature_shift import FeatureShift
from inference.estimators.neural_posterior import NeuralPosterior
from inference.features.spectra import SpectralFeatures
from simulators.interface import Parameter, ParameterSpace

SPACE = ParameterSpace((Parameter("a", "1", 0.0, 2.0), Parameter("b", "1", -1.0, 1.0)))
FEATURES = SpectralFeatures(1000.0, 20.0)  # 10 frequencies
VALUES = len(FEATURES.frequencies)


def features_at(theta, rng, offset=0.0, slope=0.0):
    """Noisy features of a model whose slow version is shifted by offset + slope * a."""
    u = SPACE.to_unit(theta)
    mean = u[:, :1] * np.linspace(0, 1, VALUES) + u[:, 1:] * np.linspace(1, -1, VALUES)
    shift = offset + slope * theta[:, :1] * np.ones(VALUES)
    return (mean + shift + 0.2 * rng.normal(size=mean.shape))[:, None].astype(np.float32)


class TestShift:
    def test_the_mean_difference_is_found_at_other_thetas(self):
        rng = np.random.default_rng(0)
        theta = SPACE.sample(300, rng)
        fast, slow = features_at(theta, rng), features_at(theta, rng, 0.3, 0.5)
        shift = FeatureShift(SPACE).fit(theta, slow, fast)
        new = SPACE.sample(50, rng)
        expected = (0.3 + 0.5 * new[:, :1, None]) * np.ones((1, 1, VALUES))
        assert np.abs(shift(new) - expected).mean() < 0.05
        assert np.abs(shift(new)).mean() > 0.5  # what would be left without it

    def test_what_does_not_belong_together_is_refused(self):
        rng = np.random.default_rng(0)
        theta = SPACE.sample(30, rng)
        x = features_at(theta, rng)
        with pytest.raises(ValueError, match="do not belong together"):
            FeatureShift(SPACE).fit(theta, x, x[:, :, :5])
        with pytest.raises(ValueError, match="20 or more"):
            FeatureShift(SPACE).fit(theta[:10], x[:10], x[:10])


def coverage(posterior, theta, x, level=0.9):
    """Share of truths inside central intervals, over both parameters."""
    inside = []
    for truth, row in zip(theta, x, strict=True):
        draws = SPACE.from_unit(posterior._sample(torch.as_tensor(row[None]), 400)[0].numpy().astype(float))
        if not len(draws):  # all of the posterior lies outside the box
            inside.append([False] * len(truth))
            continue
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        inside.append((truth >= low) & (truth <= high))
    return float(np.mean(inside))


@pytest.fixture(scope="module")
def taught():
    """A posterior of the fast model, and features of the slow one to learn from and to test on."""
    rng = np.random.default_rng(1)
    theta = SPACE.sample(2000, rng)
    x = features_at(theta, rng)
    few, tests = SPACE.sample(300, rng), SPACE.sample(150, rng)
    slow = features_at(few, rng, 0.3, 0.2), features_at(tests, rng, 0.3, 0.2)

    def posterior(x):
        return NeuralPosterior(SPACE, FEATURES, members=1, epochs=20, width=32, components=2).fit_features(
            theta, x, ("LFP",), "mV"
        )

    return posterior, theta, x, few, slow[0], tests, slow[1]


class TestPosterior:
    def test_intervals_that_miss_the_slow_model_are_mended_by_its_shift(self, taught):
        posterior, theta, x, few, slow, tests, unseen = taught
        plain = posterior(x)
        assert coverage(plain, tests, unseen) < 0.75  # surely wrong, or there is nothing to mend
        shift = FeatureShift(SPACE).fit(few, slow, features_at(few, np.random.default_rng(2)))
        mended = posterior((x + shift(theta)).astype(np.float32)).widen_to(few, slow)
        assert 0.85 < coverage(mended, tests, unseen) < 0.95

    def test_intervals_that_miss_the_slow_model_are_mended_by_learning_more(self, taught):
        posterior, _, x, few, slow, tests, unseen = taught
        plain = posterior(x)
        before = coverage(plain, tests, unseen)
        more = plain.learn_more(few, slow, epochs=30, learning_rate=3e-3).widen_to(few, slow)
        assert coverage(more, tests, unseen) > before + 0.1

    def test_widths_alone_make_intervals_honest_but_wide(self, taught):
        posterior, _, x, few, slow, *_ = taught
        plain = posterior(x)
        narrow = plain.about["width"]
        plain.widen_to(few, slow)
        assert plain.about["width"] > 1.2 * narrow
        with pytest.raises(ValueError, match="not finite"):
            plain.widen_to(few, np.full_like(slow, np.nan))
