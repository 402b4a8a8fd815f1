"""The formulas of the spectral emulator and its likelihood, each stated a second time; nothing is trained."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import gammaln

from inference.estimators.gradient_fit import GradientFit
from inference.evaluation.limit import cramer_rao_sd, error_limit
from simulators.fields.linear import LinearView, Weight
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.cholesky import cholesky, whitened, wishart_loss
from surrogates.spectra.cross_spectrum import Bands, band_transform, cross_spectrum
from surrogates.spectra.emulator import SpectralEmulator, residuals
from surrogates.spectra.likelihood import SpectralModel
from surrogates.spectra.observed import ObservedSpectrum

SPACE = ParameterSpace((Parameter("first", "1", -1.0, 1.0), Parameter("second", "mV", 0.0, 100.0)))
BANDS = Bands(5.0, 485.0, 20.0)
CHANNELS = ("one", "two")
MIXING = torch.tensor([[1.0, 0.0], [0.4 - 0.7j, 0.8]]).to(torch.complex64)
SLOPES = torch.tensor([[1.5, 0.3], [-0.4, 0.9]])  # of each source's log power, in u
SWELL = 0.7  # of both, in the component


class Known(SpectralEmulator):
    """Two mixed sources whose log power is linear in u and in one component; a sample is worth half a one."""

    n_components = 1
    swell = SWELL

    def factors(self, u, components=None, samples=None):
        log_power = u @ SLOPES.T
        if components is not None:
            log_power = log_power + self.swell * components
        each = MIXING * torch.exp(log_power / 2)[:, None, :]
        return each[:, None].expand(-1, len(self.bands), -1, -1)

    def effective_samples(self, u, samples):
        return (samples / 2).expand(len(u), -1)


def known(kind=Known):
    emulator = kind(SPACE, BANDS, duration_ms=3000.0, transient_ms=0.0)
    emulator.channels, emulator.unit, emulator.sampling_rate = CHANNELS, "1", 1000.0
    return emulator


def noise(samples=2000, seed=0):
    return Recording(np.random.default_rng(seed).standard_normal((2, samples)), 1000.0, "1", CHANNELS)


def wishart_factors(rng, rows, channels, n, factor=None):
    """Cholesky factors of the means of n complex Gaussian samples, of unit covariance before ``factor``."""
    x = rng.standard_normal((rows, 1, channels, n)) + 1j * rng.standard_normal((rows, 1, channels, n))
    x = torch.as_tensor(x) / 2**0.5
    x = x if factor is None else factor.to(x.dtype) @ x
    return cholesky(x @ x.mH / n)


# ---- cross-spectra


def test_an_impulse_has_the_same_density_at_all_frequencies():
    """1 / (rate sum of w^2) for an impulse where the window is 1; a Tukey window of share a has sum n (1 - 5 a / 8)."""
    x = np.zeros((1, 4000))
    x[0, 2000] = 3.0
    transform = band_transform(Recording(x, 1000.0, "1", ("c",)), BANDS)
    np.testing.assert_allclose(np.abs(transform.values) ** 2, 9 / (1000 * 4000 * (1 - 5 * 0.1 / 8)), rtol=4e-3)


def test_a_taper_costs_the_samples_that_it_should():
    """(sum w^2)^2 / (n sum w^4) of them are left (Brillinger 1981): here (1 - 5 a / 8)^2 / (1 - 93 a / 128)."""
    claimed = cross_spectrum(noise(20_000), BANDS).samples
    np.testing.assert_allclose(claimed, 20 * BANDS.width_hz * (1 - 0.5 / 8) ** 2 / (1 - 9.3 / 128), rtol=1e-3)


def test_a_views_transfer_is_the_fourier_transform_of_what_one_spike_evokes(rng):
    kernels = rng.standard_normal((2, 3, 7))
    view = LinearView(
        kernels, 500.0, "mV", ("a", "b", "c"), ("e", "i"), (Weight(1.0, ("J",)), Weight(-1.0, ("J", "g")))
    )
    theta = {"J": 0.3, "g": 5.0}
    frequencies = np.fft.rfftfreq(64, 1 / 500.0)
    for k, weight in enumerate((0.3, -1.5)):
        counts = np.zeros((2, 64))
        counts[k, 0] = 1
        seen = view.observe(Recording(counts, 500.0, "1", ("e", "i")), theta).values
        np.testing.assert_allclose(weight * view.transfer(frequencies)[:, :, k].T, np.fft.rfft(seen), atol=1e-12)


# ---- likelihood


def test_the_loss_of_one_channel_is_that_of_a_gamma_variable():
    """The mean of n exponential variables of mean s; the density of its logarithm, which is free of the unit."""
    n, s = torch.tensor([3.0, 17.0, 40.0]), np.array([0.2, 1.0, 7.0])
    a = np.array([0.3, 0.8, 6.0])
    loss = wishart_loss(*(torch.as_tensor(x**0.5 + 0j)[:, None, None] for x in (s, a)), n)
    expected = -(stats.gamma.logpdf(a, n.numpy(), scale=s / n.numpy()) + np.log(a)).sum()
    assert float(loss) == pytest.approx(expected, abs=1e-4)


def test_the_loss_of_several_channels_is_goodmans_density():
    """Goodman 1963: |W|^(n-p) exp(-tr S^-1 W) / (pi^(p(p-1)/2) prod Gamma(n-i) |S|^n), for W = n times the mean."""
    rng, p = np.random.default_rng(1), 3
    data = wishart_factors(rng, 1, p, 20)[0]
    models = wishart_factors(rng, 2, p, 9)
    a, n = (data @ data.mH)[0].numpy(), 25.0
    found = [float(wishart_loss(m, data, torch.tensor([n]))) for m in models]
    for loss, model in zip(found, models, strict=True):
        s = (model @ model.mH)[0].numpy()
        log_density = (
            (n - p) * np.linalg.slogdet(n * a)[1]
            - n * np.trace(np.linalg.inv(s) @ a).real
            - n * np.linalg.slogdet(s)[1]
            - gammaln(n - np.arange(p)).sum()
        )
        # In units of the data themselves: n^(p p) from W to the mean, |A|^p from the mean to a measure without a unit.
        unitless = log_density + p * p * np.log(n) + p * np.linalg.slogdet(a)[1]
        assert loss == pytest.approx(-unitless, abs=2e-3)
    unseen = wishart_loss(torch.cat([models[0]] * 2), torch.cat([data, 0 * data]), torch.tensor([n, 0.0]))
    assert float(unseen) == pytest.approx(found[0], abs=1e-4)


def test_the_expected_loss_of_channels_and_of_residuals_is_the_mean_over_their_distributions():
    """Residuals: means of as many exponential variables as there are samples and dimensions."""
    samples, rest = torch.tensor([4.0, 11.0, 0.0]), 3
    noise_only = ObservedSpectrum(
        torch.zeros(3, 2, 2, dtype=torch.complex64),
        samples,
        None,
        torch.eye(2).expand(3, 2, 2).to(torch.complex64),
        torch.ones(3),
        rest,
    )
    model = SpectralModel(known(), floor=True)
    found = model.expected_loss(torch.full((2,), 0.5), noise_only)
    expected = 0.0
    for n in (4, 11):
        # Channels: the determinant of W is a product of gamma variables (Goodman 1963), and tr S^-1 W has mean n p.
        worth = n / 2
        log_determinant = sum(stats.gamma(worth - i).expect(np.log) for i in range(2)) - 2 * np.log(worth)
        expected += worth * (2 - log_determinant) + gammaln(worth - np.arange(2)).sum() - 2 * worth * np.log(worth)
        mean = stats.gamma(rest * n, scale=1 / (rest * n))
        expected += rest * n * (1 - mean.expect(np.log))
    assert found == pytest.approx(expected, abs=1e-3)


def test_components_are_unit_normal_before_anything_is_seen():
    emulator = known()
    emulator.swell = 0.0
    model = SpectralModel(emulator)
    observed, components = model.observe(noise()), torch.tensor([[0.0], [1.0], [-2.0]])
    loss = model.loss(torch.full((3, 2), 0.4), components, torch.zeros(3, 0), observed)
    np.testing.assert_allclose(loss - loss[0], [0.0, 0.5, 2.0], atol=2e-3)


# ---- information


def fisher(samples, components):
    """Of n complex Gaussian samples tr(S^-1 dS S^-1 dS'), which mixing leaves alone; Schur complement of the others."""
    slopes = SLOPES.numpy()
    if not components:
        return samples * slopes.T @ slopes
    all_slopes = np.concatenate([slopes, np.full((2, 1), SWELL)], 1)
    full = samples * all_slopes.T @ all_slopes
    full[2, 2] += 1  # the component's own normal prior
    return full[:2, :2] - np.outer(full[:2, 2], full[2, :2]) / full[2, 2]


@pytest.mark.parametrize("components", [True, False])
def test_the_information_is_fishers(components):
    model = SpectralModel(known())
    # Few samples, so that the prior of the component counts.
    observed = model.observe(noise(400))
    worth = float(observed.samples.sum()) / 2
    found = model.information(torch.tensor([0.3, 0.6]), torch.zeros(0), observed, components)
    np.testing.assert_allclose(found, fisher(worth, components), rtol=2e-3)
    assert abs(fisher(worth, True) - fisher(worth, False)).max() > 0.1 * worth


def test_the_limit_of_the_error_is_the_mean_absolute_value_of_a_normal(monkeypatch, rng):
    """Cramer-Rao: the inverse of the information and not of its diagonal; E|x| of a normal is sqrt(2 / pi) sd."""
    fit, recording = GradientFit(SpectralModel(known())), noise()
    monkeypatch.setattr(fit, "ready", lambda recording: recording)
    covariance = np.linalg.inv(fisher(cross_spectrum(recording, BANDS).samples.sum() / 2, True))
    theta = np.array([[0.0, 50.0], [0.4, 20.0]])
    sd = cramer_rao_sd(fit, theta, recording)
    np.testing.assert_allclose(sd, [np.sqrt(np.diag(covariance))] * 2, rtol=2e-3)
    drawn = rng.multivariate_normal([0, 0], covariance, 400_000)
    np.testing.assert_allclose(error_limit(fit, theta, recording), np.abs(drawn).mean(0), rtol=5e-3)


# ---- how recordings differ


def test_residuals_of_a_gaussian_process_have_unit_variance_over_samples():
    found = residuals(wishart_factors(np.random.default_rng(2), 4000, 3, 50).to(torch.complex64))[:, 0]
    for kind in found.split(3, 1):  # powers, real and imaginary parts
        assert float(kind.mean()) == pytest.approx(0, abs=5 / np.sqrt(50 * 3 * 4000))
        assert 50 * float(kind.square().mean()) == pytest.approx(1, rel=0.06)


def trained_by_hand(components):
    """An emulator without a network: one spectrum for all theta, and components (number, bands, entries)."""
    emulator = known(SpectralEmulator)
    emulator._net = lambda u: (MIXING.expand(len(u), len(BANDS), 2, 2), torch.tensor([[3.0, -1.0]]).expand(len(u), 2))
    emulator._components = components
    emulator._sizes = lambda u: torch.full((len(u), len(components)), 4.0)
    emulator._dispersion = lambda u: torch.full((len(u), 1), 0.25)
    return emulator


def test_a_component_moves_the_residuals_by_its_pattern():
    """What principal components are found in is what they change: size sd, over the root of the samples."""
    pattern = 1e-3 * torch.randn(1, len(BANDS), 4, generator=torch.Generator().manual_seed(0))
    emulator = trained_by_hand(pattern)
    u, samples = torch.full((2, 2), 0.5), torch.full((1, len(BANDS)), 9.0)
    moved = emulator.factors(u, torch.tensor([[1.0], [-2.0]]), samples)
    found = residuals(whitened(MIXING.expand_as(moved), moved))
    expected = torch.tensor([1.0, -2.0])[:, None, None] * 2 * pattern / 3
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=3e-6)


