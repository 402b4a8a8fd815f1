"""Izhikevich's layer, indicators and their inversions, against neurons whose parameters and spikes are known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from surrogates.indicators import formulas
from surrogates.indicators.formulas import ASAP3, GCAMP6F, gcamp6f, spikes_from_gcamp6f, voltage_dye, voltage_from_dye
from surrogates.indicators.izhikevich import IzhikevichLayer, fit_firing, fit_izhikevich
from surrogates.indicators.networks import IndicatorNetwork, fit_indicator


def synaptic_current(rng, traces=2, samples=400):
    """Alpha functions at random times, more of them excitatory."""
    ages = np.arange(40)
    waveforms = [size * ages / tau * np.exp(1 - ages / tau) for size, tau in ((10, 3), (-8, 4))]
    counts = [rng.poisson(rate, (traces, samples)) for rate in (0.1, 0.04)]
    return sum(np.stack([np.convolve(row, w)[:samples] for row in n]) for n, w in zip(counts, waveforms, strict=True))


def test_a_resting_neuron_rests():
    layer = IzhikevichLayer()
    np.testing.assert_allclose(layer.simulate(np.zeros((1, 50))), -70.0)


def test_a_spike_resets():
    """Regular spiking under a steady current: the first sample after a peak has followed the reset for one step."""
    layer = IzhikevichLayer(dt=0.1)
    v = layer.simulate(np.full((1, 4000), 10.0))[0]
    peaks = np.flatnonzero(v == 30.0)
    assert len(peaks) > 3
    np.testing.assert_allclose(v[peaks + 1], layer.c, atol=1.0)


def test_traces_do_not_touch_each_other(rng):
    current = synaptic_current(rng, traces=3)
    together = IzhikevichLayer().simulate(current)
    np.testing.assert_array_equal(together[1], IzhikevichLayer().simulate(current[1:2])[0])


def test_gain_scales_the_current(rng):
    current = synaptic_current(rng)
    np.testing.assert_array_equal(
        IzhikevichLayer(gain=0.5).simulate(current), IzhikevichLayer().simulate(0.5 * current)
    )


def test_a_known_neuron_is_found(rng):
    """The published fit of another neuron's traces has r .999 and 96.9 % of the variance."""
    neuron = IzhikevichLayer(a=0.1, b=0.2, c=-65.0, d=2.0, dt=0.5)
    current = synaptic_current(rng)
    fit = fit_izhikevich(current, neuron.simulate(current), rng, refined=4, iterations=60)
    assert fit.r > 0.98
    assert fit.variance_explained > 0.96
    unseen = synaptic_current(rng)
    assert np.corrcoef(fit.layer.simulate(unseen).ravel(), neuron.simulate(unseen).ravel())[0, 1] > 0.98


@pytest.mark.filterwarnings("ignore:no layer was found")
def test_no_neuron_is_found_in_a_shuffled_trace(rng):
    current = synaptic_current(rng)
    shuffled = rng.permuted(IzhikevichLayer().simulate(current), axis=1)
    fit = fit_izhikevich(current, shuffled, rng, candidates=50, refined=1, iterations=20)
    assert fit.r < 0.5
    assert fit.variance_explained < 0.3


def test_what_is_not_free_is_kept(rng):
    current = synaptic_current(rng, samples=200)
    layer = IzhikevichLayer(a=0.05, gain=2.0)
    v = layer.simulate(current)
    fit = fit_izhikevich(current, v, rng, free=("d",), layer=layer, candidates=20, refined=2, iterations=20)
    assert (fit.layer.a, fit.layer.gain) == (0.05, 2.0)
    assert fit.layer.d == pytest.approx(8.0, abs=0.1)


def steady(amounts, samples=600):
    """Currents that come at once and stay."""
    return np.repeat(np.asarray(amounts, float)[:, None], samples, 1)


def spike_counts(layer, current):
    return (layer.simulate(current) == 30.0).sum(1)


def test_a_neuron_that_fires_as_often_is_found(rng):
    neuron = IzhikevichLayer(a=0.1, b=0.2, c=-65.0, d=2.0, dt=0.5)
    learned, unseen = steady(np.arange(0.0, 24.0, 2.0)), steady(np.arange(1.0, 22.0, 2.0))
    told, true = spike_counts(neuron, learned), spike_counts(neuron, unseen)
    assert (true == 0).any()
    layer = fit_firing(learned, told, rng, generations=40)
    assert np.square(spike_counts(layer, learned) - told).mean() < 3
    assert np.corrcoef(spike_counts(layer, unseen), true)[0, 1] > 0.99


