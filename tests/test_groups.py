"""Means, spreads and differences of groups, and numbers that recordings share: closed forms, NUTS, chance."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr, ndtri

from inference.estimate import Estimate
from inference.groups.hierarchical import difference, group, paired_difference, summary
from inference.groups.shared import share
from simulators.interface import Parameter, ParameterSpace

SPACE = ParameterSpace((Parameter("g", "1", 4.0, 6.0),))


def answered(z, sd, rng, draws=1000):
    """Draws of the exact posterior of a probit z, measured with normal errors, by its place in the range."""
    seen = z + sd * rng.standard_normal()
    variance = 1 / (1 + 1 / sd**2)
    return ndtr(variance * seen / sd**2 + np.sqrt(variance) * rng.standard_normal(draws))


def place(mean, spread):
    return ndtr(mean / np.sqrt(1 + spread**2))


# --- one group ---


def test_a_group_of_exact_answers_is_that_of_its_values():
    rng = np.random.default_rng(0)
    z = 0.3 + 0.5 * rng.standard_normal(40)
    found = group([[answered(v, 0.01, rng)] for v in z])
    assert np.mean(found.mean) == pytest.approx(z.mean(), abs=0.03)
    assert np.std(found.mean) == pytest.approx(z.std(ddof=1) / np.sqrt(40), rel=0.15)
    assert np.mean(found.spread) == pytest.approx(z.std(ddof=1), rel=0.08)
    assert found.n == 40


def test_vague_answers_are_not_taken_for_a_spread():
    rng = np.random.default_rng(1)
    found = group([[answered(0.2, 0.8, rng)] for _ in range(60)])
    points = [ndtri(answered(0.2, 0.8, rng)).mean() for _ in range(60)]
    assert np.median(found.spread) < 0.35
    assert np.std(points) > 0.4  # what who takes points for the truth calls a spread
    assert summary(found.mean).low < 0.2 < summary(found.mean).high


def test_several_recordings_of_a_subject_count_as_one():
    rng = np.random.default_rng(2)
    z = 0.5 * rng.standard_normal(12)
    once = group([[answered(v, 0.1, rng)] for v in z])
    thrice = group([[answered(v, 0.1, rng) for _ in range(3)] for v in z])
    as_many = group([[answered(v, 0.1, rng)] for v in z for _ in range(3)])
    assert np.std(thrice.mean) == pytest.approx(np.std(once.mean), rel=0.2)
    assert np.std(as_many.mean) < 0.75 * np.std(once.mean)  # what pretends to be more subjects


def test_vague_recordings_of_a_subject_leave_its_mean_where_the_group_is():
    """The mean of n draws from the prior is narrower than the prior; that is no news."""
    rng = np.random.default_rng(3)
    nothing = group([[rng.random(1000) for _ in range(16)] for _ in range(10)])
    assert np.std(nothing.mean) > 0.6  # a unit normal, if draws told variances exactly


@pytest.mark.parametrize(("recordings", "error"), [(10, 1.0), (30, 1.5), (150, 1.0)])
def test_many_recordings_of_a_subject_are_those_of_a_mean(recordings, error):
    rng = np.random.default_rng(12)
    z = 1.0 + 0.4 * rng.standard_normal(12)
    seen = [z_k + error * rng.standard_normal(recordings) for z_k in z]
    shrunk, sd = 1 / (1 + error**2), np.sqrt(error**2 / (1 + error**2))
    found = group([[ndtr(shrunk * y + sd * rng.standard_normal(1000)) for y in each] for each in seen])
    means = np.array([each.mean() for each in seen])  # each z + error / sqrt(recordings)
    assert np.mean(found.mean) == pytest.approx(means.mean(), abs=0.06)
    assert np.std(found.mean) == pytest.approx(means.std(ddof=1) / np.sqrt(12), rel=0.35)


@pytest.mark.parametrize("middle", [0.0, 0.1, 1.13])
def test_a_narrow_spread_is_found_wherever_it_lies(middle):
    rng = np.random.default_rng(13)
    z = middle + 0.03 * rng.standard_normal(100)
    found = group([[ndtr(v + 0.004 * rng.standard_normal(1000))] for v in z])
    assert np.mean(found.mean) == pytest.approx(z.mean(), abs=0.005)
    assert np.mean(found.spread) == pytest.approx(z.std(), rel=0.2)


def test_a_draw_on_the_edge_of_the_range_is_one_draw():
    rng = np.random.default_rng(14)
    subjects = [ndtr(0.8 + 0.3 * rng.standard_normal(1000)) for _ in range(10)]
    without = group([[u] for u in subjects])
    for u in subjects:
        u[0] = 1.0
    found = group([[u] for u in subjects])
    assert np.mean(found.mean) == pytest.approx(np.mean(without.mean), abs=0.03)
    assert np.std(found.mean) == pytest.approx(np.std(without.mean), rel=0.2)


def test_subjects_at_the_edge_of_the_range_lie_there():
    rng = np.random.default_rng(15)
    subjects = [u[(u > 0) & (u < 1)][:1000] for u in 1.0 + 0.02 * rng.standard_normal((20, 4000))]
    place = group([[u] for u in subjects]).place
    assert 0.985 < np.mean(place) < 0.9985  # all by themselves: .984
    assert np.std(place) > 5e-4
    assert np.isfinite(group([[np.ones(50)], [np.ones(50)], [np.full(50, 0.5)]]).mean).all()


@pytest.mark.parametrize("subjects", [0, 1])
def test_a_group_of_less_than_two_is_refused(subjects):
    with pytest.raises(ValueError, match="fewer than two"):
        group([[np.full(10, 0.5)]] * subjects)


@pytest.mark.slow
def test_a_group_is_what_nuts_draws():
    import pyro
    import torch
    from pyro import distributions as dist
    from pyro.infer.mcmc import MCMC, NUTS

    rng = np.random.default_rng(4)
    subjects = [answered(0.4 + 0.6 * rng.standard_normal(), 0.5, rng) for _ in range(8)]
    z = torch.as_tensor(ndtri(np.clip(subjects, 1e-6, 1 - 1e-6))).float()

    def model():
        mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
        spread = pyro.sample("spread", dist.HalfNormal(0.5))
        ratio = dist.Normal(mean, spread).log_prob(z) - dist.Normal(0.0, 1.0).log_prob(z)
        pyro.factor("recordings", torch.logsumexp(ratio, 1).sum())

    torch.set_num_threads(1)
    pyro.set_rng_seed(0)
    sampler = MCMC(NUTS(model), num_samples=1500, warmup_steps=300, disable_progbar=True)
    sampler.run()
    drawn, found = sampler.get_samples(), group([[s] for s in subjects])
    for name in ("mean", "spread"):
        ours, theirs = getattr(found, name), drawn[name].numpy()
        levels = [0.1, 0.5, 0.9]
        np.testing.assert_allclose(np.quantile(ours, levels), np.quantile(theirs, levels), atol=0.06)


# --- differences ---


def simulated(rng, n, shift, paired, spread=0.4, change=0.2, error=0.5):
    """Both groups' answers, and the true difference."""
    if paired:
        own, changes = spread * rng.standard_normal(n), shift + change * rng.standard_normal(n)
        z = own - changes / 2, own + changes / 2
        wide = np.hypot(spread, change / 2)
    else:
        z, wide = [m + spread * rng.standard_normal(n) for m in (-shift / 2, shift / 2)], spread
    answers = [[[answered(v, error, rng)] for v in some] for some in z]
    return *answers, place(shift / 2, wide) - place(-shift / 2, wide)


