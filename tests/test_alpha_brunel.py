"""Alpha-shaped synapses: the compiled loop is NEST's, spike by spike from one state, else in statistics."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from test_compiled_brunel import decode

from simulators.brunel import event_loop
from simulators.brunel.nest_network import load_nest
from simulators.brunel.statistics import STATISTICS, describe, disagreements
from simulators.brunel_alpha.compiled_network import CompiledAlphaBrunel
from simulators.brunel_alpha.model import TEN_PARAMETERS, AlphaNetwork, neurons
from simulators.brunel_alpha.nest_network import NestAlphaBrunel, create_neurons
from simulators.interface import ParameterSpace
from simulators.poisson import poisson_quantiles

SMALL = AlphaNetwork(order=100, duration_ms=400.0, transient_ms=100.0)
MIDDLE = TEN_PARAMETERS.from_unit(np.full(10, 0.5))
EAGER = {"eta": 3.0, "V_th": 15.0}


def theta(**changed: float) -> np.ndarray:
    values = dict(zip(TEN_PARAMETERS.names, MIDDLE, strict=True)) | changed
    return np.array([values[name] for name in TEN_PARAMETERS.names])


def nest_from_the_same_state(
    simulator: CompiledAlphaBrunel, at: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Steps and senders of NEST's spikes, given the connections and external events of the compiled network."""
    network, nest = simulator.network, load_nest()
    own = neurons(simulator.parameters, at, simulator.known, network.dt_ms)
    state = np.random.default_rng(seed).integers(1, 2**64 - 1, size=(2, event_loop.LANES), dtype=np.uint64)
    sizes = network.n_excitatory, network.n_inhibitory
    rows, words = event_loop.connect(*sizes, *network.in_degrees, 1, state)
    n, steps = sum(sizes), network.steps(network.duration_ms)
    table = poisson_quantiles(own.external_rate_per_ms * network.dt_ms)
    events = np.empty((steps, n), int)
    random = np.empty(16 * words, np.uint64)
    for step in range(steps):
        event_loop.random_words(state, random)
        events[step] = table[random.view(np.uint16)[:n]]
    nest.ResetKernel()
    nest.resolution = network.dt_ms
    cells = create_neurons(nest, own, n)
    first = cells[0].global_id
    contacts = decode(rows[0], words)
    sources, to = np.nonzero(contacts)
    weights = np.where(sources < network.n_excitatory, 1.0, -own.g) * contacts[sources, to] * own.peak_current_pA
    synapses = {"weight": weights, "delay": np.full(to.size, own.delay)}
    nest.Connect(sources + first, to + first, "one_to_one", synapses)
    # The first step of NEST that an event can reach is its second: neurons at rest stay there in the first.
    trains = []
    for cell in range(n):
        at_steps = np.flatnonzero(events[:, cell])
        trains.append(
            {"spike_times": np.round((at_steps + 1) * network.dt_ms, 6), "spike_multiplicities": events[at_steps, cell]}
        )
    generators = nest.Create("spike_generator", n, trains)
    nest.Connect(generators, cells, "one_to_one", {"weight": own.peak_current_pA, "delay": network.dt_ms})
    recorder = nest.Create("spike_recorder")
    nest.Connect(cells, recorder)
    nest.Simulate(network.duration_ms)
    times, senders = recorder.get("events", ("times", "senders")).values()
    nest.ResetKernel()
    found = np.rint(times / network.dt_ms).astype(int) - 2, senders - first
    order = np.lexsort(found[::-1])
    return found[0][order], found[1][order]


@pytest.mark.parametrize(
    "changed", [EAGER, EAGER | {"t_ref": 0.0, "delay": 0.1}, EAGER | {"tau_syn": 1.0, "delay": 4.0, "C_m": 100.0}]
)
def test_spikes_are_those_of_nest_from_the_same_state(changed):
    simulator = CompiledAlphaBrunel(SMALL, precision="float64")
    at = theta(**changed)
    own = simulator.simulate_spikes(at, np.random.default_rng(3))
    steps, senders = nest_from_the_same_state(simulator, at, 3)
    mine, last = np.rint(own.times_ms / SMALL.dt_ms).astype(int) - 1, SMALL.steps(SMALL.duration_ms) - 2
    assert len(steps) > 500
    np.testing.assert_array_equal(mine[mine < last], steps[steps < last])
    np.testing.assert_array_equal(own.senders[mine < last], senders[steps < last])


def described(job) -> np.ndarray:
    """Statistics of one simulation; a job is a simulator, theta and a seed."""
    simulator, at, seed = job
    return describe(simulator.simulate_spikes(at, np.random.default_rng(seed)), simulator.network)


def described_states(simulator, states, n_seeds: int, run_all) -> np.ndarray:
    jobs = [(simulator, at, seed) for at in states for seed in range(n_seeds)]
    return np.stack(list(run_all(described, jobs))).reshape(len(states), n_seeds, len(STATISTICS))


SMALL_STATES = [
    theta(**EAGER), theta(**EAGER, tau_syn=1.5, delay=0.5, C_syn=100.0), theta(**EAGER, g=4.6, tau_m=29.0, t_ref=0.0),
]  # fmt: skip


