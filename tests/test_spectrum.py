"""Cross-spectra, the spectral emulator and its view through an instrument, against processes known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.estimators.gradient_fit import GradientFit
from inference.fitting.descent import Descent
from simulators.campaigns.run import run_campaign
from simulators.fields.linear import LinearView, Weight
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.cholesky import cholesky, expected_wishart_loss, whitened, wishart_loss
from surrogates.spectra.cross_spectrum import Bands, cross_spectrum
from surrogates.spectra.emulator import SpectralEmulator, factor_of
from surrogates.spectra.likelihood import SpectralModel

SPACE = ParameterSpace((Parameter("amplitude", "1", 1.0, 2.0), Parameter("coupling", "1", 0.2, 0.9)))
BANDS = Bands(5.0, 485.0, 20.0)
DELAY = 2  # samples
SOURCES = ("first", "second")


def coupled_noise(theta, rng, samples=2000, swell=0.0):
    """White noise, and a delayed copy of it with noise of its own. swell: how much a recording's power varies."""
    amplitude, coupling = theta
    amplitude = amplitude * np.exp(swell * rng.standard_normal())
    first, own = amplitude * rng.standard_normal((2, samples + DELAY))
    second = coupling * first[:-DELAY] + 0.5 * own[DELAY:]
    return Recording(np.stack([first[DELAY:], second]) + 3.0, 1000.0, "1", SOURCES)


def exact(theta, frequencies):
    """Cross-spectral matrices of ``coupled_noise``, two-sided, per Hz."""
    amplitude, coupling = theta
    turn = np.exp(-2j * np.pi * frequencies * DELAY / 1000)
    one = np.ones(len(frequencies))
    s = np.array([[one, coupling * turn.conj()], [coupling * turn, (coupling**2 + 0.25) * one]])
    return amplitude**2 / 1000 * s.transpose(2, 0, 1)


@pytest.fixture(scope="module")
def simulations():
    rng = np.random.default_rng(3)
    theta = SPACE.sample(600, rng)
    return theta, [coupled_noise(t, rng) for t in theta]


@pytest.fixture(scope="module")
def emulator(simulations):
    return SpectralEmulator(SPACE, BANDS, width=96, iterations=6000).fit(*simulations)


def test_few_simulations_are_not_learned_by_heart():
    rng = np.random.default_rng(8)
    theta = SPACE.sample(100, rng)
    recordings = [coupled_noise(t, rng) for t in theta]
    emulator = SpectralEmulator(SPACE, BANDS).fit(theta[:60], recordings[:60])
    score = emulator.score(theta[60:], recordings[60:])
    assert score["emulator"] - score["saturated"] < 0.5 * (score["constant"] - score["saturated"])
    assert emulator.about["iterations"] < emulator.iterations


def test_what_is_kept_apart_ends_the_training_before_noise_is_learned(monkeypatch):
    """In ten parameters, of which two matter, a network that learns on emulates the noise of 150 spectra."""
    rng = np.random.default_rng(9)
    space = ParameterSpace((*SPACE, *(Parameter(f"p{i}", "1", 0.0, 1.0) for i in range(8))))
    theta = space.sample(300, rng)
    recordings = [coupled_noise(t[:2], rng) for t in theta]
    ended = SpectralEmulator(space, BANDS, width=64, iterations=6000).fit(theta[:150], recordings[:150])
    monkeypatch.setattr("surrogates.spectra.emulator._PATIENCE", 10_000)
    monkeypatch.setattr("surrogates.spectra.emulator._LOOK", 6000)  # the control: a look at the end alone
    patient = SpectralEmulator(space, BANDS, width=64, iterations=6000).fit(theta[:150], recordings[:150])
    scores = [e.score(theta[150:], recordings[150:])["emulator"] for e in (ended, patient)]
    assert scores[0] < scores[1] - 2


@pytest.mark.parametrize("samples", [1000, 2357, 20000])
def test_cross_spectra_have_the_level_and_the_scatter_they_claim(samples):
    rng = np.random.default_rng(samples)
    theta = (1.5, 0.6)
    spectra = [cross_spectrum(coupled_noise(theta, rng, samples), BANDS) for _ in range(150)]
    values, claimed = np.stack([s.values for s in spectra]), spectra[0].samples
    expected = exact(theta, BANDS.centres)
    np.testing.assert_allclose(values.mean((0, 1)), expected.mean(0), rtol=0.02, atol=2e-5)
    scatter = values[..., 0, 0].real.var(0) / expected[:, 0, 0].real ** 2
    np.testing.assert_allclose(scatter.mean(), 1 / claimed.mean(), rtol=0.1)
    whole = (samples / 1000) * BANDS.width_hz
    assert 0.85 * whole < claimed.mean() < 1.01 * whole