def test_no_neuron_fires_at_random(rng):
    learned = steady(np.arange(0.0, 24.0, 2.0))
    told = rng.permuted(spike_counts(IzhikevichLayer(dt=0.5), learned))
    layer = fit_firing(learned, told, rng, generations=40)
    assert np.square(spike_counts(layer, learned) - told).mean() > 0.5 * told.var()


def one_spike(bins=2000, at=100, n=1, apart=20):
    spikes = np.zeros((1, bins), int)
    spikes[0, at : at + n * apart : apart] = 1
    return spikes


@pytest.mark.parametrize("bin_ms", [0.5, 1.0, 5.0])
def test_one_spike_in_gcamp6f_is_as_measured(bin_ms):
    """Chen et al. 2013, visual cortex: peak after 45 ms, half decay 142 ms, 19 %."""
    dff = gcamp6f(one_spike(), bin_ms)[0]
    peak = dff.argmax()
    assert dff.max() == pytest.approx(0.19, abs=0.002)
    assert (peak - 100) * bin_ms == pytest.approx(45, abs=max(1.0, bin_ms))
    assert np.flatnonzero(dff[peak:] < dff[peak] / 2)[0] * bin_ms == pytest.approx(142, abs=max(2.0, bin_ms))
    assert not dff[:101].any()


def test_spikes_add_up_to_more_than_their_sum_and_saturate():
    peaks = {n: gcamp6f(one_spike(n=n, bins=6000), 1.0).max() for n in (1, 2, 5, 200)}
    assert peaks[2] > 2.2 * peaks[1]
    assert peaks[5] > 6 * peaks[1]
    assert peaks[200] < GCAMP6F.brightest


def spike_trains(rng, traces=4, bins=2000, hz=4.0):
    """None in the last 50 ms: what follows a spike must be seen."""
    trains = rng.poisson(hz / 1e3, (traces, bins))
    trains[:, -50:] = 0
    return trains


def share_found(wanted, offered, tolerance):
    """Of the wanted spikes, those with an offered one nearby."""
    distances = [
        np.abs(np.flatnonzero(b) - t).min(initial=10**6)
        for a, b in zip(wanted, offered, strict=True)
        for t in np.flatnonzero(a)
    ]
    return np.mean(np.array(distances) <= tolerance)


@pytest.mark.parametrize(
    ("noise", "tolerance", "least"),
    [(0.0, 10, 0.97), (0.05, 10, 0.93), (0.3, 20, 0.75)],
)
def test_spikes_are_found_in_gcamp6f(noise, tolerance, least, rng):
    """White noise in 1 ms bins; .3 of them hides a single spike by eye."""
    true = spike_trains(rng)
    said = spikes_from_gcamp6f(gcamp6f(true, 1.0, noise=noise, rng=rng), 1.0, noise=noise)
    assert share_found(true, said, tolerance) > least
    assert share_found(said, true, tolerance) > least
    assert said.sum() == pytest.approx(true.sum(), rel=0.15)


def test_bursts_are_counted():
    said = spikes_from_gcamp6f(gcamp6f(one_spike(n=5, apart=5), 1.0), 1.0)
    assert said.sum() == 5


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_silence_has_no_spikes(noise, rng):
    dff = noise * rng.standard_normal((3, 1500))
    assert not spikes_from_gcamp6f(dff, 1.0, noise=noise).any()


def test_noise_needs_a_generator():
    with pytest.raises(ValueError, match="give rng"):
        gcamp6f(one_spike(), 1.0, noise=0.1)


def voltages(rng, traces=8, bins=512):
    """Filtered noise around -65 mV with spikes of 1 ms."""
    v = np.zeros((traces, bins))
    for t in range(1, bins):
        v[:, t] = 0.95 * v[:, t - 1] + 1.5 * rng.standard_normal(traces)
    for n, row in enumerate(v):
        row[10 + 11 * n :: 97] += 80
    return v - 65


def test_a_dye_follows_a_step():
    v = np.full((1, 60), -70.0)
    v[:, 30:] = 30.0
    dff = voltage_dye(v, 1.0)[0]
    np.testing.assert_allclose(dff[:30], 0.0, atol=1e-12)
    assert dff[30] == pytest.approx(-0.51 * (1 - np.exp(-1)))
    assert dff[-1] == pytest.approx(-0.51)


