"""Targets as losses, and fits by an emulator in rounds on a circuit whose best parameters are known."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from inference.fitting.rounds import FitInRounds
from inference.fitting.targets import BandPower, Rate, Spectrum, Target, Waveform, total_loss
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

RATE_HZ = 500.0


def recording(values, unit="nAm", channels=("dipole",), transient=0) -> Recording:
    return Recording(np.atleast_2d(np.asarray(values, float)), RATE_HZ, unit, channels, transient)


def sine(frequency_hz: float, seconds=2.0, amplitude=1.0) -> Recording:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return recording(amplitude * np.sin(2 * np.pi * frequency_hz * t))


@dataclass(frozen=True)
class Rhythm:
    """Noise with a rhythm: the larger its amplitude and the nearer its frequency to a band, the more power is there.

    Spikes grow with the amplitude, so that a bound on their rate is a bound on it.
    """

    batch_size: int = 1

    @property
    def parameters(self) -> ParameterSpace:
        return ParameterSpace((Parameter("frequency", "Hz", 4.0, 80.0), Parameter("amplitude", "1", 0.0, 3.0)))

    def simulate(self, theta, rng) -> Recording:
        frequency, amplitude = self.parameters.check(theta)
        t = np.arange(1000) / RATE_HZ
        x = rng.normal(0, 1, 1000) + amplitude * np.sin(2 * np.pi * (frequency * t + rng.random()))
        spikes = rng.poisson(10 * amplitude / RATE_HZ, 1000)
        return recording(np.stack([x, spikes]), "nAm, 1", ("dipole", "E spikes"))


BAND = BandPower(channel="dipole", band_hz=(30.0, 50.0))


@pytest.mark.parametrize(("frequency_hz", "least", "most"), [(40.0, 0.95, 1.0), (10.0, 0.0, 0.05), (30.0, 0.3, 0.8)])
def test_the_share_of_a_band_is_that_of_a_sine(frequency_hz, least, most):
    features = torch.as_tensor(BAND.features(sine(frequency_hz)))[None]
    share = float(BAND.share(features))
    assert least <= share <= most
    assert float(BAND.loss(features)) == pytest.approx(-np.log(share))


def test_a_spectrum_differs_from_itself_by_nothing_and_from_a_louder_one_by_its_gain():
    like = recording(np.random.default_rng(0).normal(size=2000))
    louder = like.with_values(2 * like.values)
    plain = Spectrum(channel="dipole", like=like)
    relative = replace(plain, relative=True)
    for target, expected in ((plain, np.log(4) ** 2), (relative, 0.0)):
        assert float(target.loss(torch.as_tensor(target.features(like))[None])) == pytest.approx(0, abs=1e-12)
        found = float(target.loss(torch.as_tensor(target.features(louder))[None]))
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("spikes", "expected"), [(8, 0.0), (0, np.log(1.5 / 0.5) ** 2), (400, np.log(100.5 / 60.5) ** 2)]
)
def test_rates_cost_only_beyond_their_bounds(spikes, expected):
    """So many spikes of two cells in two seconds."""
    values = np.zeros(1000)
    values[:8] = spikes / 8
    target = Rate(channel="E spikes", cells=2)
    features = target.features(recording(values, "1", ("E spikes",)))
    assert float(target.loss(torch.as_tensor(features)[None])) == pytest.approx(expected)


def test_a_waveform_is_compared_after_the_transient():
    like = sine(3.0, 0.3)
    target = Waveform(channel="dipole", like=like, bin_ms=10.0)
    longer = recording(np.r_[np.full(50, 9.0), like.values[0], np.zeros(50)], transient=50)
    assert float(target.loss(torch.as_tensor(target.features(longer))[None])) == pytest.approx(0, abs=1e-12)
    none = torch.as_tensor(target.features(recording(np.zeros(200))))[None]
    assert float(target.loss(none)) == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: BandPower(channel="x", band_hz=(50.0, 30.0)), "does not lie inside"),
        (lambda: BandPower(channel="x", band_hz=(90.0, 120.0)), "does not lie inside"),
        (lambda: BandPower(channel="x", band_hz=(10.0, 30.0), bins=1), "no spectrum"),
        (lambda: Rate(channel="x", cells=0), "cannot be"),
        (lambda: Rate(channel="x", cells=3, low_Hz=5.0, high_Hz=1.0), "cannot be"),
        (lambda: BandPower(channel="x", band_hz=(10.0, 30.0)).features(sine(3.0)), "no channel 'x'; .* dipole"),
        (lambda: BAND.features(sine(3.0, 0.2)), "of 200 ms at 500 Hz has no spectrum"),
        (lambda: Waveform(channel="dipole", like=sine(3.0)).features(sine(3.0, 1.0)), "the waveform has 2000 ms"),
        (lambda: FitInRounds(Rhythm(), []), "nothing is wanted"),
        (lambda: FitInRounds(Rhythm(), [BAND], first=0), "have to be one or more"),
    ],
)
def test_what_cannot_be_wanted_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def quick(targets: list[Target], **settings) -> FitInRounds:
    given = {"first": 300, "each": 80, "rounds": 2, "repeats": 20, "members": 2, "progress": False}
    return FitInRounds(Rhythm(), targets, **(given | settings))


def test_a_fit_finds_the_band_with_the_largest_amplitude():
    fitted = quick([BAND]).fit()
    frequency, amplitude = fitted.estimate.point
    assert 32 < frequency < 48
    assert amplitude > 2.5
    assert fitted.loss < 0.35
    assert [r.simulations for r in fitted.rounds] == [380, 460]
    assert fitted.estimate.method == "emulator in rounds"


def test_a_bound_on_rates_keeps_the_amplitude_down():
    bounded = quick([BAND, Rate(channel="E spikes", cells=1, high_Hz=12.0, weight=10.0)]).fit()
    frequency, amplitude = bounded.estimate.point
    assert 32 < frequency < 48
    assert 0.8 < amplitude < 1.6


def test_the_same_seed_gives_the_same_fit():
    first, again = (quick([BAND], first=100, rounds=1, seed=3).fit() for _ in range(2))
    np.testing.assert_array_equal(first.estimate.point, again.estimate.point)
    assert first.loss == again.loss


def test_the_loss_of_several_targets_is_their_weighted_sum():
    rate = Rate(channel="E spikes", cells=1, high_Hz=2.0, weight=3.0)
    one = Rhythm().simulate([40.0, 2.0], np.random.default_rng(0))
    features = [torch.as_tensor(t.features(one))[None] for t in (BAND, rate)]
    expected = float(BAND.loss(features[0])) + 3 * float(rate.loss(features[1]))
    assert float(total_loss([BAND, rate], features)) == pytest.approx(expected)