def test_bands_without_frequencies_have_no_samples():
    slow = Recording(np.random.default_rng(0).standard_normal((2, 500)), 250.0, "1", SOURCES)
    spectrum = cross_spectrum(slow, BANDS)
    beyond = BANDS.edges[:-1] > 125
    assert (spectrum.samples[beyond] == 0).all()
    assert (spectrum.samples[BANDS.edges[1:] < 125] > 0).all()
    with pytest.raises(ValueError, match="no frequency within"):
        cross_spectrum(Recording(np.ones((1, 3)), 5.0, "1", ("a",)), BANDS)


def test_cholesky_and_whitening_are_those_of_linear_algebra(rng):
    x = torch.as_tensor(rng.standard_normal((4, 5, 3, 6)) + 1j * rng.standard_normal((4, 5, 3, 6)))
    matrices = x @ x.mH
    np.testing.assert_allclose(cholesky(matrices), torch.linalg.cholesky(matrices), rtol=1e-9)
    factors = cholesky(matrices)
    np.testing.assert_allclose(factors @ whitened(factors, x), x, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [0.9, 1.1])
def test_the_wishart_loss_is_least_at_the_truth_and_at_the_right_number_of_samples(scale):
    rng = np.random.default_rng(5)
    data = [cross_spectrum(coupled_noise((1.5, 0.6), rng), BANDS) for _ in range(100)]
    factors = torch.stack([factor_of(d) for d in data])
    truth = cholesky(torch.as_tensor(exact((1.5, 0.6), BANDS.centres))).to(torch.complex64)
    samples = torch.as_tensor(data[0].samples).float()
    best = wishart_loss(truth.expand_as(factors), factors, samples).mean()
    assert best < wishart_loss(scale * truth.expand_as(factors), factors, samples).mean()
    assert best < wishart_loss(truth.expand_as(factors), factors, scale * samples).mean()


def test_emulated_spectra_are_the_exact_ones(emulator):
    for theta in ([1.2, 0.3], [1.5, 0.6], [1.8, 0.8]):
        emulated, expected = emulator.spectra(np.array([theta]))[0], exact(theta, BANDS.centres)
        assert np.abs(emulated - expected).max() < 0.08 * np.abs(expected).max()
        assert np.abs(emulated - expected).mean() < 0.02 * np.abs(expected).max()


def test_held_out_likelihood_lies_near_the_saturated_models(emulator):
    rng = np.random.default_rng(8)
    theta = SPACE.sample(100, rng)
    score = emulator.score(theta, [coupled_noise(t, rng) for t in theta])
    # A model that is exact loses half a nat for each of the numbers that the saturated model fits.
    expected = score["saturated"] + 4 * len(BANDS) / 2
    assert score["emulator"] < expected + 0.05 * (score["constant"] - expected)


def test_a_gaussian_process_has_neither_components_nor_dispersion(emulator):
    assert emulator.n_components == 0
    samples = torch.full((len(BANDS),), 40.0)
    with torch.no_grad():
        worth = emulator.effective_samples(torch.full((1, 2), 0.5), samples)
    assert 0.85 < float((worth / samples).mean()) <= 1


def test_recordings_that_wax_and_wane_together_have_one_component(simulations):
    """Power that varies by 12 % between recordings, the same at all frequencies of both channels."""
    rng = np.random.default_rng(4)
    theta = simulations[0]
    recordings = [coupled_noise(t, rng, swell=0.06) for t in theta]
    emulator = SpectralEmulator(SPACE, BANDS, width=96, iterations=6000).fit(theta, recordings)
    assert emulator.n_components == 1
    u, samples = torch.full((1, 2), 0.5), torch.as_tensor(cross_spectrum(recordings[0], BANDS).samples).float()
    worth = emulator.effective_samples(u, samples)
    with torch.no_grad():
        factors = emulator.factors(u.repeat(3, 1), torch.tensor([[-1.0], [0.0], [1.0]]), worth)
    power = (factors @ factors.mH).diagonal(dim1=-2, dim2=-1).real.mean(1).log()
    np.testing.assert_allclose(abs(power[2] - power[0]).numpy() / 2, 0.12, rtol=0.35)


