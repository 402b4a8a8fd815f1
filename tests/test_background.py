"""What a background is: its density, its prior, and noise that has it."""

import numpy as np
import pytest
import torch

from inference.explaining.spectra import (
    RATE_HZ,
)
from simulators.recording import Recording
from surrogates.spectra.additions import Additions
from surrogates.spectra.background import Background, NoiseFloor, coloured

N = 1400


def signal(values: np.ndarray, rate: float = RATE_HZ) -> Recording:
    return Recording(np.asarray(values, float)[None], rate, "1", ("signal",))


def test_a_background_is_white_noise_and_a_power_of_the_frequency_with_a_knee():
    f = torch.tensor([2.0, 10.0, 20.0, 400.0])
    level, chi, knee, white = 3.0, 2.0, 5.0, 0.01
    told = Background().density(torch.tensor([np.log(level), chi, np.log(knee), np.log(white)]).float(), f)
    expected = level * ((10.0**chi + knee**chi) / (f.numpy() ** chi + knee**chi) + white)
    np.testing.assert_allclose(told.numpy(), expected, rtol=1e-5)
    assert float(told[1]) == pytest.approx(level * 1.01)


def test_a_noise_floor_is_white_and_one_over_f():
    told = NoiseFloor().density(torch.tensor([np.log(2.0), np.log(30.0)]).float(), torch.tensor([1.0, 10.0]))
    np.testing.assert_allclose(told.numpy(), [32.0, 5.0], rtol=1e-5)


def test_the_precision_is_the_curvature_of_the_penalty():
    kind = Background()
    at = torch.randn(kind.size, generator=torch.Generator().manual_seed(0))
    curvature = torch.autograd.functional.hessian(kind.penalty, at)
    torch.testing.assert_close(curvature, kind.precision())


def test_coloured_noise_has_the_density_it_is_given():
    n, rate = 2**16, 500.0
    frequencies = np.fft.rfftfreq(n, 1 / rate)
    density = 0.5 / (1 + (frequencies / 30) ** 2)
    values = coloured(density, (4, n), rate, np.random.default_rng(0))
    power = (np.abs(np.fft.rfft(values, axis=1)) ** 2).mean(0) / n / rate
    for low, high in ((2, 20), (30, 60), (100, 200)):
        inside = (frequencies > low) & (frequencies < high)
        assert power[inside].mean() == pytest.approx(density[inside].mean(), rel=0.05)


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_background_makes_the_share_of_power_that_is_asked(share):
    """Between 10 and 200 Hz, on average over draws."""
    clean = signal(np.sin(2 * np.pi * 40 * np.arange(N) / RATE_HZ))
    found = []
    for seed in range(40):
        both = Additions().added(clean, share, np.random.default_rng(seed))
        powers = [np.abs(np.fft.rfft(x)[28:561]) ** 2 for x in (clean.values[0], (both.values - clean.values)[0])]
        found.append(powers[1].sum() / (powers[0].sum() + powers[1].sum()))
    assert np.mean(found) == pytest.approx(share, abs=0.01)
    alone = Additions().added(clean, 1.0, np.random.default_rng(0)).values
    assert abs(np.corrcoef(alone[0], clean.values[0])[0, 1]) < 0.2
