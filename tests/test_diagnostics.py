"""Every diagnostic with posteriors known to be exact, too narrow, too wide or shifted."""

import re

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from inference.evaluation.calibration import (
    Misspecification,
    QuickClassifier,
    expected_coverage,
    local_agreement,
    rank_calibration,
    recovery,
)
from simulators.interface import Parameter, ParameterSpace

SPACE = ParameterSpace((Parameter("first", "1", -4.0, 4.0), Parameter("second", "mV", 0.0, 80.0)))
SD = np.array([0.03, 0.3])  # small beside the range, so that its edges cut no posterior off


def posteriors(width=1.0, shift=0.0, n=800, draws=200, seed=0):
    """Truths; what was measured, the truth and normal noise; and draws around it, exact for width 1 and shift 0."""
    rng = np.random.default_rng(seed)
    truths = SPACE.from_unit(0.25 + 0.5 * rng.random((n, 2)))
    measured = truths + SD * rng.standard_normal((n, 2))
    samples = measured[:, None] + SD * (shift + width * rng.standard_normal((n, draws, 2)))
    return truths, measured, samples


every_fault = pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        ({}, "calibrated"),
        ({"width": 0.6}, "overconfident"),
        ({"width": 1.7}, "underconfident"),
        ({"shift": 1.0}, "biased"),
    ],
)


@every_fault
def test_ranks_tell_honest_posteriors_from_others(fault, verdict):
    truths, _, samples = posteriors(**fault)
    finding = rank_calibration(SPACE, truths, samples)
    assert finding.verdict == verdict
    assert finding.good == (verdict == "calibrated")
    assert finding.values["ranks"].shape == truths.shape


@every_fault
def test_expected_coverage_tells_honest_posteriors_from_others(fault, verdict):
    truths, _, samples = posteriors(**fault)
    finding = expected_coverage(SPACE, truths, samples)
    assert finding.verdict == ("overconfident" if verdict == "biased" else verdict)
    if verdict == "calibrated":
        np.testing.assert_allclose(finding.values["coverage90"], 0.9, atol=0.06)


def test_honest_posteriors_rarely_raise_an_alarm():
    findings = [rank_calibration(SPACE, *posteriors(seed=s, n=300, draws=100)[::2]) for s in range(60)]
    findings += [expected_coverage(SPACE, *posteriors(seed=s, n=300, draws=100)[::2]) for s in range(60)]
    assert sum(not f.good for f in findings) <= 2


def test_failed_simulations_are_left_out_and_counted():
    truths, _, samples = posteriors()
    truths[3], samples[5, 0] = np.nan, np.inf
    for diagnostic in (rank_calibration, expected_coverage):
        finding = diagnostic(SPACE, truths, samples)
        assert finding.verdict == "calibrated"
        assert "2 left out as failed" in finding.text
    assert recovery(SPACE, truths, samples[:, 1]).good
    local = local_agreement(SPACE, truths[:80], samples[:80], truths[:80], at=range(3, 6), trials=2)
    assert len(local.values["p"]) == 1  # rows 3 and 5 failed
    truths[:] = np.nan
    with pytest.raises(ValueError, match="0 of 800 recordings have finite"):
        rank_calibration(SPACE, truths, samples)


@pytest.mark.parametrize(("fault", "good"), [({}, True), ({"shift": 1.5}, False)])
def test_local_agreement(fault, good):
    truths, measured, samples = posteriors(**fault, n=400)
    finding = local_agreement(SPACE, truths, samples, measured, at=range(15))
    assert finding.good == good


def weakly_told(told=0.3, n=900, draws=100, seed=0):
    """Truths all over the range, measured with ``told`` of it as noise, and draws of the exact posterior in the box."""
    rng = np.random.default_rng(seed)
    grid = (np.arange(400) + 0.5) / 400
    u = rng.random((n, 2))
    measured = u + told * rng.standard_normal((n, 2))
    weights = np.exp(-0.5 * ((grid - measured[..., None]) / told) ** 2)
    cumulative = np.cumsum(weights, -1) / weights.sum(-1, keepdims=True)
    places = rng.random((n, 2, draws))
    drawn = grid[(places[..., None] > cumulative[:, :, None]).sum(-1).clip(max=399)]
    return SPACE.from_unit(u), SPACE.from_unit(drawn.transpose(0, 2, 1))


def test_shrinkage_of_a_parameter_that_is_weakly_told_is_no_bias():
    """An exact posterior's mean lies nearer to the middle than the truth; the same one moved aside is biased."""
    truths, samples = weakly_told()
    u, means = SPACE.to_unit(truths), SPACE.to_unit(samples.mean(1))
    assert (means - u)[u[:, 0] < 1 / 3, 0].mean() > 0.1  # by the truth it looks biased
    assert recovery(SPACE, truths, samples.mean(1)).verdict == "unbiased"
    assert rank_calibration(SPACE, truths, samples).verdict == "calibrated"
    moved = SPACE.from_unit((means + np.array([0.0, 0.2])).clip(0, 1))
    finding = recovery(SPACE, truths, moved)
    assert finding.verdict == "biased"
    assert "second by +" in finding.text
    assert "first by" not in finding.text
    overshrunk = SPACE.from_unit(0.5 + 0.2 * (means - 0.5))
    assert recovery(SPACE, truths, overshrunk).verdict == "biased"


