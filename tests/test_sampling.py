"""Draws from densities whose moments are known."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, multivariate_t
from scipy.stats import t as student

from inference.fitting.sampling import (
    _moved,
    _Proposal,
    _worth,
    curvature,
    from_cube,
    importance_samples,
    nuts_samples,
    to_cube,
)

MEAN = torch.tensor([0.5, 0.45, 2.0])
ROOT = torch.tensor([[0.05, 0.0, 0.0], [0.02, 0.03, 0.0], [0.3, -0.2, 0.5]])


def normal(w):
    """Two variables well inside the unit cube and one that is free."""
    return torch.linalg.solve_triangular(ROOT, (w - MEAN).T, upper=False).square().sum(0) / 2


def test_the_curvature_of_a_normal_is_its_precision():
    expected = torch.linalg.inv(ROOT @ ROOT.T)
    np.testing.assert_allclose(curvature(normal, MEAN), expected, rtol=1e-3, atol=0.5)


@pytest.mark.parametrize("sample", [importance_samples, nuts_samples])
def test_draws_from_a_normal_have_its_moments(sample):
    drawn = sample(normal, MEAN[None], 2, 1000, 0)
    assert drawn.samples.shape == (1000, 3)
    assert drawn.effective > 150
    covariance = (ROOT @ ROOT.T).numpy()
    np.testing.assert_allclose(drawn.samples.mean(0), MEAN, atol=0.2 * np.sqrt(covariance.diagonal()).min() + 0.05)
    np.testing.assert_allclose(np.cov(drawn.samples.T), covariance, rtol=0.25, atol=0.002)


@pytest.mark.parametrize("sample", [importance_samples, nuts_samples])
def test_draws_stay_in_the_box_where_the_density_is_cut_off(sample):
    """An exponential that falls from the edge: mean 0.1, where a normal at the mode would be far off."""
    drawn = sample(lambda w: 10 * w[:, 0], torch.tensor([[0.01]]), 1, 2000, 0)
    assert ((drawn.samples >= 0) & (drawn.samples <= 1)).all()
    np.testing.assert_allclose(float(drawn.samples.mean()), 0.1, rtol=0.15)


def test_a_poor_start_is_adapted_to_the_density():
    """The mode of a narrow ridge, given two standard deviations off: the first proposals hit it almost never."""
    root = torch.eye(6) * torch.tensor([0.02, 0.03, 0.01, 1.0, 1.0, 0.01])
    root[5, 0], root[4, 1], root[3, 2] = 0.05, 1.5, -1.0
    centre = torch.tensor([0.4, 0.5, 0.6, 0.0, 1.0, -18.0])

    def ridge(w):
        white = torch.linalg.solve_triangular(root, (w - centre).T, upper=False)
        return white.square().sum(0) / 2 + 0.1 * white[0] ** 4

    off = centre + 2 * root @ torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, 1.0])
    drawn = importance_samples(ridge, off[None], 3, 2000, 0)
    assert drawn.effective > 400
    np.testing.assert_allclose(drawn.samples[:, 1:3].mean(0), centre[1:3], atol=0.004)
    np.testing.assert_allclose(drawn.samples[:, 1:3].std(0), [0.03, 0.01], rtol=0.15)


def two_modes(w):
    each = torch.stack([(w[:, 0] - 0.2) / 0.03, (w[:, 0] - 0.8) / 0.03]).square() / -2
    return -torch.logsumexp(each + torch.tensor([[np.log(0.25)], [np.log(0.75)]]).float(), 0)


def test_modes_are_weighted_by_their_mass():
    drawn = importance_samples(two_modes, torch.tensor([[0.2], [0.8]]), 1, 2000, 0)
    assert float((drawn.samples > 0.5).float().mean()) == pytest.approx(0.75, abs=0.05)
    one = importance_samples(two_modes, torch.tensor([[0.2]]), 1, 2000, 0)
    assert float((one.samples > 0.5).float().mean()) < 0.05  # what was not found by the fit is not in the draws


def test_proposals_have_the_density_of_a_multivariate_t():
    """Up to one constant for all proposals: without it the mixture of importance sampling would be weighted wrongly."""
    centres, roots = (
        torch.tensor([[0.0, 1.0], [2.0, -1.0]]),
        torch.tensor([[[1.0, 0.0], [0.5, 2.0]]]) * torch.tensor([[[1.0]], [[0.3]]]),
    )
    at = torch.randn(40, 2, generator=torch.Generator().manual_seed(0)) * 3
    differences = [
        _Proposal(c, r).log_density(at).numpy() - multivariate_t(c.numpy(), (r @ r.T).numpy(), df=8).logpdf(at.numpy())
        for c, r in zip(centres, roots, strict=True)
    ]
    np.testing.assert_allclose(differences, differences[0][0], atol=1e-5)


def test_proposals_draw_from_the_density_they_state():
    """Student's t with 8 degrees of freedom has 8/6 of the covariance of its root, and its own quantiles."""
    root = torch.tensor([[1.0, 0.0], [0.5, 2.0]])
    drawn = _Proposal(torch.zeros(2), root).draw(100_000, torch.Generator().manual_seed(0)).numpy()
    np.testing.assert_allclose(np.cov(drawn.T), 8 / 6 * (root @ root.T).numpy(), rtol=0.03)
    np.testing.assert_allclose(np.quantile(drawn[:, 0], [0.9, 0.99]), student.ppf([0.9, 0.99], 8), rtol=0.03)