def test_it_draws_recordings_with_the_spectra_it_knows(emulator):
    theta = np.array([1.4, 0.7])
    emulator.duration_ms, emulator.transient_ms = 4000.0, 100.0
    recordings = emulator.simulate_batch(np.stack([theta] * 60), [np.random.default_rng(i) for i in range(60)])
    assert recordings[0].steady.shape == (2, 3900)
    values = np.mean([cross_spectrum(r, BANDS).values for r in recordings], axis=0)
    np.testing.assert_allclose(values, exact(theta, BANDS.centres), atol=0.06 * 1.4**2 / 1000)
    np.testing.assert_allclose(np.mean([r.steady.mean(1) for r in recordings], axis=0), 3.0, atol=0.05)


def test_it_stands_in_for_a_simulator_in_a_campaign(emulator, tmp_path):
    campaign = run_campaign(emulator, 6, 1, tmp_path / "drawn.zarr", progress=False)
    assert len(campaign.usable) == 6
    again = emulator.simulate(campaign.theta[2], np.random.default_rng(np.random.SeedSequence(1).spawn(6)[2]))
    np.testing.assert_allclose(campaign.recordings(np.array([2]))[0].values, again.values, rtol=1e-5, atol=1e-5)


def test_a_reloaded_emulator_is_the_same(emulator, tmp_path):
    emulator.save(tmp_path / "emulator.safetensors")
    again = SpectralEmulator.load(tmp_path / "emulator.safetensors")
    theta = SPACE.sample(5, np.random.default_rng(0))
    np.testing.assert_array_equal(again.spectra(theta), emulator.spectra(theta))
    np.testing.assert_array_equal(
        again.simulate(theta[0], np.random.default_rng(1)).values,
        emulator.simulate(theta[0], np.random.default_rng(1)).values,
    )


def test_bad_files_and_bad_data_are_errors(emulator, simulations, tmp_path):
    path = tmp_path / "emulator.safetensors"
    emulator.save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match="damaged or no spectral emulator"):
        SpectralEmulator.load(path)
    theta, recordings = simulations
    with pytest.raises(ValueError, match="too few frequencies"):
        SpectralEmulator(SPACE, Bands(5.0, 485.0, 0.2)).fit(theta, recordings)
    slower = Recording(recordings[-1].values, 500.0, "1", SOURCES)
    with pytest.raises(ValueError, match="differ in their channels"):
        SpectralEmulator(SPACE, BANDS).fit(theta, [*recordings[:-1], slower])
    with pytest.raises(ValueError, match="not trained yet"):
        SpectralEmulator(SPACE, BANDS).spectra(theta[:1])
    with pytest.raises(ValueError, match="outside"):
        emulator.simulate(np.array([5.0, 0.5]), np.random.default_rng(0))


def view(channels):
    """Each channel sees both sources, with kernels of its own; the second source with the opposite sign."""
    rng = np.random.default_rng(channels)
    kernels = rng.standard_normal((2, channels, 3)) * np.exp(-2.0 * np.arange(3))  # little changes within a band
    weights = (Weight(1.0, ("amplitude",)), Weight(-1.0, ("amplitude", "coupling")))
    return LinearView(kernels, 1000.0, "mV", tuple(f"c{i}" for i in range(channels)), SOURCES, weights)


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("floor", [False, True])
def test_channels_have_the_cross_spectra_that_the_view_gives_them(emulator, channels, floor, monkeypatch):
    """The likelihood, up to a constant, against one computed with the full matrices of all channels at once."""
    seen = view(channels)
    model = SpectralModel(emulator, seen, floor=floor)
    rng = np.random.default_rng(6)
    theta = {"amplitude": 1.5, "coupling": 0.6}
    clean = seen.observe(coupled_noise(tuple(theta.values()), rng, 4000), theta)
    noise = 0.3 * rng.standard_normal(clean.values.shape) if floor else 0.0
    recording = clean.with_values(clean.values + noise)
    observed = model.observe(recording)
    density = 0.09 / 1000
    nuisances = torch.tensor([[np.log(density), np.log(1e-12)]] if floor else [[]]).float()
    grid = np.array([[1.5, 0.6], [1.3, 0.6], [1.5, 0.5], [1.6, 0.65]])
    u = torch.as_tensor(SPACE.to_unit(grid)).float()
    monkeypatch.setattr(emulator, "effective_samples", lambda u, samples: samples.expand(len(u), -1))
    samples = observed.samples.numpy()
    with torch.no_grad():
        loss = model.loss(u, torch.zeros(4, 0), nuisances.repeat(4, 1), observed).numpy()
    rank = min(channels, 2)
    full = []
    transfer = seen.transfer(BANDS.centres)
    data = cross_spectrum(recording, BANDS).values
    for amplitude, coupling in grid:
        d = np.array([amplitude, -amplitude * coupling])
        s = emulator.spectra(np.array([[amplitude, coupling]]))[0] * d[:, None] * d
        expected = np.einsum("fck,fkl,fdl->fcd", transfer, s, transfer.conj())
        if floor:
            expected = expected + density * np.eye(channels)
            inverse = np.linalg.inv(expected)
            each = np.log(np.linalg.det(expected).real) + np.einsum("fij,fji->f", inverse, data).real
        else:
            values = np.linalg.eigvalsh(expected)[:, -rank:]
            inverse = np.linalg.pinv(expected, rcond=1e-9, hermitian=True)
            each = np.log(values).sum(1) + np.einsum("fij,fji->f", inverse, data).real
        full.append(float((samples * each).sum()))
    differences = loss - loss[0], np.array(full) - full[0]
    np.testing.assert_allclose(*differences, rtol=0.15, atol=3.0)


