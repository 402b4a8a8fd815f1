"""Descent through a model that is not the spectral emulator, whose posterior is known in closed form."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from inference.fitting.descent import Descent, DifferentiableModel
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.likelihood import SpectralModel

SPACE = ParameterSpace((Parameter("slope", "mV/s", -2.0, 2.0), Parameter("height", "mV", 0.0, 10.0)))
NOISE = 0.5
TIMES = torch.linspace(0, 1, 50)


@dataclass
class Line:
    """A straight line in white noise; with ``offset``, under an amplifier's drift of prior variance 1."""

    offset: bool = False
    parameters: ParameterSpace = SPACE

    @property
    def n_components(self) -> int:
        return int(self.offset)

    n_nuisances: int = 0

    def observe(self, recording):
        return torch.as_tensor(recording.steady[0]).float()

    def first_nuisances(self, data):
        return torch.zeros(0)

    def design(self):
        """d(values) / d(u)."""
        return torch.stack([4 * TIMES, 10 * torch.ones_like(TIMES)], 1)

    def loss(self, u, components, nuisances, data):
        expected = u @ self.design().T - 2 * TIMES
        expected = expected + components.sum(-1, keepdim=True) * TIMES.square()
        return (data - expected).square().sum(-1) / (2 * NOISE**2) + components.square().sum(-1) / 2


def recording(u, rng):
    values = Line().design().numpy() @ u - 2 * TIMES.numpy() + NOISE * rng.standard_normal(len(TIMES))
    return Recording(values[None], 50.0, "mV", ("c",))


def closed_form(model, data):
    """Mean and covariance of u."""
    columns = [model.design()] + ([TIMES.square()[:, None]] if model.offset else [])
    design = torch.cat(columns, 1).double().numpy()
    precision = design.T @ design / NOISE**2
    precision[2:, 2:] += np.eye(len(precision) - 2)
    covariance = np.linalg.inv(precision)
    return (covariance @ design.T @ (data + 2 * TIMES.numpy()) / NOISE**2)[:2], covariance[:2, :2]


@pytest.mark.parametrize("posterior", ["laplace", "nuts"])
@pytest.mark.parametrize("offset", [False, True])
def test_the_posterior_of_a_linear_model_is_the_closed_form(offset, posterior):
    model = Line(offset)
    assert isinstance(model, DifferentiableModel)
    seen = recording(np.array([0.5, 0.4]), np.random.default_rng(3))
    draws = 4000 if posterior == "laplace" else 1000
    estimate = Descent(starts=4, posterior=posterior, draws=draws).estimate(model, seen)
    mean, covariance = closed_form(model, seen.values[0])
    samples = SPACE.to_unit(estimate.samples)
    sd = np.sqrt(np.diag(covariance))
    # Five standard errors of the mean, of an eighth of the draws, which are not independent.
    assert np.abs(samples.mean(0) - mean).max() < 5 * sd.max() / np.sqrt(draws / 8)
    np.testing.assert_allclose(samples.std(0), sd, rtol=0.15)
    assert np.corrcoef(samples.T)[0, 1] == pytest.approx(covariance[0, 1] / sd.prod(), abs=0.1)
    assert estimate.warnings == ()


def test_a_model_of_drift_widens_the_posterior():
    seen = recording(np.array([0.5, 0.4]), np.random.default_rng(3))
    narrow, wide = (Descent().estimate(Line(offset), seen).samples.std(0) for offset in (False, True))
    assert (wide > 1.5 * narrow)[0]


def test_a_best_fit_at_the_edge_is_said():
    estimate = Descent().estimate(Line(), recording(np.array([0.5, 1.3]), np.random.default_rng(0)))
    assert "the best fit lies at the edge of the range of height" in estimate.warnings


def test_two_optima_are_both_kept():
    class Folded(Line):
        def loss(self, u, components, nuisances, data):
            folded = torch.cat([0.5 + (u[:, :1] - 0.5).abs(), u[:, 1:]], 1)
            return super().loss(folded, components, nuisances, data)

    samples = Descent().estimate(Folded(), recording(np.array([0.8, 0.4]), np.random.default_rng(1))).samples
    assert 0.4 < np.mean(samples[:, 0] > 0) < 0.6


def test_a_loss_that_is_never_finite_is_an_error():
    class Broken(Line):
        def loss(self, u, components, nuisances, data):
            return super().loss(u, components, nuisances, data) * torch.nan

    with pytest.raises(ValueError, match="no start of the fit has a finite likelihood"):
        Descent().estimate(Broken(), recording(np.array([0.5, 0.5]), np.random.default_rng(1)))


def test_the_spectral_model_is_one_of_them():
    assert all(hasattr(SpectralModel, name) for name in ("n_components", "n_nuisances", "observe", "loss"))


@dataclass
class ManyValleys(Line):
    """A bowl of shallow valleys, of which one is deep and a twentieth of the range wide."""

    def loss(self, u, components, nuisances, data):
        distance = (u - torch.tensor([0.83, 0.17])).square().sum(-1)
        ripples = (torch.cos(40 * u) + 1).sum(-1)
        return 5 * ripples - 200 * torch.exp(-distance / (2 * 0.05**2)) + components.sum(-1)


def test_screening_finds_a_valley_that_few_starts_miss():
    model, seen = ManyValleys(), recording(np.array([0.5, 0.4]), np.random.default_rng(0))
    losses = [
        [float(Descent(starts=2, screened=screened, seed=seed).modes(model, model.observe(seen)).losses[0]) for seed in
         range(6)]
        for screened in (0, 256)
    ]  # fmt: skip
    assert max(losses[1]) < -150
    assert np.median(losses[0]) > -100


def test_screening_has_bounds():
    with pytest.raises(ValueError, match="screened"):
        Descent(screened=-1)