@pytest.mark.parametrize("paired", [False, True])
def test_intervals_of_a_difference_hold_as_often_as_they_say(paired):
    rng, told = np.random.default_rng(5), paired_difference if paired else difference
    holds, points, alarms, told_apart, wide = [], [], [], [], []
    for k in range(60):
        first, second, truth = simulated(rng, 8, 0.0 if k % 2 else 1.0, paired)
        found = told(first, second, k)
        low, high = np.quantile(found.draws, [0.05, 0.95])
        holds.append(low < truth < high)
        means = [np.array([one[0].mean() for one in some]) for some in (first, second)]
        test = stats.ttest_rel(*means[::-1]) if paired else stats.ttest_ind(*means[::-1], equal_var=False)
        ends = test.confidence_interval(0.9)
        points.append(ends.low < truth < ends.high)
        (alarms if k % 2 else told_apart).append(found.differs)
        wide.append(high - low)
    assert np.mean(holds) >= 0.8
    assert np.mean(wide) < 0.45  # of the range: no intervals that hold whatever is true
    assert np.mean(alarms) <= 0.17
    assert np.mean(told_apart) > 0.6
    assert np.mean(points) < np.mean(holds)  # points are drawn to the middle of the range, and so are their differences


def test_pairs_tell_more_than_groups_of_other_subjects():
    rng = np.random.default_rng(6)
    first, second, _ = simulated(rng, 15, 0.8, paired=True, spread=0.8, error=0.2)
    assert np.std(paired_difference(first, second).draws) < 0.6 * np.std(difference(first, second).draws)


