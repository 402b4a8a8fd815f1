"""The neural posterior's densities: our mixture of normals and sbi's flows, behind one interface."""

import time

import numpy as np
import pytest
import torch

from inference.estimators.load import load_estimator
from inference.estimators.neural_posterior import NeuralPosterior
from inference.estimators.sbi_flows import SBI_DENSITIES
from inference.features.interface import features_of_all
from simulators.interface import Parameter, ParameterSpace
from tests.test_estimators import FEATURES, SPACE, white_noise

DENSITIES = ("gaussian mixture", "nsf")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    theta = SPACE.sample(700, rng)
    return theta, [white_noise(t, rng) for t in theta]


@pytest.fixture(scope="module", params=DENSITIES)
def posterior(request, data):
    npe = NeuralPosterior(SPACE, FEATURES, density=request.param, members=2, transforms=3, draws=1000, width=64)
    npe.epochs = 15 if request.param == "nsf" else 30
    return npe.fit(data[0][:600], data[1][:600])


def spectra(npe, recordings):
    return torch.as_tensor(features_of_all(npe.features, recordings))


def test_densities_are_those_of_the_draws(posterior):
    """Density over a grid of the box: it adds up to 1, and its mean is that of the draws."""
    recording = white_noise([0.1, 0.5], np.random.default_rng(4))
    x = spectra(posterior, [recording])
    side = (np.arange(120) + 0.5) / 120
    grid = SPACE.from_unit(np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2))
    density = np.exp(posterior.log_prob(grid, x)) / len(grid)
    np.testing.assert_allclose(density.sum(), 1, atol=0.05)
    estimate = posterior.estimate(recording)
    spread = np.sqrt(density @ (grid - density @ grid) ** 2)
    np.testing.assert_allclose(density @ grid / density.sum(), estimate.point, atol=0.2 * spread.max())
    np.testing.assert_allclose(spread, estimate.samples.std(0), rtol=0.15)


def test_a_bounded_mixture_is_a_density_over_the_box(data):
    npe = NeuralPosterior(SPACE, FEATURES, bounded=True, members=1, epochs=20, width=32).fit(*data)
    x = spectra(npe, [white_noise([0.1, 0.9], np.random.default_rng(4))])
    side = (np.arange(200) + 0.5) / 200
    grid = SPACE.from_unit(np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2))
    density = np.exp(npe.log_prob(grid, x)) / len(grid)
    np.testing.assert_allclose(density.sum(), 1, atol=0.03)
    draws = SPACE.from_unit(npe._sample(x, 4000)[0].numpy().astype(float))
    np.testing.assert_allclose(density @ grid, draws.mean(0), atol=0.1 * draws.std(0).max())


def test_densities_vanish_outside_the_box(posterior):
    x = spectra(posterior, [white_noise([0.1, 0.95], np.random.default_rng(4))])
    assert np.isneginf(posterior.log_prob(np.array([[0.1, 1.01]]), x)).all()


def test_flows_serve_as_posteriors_of_sbi(posterior, data):
    if posterior.density == "gaussian mixture":
        with pytest.raises(ValueError, match="no density of sbi"):
            posterior.direct_posteriors()
        return
    x = spectra(posterior, data[1][650:651])
    members = posterior.direct_posteriors()
    draws = [m.sample((500,), x=x, show_progress_bars=False) for m in members]
    estimate = posterior.estimate(data[1][650])
    point = SPACE.from_unit(torch.cat(draws).mean(0).numpy().astype(float))
    np.testing.assert_allclose(point, estimate.point, atol=0.25 * estimate.samples.std(0).max())
    u = torch.as_tensor(SPACE.to_unit(estimate.point)[None], dtype=torch.float32)
    each = [float(m.log_prob(u, x=x, leakage_correction_params={"num_rejection_samples": 4000})) for m in members]
    np.testing.assert_allclose(np.log(np.mean(np.exp(each))), posterior.log_prob(estimate.point[None], x)[0], atol=0.05)


