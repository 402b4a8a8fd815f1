"""Protocols draw what they say, and events are what they should be."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from simulators.cells.inputs import (
    CorrelatedSynapses,
    DistinctMilliseconds,
    InputProtocol,
    PoissonRates,
    PoissonSynapses,
    ReplayedInput,
    Synapse,
    SynapticEvents,
)
from simulators.cells.point import AMPA, GABA

MANY = tuple(Synapse(f"s{k}", 0.5, 5.0, 0.0, 1e-3, inhibitory=k % 2 == 1) for k in range(40))
PROTOCOLS = {
    "distinct milliseconds": DistinctMilliseconds(),
    "Poisson": PoissonSynapses(),
    "Poisson rates": PoissonRates(),
    "correlated": CorrelatedSynapses(),
    "replayed": ReplayedInput((1.0, 2.5), (0, 1), (1e-3, 2e-3)),
}
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)


@every_protocol
def test_protocols_keep_to_their_promise(protocol):
    """Events inside the duration, at synapses there are; the same for the same generator, others for another."""
    assert isinstance(protocol, InputProtocol)
    middle = protocol.parameters.from_unit(np.full(len(protocol.parameters), 0.5))
    one, two = (protocol.draw(middle, MANY, 800.0, np.random.default_rng(3)).check(MANY) for _ in range(2))
    assert len(one)
    assert one.times_ms.max() < 800
    for a, b in zip(vars(one).values(), vars(two).values(), strict=True):
        np.testing.assert_array_equal(a, b)
    other = protocol.draw(middle, MANY, 800.0, np.random.default_rng(4))
    same = len(other) == len(one) and (other.times_ms == one.times_ms).all()
    assert same == isinstance(protocol, ReplayedInput)
    with pytest.raises(ValueError, match="outside"):
        protocol.draw(protocol.parameters.high + 1, MANY, 800.0, np.random.default_rng(3))


def test_the_published_protocol_has_its_rates_at_distinct_milliseconds(rng):
    found = DistinctMilliseconds().draw(np.array([2.0]), (AMPA, GABA), 10_000.0, rng)
    assert [int((found.synapses == k).sum()) for k in (0, 1)] == [1600, 600]
    for k in (0, 1):
        times = found.times_ms[found.synapses == k]
        assert len(np.unique(times)) == len(times)
        assert (times == np.round(times)).all()
    assert len(DistinctMilliseconds().draw(np.array([0.0]), (AMPA, GABA), 10_000.0, rng)) == 0
    with pytest.raises(ValueError, match="do not fit"):
        DistinctMilliseconds(excitatory_hz=300.0).draw(np.array([4.0]), (AMPA, GABA), 1000.0, rng)


def test_poisson_synapses_have_the_stated_rate_and_weights(rng):
    """20 Hz at the half that is present: 4,000 events in 10 s; three standard deviations of both draws."""
    counts, weights = [], []
    for _ in range(30):
        found = PoissonSynapses(weights_uS=(1e-4, 1e-2)).draw(np.array([0.5]), MANY, 10_000.0, rng)
        counts.append(len(found))
        weights.append(np.log10(found.weights_uS))
        each = [np.unique(found.weights_uS[found.synapses == k]) for k in np.unique(found.synapses)]
        assert all(len(w) == 1 for w in each)
    assert np.mean(counts) == pytest.approx(4000, abs=3 * 200 * np.sqrt(40 * 0.25 / 30))
    assert np.concatenate(weights).min() >= -4
    assert np.concatenate(weights).max() <= -2
    assert np.concatenate(weights).mean() == pytest.approx(-3, abs=0.1)


def test_poisson_rates_are_those_of_excitation_and_inhibition(rng):
    """20 synapses of each sort for 50 s: 10 and 3 Hz, within three standard deviations."""
    found = PoissonRates().draw(np.array([10.0, 3.0]), MANY, 50_000.0, rng)
    inhibitory = np.array([s.inhibitory for s in MANY])[found.synapses]
    assert (~inhibitory).sum() == pytest.approx(10_000, abs=300)
    assert inhibitory.sum() == pytest.approx(3_000, abs=165)
    assert (found.weights_uS == 1e-3).all()


@pytest.mark.parametrize("correlation", [0.1, 0.5])
def test_correlated_synapses_share_their_events_as_stated_and_poisson_synapses_do_not(correlation, rng):
    """Of the events at one synapse, the share that another one has too; without jitter, in bins of 5 ms."""

    def shared(protocol) -> float:
        theta = np.array([0.9])
        counts = protocol.draw(theta, MANY, 50_000.0, rng).binned(len(MANY), 50_000, 1.0) > 0
        present = counts.any(0)
        rate = counts[:, present].mean(0)
        pairs = (counts[:, present].T.astype(float) @ counts[:, present]) / len(counts)
        both = pairs[~np.eye(len(rate), dtype=bool)].mean() - np.outer(rate, rate).mean()
        return both / rate.mean()

    drawn = CorrelatedSynapses(correlation=correlation, jitter_ms=0.0, grid_ms=1.0)
    assert shared(drawn) == pytest.approx(correlation, abs=0.04)
    assert abs(shared(PoissonSynapses(grid_ms=1.0))) < 0.01


@given(
    st.lists(st.tuples(st.floats(0, 99), st.integers(0, 4), st.floats(0, 1)), max_size=30),
    st.sampled_from([0.25, 0.5, 1.0]),
)
def test_binning_loses_no_event(triples, bin_ms):
    times, synapses, weights = np.array(triples, float).reshape(-1, 3).T
    synapses = synapses.astype(int)
    grid = SynapticEvents(times, synapses, weights).binned(5, round(100 / bin_ms), bin_ms)
    assert grid.sum() == pytest.approx(weights.sum(), rel=1e-4, abs=1e-6)
    for t, k, w in zip(times, synapses, weights, strict=True):
        assert w <= grid[int(t / bin_ms + 1e-6), k] + 1e-6


def test_events_at_once_add_up():
    """Published code assigned them."""
    grid = SynapticEvents(np.array([3.0, 3.2, 3.9]), np.array([0, 0, 0]), np.array([1.0, 2.0, 4.0])).binned(1, 10, 1.0)
    assert grid[3, 0] == 7
    assert grid.sum() == 7


@pytest.mark.parametrize(
    ("times", "synapses", "weights", "said"),
    [
        ([-1.0], [0], [1.0], "not negative"),
        ([np.nan], [0], [1.0], "finite"),
        ([1.0], [0], [-1.0], "weights"),
        ([1.0], [0], [np.inf], "weights"),
    ],
)
def test_impossible_events_are_refused(times, synapses, weights, said):
    with pytest.raises(ValueError, match=said):
        SynapticEvents(np.array(times), np.array(synapses), np.array(weights))


def test_parts_of_synapses_are_refused():
    with pytest.raises((ValueError, TypeError)):  # the second where types are checked at every call
        SynapticEvents(np.array([1.0]), np.array([0.5]), np.array([1.0]))


def test_events_beyond_any_grid_are_left_out():
    assert not SynapticEvents(np.array([1e300]), np.array([0]), np.array([1.0])).binned(1, 10, 1.0).any()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: PoissonSynapses(weights_uS=(1e-4, np.inf)),
        lambda: PoissonSynapses(grid_ms=0.0),
        lambda: PoissonRates(grid_ms=0.0),
        lambda: CorrelatedSynapses(rate_hz=-1.0),
        lambda: CorrelatedSynapses(correlation=0.0),
        lambda: CorrelatedSynapses(jitter_ms=-1.0),
        lambda: ReplayedInput((-1.0,), (0,), (1e-3,)),
        lambda: Synapse("wrong", 0.5, np.inf, 0.0, 1e-3),
        lambda: Synapse("wrong", 0.5, 5.0, np.nan, 1e-3),
    ],
)
def test_impossible_protocols_and_synapses_are_refused(wrong):
    with pytest.raises(ValueError, match=r"weights|grid|correlation|finite"):
        wrong()


@pytest.mark.parametrize("arguments", [(2.0, 1.0), (0.0, 1.0), (1.0, 1.0)])
def test_a_synapse_rises_faster_than_it_decays(arguments):
    with pytest.raises(ValueError, match="rise"):
        Synapse("wrong", *arguments, 0.0, 1e-3)
