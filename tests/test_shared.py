"""Posteriors as mixtures of normals, and what several recordings share together, beside closed forms."""

import numpy as np
import pytest
import torch
from scipy.special import ndtr, ndtri
from scipy.stats import multivariate_normal

from inference.estimate import Estimate
from inference.groups.mixtures import LogDensities, Mixture
from inference.groups.shared import share
from inference.workflows.brunel import brunel_study
from inference.workflows.shipped import reference_campaign, shipped_estimators
from simulators.interface import Parameter, ParameterSpace
from surrogates.spectra.additions import Additions

SPACE = ParameterSpace((Parameter("g", "1", 4.0, 6.0),))
MIXTURES = [
    Mixture(np.log([0.3, 0.7]), np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([np.eye(2), [[2.0, 0.9], [0.9, 1.0]]])),
    Mixture(np.zeros(1), np.array([[1.0, 1.0]]), np.array([[[0.5, -0.2], [-0.2, 0.4]]])),
]


def density(mixture, values):
    each = zip(np.exp(mixture.log_weights), mixture.means, mixture.covariances, strict=True)
    return sum(w * multivariate_normal(m, c).pdf(values) for w, m, c in each)


def test_densities_are_those_of_normals():
    values = np.random.default_rng(0).standard_normal((7, 2))
    expected = np.log(np.stack([density(m, values) for m in MIXTURES], 1))
    np.testing.assert_allclose(LogDensities(MIXTURES)(torch.as_tensor(values)).numpy(), expected, rtol=1e-9)
    for mixture, one in zip(MIXTURES, expected.T, strict=True):
        np.testing.assert_allclose(np.logaddexp.reduce(mixture.log_densities(values), 1), one, rtol=1e-9)


def test_a_mixture_is_found_from_its_draws():
    rng = np.random.default_rng(1)
    first = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 1500)
    draws = np.concatenate([first, rng.multivariate_normal([6, -3], 0.1 * np.eye(2), 500)])
    found = Mixture.of(draws, 0)
    mean, covariance = found.moments
    np.testing.assert_allclose(mean, draws.mean(0), atol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(draws.T, bias=True), rtol=0.01)
    assert len(Mixture.of(first, 0).log_weights) == 1  # one is enough
    assert Mixture.of(draws[:20], 0).log_weights.shape == (1,)


def test_the_others_follow_from_the_last_numbers():
    mixture, rng = MIXTURES[0], np.random.default_rng(2)
    last = np.full((40_000, 1), 0.4)
    drawn = mixture.draw_others(last, rng)[:, 0]
    grid = np.linspace(-8, 10, 4000)
    expected = density(mixture, np.column_stack([grid, np.full(len(grid), 0.4)]))
    expected /= expected.sum()
    assert drawn.mean() == pytest.approx((grid * expected).sum(), abs=0.03)
    assert drawn.std() == pytest.approx(np.sqrt((grid**2 * expected).sum() - (grid * expected).sum() ** 2), rel=0.02)
    assert mixture.draw_others(np.zeros((5, 2)), rng).shape == (5, 0)


def of_a_sum(told, noise, rng, draws=2000):
    """Of a recording that tells the sum of two numbers a and b, unit normal as probits before, and g by a alone."""
    covariance = np.linalg.inv(np.eye(2) + np.ones((2, 2)) / noise**2)
    a, b = rng.multivariate_normal(covariance @ np.full(2, told / noise**2), covariance, draws).T
    g = 5.0 + 0.2 * a + 0.02 * rng.standard_normal(draws)
    nuisances, ranges = {"a": ndtr(a), "b": ndtr(b)}, {"a": (0.0, 1.0), "b": (0.0, 1.0)}
    return Estimate(SPACE, g.mean(keepdims=True), g[:, None], "posterior", nuisances=nuisances, nuisance_ranges=ranges)


def test_what_is_shared_besides_must_be_named():
    """Twenty recordings tell a + b, not a: who shares a alone is far too sure of it, who shares both is not."""
    rng, noise = np.random.default_rng(3), 0.3
    for a, b in ((0.4, -0.9), (1.2, 0.3), (-0.5, -0.6)):
        sums = a + b + noise * rng.standard_normal(20)
        estimates = [of_a_sum(told, noise, rng) for told in sums]
        covariance = np.linalg.inv(np.eye(2) + np.ones((2, 2)) * 20 / noise**2)
        mean, sd = covariance @ np.full(2, sums.sum() / noise**2), np.sqrt(covariance.diagonal())
        both = share(estimates, ("a", "b"))
        z = ndtri(both.draws)
        np.testing.assert_allclose(z.std(0), sd, rtol=0.15)
        assert (np.abs(z.mean(0) - mean) < 0.3 * sd).all()
        assert z.sum(1).std() == pytest.approx(np.sqrt(covariance.sum()), rel=0.35)
        assert both.estimates[0].samples[:, 0].std() == pytest.approx(0.2 * sd[0], rel=0.2)
        np.testing.assert_allclose(both.estimates[3].nuisances["b"], both.draws[:, 1], rtol=1e-6)
        assert ndtri(share(estimates, "a").draws).std() < 0.4 * sd[0]