@pytest.mark.parametrize("factor", [0.6, 1.8])
def test_densities_of_a_wrong_width_are_set_right(posterior, data, factor):
    """Their normals made narrower or wider than learnt; simulations that were held out set them back."""
    held_out = spectra(posterior, data[1][600:]), torch.as_tensor(SPACE.to_unit(data[0][600:])).float()
    posterior._widen(*held_out)
    right, before = posterior.about["width"], posterior.estimate(data[1][650])
    for density in posterior._densities:
        density.width.mul_(factor)
    wrong = posterior.estimate(data[1][650])
    assert ((wrong.samples.std(0) > 1.2 * before.samples.std(0)) == (factor > 1)).all()
    posterior._widen(*held_out)
    assert posterior.about["width"] == pytest.approx(right, rel=1e-3)
    np.testing.assert_allclose(posterior.estimate(data[1][650]).samples, before.samples, atol=0.01)


def test_many_parameters_that_are_not_told_make_no_recording_unlike():
    """Normals as wide as the box lie outside of it by most of their mass, in so many dimensions."""
    space = ParameterSpace(tuple(Parameter(f"p{k}", "1", 0.0, 1.0) for k in range(13)))
    rng = np.random.default_rng(0)
    theta = space.sample(640, rng)
    x = theta[:, :1, None] + 0.1 * rng.standard_normal((640, 1, len(FEATURES.frequencies)))
    npe = NeuralPosterior(space, FEATURES, members=1, epochs=20, width=32).fit_features(
        theta[:600], x[:600], ("c",), "mV"
    )
    assert 1.0 < npe.about["width"] < 2.5  # not as wide as can be, where hardly a draw lies inside
    estimates = [npe._answer(torch.as_tensor(row[None], dtype=torch.float32)) for row in x[600:]]
    assert np.mean([e.trusted for e in estimates]) > 0.9
    assert min(npe._sample(torch.as_tensor(row[None], dtype=torch.float32), 200)[1] for row in x[600:]) < 0.3
    far = npe._answer(torch.as_tensor(x[:1] + 30.0, dtype=torch.float32))
    assert not far.trusted


def test_a_bounded_mixture_fills_the_box_where_nothing_is_told(tmp_path):
    """Ten parameters, of which the features tell one: the others' posteriors are the prior, and no draw is lost."""
    space = ParameterSpace(tuple(Parameter(f"p{k}", "1", 0.0, 1.0) for k in range(10)))
    rng = np.random.default_rng(0)
    theta = space.sample(1500, rng)
    x = (theta[:, :1] + 0.05 * rng.standard_normal((1500, FEATURES.frequencies.size)))[:, None].astype(np.float32)
    npe = NeuralPosterior(space, FEATURES, bounded=True, members=1, components=2, width=32, epochs=15)
    npe.fit_features(theta, x, ("LFP",), "mV")
    given = torch.as_tensor(x[:1])
    samples, inside = npe._sample(given, 2000)
    assert inside == 1
    np.testing.assert_allclose(samples[:, 1:].std(0), np.full(9, np.sqrt(1 / 12)), atol=0.03)
    assert abs(float(samples[:, 0].mean()) - theta[0, 0]) < 0.1
    assert float(samples[:, 0].std()) < 0.1
    npe.save(tmp_path / "npe.safetensors")
    loaded = load_estimator(tmp_path / "npe.safetensors")
    assert loaded.bounded
    torch.testing.assert_close(loaded._sample(given, 100)[0], npe._sample(given, 100)[0])
    np.testing.assert_allclose(loaded.log_prob(theta[:5], given), npe.log_prob(theta[:5], given), atol=1e-4)


def test_an_impossible_recording_is_answered_in_time_and_not_trusted(posterior):
    rng = np.random.default_rng(3)
    start = time.monotonic()
    estimate = posterior.estimate(white_noise([-2.5, 2.5], rng))
    assert time.monotonic() - start < 20
    assert not estimate.trusted
    assert "do not trust" in estimate.warnings[0]
    assert SPACE.contains(estimate.samples).all()
    usual = posterior.estimate(white_noise([0.0, 0.5], rng))
    assert usual.trusted
    assert not usual.warnings


