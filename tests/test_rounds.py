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
        (lambda: BandPower(channel="x", band_hz=(10.0, 30.0), weight=-1.0), "it is not negative"),
        (lambda: Spectrum(channel="x", like=sine(3.0)), "no channel 'x'"),
        (lambda: Waveform(channel="dipole", like=sine(3.0, 0.1), bin_ms=90.0), "has no two bins of 90 ms"),
        (lambda: FitInRounds(Rhythm(), [BAND], rounds=-1), "-1 rounds"),
        (lambda: FitInRounds(Rhythm(), [BAND], each=15), "each is 15; .* four for every place"),
        (lambda: FitInRounds(Rhythm(), []), "nothing is wanted"),
        (lambda: FitInRounds(Rhythm(), [BAND], first=0), "first is 0; expected one or more"),
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
    for k, one in enumerate(fitted.rounds, 1):  # as many at each of up to four places, 80 in a round at most
        assert 300 + 76 * k <= one.simulations <= 300 + 80 * k
    assert fitted.estimate.method == "emulator in rounds"


def test_a_bound_on_rates_keeps_the_amplitude_down():
    bounded = quick([BAND, Rate(channel="E spikes", cells=1, high_Hz=12.0, weight=10.0)]).fit()
    frequency, amplitude = bounded.estimate.point
    assert 32 < frequency < 48
    assert 0.8 < amplitude < 1.6


@dataclass(frozen=True)
class Hidden:
    """Six parameters, of which the power in a band depends on how near all are to one place: none of 300 draws is."""

    fails: float = 0.0
    silent: float = 0.0
    batch_size: int = 10

    @property
    def parameters(self) -> ParameterSpace:
        return ParameterSpace(tuple(Parameter(f"p{k}", "1", 0.0, 1.0) for k in range(6)))

    def simulate(self, theta, rng) -> Recording:
        chance = rng.random(2)
        if chance[0] < self.fails:
            raise RuntimeError("too much of everything")
        near = np.exp(-15 * np.mean((self.parameters.check(theta) - 0.75) ** 2))
        t = np.arange(1000) / RATE_HZ
        x = rng.normal(0, 1, 1000) + 2 * near * np.sin(2 * np.pi * (40 * t + rng.random()))
        return recording(x * (chance[1] >= self.silent))

    def simulate_batch(self, thetas, rngs) -> list[Recording]:
        return [self.simulate(theta, rng) for theta, rng in zip(thetas, rngs, strict=True)]


def fit_hidden(rounds: int, **changes):
    return FitInRounds(
        Hidden(**changes), [BAND], first=300, each=100, rounds=rounds, repeats=20, members=2, progress=False
    ).fit()


def test_rounds_find_what_random_simulations_do_not():
    """And what the emulator promises in the end is what simulations find."""
    drawn, fitted = fit_hidden(0), fit_hidden(3)
    off = [np.sqrt(np.mean((f.estimate.point - 0.75) ** 2)) for f in (drawn, fitted)]
    assert off[1] < 0.13 < off[0]
    assert fitted.loss < drawn.loss
    last = fitted.rounds[-1]
    assert last.promised == pytest.approx(last.found, abs=0.15)
    assert fitted.alternatives.shape[1] == 6
    assert fitted.estimate.samples is None


def test_simulations_that_fail_or_stay_silent_are_left_out():
    fitted = fit_hidden(2, fails=0.1, silent=0.1)
    assert np.sqrt(np.mean((fitted.estimate.point - 0.75) ** 2)) < 0.2
    assert fitted.rounds[-1].simulations < 300 + 2 * 90
    with pytest.raises(ValueError, match="anything to compare: RuntimeError: too much of everything"):
        fit_hidden(1, fails=1.0)
    with pytest.raises(ValueError, match="no simulation gives anything to compare: nothing changes after"):
        fit_hidden(1, silent=1.0)


def test_silence_is_no_band_and_no_target():
    silent = recording(np.zeros(1000))
    assert np.isnan(BAND.features(silent)).all()
    with pytest.raises(ValueError, match="what is wanted never changes"):
        Spectrum(channel="dipole", like=silent)


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
