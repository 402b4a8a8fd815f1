"""What a recording tells of each parameter: in words, in the verdict, and in the figure of the circuit."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from inference.estimate import Estimate
from inference.evaluation.constraint import contraction, range_left, trade_offs
from inference.reports.circuit_figure import draw_gains
from inference.reports.verdict import remarks_on, verdict
from simulators.interface import Parameter, ParameterSpace

SPACE = ParameterSpace(tuple(Parameter(name, "1", -1.0, 1.0) for name in ("e_e", "e_i", "i_e")))


def posterior(widths, correlation=0.0, n=4000):
    """Normals about .2, of standard deviations in widths, cut off by the range; the first two correlated."""
    covariance = np.eye(3)
    covariance[0, 1] = covariance[1, 0] = correlation
    z = np.random.default_rng(0).multivariate_normal(np.zeros(3), covariance, n)
    samples = 0.2 + z * widths
    samples = samples[(np.abs(samples) <= 1).all(1)]
    return Estimate(SPACE, samples.mean(0), samples, "npe")


def uniform(n=4000):
    samples = np.random.default_rng(1).uniform(-1, 1, (n, 3))
    return Estimate(SPACE, samples.mean(0), samples, "npe")


def test_the_range_that_is_left_is_none_of_what_is_known_and_all_of_what_is_not():
    np.testing.assert_allclose(
        range_left(posterior([0.01, 0.05, 0.1])), 3.92 * np.array([0.01, 0.05, 0.1]) / 1.9, rtol=0.1
    )
    np.testing.assert_allclose(range_left(uniform()), 1.0, atol=0.03)


def test_contraction_is_the_share_of_the_priors_spread_that_is_gone():
    np.testing.assert_allclose(contraction([uniform(), uniform()]), 0.0, atol=0.02)
    np.testing.assert_allclose(contraction([posterior([0.1, 0.1, 0.1])]), 1 - 0.1 * np.sqrt(12) / 2, atol=0.01)
    with pytest.raises(ValueError, match="no estimate has samples"):
        contraction([Estimate(SPACE, np.zeros(3))])


def test_of_correlated_parameters_only_a_combination_is_constrained():
    (found,) = trade_offs(posterior([0.1, 0.1, 0.1], correlation=-0.8))
    assert (found.first, found.second) == ("e_e", "e_i")
    assert str(found) == f"more of e_e can make up for less of e_i (correlation {found.correlation:.2f})"
    (found,) = trade_offs(posterior([0.1, 0.1, 0.1], correlation=0.8))
    assert str(found).startswith("more of e_e can go with more of e_i")
    assert trade_offs(posterior([0.1, 0.1, 0.1])) == ()
    assert trade_offs(Estimate(SPACE, np.zeros(3))) == ()


def test_a_verdict_names_what_is_hardly_told_without_a_doubt_about_the_rest():
    some = verdict([posterior([0.1, 0.1, 2.0])])
    assert some.status == "ok"
    said = "The recording tells little of i_e: 95 % intervals take up more than three quarters"
    assert some.unconstrained.startswith(said)
    assert remarks_on(posterior([0.1, 0.1, 2.0])) == ()
    assert "of any parameter" in verdict([uniform()]).unconstrained
    assert verdict([posterior([0.1, 0.1, 0.1])]).unconstrained == ""
    assert verdict([replace(uniform(), trusted=False)]).unconstrained == ""
    both = [posterior([0.1, 0.1, 2.0]), posterior([0.1, 2.0, 0.1])]  # what one method constrains
    assert verdict(both).unconstrained == ""


@pytest.mark.parametrize("trusted", [True, False])
def test_the_figure_crosses_out_what_does_not_exist_and_pales_what_is_not_told(trusted):
    ax = Figure().subplots()
    estimate = posterior([0.02, 5.0, 0.02])
    estimate = replace(estimate, samples=estimate.samples + [0.5, 0.0, 0.5] * np.ones(3), trusted=trusted)
    draw_gains(ax, estimate, ("e", "i"))
    cells = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    texts = [text.get_text() for text in ax.texts]
    assert len(cells) == 4
    assert len([line for line in ax.lines if line.get_color() == "#c4c8cf"]) == 2  # i_i: one cross
    assert (("+0.70" if trusted else "(+0.70)") in texts, "unconstrained" in texts) == (True, trusted)
    saturation = [max(c.get_facecolor()[:3]) - min(c.get_facecolor()[:3]) for c in cells]
    assert (saturation[0] > 0.4) == trusted
    assert saturation[0] > 3 * saturation[1]
