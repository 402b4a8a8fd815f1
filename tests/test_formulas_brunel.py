"""What a Brunel network is, in numbers of the literature: the same for both of its simulators."""

import numpy as np
import pytest

from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import BrunelNetwork
from simulators.brunel.nest_network import NestBrunel, load_nest
from simulators.brunel.statistics import firing_rates
from simulators.recording import Recording

# No number of them is the default, nor equal to another one.
OTHER = BrunelNetwork(
    order=40,
    membrane_time_constant_ms=16.0,
    refractory_ms=0.7,
    threshold_mV=18.0,
    reset_mV=7.0,
    delay_ms=1.1,
    capacitance_pF=210.0,
    connection_probability=0.3,
)


def test_external_input_at_eta_1_just_reaches_threshold():
    """Brunel 2000: nu_thr = theta / (J C_E tau_m), which is 10 Hz for each of 1,000 inputs of 0.1 mV."""
    assert BrunelNetwork().external_rate_per_ms(J=0.1, eta=1.0) == pytest.approx(1000 * 10e-3)
    for network, J, eta in ((BrunelNetwork(), 0.1, 2.0), (OTHER, 0.23, 0.9)):
        free_potential_mV = network.external_rate_per_ms(J, eta) * J * network.membrane_time_constant_ms
        assert free_potential_mV == pytest.approx(eta * network.threshold_mV)


@pytest.mark.parametrize(
    ("network", "tau", "threshold", "steps"), [(BrunelNetwork(), 20.0, 20.0, 20), (OTHER, 16.0, 18.0, 7)]
)
def test_compiled_neurons_leak_exactly_and_have_their_threshold(network, tau, threshold, steps):
    """exp(-dt / tau): Euler's 1 - dt / tau would make the time constant a quarter of a percent shorter."""
    decay, thresholds, refractory = CompiledBrunel(network)._neurons(np.random.default_rng(0), 5)
    np.testing.assert_allclose(-0.1 / np.log(decay.astype(float)), tau, rtol=1e-4)
    np.testing.assert_array_equal(thresholds, np.float32(threshold))
    np.testing.assert_array_equal(refractory, steps)


@pytest.fixture
def built():
    """NEST's own account of the network, after it was built at J = 0.3 mV, g = 5, eta = 2."""
    nest = load_nest()
    nest.ResetKernel()
    nest.resolution = OTHER.dt_ms
    neurons = NestBrunel(OTHER)._build(nest, 0.3, 5.0, 2.0)
    yield nest, neurons
    nest.ResetKernel()


def test_nests_neurons_are_those_of_the_network(built):
    _, neurons = built
    expected = {"tau_m": 16.0, "t_ref": 0.7, "V_th": 18.0, "V_reset": 7.0, "E_L": 0.0, "C_m": 210.0}
    for name, value in expected.items():
        np.testing.assert_allclose(neurons.get(name), value, err_msg=name)
    V = np.array(neurons.get("V_m"))
    assert 0 < V.min() < 2 < 16 < V.max() < 18


@pytest.mark.parametrize(
    ("first", "end", "degree", "weight"), [(0, 160, 48, 0.3), (160, 200, 12, -1.5)], ids=["excitatory", "inhibitory"]
)
def test_nests_connections_have_the_weight_the_delay_and_the_in_degree(built, first, end, degree, weight):
    nest, neurons = built
    found = nest.GetConnections(neurons[first:end], neurons).get(("target", "synapse_model", "delay"))
    np.testing.assert_array_equal(np.unique(found["target"], return_counts=True)[1], degree)
    (model,) = set(found["synapse_model"])
    assert nest.GetDefaults(model, "weight") == pytest.approx(weight)
    np.testing.assert_allclose(found["delay"], 1.1)


def test_nests_external_input_has_the_rate_and_the_weight(built):
    nest, neurons = built
    external = nest.GetNodes({"model": "poisson_generator"})
    # 2 * 18 mV / (0.3 mV * 16 ms) is 7.5 per ms.
    assert external.get("rate") == pytest.approx(7500.0)
    np.testing.assert_allclose(nest.GetConnections(external, neurons).get("weight"), 0.3)


def test_firing_rates_are_a_neurons_after_the_transient():
    """160 and 40 neurons, 50 ms after a transient of 10: 400 and 300 spikes are 50 and 150 Hz."""
    values = np.array([[100] * 10 + [8] * 50, [100] * 10 + [6] * 50])
    counts = Recording(values, 1000.0, "1", ("excitatory", "inhibitory"), 10)
    np.testing.assert_allclose(firing_rates(counts, OTHER), [50.0, 150.0])