def test_dispersion_takes_its_share_of_the_samples():
    samples = torch.tensor([0.0, 1.0, 20.0] + [40.0] * (len(BANDS) - 3))
    worth = trained_by_hand(torch.zeros(1, len(BANDS), 4)).effective_samples(torch.full((1, 2), 0.5), samples)[0]
    np.testing.assert_allclose(worth, [0, 1, 20 / 1.25] + [40 / 1.25] * (len(BANDS) - 3))


def test_drawn_recordings_have_the_power_and_the_phase_of_their_spectrum():
    """Two-sided density times the rate is the covariance; the cross-spectrum has the phase of the second channel."""
    emulator = trained_by_hand(torch.zeros(1, len(BANDS), 4))
    rngs = [np.random.default_rng(seed) for seed in range(40)]
    recordings = emulator.simulate_batch(np.tile([0.0, 50.0], (40, 1)), rngs)
    spectrum = (MIXING @ MIXING.mH).numpy()
    values = np.stack([r.values for r in recordings]) - np.array([[3.0], [-1.0]])
    covariance = np.einsum("rct,rdt->cd", values, values) / values[:, 0].size
    # 120,000 samples: 0.4 % of a variance.
    np.testing.assert_allclose(covariance, 1000 * spectrum.real, rtol=0.013)
    seen = np.mean([cross_spectrum(r, BANDS).values.mean(0) for r in recordings], axis=0)
    np.testing.assert_allclose(seen, spectrum, atol=0.02)