def test_a_difference_turns_with_its_groups():
    rng = np.random.default_rng(7)
    first, second, _ = simulated(rng, 6, 0.8, paired=False)
    there, back = difference(first, second), difference(second, first)
    assert np.median(there.draws) == pytest.approx(-np.median(back.draws), abs=0.02)


def test_conditions_of_other_numbers_are_no_pairs():
    with pytest.raises(ValueError, match="3 subjects in one condition, 2 in the other"):
        paired_difference([[np.full(10, 0.5)]] * 3, [[np.full(10, 0.5)]] * 2)


# --- what recordings share ---


def with_gain(theta, log_gain, sd, rng, draws=2000):
    """An estimate whose parameter and log gain cannot be told apart but by the sum of both."""
    gain = log_gain + sd * rng.standard_normal() + sd * rng.standard_normal(draws)
    samples = theta + log_gain - gain + 0.02 * rng.standard_normal(draws)
    return Estimate(SPACE, samples.mean(keepdims=True), samples[:, None], "gradient fit", nuisances={"log_gain": gain})


def test_a_shared_gain_is_known_better_the_more_recordings_there_are():
    rng, sd = np.random.default_rng(8), 0.2
    before, after, held, off = [], [], [], []
    for gain in rng.normal(size=6):
        theta = rng.uniform(4.5, 5.5, 16)
        alone = [with_gain(t, gain, sd, rng) for t in theta]
        together = share(alone, "log_gain")
        mean, error = together.mean_sd("log_gain")
        assert 0.9 < error / (sd / 4) < 1.3  # a little wider: any of them may be wrong
        assert not together.left_out
        off.append((mean - gain) / error)
        before += [abs(e.point[0] - t) for e, t in zip(alone, theta, strict=True)]
        after += [abs(e.point[0] - t) for e, t in zip(together.estimates, theta, strict=True)]
        ends = [e.interval(0.9)[0] for e in together.estimates]
        held += [low < t < high for (low, high), t in zip(ends, theta, strict=True)]
    assert np.mean(after) < 0.4 * np.mean(before)
    assert np.mean(held) >= 0.8
    assert np.abs(off).max() < 3
    assert together.estimates[0].method == "gradient fit, log_gain of 16 recordings"


def test_one_posterior_that_is_wrong_does_not_outvote_the_others():
    rng = np.random.default_rng(11)
    estimates = [with_gain(5.0, 0.7, 0.1, rng) for _ in range(10)]
    alone = share(estimates, "log_gain").mean_sd("log_gain")[0]
    wrong = with_gain(5.0, 1.15, 0.03, rng)
    mean = share([*estimates, wrong], "log_gain").mean_sd("log_gain")[0]
    assert abs(mean - alone) < 0.05
    weighted = (alone / 0.1**2 * 10 + 1.15 / 0.03**2) / (10 / 0.1**2 + 1 / 0.03**2)
    assert abs(weighted - alone) > 0.15  # what its narrow posterior claims