def test_a_quicker_classifier_learns_the_same_weights(rng):
    x = rng.normal(size=(170, 6))
    y = (x[:, 0] + rng.normal(size=170) > 0).astype(np.int64)
    settings = dict(hidden_layer_sizes=(20, 20), early_stopping=True, n_iter_no_change=10, random_state=1)
    slow, quick = (kind(**settings).fit(x, y) for kind in (MLPClassifier, QuickClassifier))
    np.testing.assert_array_equal(slow.predict_proba(x), quick.predict_proba(x))
    assert slow.n_iter_ == quick.n_iter_


def test_recovery_names_where_estimates_are_biased():
    truths, measured, _ = posteriors(n=900)
    assert recovery(SPACE, truths, measured).good
    bent = measured + np.where(truths[:, :1] > 1.34, [[0.0, 3.0]], 0.0)  # the upper third of the first parameter
    finding = recovery(SPACE, truths, bent)
    assert not finding.good
    assert "second" in finding.text
    assert re.search(
        r"where first is estimated as 0\.[567]\d* \.\.\. 2", finding.text
    )  # the upper third of its estimates


@pytest.fixture(scope="module")
def strange():
    """Spectra of a one-parameter model, and the test for others."""
    rng = np.random.default_rng(0)

    def spectra(n, slope=1.0, line=0.0):
        level = rng.uniform(-1, 1, (n, 1))
        frequencies = np.linspace(0, 1, 40)
        x = level - slope * frequencies + 0.05 * rng.standard_normal((n, 40))
        x[:, 20] += line
        return x

    return spectra, Misspecification(spectra(600), components=4)


def test_misspecification_is_found_where_it_is_and_only_there(strange):
    spectra, test = strange
    assert np.mean([test.p_value(x) < 0.05 for x in spectra(40)]) <= 0.1
    assert np.mean([test.p_value(x) < 0.05 for x in spectra(10, slope=2.0)]) >= 0.9
    assert np.mean([test.p_value(x) < 0.05 for x in spectra(10, line=0.6)]) >= 0.9


def test_ranks_are_scored_by_the_moments_of_a_uniform_number():
    """Ranks counted by hand; z scores against their definition: a uniform number has variance 1/12, its squared
    distance from the middle mean 1/12 and variance 1/80 - 1/144 = 1/180."""
    draws, n = 9, 60
    ranks = np.random.default_rng(3).integers(0, draws + 1, (n, 2))
    samples = np.tile(np.arange(draws) + 0.5, (n, 1))[..., None] * np.ones(2)
    finding = rank_calibration(SPACE, ranks.astype(float), samples)
    np.testing.assert_array_equal(finding.values["ranks"], ranks)
    # The middle of each of draws + 1 equally likely places.
    place = (2 * ranks + 1) / (2 * draws + 2)
    shift = (place - 0.5).sum(0) / np.sqrt(n / 12)
    spread = (np.square(place - 0.5) - 1 / 12).sum(0) / np.sqrt(n * (1 / 80 - 1 / 144))
    np.testing.assert_allclose(finding.values["shift_z"], shift)
    np.testing.assert_allclose(finding.values["spread_z"], spread)


def test_the_area_of_tarp_scatters_as_that_of_a_brownian_bridge():
    """Var of the integral of B over (1/2, 1): min(s, t) - s t integrated over the square, on a fine grid."""
    t = 0.5 + (np.arange(1000) + 0.5) / 2000
    variance = (np.minimum.outer(t, t) - np.outer(t, t)).sum() / 2000**2
    truths, _, samples = posteriors()
    values = expected_coverage(SPACE, truths, samples).values
    assert values["z"] == pytest.approx(values["area"] / np.sqrt(variance / len(truths)), rel=1e-3)


def test_coverage_of_single_parameters_is_that_of_central_intervals():
    """Draws that are the numbers 0 ... 1000: the middle 90 % end at 50 and 950, the middle 50 % at 250 and 750."""
    at = np.repeat([240.0, 260.0, 51.0, 48.0, 949.0, 952.0], 10)
    samples = np.broadcast_to(np.arange(1001.0)[:, None], (60, 1001, 2))
    found = expected_coverage(SPACE, np.stack([at, 500 + 0 * at], 1), samples).values
    np.testing.assert_allclose(found["coverage50"], [1 / 6, 1])
    np.testing.assert_allclose(found["coverage90"], [4 / 6, 1])
