"""What a probe sees of the network with alpha-shaped synapses."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from simulators.brunel_alpha import field
from simulators.brunel_alpha.compiled_network import CompiledAlphaBrunel
from simulators.brunel_alpha.field import AlphaSignal, membrane
from simulators.brunel_alpha.model import TEN_PARAMETERS, AlphaNetwork, Neurons, neurons
from simulators.fields import kernels as kernel_method
from simulators.fields.following import FollowingView
from simulators.fields.kernels import kernels
from simulators.fields.network import PointPopulations
from simulators.fields.probes import LaminarProbe
from simulators.interface import Observed
from surrogates.spectra.following import FollowingTransfer

PROBE = LaminarProbe((-100.0, -400.0))
OWN = Neurons(
    eta=2.0, g=6.0, tau_syn=4.0, tau_m=18.0, delay=1.5, t_ref=2.0, C_syn=50.0, V_th=20.0, C_m=180.0, V_reset=5.0
)


@pytest.fixture(scope="module")
def signal(tmp_path_factory):
    """Kernels of few slabs of depth and few nodes, which take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_method, "_DEPTH_SLABS", 2)
        patch.setattr(field, "_NODES", 3)
        patch.setenv("CIRCUITSBI_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = AlphaSignal(PROBE)
        assert made.grid.shape[:3] == (3, 3, 2)
        yield made


def computed(signal: AlphaSignal, own: Neurons) -> np.ndarray:
    """Kernels of these very membranes, synapses and delays, computed and not interpolated."""
    network = signal.network
    seen = PointPopulations(network.populations, network.in_degrees, (own.delay,), network.dt_ms, network.bin_ms)
    cells = replace(
        membrane(signal.cells, own.tau_m, own.C_m),
        synaptic_time_constant_ms=own.tau_syn,
        synaptic_current_nA=1e-3 * own.peak_current_pA,
    )
    values = kernels(signal.probe, cells, seen).values.copy()
    values[1] *= -own.g
    return values


@pytest.mark.parametrize(
    "own", [OWN, OWN._replace(tau_syn=8.0, delay=4.0, tau_m=30.0, C_m=300.0), OWN._replace(tau_syn=1.0, tau_m=15.0)]
)
def test_kernels_between_the_nodes_are_those_computed_there(signal, own):
    direct = computed(signal, own)
    made = signal.view.at(own._asdict()).kernels
    lags = direct.shape[-1]
    error = np.sqrt(((made[..., :lags] - direct) ** 2).sum(-1) / (direct**2).sum(-1))
    assert error.max() < 0.02
    assert np.abs(made[..., lags:]).max() < 1e-3 * np.abs(direct).max()


def test_other_synapses_or_delays_make_other_kernels(signal):
    """The control of the test above: what it allows is far less than what the parameters do."""
    made = signal.view.at(OWN._asdict()).kernels
    for change in ({"tau_syn": 4.4}, {"delay": 1.8}, {"C_m": 120.0}):
        other = signal.view.at(OWN._replace(**change)._asdict()).kernels
        assert np.sqrt(((made - other) ** 2).sum() / (made**2).sum()) > 0.02, change


def test_the_signal_is_linear_in_charge_and_inhibition(signal):
    one, twice = (signal.view.at(OWN._replace(C_syn=c, g=g)._asdict()).kernels for c, g in ((30.0, 5.0), (60.0, 7.5)))
    np.testing.assert_allclose(twice[0], 2 * one[0])
    np.testing.assert_allclose(twice[1], 3 * one[1])


def test_a_simulator_seen_through_a_probe_is_a_simulator(signal):
    network = AlphaNetwork(order=100, duration_ms=400.0, transient_ms=100.0)
    known = {"tau_m": 20.0}
    free = replace(TEN_PARAMETERS, parameters=tuple(p for p in TEN_PARAMETERS if p.name != "tau_m"))
    simulator = CompiledAlphaBrunel(network, free, known)
    seen = simulator.forward_model(PROBE)
    seen.__dict__["grid"] = signal.grid  # of as many nodes
    theta = free.from_unit(np.full(9, 0.8))
    recording = Observed(simulator, seen).simulate(theta, np.random.default_rng(0))
    assert recording.channels == PROBE.channels
    assert recording.unit == "mV"
    assert recording.steady.std() > 0
    own = neurons(free, theta, known, network.dt_ms)
    assert own.tau_m == 20.0
    counts = simulator.simulate(theta, np.random.default_rng(0))
    np.testing.assert_array_equal(seen.view.observe(counts, own._asdict()).values, recording.values)


def test_transfer_functions_are_those_of_the_kernels_at_theta(signal):
    frequencies = np.arange(5.0, 400.0, 15.0)
    transfer = FollowingTransfer(signal.view, TEN_PARAMETERS, tuple(frequencies))
    for own in (OWN, OWN._replace(tau_syn=7.0, delay=3.3, tau_m=29.0)):
        theta = own._asdict()
        kernels = signal.view.at(theta).transfer(frequencies)
        found = transfer.full({name: torch.tensor([value]) for name, value in theta.items()})[0].numpy()
        weighted = found * np.array([weight.of(theta) for weight in signal.view.weights])
        error = np.abs(weighted - kernels).max((1, 2)) / np.abs(kernels).max((1, 2))
        assert error.max() < 0.01
        # The control: other synapses are far outside of the tolerance.
        other = signal.view.at(theta | {"tau_syn": own.tau_syn * 1.1}).transfer(frequencies)
        assert (np.abs(weighted - other).max((1, 2)) / np.abs(kernels).max((1, 2))).max() > 0.05


def test_of_more_channels_than_sources_the_combinations_that_see_most_are_kept(signal):
    four = FollowingView(
        np.concatenate([signal.view.kernels, 2 * signal.view.kernels], 3), *_but_kernels(signal.view, 2)
    )
    transfer = FollowingTransfer(four, TEN_PARAMETERS, (10.0, 50.0, 150.0))
    theta = {name: torch.tensor([value]) for name, value in OWN._asdict().items()}
    full, kept = transfer.full(theta)[0], transfer(theta)[0]
    assert full.shape == (3, 4, 2)
    assert kept.shape == (3, 2, 2)
    # The copies tell nothing new: no power is lost.
    np.testing.assert_allclose(kept.abs().square().sum((1, 2)), full.abs().square().sum((1, 2)), rtol=1e-3)


def test_a_view_is_the_same_after_json(signal):
    again = FollowingView.from_json(json.loads(json.dumps(signal.view.to_json())), signal.view.kernels)
    assert again.to_json() == signal.view.to_json()
    with pytest.raises(ValueError, match="expected 3 x 3 x 2 x 2 x n"):
        FollowingView.from_json(signal.view.to_json(), signal.view.kernels[:2])


def _but_kernels(view: FollowingView, copies: int) -> tuple:
    return (
        view.nodes, view.step_ms, view.bin_ms, view.synapse_ms, view.unit, view.channels * copies, view.sources,
        view.weights,
    )  # fmt: skip
