"""The way from a dipole to the scalp."""

import json

import numpy as np
import pytest
from scipy.special import eval_legendre

from simulators.brunel.field import KernelSignal
from simulators.fields.head import lead_field
from simulators.fields.probes import LaminarProbe, ScalpElectrodes, probe_from_json
from simulators.recording import Recording


def test_four_equal_spheres_are_one_in_closed_form():
    """At the pole of a sphere of radius R a radial dipole p at r0 = f R makes p / (4 pi sigma R^2) (3 - f) / (1 - f)^2.

    The sum of Naess et al. 2017 with equal conductivities.
    """
    electrodes = ScalpElectrodes((0.0,), -1000.0, sigmas_S_per_m=(0.3,) * 4)
    f = 78_000 / 90_000
    expected_mv = (3 - f) / (1 - f) ** 2 / (4 * np.pi * 0.3 * 90_000**2)
    np.testing.assert_allclose(lead_field(electrodes), 1e3 * expected_mv, rtol=1e-4)


def test_the_skull_attenuates_and_potentials_fall_with_distance():
    field = lead_field(ScalpElectrodes((0.0, 10.0, 30.0)))
    assert field[0] > field[1] > abs(field[2])
    assert field[0] < 0.5 * lead_field(ScalpElectrodes((0.0,), sigmas_S_per_m=(0.3, 1.5, 0.3, 0.3)))[0]


@pytest.mark.parametrize("probe", [ScalpElectrodes((0.0, 15.0), -300.0), LaminarProbe((-100.0,))])
def test_probes_survive_json(probe):
    assert probe_from_json(json.loads(json.dumps(probe.to_json()))) == probe


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (dict(angles_deg=()), "no electrode"),
        (dict(angles_deg=(0.0, 0.0)), "distinct"),
        (dict(angles_deg=(float("nan"),)), "distinct numbers"),
        (dict(radii_um=(79e3, 78e3, 85e3, 90e3)), "radii"),
        (dict(sigmas_S_per_m=(0.3, 1.5, 0.0, 0.3)), "conductivities"),
        (dict(dipole_depth_um=200.0), "in the brain"),
    ],
)
def test_impossible_heads_are_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        ScalpElectrodes(**arguments)


def test_eeg_of_a_network_is_one_signal_scaled_by_the_lead_field(own_cache, few_slabs, rng):
    electrodes = ScalpElectrodes((0.0, 20.0))
    counts = Recording(rng.poisson(5.0, (2, 400)), 1000.0, "1", ("excitatory", "inhibitory"), 100)
    eeg = KernelSignal(electrodes).observe(counts, np.array([0.2, 5.0, 2.0]))
    assert (eeg.unit, eeg.channels) == ("uV", ("0 deg", "20 deg"))
    field = lead_field(electrodes)
    dipoles = eeg.values / field[:, None]
    # Before the first spike arrives there is nothing but rounding, of the whole convolution.
    np.testing.assert_allclose(dipoles[1], dipoles[0], rtol=1e-9, atol=1e-14 * np.abs(dipoles).max())
    assert 1e-5 < eeg.steady.std(1)[0] < 1


@pytest.mark.parametrize("angle_deg", [5.0, 30.0, 110.0, 180.0])
def test_away_from_the_pole_one_sphere_is_its_sum_of_legendre_polynomials(angle_deg):
    """p / (4 pi sigma R^2) times the sum of (2 n + 1) f^(n - 1) P_n(cos angle); 0.1 degrees off would be seen."""
    field = lead_field(ScalpElectrodes((angle_deg,), -9000.0, sigmas_S_per_m=(0.3,) * 4))
    f, n = 70 / 90, np.arange(1, 200)
    series = ((2 * n + 1) * f ** (n - 1) * eval_legendre(n, np.cos(np.deg2rad(angle_deg)))).sum()
    np.testing.assert_allclose(field, 1e3 * series / (4 * np.pi * 0.3 * 90_000**2), rtol=1e-3)