def test_a_density_that_fell_behind_is_left_out(data, caplog, monkeypatch):
    npe = NeuralPosterior(SPACE, FEATURES, members=2, epochs=15, dropout=0.0, tolerance=0.5)
    build = npe._untrained
    built = []

    def second_one_is_blind(channels, frequencies):
        density = build(channels, frequencies)
        built.append(density)
        if len(built) == 2:
            for layer in (density.network.convolutions, density.network.first):
                for parameter in layer.parameters():
                    parameter.data.zero_()
                    parameter.requires_grad_(False)
        return density

    monkeypatch.setattr(npe, "_untrained", second_one_is_blind)
    npe.fit(*data)
    assert npe._densities == built[:1]
    assert "1 of 2 densities fell behind" in caplog.text


@pytest.mark.parametrize("density", SBI_DENSITIES)
def test_every_density_is_trained_saved_and_loaded(density, data, tmp_path):
    npe = NeuralPosterior(SPACE, FEATURES, density=density, members=1, epochs=1, transforms=2, draws=50, tolerance=99)
    npe.fit(data[0][:60], data[1][:60])
    npe.save(tmp_path / "npe.safetensors")
    again = load_estimator(tmp_path / "npe.safetensors")
    assert again.density == density
    np.testing.assert_array_equal(again.estimate(data[1][-1]).samples, npe.estimate(data[1][-1]).samples)


def test_an_unknown_density_is_an_error_that_names_those_there_are(data):
    with pytest.raises(ValueError, match=r"density is 'mfa'; choose 'gaussian mixture' or, of sbi's, nsf, maf"):
        NeuralPosterior(SPACE, FEATURES, density="mfa").fit(data[0][:60], data[1][:60])


@pytest.mark.parametrize("posterior", ["nsf"], indirect=True)
def test_files_of_before_there_was_a_choice_hold_flows(posterior, data, tmp_path):
    """Their settings name no density, and their tensors are those of sbi's flows."""
    settings, tensors = posterior._settings()
    old = NeuralPosterior(SPACE, FEATURES)
    old.channels = posterior.channels
    for name in ("density", "components", "width"):
        settings.pop(name)
    old._restore(settings, {k.replace("flow.", "", 1): v for k, v in tensors.items()})
    old.unit, old.about = posterior.unit, posterior.about
    np.testing.assert_array_equal(old.estimate(data[1][650]).samples, posterior.estimate(data[1][650]).samples)


@pytest.mark.parametrize("posterior", ["nsf"], indirect=True)
def test_a_flow_without_an_inverse_gives_an_answer_that_is_not_trusted(posterior, data, monkeypatch):
    """nflows' splines fail an assertion at recordings far from all they learnt."""

    def fails(*_, **__):
        raise AssertionError

    for density in posterior._densities:
        monkeypatch.setattr(density.flow, "sample", fails)
    estimate = posterior.estimate(data[1][650])
    assert not estimate.trusted
    assert "100 % of the posterior lies outside" in estimate.warnings[0]


def test_each_parameter_of_a_bounded_mixture_has_the_width_it_needs(data):
    """One parameter's normals are made twice as narrow and another's twice as wide: both are set right again."""
    npe = NeuralPosterior(SPACE, FEATURES, bounded=True, members=1, epochs=20, width=32).fit(*data)
    (density,) = npe._densities
    right = density.width.clone()
    assert right.shape == (len(SPACE),)
    density.width.copy_(right * torch.tensor([0.5, 2.0]))
    x = torch.as_tensor(np.stack([FEATURES(r) for r in data[1][500:]])).float()
    u = torch.as_tensor(SPACE.to_unit(data[0][500:])).float()
    npe._widen(x, u)
    again = density.width.clone()
    npe._widen(x, u)
    torch.testing.assert_close(density.width, again, rtol=0.02, atol=0.0)
    assert ((again / right) > 0.6).all()
    assert ((again / right) < 1.6).all()
