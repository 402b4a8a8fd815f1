"""The compiled network is NEST's: spike by spike with the same wiring and input, statistically with its own.

Every statistical test has a control: a synaptic delay of 2.0 instead of 1.5 ms must not pass for the same network.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from test_compiled_brunel import decode

from simulators.brunel import event_loop
from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import FULL_RANGE, BrunelNetwork
from simulators.brunel.nest_network import NestBrunel, load_nest
from simulators.brunel.statistics import STATISTICS, band_powers, describe, disagreements, interval_variation
from simulators.interface import Parameter, ParameterSpace
from simulators.poisson import poisson_quantiles
from simulators.recording import Recording, Spikes

FALSE_ALARM_RATE = 0.01
"""Probability that two programs which are the same are told apart, were the seeds not fixed."""
WRONG_DELAY_MS = 2.0

# The full range, and the synchronous regular state at a lower g.
SPACE = ParameterSpace((FULL_RANGE.parameters[0], Parameter("g", "1", 2.0, 8.0), FULL_RANGE.parameters[2]))
FULL_SIZE = BrunelNetwork(duration_ms=750.0)
# 330 spikes a second and neuron take NEST ten times as long; a clock needs fewer of them.
REGULAR = BrunelNetwork(duration_ms=300.0, transient_ms=100.0)
SMALL = BrunelNetwork(order=250, duration_ms=550.0)

# The five states of Brunel (2000) that the literature shows, and four corners of the range of asynchronous activity.
FULL_SIZE_STATES = [
    (REGULAR, (0.1, 3.0, 2.0)),  # synchronous regular
    (FULL_SIZE, (0.1, 6.0, 4.0)),  # synchronous irregular, fast
    (FULL_SIZE, (0.1, 4.5, 0.9)),  # synchronous irregular, slow
    (FULL_SIZE, (0.1, 5.0, 2.0)),  # asynchronous irregular
    (FULL_SIZE, (0.2, 6.0, 4.0)),  # asynchronous irregular, strong synapses
    *((FULL_SIZE, corner) for corner in ((0.1, 4.5, 1.5), (0.1, 6.0, 3.0), (0.25, 4.5, 3.0), (0.25, 6.0, 1.5))),
]
SMALL_STATES = [(SMALL, (0.4, 6.0, 4.0)), (SMALL, (0.4, 4.5, 0.9)), (SMALL, (0.4, 5.0, 2.0))]

SPREADS = {
    "threshold_spread_mV": 8.0,
    "membrane_time_constant_spread_ms": 15.0,
    "refractory_spread_ms": 1.8,
    "delay_spread_ms": 1.0,
}


def described(job):
    """Statistics of one simulation; a job is a simulator, theta and a seed."""
    simulator, theta, seed = job
    return describe(simulator.simulate_spikes(np.array(theta), np.random.default_rng(seed)), simulator.network)


def described_states(simulator, states, n_seeds, run_all):
    """(states, seeds, statistics) of a kind of simulator."""
    jobs = [(simulator(network, SPACE), theta, seed) for network, theta in states for seed in range(n_seeds)]
    return np.stack(list(run_all(described, jobs))).reshape(len(states), n_seeds, len(STATISTICS))


def late(states):
    """The same states with another delay."""
    return [(replace(network, delay_ms=WRONG_DELAY_MS), theta) for network, theta in states]


@pytest.mark.slow
def test_full_size_network_agrees_with_nest_and_with_a_wrong_delay_does_not():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        nest = described_states(NestBrunel, FULL_SIZE_STATES, 3, pool.map)
        compiled = described_states(CompiledBrunel, FULL_SIZE_STATES, 12, pool.map)
        wrong = described_states(CompiledBrunel, late(FULL_SIZE_STATES[:5]), 6, pool.map)
    assert disagreements(nest, compiled, FALSE_ALARM_RATE) == []
    assert disagreements(nest[:5], wrong, FALSE_ALARM_RATE) != []


def test_small_network_agrees_with_nest_and_with_a_wrong_delay_does_not():
    nest = described_states(NestBrunel, SMALL_STATES, 8, map)
    compiled = described_states(CompiledBrunel, SMALL_STATES, 12, map)
    wrong = described_states(CompiledBrunel, late(SMALL_STATES), 6, map)
    assert disagreements(nest, compiled, FALSE_ALARM_RATE) == []
    assert disagreements(nest, wrong, FALSE_ALARM_RATE) != []


@pytest.mark.parametrize(
    "spread", ["threshold_spread_mV", *(pytest.param(s, marks=pytest.mark.slow) for s in list(SPREADS)[1:])]
)
def test_each_spread_agrees_with_nest_and_is_not_none(spread):
    states = [(replace(network, **{spread: SPREADS[spread]}), theta) for network, theta in SMALL_STATES]
    nest = described_states(NestBrunel, states, 6, map)
    assert disagreements(nest, described_states(CompiledBrunel, states, 8, map), FALSE_ALARM_RATE) == []
    assert disagreements(nest, described_states(CompiledBrunel, SMALL_STATES, 8, map), FALSE_ALARM_RATE) != []


# --- spike by spike ---


def replay(simulator, theta, seed):
    """What the compiled network drew: contacts, potentials, neurons, input events (steps, neurons).

    contacts: (delays, sources, targets); neurons: decay of the potential a step, threshold (mV) and refractory period
    (steps) of each.
    """
    network = simulator.network
    n = network.n_excitatory + network.n_inhibitory
    rng = np.random.default_rng(seed)
    state = rng.integers(1, 2**64 - 1, size=(2, event_loop.LANES), dtype=np.uint64)
    degrees = network.in_degree_excitatory, network.in_degree_inhibitory
    rows, words = event_loop.connect(
        network.n_excitatory, network.n_inhibitory, *degrees, len(network.delays_ms), state
    )
    V = rng.uniform(0.0, network.threshold_mV, n)
    neurons = simulator._neurons(rng, n)
    quantiles = poisson_quantiles(network.external_rate_per_ms(theta[0], theta[2]) * network.dt_ms)
    random, events = np.empty(16 * words, np.uint64), np.empty((network.steps(network.duration_ms), n), int)
    for step in events:
        event_loop.random_words(state, random)
        step[:] = quantiles[random.view(np.uint16)[:n]]
    return np.stack([decode(r, words) for r in rows]), V, neurons, events


def nest_spikes(network, J, g, contacts, V, neurons, events):
    """Spikes, (step, sender) in order, of a NEST network with these connections, potentials, neurons and input."""
    nest = load_nest()
    nest.ResetKernel()
    nest.resolution = network.dt_ms
    decay, threshold, refractory = (values.astype(float) for values in neurons)
    neuron = {"tau_m": -network.dt_ms / np.log(decay), "t_ref": network.dt_ms * refractory, "V_th": threshold}
    neuron |= {"E_L": 0.0, "C_m": network.capacitance_pF, "V_reset": network.reset_mV}
    neurons = nest.Create("iaf_psc_delta", len(V), neuron)
    # A generator's first spike arrives in the second step, so what comes in the first is part of the initial state.
    neurons.V_m = V + J * events[0] / decay
    classes, sources, targets = (np.repeat(index, contacts[contacts > 0]) for index in np.nonzero(contacts))
    weights = np.where(sources < network.n_excitatory, J, -g * J)
    synapses = {"weight": weights, "delay": np.array(network.delays_ms)[classes]}
    nest.Connect(sources + 1, targets + 1, "one_to_one", synapses)
    external = nest.Create("spike_generator", len(V))
    for generator, n_events in zip(external, events[1:].T, strict=True):
        steps = np.flatnonzero(n_events)
        generator.set(spike_times=np.round((steps + 1) * network.dt_ms, 6), spike_multiplicities=n_events[steps])
    nest.Connect(external, neurons, "one_to_one", {"weight": J, "delay": network.dt_ms})
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    nest.Simulate(network.duration_ms)
    times, senders = recorder.get("events", ("times", "senders")).values()
    nest.ResetKernel()
    return sorted(zip(np.rint(times / network.dt_ms).astype(int).tolist(), (senders - 1).tolist(), strict=True))


@pytest.mark.parametrize(
    "differing",
    [
        {},
        {"delay_ms": 0.3, "refractory_ms": 0.5},
        {"delay_ms": 4.0, "refractory_ms": 1.0},
        {"refractory_ms": 0.0},
        SPREADS,
    ],
    ids=["default", "short", "long", "not refractory", "spread"],
)
def test_every_spike_is_the_one_nest_fires(differing):
    """Same update order, refractory period and delay: with everything random given, nothing is left to differ."""
    network = BrunelNetwork(order=50, duration_ms=200.0, transient_ms=0.0, **differing)
    theta = np.array([0.4, 5.0, 2.0])
    simulator = CompiledBrunel(network)
    spikes = simulator.simulate_spikes(theta, np.random.default_rng(0))
    compiled = sorted(zip(np.rint(spikes.times_ms / network.dt_ms).astype(int), spikes.senders, strict=True))
    assert len(compiled) > 3000
    assert compiled == nest_spikes(network, theta[0], theta[1], *replay(simulator, theta, seed=0))


# --- the statistics and the test of agreement themselves ---


def test_false_alarms_are_as_rare_as_stated_and_real_differences_are_found():
    """Normal statistics of 1,000 pairs of programs, over five states: the same, or with a difference."""
    rng = np.random.default_rng(0)
    size = 5, 8, len(STATISTICS)
    pairs = rng.normal(size=(1000, 2, *size))

    def found(change):
        return np.mean([disagreements(one, change(other), 0.05) != [] for one, other in pairs])

    shift = np.zeros(size)
    shift[3, :, 7] = 6
    assert 0.03 < found(lambda other: other) < 0.07
    assert found(lambda other: other + shift) > 0.99
    assert found(lambda other: other + 2) > 0.99
    assert found(lambda other: 3 * other) > 0.99
    assert disagreements(pairs[0, 0], np.full(size, np.nan), 0.01)
    assert disagreements(pairs[0, 0], pairs[0, 0], 0.01) == []


def test_one_seed_has_no_spread():
    with pytest.raises(ValueError, match="1 and 3 seeds"):
        disagreements(np.zeros((2, 1, len(STATISTICS))), np.zeros((2, 3, len(STATISTICS))), 0.01)


def test_interval_variation_of_a_clock_and_of_poisson_spikes(rng):
    clock = np.arange(100.0)
    assert interval_variation(Spikes(clock, np.zeros(100, int), {"all": (0, 1)}), 10.0) == pytest.approx(0)
    times, senders = np.sort(rng.uniform(0, 1000, 200_000)), rng.integers(1000, size=200_000)
    assert interval_variation(Spikes(times, senders, {"all": (0, 1000)}), 0.0) == pytest.approx(1, abs=0.02)
    assert np.isnan(interval_variation(Spikes(times, np.arange(200_000), {"all": (0, 200_000)}), 0.0))


def test_band_powers_find_a_rhythm_in_its_band_and_white_noise_in_all(rng):
    time = np.arange(20_000) / 1000
    rhythm = 100 * np.sin(2 * np.pi * 175 * time)
    noise = rng.normal(size=(2, time.size))
    recording = Recording(noise + np.stack([rhythm, 0 * rhythm]), 1000.0, "1", ("excitatory", "inhibitory"))
    loud, flat = band_powers(recording)
    assert loud.argmax() == 5
    np.testing.assert_allclose(flat, np.log10(2 / 1000), atol=0.1)
    with pytest.raises(ValueError, match="simulate longer"):
        band_powers(recording.with_values(noise[:, :150]))