def test_a_recording_of_another_gain_is_left_out_and_says_so():
    rng = np.random.default_rng(9)
    estimates = [with_gain(5.0, 0.7, 0.05, rng) for _ in range(6)]
    estimates.insert(2, with_gain(5.0, 3.0, 0.05, rng))
    found = share(estimates, "log_gain")
    assert found.left_out == (2,)
    assert "not that of the other recordings" in found.estimates[2].warnings[0]
    np.testing.assert_array_equal(found.estimates[2].samples, estimates[2].samples)
    assert abs(found.mean_sd("log_gain")[0] - 0.7) < 0.1


def test_a_parameter_can_be_shared_too():
    rng = np.random.default_rng(10)
    estimates = [Estimate(SPACE, s.mean(keepdims=True), s[:, None]) for s in 5.0 + 0.1 * rng.standard_normal((9, 1000))]
    found = share(estimates, "g")
    assert found.mean_sd("g")[1] == pytest.approx(0.1 / 3, rel=0.2)


EXPONENT, MEAN, SD = "background_exponent", 1.5, 0.75  # and its normal prior


def with_exponent(draws):
    samples = np.linspace(4.0, 6.0, len(draws))[:, None]
    prior = {EXPONENT: (MEAN, SD)}
    return Estimate(SPACE, samples.mean(0), samples, "npe", nuisances={EXPONENT: draws}, nuisance_priors=prior)


def test_the_prior_of_what_is_shared_counts_once():
    rng, n, noise = np.random.default_rng(21), 20, 0.5
    each, off = 1 / np.sqrt(1 / SD**2 + 1 / noise**2), []
    for truth in rng.normal(MEAN, SD, 6):
        centres = each**2 * (MEAN / SD**2 + rng.normal(truth, noise, n) / noise**2)
        together = share([with_exponent(rng.normal(c, each, 2000)) for c in centres], EXPONENT)
        assert together.mean_sd(EXPONENT)[1] == pytest.approx(1 / np.sqrt(1 / SD**2 + n / noise**2), rel=0.25)
        off.append((together.mean_sd(EXPONENT)[0] - truth) / together.mean_sd(EXPONENT)[1])
    assert np.sqrt(np.mean(np.square(off))) < 1.8


def test_many_that_know_nothing_of_what_is_shared_know_nothing_together():
    rng = np.random.default_rng(22)
    mean, sd = share([with_exponent(rng.normal(MEAN, SD, 2000)) for _ in range(20)], EXPONENT).mean_sd(EXPONENT)
    assert mean == pytest.approx(MEAN, abs=0.4)
    assert 0.5 < sd / SD < 1.5


def test_a_parameter_that_is_shared_may_lie_at_the_edge_of_its_range():
    rng = np.random.default_rng(16)
    drawn = np.clip(6.0 - 0.3 * np.abs(rng.standard_normal((60, 1000))), 4.0, 6.0)
    at_edge = [Estimate(SPACE, s.mean(keepdims=True), s[:, None]) for s in drawn]
    mean, sd = share(at_edge, "g").mean_sd("g")
    assert mean > 6.0 - 4 * 0.3 / np.sqrt(60)
    vague = [Estimate(SPACE, s.mean(keepdims=True), s[:, None]) for s in rng.uniform(4.0, 6.0, (60, 1000))]
    mean, sd = share(vague, "g").mean_sd("g")
    assert mean == pytest.approx(5.0, abs=0.25)
    assert sd > 0.4  # of a uniform number: .577


def test_what_no_estimate_has_cannot_be_shared():
    samples = np.linspace(4, 6, 50)[:, None]
    one = Estimate(SPACE, samples.mean(0), samples, "neural posterior")
    with pytest.raises(ValueError, match="neural posterior has no draws of log_gain"):
        share([one, one], "log_gain")
    with pytest.raises(ValueError, match="none to share g with"):
        share([one], "g")