@pytest.mark.parametrize("gain", [False, True])
def test_fits_scatter_as_the_information_says(emulator, gain):
    """An unknown gain costs all that the amplitude told; without it, coupling would be known better."""
    model = SpectralModel(emulator, view(3), gain=gain)
    rng = np.random.default_rng(9)
    theta = {"amplitude": 1.5, "coupling": 0.55}
    observed = model.observe(model.view.observe(coupled_noise((1.5, 0.55), rng), theta))
    u = torch.as_tensor(SPACE.to_unit(np.array([1.5, 0.55]))).float()
    information = model.information(u, torch.zeros(model.n_nuisances), observed).numpy()
    if gain:
        known = SpectralModel(emulator, view(3)).information(u, torch.zeros(0), observed).numpy()
        assert information[0, 0] < 0.05 * known[0, 0]
        return
    each = [model.observe(model.view.observe(coupled_noise((1.5, 0.55), rng), theta)) for _ in range(60)]
    modes = Descent(iterations=80, starts=2).modes_of_each(model, each)
    scatter = np.cov(torch.stack([found.variables[0, :2] for found in modes]).numpy().T)
    np.testing.assert_allclose(np.sqrt(np.diag(scatter) @ np.diag(information)), 2**0.5, rtol=0.6)
    limit = np.sqrt(np.diag(np.linalg.inv(information)))
    np.testing.assert_allclose(np.sqrt(np.diag(scatter)), limit, rtol=0.3)


def test_the_expected_loss_is_the_mean_of_the_loss():
    rng = np.random.default_rng(2)
    n = 17
    x = torch.as_tensor(rng.standard_normal((4000, 1, 3, n)) + 1j * rng.standard_normal((4000, 1, 3, n))) / 2**0.5
    data = cholesky(x @ x.mH / n).to(torch.complex64)
    samples = torch.full((1,), float(n))
    factors = torch.eye(3).to(data.dtype).expand_as(data)
    np.testing.assert_allclose(
        wishart_loss(factors, data, samples).mean(), expected_wishart_loss(3, samples), atol=0.15
    )


def test_gain_and_noise_can_be_fitted_along(emulator):
    """Five recordings three times too loud, and five with noise: with the nuisances coupling is right, without not."""
    seen, rng = view(4), np.random.default_rng(11)
    fit = GradientFit(SpectralModel(emulator, seen), descent=Descent(iterations=150, starts=4, draws=500))
    fit.about["trained_sd"] = SpectralModel(emulator, seen).sd_range(SPACE.sample(200, rng))
    theta = {"amplitude": 1.5, "coupling": 0.55}
    clean = [seen.observe(coupled_noise((1.5, 0.55), rng, 4000), theta) for _ in range(5)]
    for nuisance, changed in (
        ({"gain": True}, [r.with_values(3 * r.values) for r in clean]),
        ({"floor": True}, [r.with_values(r.values + 1.5 * rng.standard_normal(r.values.shape)) for r in clean]),
    ):
        right, wrong = (
            np.array([e.point[1] for e in f.estimate_each(changed)]) for f in (fit.with_nuisances(**nuisance), fit)
        )
        assert abs(right.mean() - 0.55) < 0.02
        assert abs(wrong.mean() - 0.55) > abs(right.mean() - 0.55) + 0.015