def test_voltage_comes_back_from_a_dye(rng):
    v = voltages(rng)
    np.testing.assert_allclose(voltage_from_dye(voltage_dye(v, 1.0), 1.0), v, atol=1e-6)


def test_a_noisy_dye_is_better_read_with_its_noise_known(rng):
    v = voltages(rng)
    dff = voltage_dye(v, 1.0, noise=0.03, rng=rng)
    error = [np.sqrt(np.square(voltage_from_dye(dff, 1.0, noise=noise) - v).mean()) for noise in (0.03, 0.0)]
    assert error[0] < 0.75 * error[1]
    assert error[0] < v.std()


@pytest.mark.parametrize("both_ways", [False, True], ids=["encoder", "decoder"])
def test_an_indicator_is_learned_in_both_directions(both_ways, rng):
    """On traces it has not seen, and against traces that are not theirs."""
    v = voltages(rng, traces=10)
    given, wanted = (voltage_dye(v, 1.0), v) if both_ways else (v, voltage_dye(v, 1.0))
    settings = {"units": (16, 8, 16), "updates": 120, "batch": 8, "learning_rate": 1e-2}
    network = fit_indicator(given[:8], wanted[:8], 128, both_ways=both_ways, **settings)
    with torch.no_grad():
        said = network(torch.tensor(given[8:], dtype=torch.float32)).numpy()
    assert np.corrcoef(said.ravel(), wanted[8:].ravel())[0, 1] > 0.9
    assert np.corrcoef(said.ravel(), wanted[:2].ravel())[0, 1] < 0.5


def test_an_encoder_does_not_look_ahead():
    torch.manual_seed(0)
    network = IndicatorNetwork((8, 4, 8))
    given = torch.randn(1, 50)
    later = given + (torch.arange(50) >= 20)
    assert torch.equal(network(given)[:, :20], network(later)[:, :20])
    assert not torch.equal(network(given)[:, 20:], network(later)[:, 20:])


def test_the_same_seed_learns_the_same(rng):
    v = voltages(rng, traces=2, bins=64)
    state = torch.get_rng_state()
    first, second = (fit_indicator(v, v, 32, units=(4, 2, 4), updates=3, batch=2, seed=5) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_traces_shorter_than_the_window_are_refused():
    with pytest.raises(ValueError, match="shorter than a window of 128"):
        fit_indicator(np.eye(1, 100), np.eye(1, 100), 128)


def test_traces_that_teach_nothing_are_refused(rng):
    v, silent = voltages(rng, traces=2, bins=64), np.full((2, 64), -65.0)
    for given, wanted in ((silent, v), (v, silent)):
        with pytest.raises(ValueError, match="never change"):
            fit_indicator(given, wanted, 32)
    with pytest.raises(ValueError, match="must change"):
        fit_izhikevich(np.ones((2, 64)), silent, rng)


def test_what_cannot_be_fitted_is_named(rng):
    current = synaptic_current(rng, samples=200)
    v = IzhikevichLayer().simulate(current)
    with pytest.raises(ValueError, match="tau cannot be fitted; free may be a, b, c"):
        fit_izhikevich(current, v, rng, free=("a", "tau"))
    assert fit_izhikevich(current, v, rng, free=("d",), candidates=3, refined=1, iterations=5).r > 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: gcamp6f(np.ones((1, 9)), -1.0), "bins of -1.0 ms"),
        (lambda: spikes_from_gcamp6f(np.full((1, 9), np.nan), 1.0), "expected finite traces"),
        (lambda: spikes_from_gcamp6f(np.ones((1, 9)), 1.0, noise=-1.0), "noise of -1.0"),
        (lambda: voltage_from_dye(np.ones((1, 9)), 1.0, noise=np.inf), "noise of inf"),
    ],
)
def test_traces_that_cannot_be_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


def test_a_fit_that_explains_nothing_says_so(rng):
    v = rng.normal(-65.0, 5.0, (1, 200))
    with pytest.warns(UserWarning, match="no layer was found"):
        fit_izhikevich(steady([30.0], 200), v, rng, candidates=5, refined=1, iterations=1)