# ---- through an instrument


def test_the_noise_floor_is_white_and_falls_with_frequency_and_is_each_channels_own():
    model = SpectralModel(known(), floor=True)
    observed, u = model.observe(noise()), torch.tensor([[0.3, 0.6]])
    nuisances = torch.log(torch.tensor([[0.5, 40.0]]))
    factors = model.factors(u, torch.zeros(1, 1), nuisances, observed)
    sources = model.emulator.factors(u)
    added = (factors @ factors.mH - sources @ sources.mH)[0]
    expected = (0.5 + 40.0 / BANDS.centres)[:, None, None] * np.eye(2)
    np.testing.assert_allclose(added, expected, rtol=1e-4, atol=1e-4)


def test_a_gain_multiplies_the_amplitude():
    model = SpectralModel(known(), gain=True)
    observed, u = model.observe(noise()), torch.tensor([[0.3, 0.6]])
    found = model.factors(u, torch.zeros(1, 1), torch.tensor([[np.log(3.0)]]).float(), observed)
    np.testing.assert_allclose(found, 3 * model.emulator.factors(u), rtol=1e-5, atol=1e-6)


def test_a_weight_without_parameters_is_its_sign_in_the_likelihood_too():
    kernels = np.array([[[2.0], [0.5]], [[1.0], [-1.0]]])
    view = LinearView(kernels, 1000.0, "1", CHANNELS, CHANNELS, (Weight(1.0, ("first",)), Weight(-1.0, ())))
    model = SpectralModel(known(), view)
    u = torch.tensor([[0.3, 0.6], [0.8, 0.1]])
    found = model.factors(u, torch.zeros(2, 1), torch.zeros(2, 0), model.observe(noise()))
    weights = torch.tensor([[-0.4, -1.0], [0.6, -1.0]])  # the first parameter, from -1 to 1
    np.testing.assert_allclose(found, weights[:, None, :, None] * model.emulator.factors(u), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seen", [False, True])
def test_the_standard_deviation_in_the_bands_is_the_root_of_twice_the_two_sided_power(seen):
    """Of a band of 480 Hz; through a view, of weight times kernel: here no lag, so that it is the same at all f."""
    kernels = np.array([[[2.0], [0.5]], [[1.0], [-1.0]]])
    weights = (Weight(1.0, ("second",)), Weight(-1.0, ()))
    view = LinearView(kernels, 1000.0, "mV", ("a", "b"), CHANNELS, weights) if seen else None
    emulator = trained_by_hand(torch.zeros(0, len(BANDS), 4))
    spectrum = (MIXING @ MIXING.mH).numpy()
    if seen:
        mixed = np.array([[2.0, 1.0], [0.5, -1.0]]) * [3.0, -1.0]
        spectrum = mixed @ spectrum @ mixed.T
    found = SpectralModel(emulator, view).sd_range(np.array([[0.5, 3.0]]))
    np.testing.assert_allclose(found, [np.sqrt(2 * 480 * spectrum.diagonal().real)] * 2, rtol=1e-4)