def test_samples_stay_as_many_and_fixed_nuisances_as_they_are():
    rng = np.random.default_rng(4)
    few = [of_a_sum(0.5, 0.3, rng, draws=150) for _ in range(3)]
    for estimate in few:
        estimate.nuisances["c"] = np.full(150, 7.0)
    told = share(few, "a")
    assert told.estimates[0].samples.shape == (150, 1)
    assert set(told.estimates[0].nuisances["c"]) == {7.0}
    assert told.draws.shape[1] == 1
    with pytest.raises(ValueError, match="it has those of g, a, b, c"):
        share(few, ("a", "d"))
    with pytest.raises(ValueError, match="the draws of c are all the same"):
        share(few, "c")


def of_a_gain(gain, sd, rng, g=5.0):
    log_gain = gain + sd * rng.standard_normal(1000)
    samples = g + 0.5 * (log_gain - gain) + 0.02 * rng.standard_normal(1000)
    return Estimate(SPACE, samples.mean(keepdims=True), samples[:, None], "npe", nuisances={"log_gain": log_gain})


@pytest.mark.parametrize("gains", [(0.0, 5.0), (0.0, 3.0, 6.0)])
def test_recordings_that_all_contradict_each_other_share_nothing(gains):
    rng = np.random.default_rng(5)
    alone = [of_a_gain(gain, 0.1, rng) for gain in gains]
    told = share(alone, "log_gain")
    assert told.left_out == tuple(range(len(gains)))
    assert told.draws.shape == (0, 1)
    for before, after in zip(alone, told.estimates, strict=True):
        np.testing.assert_array_equal(before.samples, after.samples)
        assert "not that of the other recordings" in after.warnings[0]
    assert not share([of_a_gain(gain, 0.1, rng) for gain in (0.0, 0.2)], "log_gain").left_out


def test_a_contradiction_may_lie_between_two_numbers():
    """Ten tell that the sum is zero, one that it is two; by itself each of the numbers could be anything."""
    rng = np.random.default_rng(6)
    sums = [*(0.1 * rng.standard_normal(10)), 2.0]
    assert share([of_a_sum(told, 0.1, rng) for told in sums], ("a", "b")).left_out == (10,)


def with_nuisance(name, draws, **about):
    samples = np.linspace(4.5, 5.5, len(draws))[:, None]
    return Estimate(SPACE, samples.mean(0), samples, "fit", nuisances={name: draws}, **about)


def test_the_prior_is_that_of_the_estimates():
    """A fit at a temperature of four has a prior twice as wide."""
    rng, n, mean, wide, noise = np.random.default_rng(7), 20, 1.5, 1.5, 0.8
    each = 1 / np.sqrt(1 / wide**2 + 1 / noise**2)
    centres = each**2 * (mean / wide**2 + rng.normal(3.0, noise, n) / noise**2)
    prior = {"background_exponent": (mean, wide)}
    alone = [with_nuisance("background_exponent", rng.normal(c, each, 2000), nuisance_priors=prior) for c in centres]
    told, sd = share(alone, "background_exponent").mean_sd("background_exponent")
    right = 1 / (1 / wide**2 + n / noise**2)
    expected = right * (mean / wide**2 + ((centres / each**2) - mean / wide**2).sum())
    assert told == pytest.approx(expected, abs=0.1)
    assert sd == pytest.approx(np.sqrt(right), rel=0.25)


def test_two_places_are_not_taken_for_none():
    rng = np.random.default_rng(8)
    places = np.where(rng.random(2000) < 0.5, 90.0, -90.0) + 2 * rng.standard_normal(2000)
    ranges = {"depth": (-100.0, 100.0)}
    both = [with_nuisance("depth", places, nuisance_ranges=ranges)]
    higher = [with_nuisance("depth", 88 + 3 * rng.standard_normal(2000), nuisance_ranges=ranges) for _ in range(2)]
    assert share([*both, *higher], "depth").mean_sd("depth")[0] == pytest.approx(89, abs=2)


def test_what_cannot_be_shared_is_said():
    rng = np.random.default_rng(9)
    one, other = (
        with_nuisance("depth", rng.standard_normal(100), nuisance_ranges={"depth": (-w, w)}) for w in (50.0, 100.0)
    )
    with pytest.raises(ValueError, match="range of depth is not the same"):
        share([one, other], "depth")
    with pytest.raises(ValueError, match="which rhythm is the first"):
        share([with_nuisance("rhythm1_log_width", rng.standard_normal(100)) for _ in range(2)], "rhythm1_log_width")
    with pytest.raises(ValueError, match="share one of them"):
        share([with_nuisance("log_white", rng.standard_normal(100))] * 2, ("log_white", "log_pink"))


@pytest.mark.slow
def test_a_background_is_told_by_all_recordings_that_it_lies_in():
    campaign, exponent, rng = reference_campaign(), 2.2, np.random.default_rng(0)
    _, recordings = brunel_study().recordings(campaign, campaign.usable[-6:])
    additions = Additions(band_hz=(10.0, 200.0))
    fit = next(e for e in shipped_estimators() if e.kind == "gradient").with_nuisances(background=True)
    alone = [fit.estimate(additions.added(r, 0.4, rng, exponent)) for r in recordings]
    sds = [e.nuisances["background_exponent"].std() for e in alone]
    mean, sd = share(alone, "background_exponent").mean_sd("background_exponent")
    assert mean == pytest.approx(exponent, abs=0.15)
    assert sd < min(sds)