def test_izhikevichs_neuron_is_the_published_programme(rng):
    """Izhikevich 2003, fig. 2: v=v+0.5*(0.04*v.^2+5*v+140-u+I), twice; u=u+a.*(b.*v-u); v=c and u=u+d after a spike."""
    a, b, c, d = 0.03, 0.21, -62.0, 5.0
    current = 12.0 + 6.0 * rng.standard_normal(150)  # of many more, rounding makes another trace
    root = np.sqrt((5 - b) ** 2 - 4 * 0.04 * 140)
    v = (b - 5 - root) / (2 * 0.04)  # where both nullclines meet without a current
    u, trace = b * v, []
    for now in current:
        if v >= 30:
            v, u = c, u + d
        v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + now)
        v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + now)
        u = u + a * (b * v - u)
        trace.append(min(v, 30.0))
    assert trace.count(30.0) > 5
    np.testing.assert_allclose(IzhikevichLayer(a=a, b=b, c=c, d=d).simulate(current[None])[0], trace, rtol=1e-5)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_deconvolution_descends_along_the_gradient_of_its_own_cost(noise, rng, monkeypatch):
    """Central differences of half the squared error of gcamp6f itself, and of the price of spikes."""
    dff = gcamp6f(spike_trains(rng, 1, 60, 60.0), 5.0)
    seen = []
    monkeypatch.setattr(formulas, "minimize", lambda cost, *_, **__: seen.append(cost) or SimpleNamespace(x=0 * dff[0]))
    spikes_from_gcamp6f(dff, 5.0, noise=noise)
    x = rng.random(60)

    def expected(x):
        return np.square(gcamp6f(x[None], 5.0) - dff).sum() / 2 + noise * x.sum()

    value, gradient = seen[0](x)
    assert value == pytest.approx(expected(x))
    step = 1e-5 * np.eye(60)
    differences = [(expected(x + s) - expected(x - s)) / 2e-5 for s in step]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("v", [-90.0, -30.0, 10.0])
def test_a_dye_rests_on_its_sigmoid(v):
    """A logistic function of V about -30 mV with a slope of 35 mV, scaled to -51 % from -70 to +30 mV."""
    low, at, high = (1 / (1 + np.exp(-(x + 30) / 35)) for x in (-70.0, v, 30.0))
    np.testing.assert_allclose(voltage_dye(np.full((1, 5), v), 1.0), -0.51 * (at - low) / (high - low), atol=1e-12)


def test_what_a_dye_tells_is_weighted_as_wiener_says(rng):
    """Far below the noise nothing is left of V but its mean; with the noise known too high, less is left than with it
    known right. Power above the noise's own is the signal's: share = 1 - noise^2 / power."""
    noise = 0.02
    dff = -0.3 + 0.04 * np.sin(2 * np.pi * 8 * np.arange(512) / 512)[None] + noise * rng.standard_normal((1, 512))
    dye = replace(ASAP3, tau_ms=1e-3)  # no filter of its own, so that the share is all that is done
    bound = ASAP3.bound(voltage_from_dye(dff, 1.0, noise=noise, indicator=dye)) - ASAP3.bound_at_rest
    said = bound[0] * ASAP3.brightest - dff.mean()
    mirrored = np.concatenate([dff[0], dff[0, ::-1]]) - dff.mean()
    power = np.convolve(np.pad(np.abs(np.fft.rfft(mirrored)) ** 2, 7, "symmetric"), np.full(15, 1 / 15), "valid") / 1024
    share = np.clip(1 - noise**2 / power, 0, None)
    np.testing.assert_allclose(said, np.fft.irfft(np.fft.rfft(mirrored) * share)[:512], atol=1e-6)


@pytest.mark.parametrize("bin_ms", [1.0, 20.0])
def test_calcium_is_exact_at_the_end_of_every_bin(bin_ms):
    """Two exponentials whose difference peaks at 0.1 of the half-saturating concentration, then Hill's equation."""
    t = bin_ms * np.arange(50)
    fine = np.arange(0, 200, 0.001)
    shape = [np.exp(-x / 229.5) - np.exp(-x / 15.6) for x in (t, fine)]
    bound = [c**2.27 / (1 + c**2.27) for c in (50 / 375 + 0.1 * shape[0] / shape[1].max(), 50 / 375)]
    np.testing.assert_allclose(
        gcamp6f(one_spike(150), bin_ms)[0, 100:], 7.53 * (bound[0] - bound[1]), rtol=1e-5, atol=1e-12
    )