@pytest.mark.slow
def test_small_network_agrees_with_nest_and_with_a_wrong_delay_does_not():
    network = AlphaNetwork(order=200, duration_ms=600.0, transient_ms=100.0)
    nest = described_states(NestAlphaBrunel(network), SMALL_STATES, 8, map)
    compiled = described_states(CompiledAlphaBrunel(network), SMALL_STATES, 12, map)
    late = [at + 1.5 * (np.array(TEN_PARAMETERS.names) == "delay") for at in SMALL_STATES]
    wrong = described_states(CompiledAlphaBrunel(network), late, 6, map)
    assert disagreements(nest, compiled, 0.01) == []
    assert disagreements(nest, wrong, 0.01) != []


@pytest.mark.slow
def test_full_size_network_agrees_with_nest_and_with_another_time_constant_does_not():
    network = AlphaNetwork(duration_ms=700.0, transient_ms=200.0)
    states = [MIDDLE, *TEN_PARAMETERS.sample(3, np.random.default_rng(4))]
    other = [at * np.where(np.array(TEN_PARAMETERS.names) == "tau_syn", 0.85, 1.0) for at in states]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        nest = described_states(NestAlphaBrunel(network), states, 3, pool.map)
        compiled = described_states(CompiledAlphaBrunel(network), states, 12, pool.map)
        wrong = described_states(CompiledAlphaBrunel(network), other, 6, pool.map)
    assert disagreements(nest, compiled, 0.01) == []
    assert disagreements(nest, wrong, 0.01) != []


def test_single_precision_is_double_precision_in_rates():
    network = AlphaNetwork(order=200, duration_ms=1100.0, transient_ms=100.0)
    for at in SMALL_STATES:
        runs = [CompiledAlphaBrunel(network, precision=p).simulate(at, np.random.default_rng(0)) for p in
                ("float32", "float64")]  # fmt: skip
        one, other = (run.steady.sum(1) for run in runs)
        np.testing.assert_allclose(one, other, rtol=0.05)


def test_a_neuron_without_spikes_has_the_closed_form_potential():
    """Its propagators are the alpha current through a leaky membrane, whose integral is known."""
    own = neurons(TEN_PARAMETERS, MIDDLE, {}, 0.1)
    slope_keeps, current_keeps, slope_to_current, slope_to_V, current_to_V, V_keeps = own.propagators(0.1)
    slope, current, V = own.peak_current_pA * np.e / own.tau_syn, 0.0, 0.0
    currents, total = [], 0.0
    for _ in range(5000):
        V = V_keeps * V + slope_to_V * slope + current_to_V * current
        current = slope_to_current * slope + current_keeps * current
        slope *= slope_keeps
        currents.append(current)
        total += 0.1 * V
    assert max(currents) == pytest.approx(own.peak_current_pA, rel=1e-3)
    assert 0.1 * sum(currents) == pytest.approx(own.C_syn, rel=1e-3)  # pA ms is fC
    assert total == pytest.approx(own.C_syn * own.tau_m / own.C_m, rel=1e-3)


def test_known_parameters_are_not_free_and_give_the_same_network():
    free = ParameterSpace(tuple(p for p in TEN_PARAMETERS if p.name not in ("tau_m", "t_ref")))
    known = {"tau_m": 20.0, "t_ref": 2.0}
    some = CompiledAlphaBrunel(SMALL, free, known)
    at = theta(**known)
    kept = at[[TEN_PARAMETERS.names.index(name) for name in free.names]]
    one = some.simulate(kept, np.random.default_rng(1))
    np.testing.assert_array_equal(one.values, CompiledAlphaBrunel(SMALL).simulate(at, np.random.default_rng(1)).values)


@pytest.mark.parametrize("kind", [CompiledAlphaBrunel, NestAlphaBrunel])
@pytest.mark.parametrize(
    ("parameters", "known", "said"),
    [
        (TEN_PARAMETERS, {"tau_m": 20.0}, "known and free at once"),
        (TEN_PARAMETERS, {"tau": 20.0}, "has no parameter 'tau'; it has eta, g,"),
        (ParameterSpace(TEN_PARAMETERS.parameters[1:]), {}, "eta: neither free nor known"),
        (ParameterSpace(TEN_PARAMETERS.parameters[1:]), {"eta": 9.0}, "eta = 9 lies outside 1 ... 3.5"),
    ],
)
def test_parameters_have_one_role_each(kind, parameters, known, said):
    with pytest.raises(ValueError, match=said):
        kind(SMALL, parameters, known)


def test_delays_and_refractory_periods_are_whole_steps():
    own = neurons(TEN_PARAMETERS, theta(delay=1.26, t_ref=0.04), {}, 0.1)
    assert (own.delay, own.t_ref) == (pytest.approx(1.3), 0.0)
    runs = [CompiledAlphaBrunel(SMALL).simulate(theta(**EAGER, delay=d), np.random.default_rng(0)).values
            for d in (1.26, 1.3, 1.4)]  # fmt: skip
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


def test_a_network_too_large_or_a_precision_unknown_is_refused():
    with pytest.raises(ValueError, match="use NestAlphaBrunel"):
        CompiledAlphaBrunel(replace(SMALL, order=20_000))
    with pytest.raises(ValueError, match="choose float32 or float64"):
        CompiledAlphaBrunel(SMALL, precision="float16")