def noisy(recording, rng, white=0.5, pink=0.0):
    """The recording with independent white noise and noise that falls with frequency."""
    shape = recording.values.shape
    walk = np.fft.irfft(np.fft.rfft(rng.standard_normal(shape)) / np.sqrt(np.arange(1, shape[1] // 2 + 2)), shape[1])
    return recording.with_values(recording.values + white * rng.standard_normal(shape) + pink * walk)


@pytest.mark.parametrize("pink", [0.0, 5.0])
def test_the_loss_of_a_noisy_recording_is_as_expected_of_noisy_ones(emulator, pink):
    """Far from the noise's own scatter of hundreds of nats, and with a posterior of the noise that is proper."""
    seen, rng = view(4), np.random.default_rng(12)
    model = SpectralModel(emulator, seen, floor=True)
    excess = []
    for _ in range(6):
        theta = (1.5, 0.55)
        clean = seen.observe(coupled_noise(theta, rng, 4000), {"amplitude": 1.5, "coupling": 0.55})
        recording = noisy(clean, rng, pink=pink)
        observed = model.observe(recording)
        modes = Descent(starts=4).modes(model, observed)
        excess.append(float(modes.losses[0]) - model.expected_loss(modes.variables[0, :2], observed))
    assert abs(np.mean(excess)) < 12
    wrong = recording.with_values(np.cumsum(recording.values, 1))  # noise of another colour
    observed = model.observe(wrong)
    modes = Descent(starts=4).modes(model, observed)
    assert float(modes.losses[0]) - model.expected_loss(modes.variables[0, :2], observed) > 100


def test_swapped_channels_and_noise_are_told_apart(emulator):
    seen, rng = view(4), np.random.default_rng(13)
    fit = GradientFit(SpectralModel(emulator, seen), descent=Descent(iterations=60, starts=2, draws=200))
    fit.about["trained_sd"] = SpectralModel(emulator, seen).sd_range(SPACE.sample(200, rng))
    clean = seen.observe(coupled_noise((1.5, 0.55), rng, 4000), {"amplitude": 1.5, "coupling": 0.55})
    swapped = replace(clean, values=clean.values[[0, 3, 2, 1]], channels=tuple("abcd"))

    def found(fit, recording):
        return [w for w in fit.estimate(recording).warnings if "patterns over its channels" in w]

    assert found(fit, clean) == []
    assert "in the order a, d, c, b" in found(fit, swapped)[0]
    assert "with_nuisances(floor=True)" in found(fit, noisy(clean, rng))[0]
    with_floor = fit.with_nuisances(floor=True)
    assert found(with_floor, noisy(clean, rng)) == []
    assert "seem to be swapped" in found(with_floor, noisy(swapped, rng, white=0.01))[0]
    assert fit.estimate(clean).trusted
    assert not fit.estimate(swapped).trusted


@pytest.mark.parametrize(("white", "pink", "mostly"), [(0.05, 0.0, False), (0.0, 200.0, True), (20.0, 0.0, True)])
def test_one_channel_that_is_mostly_noise_is_not_trusted(emulator, white, pink, mostly):
    """No other channel tells noise from activity, and noise of a free spectrum explains everything."""
    seen, rng = view(1), np.random.default_rng(14)
    fit = GradientFit(SpectralModel(emulator, seen, floor=True), descent=Descent(iterations=300, starts=2, draws=200))
    clean = seen.observe(coupled_noise((1.5, 0.55), rng, 4000), {"amplitude": 1.5, "coupling": 0.55})
    estimate = fit.estimate(noisy(clean, rng, white, pink))
    assert any("down to noise" in warning for warning in estimate.warnings) == mostly
    assert not any("hardly any noise" in warning for warning in estimate.warnings)
    assert not (mostly and estimate.trusted)


def test_nuisances_that_are_not_named_stay(emulator):
    fit = GradientFit(SpectralModel(emulator, view(4), gain=True))
    assert fit.with_nuisances(floor=True).model.gain
    assert not fit.with_nuisances(gain=False).model.gain
