"""The compiled network piece by piece: connections, delivery, delay, refractoriness, and what it promises."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simulators.brunel import event_loop
from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import FULL_RANGE, BrunelNetwork
from simulators.interface import Parameter, ParameterSpace
from simulators.poisson import poisson_quantiles

SMALL = BrunelNetwork(order=100, duration_ms=200.0, transient_ms=50.0)
SPIKING = np.array([0.4, 6.0, 4.0])
N_DENSE = 403


def generators(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 2**64 - 1, size=(2, event_loop.LANES), dtype=np.uint64)


def connect(network: BrunelNetwork, seed: int):
    degrees = network.in_degree_excitatory, network.in_degree_inhibitory
    rows, words = event_loop.connect(network.n_excitatory, network.n_inhibitory, *degrees, 1, generators(seed))
    return rows[0], words


def decode(rows: np.ndarray, words: int) -> np.ndarray:
    """Contacts (sources, targets) that the rows stand for, read from the description of the format alone."""
    n = len(rows) - 1
    bits = np.unpackbits(rows[:n, :words].copy().view(np.uint8), bitorder="little").reshape(n, words, 8, 8)
    contacts = bits.transpose(0, 3, 1, 2).reshape(n, 64 * words)[:, :n].astype(int)
    for source, tail in enumerate(rows[:n, words:].copy().view(np.uint16)):
        np.add.at(contacts[source], tail[1 : 1 + tail[0]].astype(int), 1)
    return contacts


def encode(contacts: np.ndarray):
    """The inverse of ``decode``: rows and words a row."""
    n = len(contacts)
    words = (n + 63) // 64
    bits = np.zeros((n, 64 * words), np.uint8)
    bits[:, :n] = contacts > 0
    packed = np.packbits(bits.reshape(n, 8, words, 8).transpose(0, 2, 3, 1), axis=-1, bitorder="little")
    repeats = [np.repeat(np.arange(n), np.maximum(row - 1, 0)) for row in contacts]
    tails = np.zeros((n + 1, (max(map(len, repeats)) + 1 + 3) // 4 * 4), np.uint16)
    for tail, targets in zip(tails, repeats, strict=False):
        tail[: len(targets) + 1] = [len(targets), *targets]
    rows = np.concatenate([packed.reshape(n, -1).view(np.uint64), np.zeros((1, words), np.uint64)])
    return np.concatenate([rows, tails.view(np.uint64)], axis=1), words


def run_without_input(contacts, V, *, weight, delay_steps, refractory_steps, steps):
    """Spikes, (steps, senders), of neurons that nothing but each other drives: no decay, threshold 20, reset 10."""
    n = len(contacts)
    rows, words = encode(contacts)
    potentials = np.full(64 * words, -np.inf, np.float32)
    potentials[:n] = V
    spike_steps, senders = np.empty(n * steps, np.int32), np.empty(n * steps, np.uint16)
    total = event_loop.run(
        rows[None], words, n, potentials, np.ones(64 * words, np.float32), np.full(64 * words, 20, np.float32),
        np.float32(10), np.full(n, refractory_steps), np.array([delay_steps]), np.float32(weight),
        np.float32(0), np.zeros(2**16, np.uint8), steps, steps, generators(0), np.zeros((2, 1), np.int32), True,
        spike_steps, senders,
    )  # fmt: skip
    return list(zip(spike_steps[:total].tolist(), senders[:total].tolist(), strict=True))


def deliver(contacts, sources, weight=1.0):
    """What one step adds to the drive of every neuron, padding included."""
    rows, words = encode(contacts)
    planes, counts = np.zeros((9, words), np.uint64), np.empty(8 * words, np.uint64)
    drive = np.zeros(64 * words, np.float32)
    event_loop.deliver(rows, np.array(sources, np.int32), np.float32(weight), planes, counts, drive)
    return drive


@pytest.mark.parametrize("order", [10, 13, 64, 80, 101])
@pytest.mark.parametrize("connection_probability", [0.1, 0.6])
def test_every_neuron_has_the_in_degree_it_should(order, connection_probability):
    network = BrunelNetwork(order=order, connection_probability=connection_probability)
    contacts = decode(*connect(network, seed=order))
    (e, i) = (slice(*bounds) for bounds in network.populations.values())
    assert (contacts[e].sum(0) == network.in_degree_excitatory).all()
    assert (contacts[i].sum(0) == network.in_degree_inhibitory).all()


def test_sources_are_drawn_uniformly_and_with_replacement():
    """Out-degrees of 1,000 networks are binomial; a pair may be connected more than once, and a neuron to itself."""
    network = BrunelNetwork(order=10)
    contacts = np.sum([decode(*connect(network, seed)) for seed in range(1000)], axis=0)
    n_excitatory, n_inhibitory = network.n_excitatory, network.n_inhibitory
    expected = np.repeat([4 / n_excitatory, 1 / n_inhibitory], [n_excitatory, n_inhibitory])[:, None] * 1000
    z = (contacts - expected) / np.sqrt(expected)
    assert abs(z.std() - 1) < 0.05
    assert np.abs(z).max() < 5
    assert np.diag(contacts).all()
    assert decode(*connect(network, 0)).max() > 1


def test_no_padding_neuron_is_a_target():
    network = BrunelNetwork(order=13)
    rows, words = connect(network, 0)
    assert not rows[-1].any()
    np.testing.assert_array_equal(encode(decode(rows, words))[0][:, :words], rows[:, :words])


@pytest.fixture(scope="module")
def dense_contacts():
    """A number of neurons that no word size divides, up to four contacts a pair."""
    return np.random.default_rng(1).choice([0, 1, 2, 3, 4], p=[0.5, 0.4, 0.06, 0.03, 0.01], size=(N_DENSE, N_DENSE))


@given(sources=st.sets(st.integers(0, N_DENSE - 1)).map(list))
@example(sources=list(range(N_DENSE)))
@example(sources=list(range(event_loop.BATCH + 1)))
@example(sources=list(range(event_loop.BATCH)))
@example(sources=[])
def test_delivery_is_the_sum_of_the_contacts(dense_contacts, sources):
    drive = deliver(dense_contacts, sources, weight=0.5)
    np.testing.assert_array_equal(drive[:N_DENSE], 0.5 * dense_contacts[sources].sum(0))
    assert not drive[N_DENSE:].any()


@given(n=st.integers(0, N_DENSE))
@example(n=255)
@example(n=256)
def test_counters_do_not_overflow_where_everyone_reaches_everyone(n):
    drive = deliver(np.ones((N_DENSE, N_DENSE), int), range(n))
    assert (drive[:N_DENSE] == n).all()


@pytest.mark.parametrize("delay_steps", [1, 15, 40])
def test_a_spike_arrives_after_the_delay(delay_steps):
    """A chain 0 -> 1 -> 2 in which every spike makes the next neuron fire."""
    chain = np.diag([1, 1], k=1)
    spikes = run_without_input(chain, [21, 0, 0], weight=30, delay_steps=delay_steps, refractory_steps=20, steps=100)
    assert spikes == [(0, 0), (delay_steps, 1), (2 * delay_steps, 2)]


@pytest.mark.parametrize(("delay_steps", "fires_again"), [(20, False), (21, True), (22, True)])
def test_input_is_lost_during_the_refractory_period_and_counts_right_after(delay_steps, fires_again):
    """A neuron excites itself: the spike comes back during its 20 refractory steps, or just after."""
    itself, steps = np.array([[1]]), 2 * delay_steps
    spikes = run_without_input(itself, [21.0], weight=30, delay_steps=delay_steps, refractory_steps=20, steps=steps)
    assert spikes == ([(0, 0), (delay_steps, 0)] if fires_again else [(0, 0)])


def test_after_the_refractory_period_the_potential_starts_at_reset():
    """From reset 10 an input of 9.9 stays below the threshold of 20, an input of 10 reaches it."""
    for weight, n_spikes in [(9.9, 1), (10.0, 2)]:
        itself = np.array([[1]])
        spikes = run_without_input(itself, [21.0], weight=weight, delay_steps=30, refractory_steps=20, steps=60)
        assert len(spikes) == n_spikes


def test_no_interval_is_shorter_than_the_refractory_period(rng):
    everything = ParameterSpace((Parameter("J", "mV", 0, 1), Parameter("g", "1", 0, 9), Parameter("eta", "1", 0, 40)))
    spikes = CompiledBrunel(SMALL, everything).simulate_spikes(np.array([1.0, 0.0, 40.0]), rng)
    order = np.lexsort((spikes.times_ms, spikes.senders))
    intervals = np.diff(spikes.times_ms[order])[np.diff(spikes.senders[order]) == 0]
    assert intervals.min() == pytest.approx(SMALL.refractory_ms + SMALL.dt_ms)


@pytest.mark.parametrize("order", [10, 16, 100])
def test_same_seed_same_counts_other_seed_other_counts(order):
    simulator = CompiledBrunel(replace(SMALL, order=order))
    a, b, c = (simulator.simulate(SPIKING, np.random.default_rng(seed)).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_counts_are_the_binned_spikes():
    simulator = CompiledBrunel(SMALL)
    recording = simulator.simulate(SPIKING, np.random.default_rng(3))
    spikes = simulator.simulate_spikes(SPIKING, np.random.default_rng(3))
    assert recording.values.sum() == spikes.times_ms.size > 1000
    np.testing.assert_array_equal(SMALL.count(spikes.times_ms, spikes.senders).values, recording.values)
    for name, counts in zip(recording.channels, recording.values, strict=True):
        of_population = spikes.of(name)
        edges = np.arange(0, SMALL.duration_ms + 1) + SMALL.dt_ms / 2
        np.testing.assert_array_equal(np.histogram(of_population.times_ms, edges)[0], counts)


def test_spikes_are_in_the_order_of_their_times(rng):
    spikes = CompiledBrunel(SMALL).simulate_spikes(SPIKING, rng)
    assert (np.diff(spikes.times_ms) >= 0).all()
    assert spikes.times_ms.min() >= SMALL.dt_ms
    assert spikes.times_ms.max() <= SMALL.duration_ms + SMALL.dt_ms / 2


def test_without_enough_input_the_network_falls_silent(rng):
    quiet = ParameterSpace((*FULL_RANGE.parameters[:2], Parameter("eta", "1", 0.0, 4.0)))
    assert CompiledBrunel(SMALL, quiet).simulate(np.array([0.1, 5.0, 0.1]), rng).is_silent()
    assert not CompiledBrunel(SMALL, quiet).simulate(SPIKING, rng).is_silent()


def test_poisson_quantiles_have_the_moments_of_a_poisson_variable():
    """65,536 quantiles cannot hold the far tail: mean and variance are right to a thousandth."""
    for mean in (0.2, 2.0, 8.0, 100.0):
        values = poisson_quantiles(mean).astype(float)
        np.testing.assert_allclose([values.mean(), values.var()], mean, rtol=1e-3)


def test_random_words_are_uniform_and_uncorrelated():
    """The 16-bit numbers from which neighbouring neurons draw their input, over 2,000 steps of 256 neurons."""
    state, words = generators(4), np.empty(64, np.uint64)
    draws = np.empty((2000, 256))
    for step in draws:
        event_loop.random_words(state, words)
        step[:] = words.view(np.uint16)
    bins = np.histogram(draws, 256, (0, 2**16))[0]
    expected = draws.size / 256
    assert ((bins - expected) ** 2 / expected).sum() == pytest.approx(255, abs=5 * np.sqrt(2 * 255))
    z = np.corrcoef(draws.T)[np.triu_indices(256, 1)] * np.sqrt(len(draws))
    assert z.std() == pytest.approx(1, abs=0.03)
    assert np.abs(z).max() < 5.5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"threshold_spread_mV": 10.0}, "below all thresholds"),
        ({"membrane_time_constant_spread_ms": 20.0}, "membrane_time_constant_spread_ms = 20"),
        ({"refractory_spread_ms": -1.0}, "refractory_spread_ms = -1"),
        ({"delay_spread_ms": 1.5}, "shorter than the time step"),
        ({"delay_spread_ms": 0.05}, "not a multiple of the time step"),
    ],
)
def test_spreads_that_no_network_has_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        BrunelNetwork(**arguments)


@pytest.mark.parametrize(
    ("network", "theta", "said"),
    [
        (SMALL, [0.5, 5.0, 2.0], "J = 0.5 mV lies outside"),
        (SMALL, [0.1, 9.0, 2.0], "g = 9 lies outside"),
        (SMALL, [0.1, 5.0, np.nan], "eta = nan"),
        (SMALL, [0.1, 5.0], "theta has shape"),
        (replace(SMALL, dt_ms=1.0, delay_ms=2.0, membrane_time_constant_ms=0.5), [0.05, 5.0, 4.0], "external events"),
    ],
)
def test_what_cannot_be_simulated_is_refused(network, theta, said, rng):
    with pytest.raises(ValueError, match=said):
        CompiledBrunel(network).simulate(np.array(theta), rng)


def test_more_neurons_than_addresses_are_refused():
    with pytest.raises(ValueError, match="use NestBrunel"):
        CompiledBrunel(BrunelNetwork(order=20_000))


def test_other_parameters_are_refused():
    with pytest.raises(ValueError, match="expected"):
        CompiledBrunel(SMALL, ParameterSpace((Parameter("J", "mV", 0.0, 1.0),)))