def test_the_worth_of_weighted_draws_is_kishs():
    assert _worth(torch.full((50,), 0.3)) == pytest.approx(50)
    assert _worth(torch.tensor([3.0, 1.0])) == pytest.approx(16 / 10)


def test_what_the_data_leave_open_is_drawn_over_the_whole_cube():
    """Ten parameters, of which two are told: a normal at the mode of the cube would put one draw in 5,000 inside."""

    def told(w):
        return ((w[:, 0] - 0.3) / 0.02).square() / 2 + ((w[:, 1] + 0.3 * w[:, 2] - 0.6) / 0.03).square() / 2

    mode = torch.full((1, 10), 0.5)
    mode[0, 0], mode[0, 1] = 0.3, 0.45
    drawn = importance_samples(told, mode, 10, 2000, 0)
    assert drawn.effective > 400
    for k in (2, 4, 9):
        assert kstest(drawn.samples[::4, k].numpy(), "uniform").pvalue > 1e-3
    np.testing.assert_allclose(drawn.samples[:, 0].mean(), 0.3, atol=0.005)
    np.testing.assert_allclose(drawn.samples[:, 1].std(), np.hypot(0.03, 0.3 / 12**0.5), rtol=0.15)
    # The control: a parameter that is told is not uniform.
    assert kstest(drawn.samples[::4, 0].numpy(), "uniform").pvalue < 1e-9


def test_cube_and_probits_are_inverse_also_at_the_edges():
    w = torch.tensor([[0.0, 1e-4, 0.5, 1.0, 7.0]])
    np.testing.assert_allclose(to_cube(from_cube(w, 4), 4), w, atol=1e-6)
    assert from_cube(w, 4).abs().max() <= 7


def bent(w):
    """A unit normal, and three variables within .3 of its square."""
    return w[:, 0].square() / 2 + ((w[:, 1:] - w[:, :1].square()) / 0.3).square().sum(1) / 2


def test_of_a_bent_density_chains_reach_more_than_proposals(monkeypatch):
    """The deviation of the first variable is 1; proposals are too narrow, and chains on the way."""
    spread = []
    for few in (0.0, float("inf")):
        monkeypatch.setattr("inference.fitting.sampling._FEW", few)
        drawn = importance_samples(bent, torch.zeros(1, 4), 0, 2000, 0).samples
        assert drawn.shape == (2000, 4)
        spread.append(float(drawn[:, 0].std()))
    proposed, moved = spread
    assert proposed + 0.04 < moved < 1.1
    assert moved > 0.85


def test_chains_draw_a_normal_and_say_when_they_have_not_moved(monkeypatch):
    monkeypatch.setattr("inference.fitting.sampling._FEW", float("inf"))
    drawn = importance_samples(normal, MEAN[None], 2, 1000, 0)
    covariance = (ROOT @ ROOT.T).numpy()
    np.testing.assert_allclose(np.cov(drawn.samples.T), covariance, rtol=0.3, atol=0.003)
    assert drawn.effective > 200
    start = torch.randn(64, 3)
    stuck, share = _moved(lambda w: torch.full((len(w),), torch.nan), start, 2, torch.Generator())
    assert share < 1e-3
    assert torch.equal(stuck[:64], start)
