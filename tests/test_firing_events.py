"""Networks with multiple firing events: their published figures, their state, and the detection of events."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inference.reports.event_figure import event_figure
from simulators import Parameter
from simulators.fields.probes import LaminarProbe
from simulators.firing_events.events import detect_events
from simulators.firing_events.networks import BeatNetwork, RingNetwork
from simulators.firing_events.simulator import RATIO, BeatSimulator, RingSimulator

RING, RANDOM, BEAT = RingNetwork(), RingNetwork(wiring="random"), BeatNetwork()


def warm(network, value, seed=0):
    live = network.start(value, np.random.default_rng(seed))
    live.advance(300)
    return live


@pytest.mark.parametrize(
    ("S", "e_hz", "i_hz", "fano"),
    [
        (0.003, (8.15, 0.2), (8.05, 0.2), (1.0, 0.05)),
        (0.03, (11.1, 0.3), (9.5, 0.3), (2.25, 0.2)),
        (0.05, (18.65, 0.7), (15.0, 0.5), (13.8, 1.2)),
    ],
)
def test_the_ring_has_its_rates_and_fano_factors(S, e_hz, i_hz, fano):
    """Over 10 s of two networks; figures and tolerances of an independent program, over several seeds."""
    counts = np.concatenate([warm(RING, S, seed).advance(5000).per_ms for seed in (1, 2)])
    for value, (expected, tolerance) in (
        (counts[:, 0].mean() / 0.3, e_hz), (counts[:, 1].mean() / 0.3, i_hz),
        (counts[:, 0].var() / counts[:, 0].mean(), fano),
    ):  # fmt: skip
        assert value == pytest.approx(expected, abs=tolerance)


def test_the_beat_has_events_of_499_spikes():
    """c = .40: 44 events a second, 499 +- 5 spikes each (Zhang et al. 2024). c = .427: large and small ones."""
    expected = {
        0.40: ((43.0, 46.0), (494.0, 504.0), (0.0, 25.0)),
        0.427: ((48.0, 62.0), (250.0, 400.0), (150.0, 230.0)),
    }
    for c, (events_hz, size, sd) in expected.items():
        found = detect_events(*warm(BEAT, c, 5).advance(4000).counts.T)
        assert events_hz[0] < len(found.size) / 4 < events_hz[1]
        assert size[0] < found.size.mean() < size[1]
        assert sd[0] <= found.size.std() < sd[1]


def test_a_ring_cell_reaches_sixty_others_and_not_its_twin():
    starts, targets = RING.start(0.03, np.random.default_rng(0)).fixed[:2]
    np.testing.assert_array_equal(np.diff(starts), 60)
    mine = targets[starts[0] : starts[1]]
    assert 0 not in mine
    assert 300 not in mine
    assert {1, 299, 315, 585} <= set(mine.tolist())
    assert 16 not in mine


def test_densities_take_connections_away():
    live = RING.start(0.03, np.random.default_rng(0), density_e=0.5, density_i=0.25)
    degrees = np.diff(live.fixed[0])
    assert degrees[:300].mean() == pytest.approx(30, rel=0.05)
    assert degrees[300:].mean() == pytest.approx(15, rel=0.05)


@pytest.mark.parametrize("network", [RING, RANDOM, BEAT])
def test_a_state_and_its_noise_decide_the_future(network):
    """In one go or in parts, and from a copy: the same spikes. With other noise: others, from the same state."""
    value = 0.4 if network is BEAT else 0.05
    live = warm(network, value)
    copy, other = live.copy(), live.copy(seed=3)
    np.testing.assert_array_equal(live.state["v"], other.state["v"])
    whole = live.advance(40, raster=True)
    parts = [copy.advance(ms, raster=True) for ms in (10, 30)]
    np.testing.assert_array_equal(whole.counts, np.concatenate([p.counts for p in parts]))
    np.testing.assert_array_equal(whole.raster, np.concatenate([p.raster for p in parts]))
    assert (other.advance(40).counts != whole.counts).any()
    assert (whole.raster.sum(1) == whole.counts[:, :2].sum(1)).all()
    assert (whole.counts[:, 2] <= whole.counts[:, 0]).all()


@pytest.mark.parametrize("network", [RING, BEAT])
def test_snapshots_are_the_state_at_the_start_of_each_ms(network):
    live = warm(network, 0.4 if network is BEAT else 0.05)
    plain, before = live.copy(), live.state["v"].copy() / live.threshold
    seen = live.advance(20, snapshots=True)
    np.testing.assert_array_equal(plain.advance(20).counts, seen.counts)
    first = seen.snapshots.v[0]
    there = ~np.isnan(first)
    np.testing.assert_allclose(first[there], before[there], rtol=1e-6)
    assert seen.snapshots.v.shape == (20, live.cells)
    assert len(seen.snapshots.currents[0]) == (2 if network is BEAT else 0)
    if network is RING:  # a spike of the last step of a ms is on its way at the start of the next
        last = seen.counts[9::10, :2].sum(1)[:-1]
        np.testing.assert_array_equal(seen.snapshots.pending[1:].sum(1), last)


@pytest.mark.parametrize(
    "simulator", [RingSimulator(signal=(1.0, 0.2) * 300), BeatSimulator(signal=(1.0,) * 300 + (0.5,) * 300)]
)
def test_an_input_signal_drives_and_is_recorded(simulator):
    theta = simulator.parameters.from_unit(np.full(1, 0.5))
    recording = simulator.simulate(theta, np.random.default_rng(0))
    assert recording.channels == ("E spikes", "I spikes", "input")
    weak = recording.steady[2] < 1
    assert 0.2 < weak.mean() < 0.8
    plain = type(simulator)().simulate(theta, np.random.default_rng(0))
    assert recording.steady[0].sum() < 0.95 * plain.steady[0].sum()


def test_a_constant_signal_of_one_changes_nothing():
    theta = np.array([0.03])
    one, none = (RingSimulator(signal=s).simulate(theta, np.random.default_rng(0)) for s in ((1.0,), ()))
    np.testing.assert_array_equal(one.values[:2], none.values)


def test_the_ratio_of_connections_is_a_parameter():
    simulator = RingSimulator(free=RATIO)
    live = simulator.start(np.array([0.03, -0.7]), np.random.default_rng(0))
    degrees = np.diff(live.fixed[0])
    assert np.log(degrees[:300].sum() / degrees[300:].sum()) == pytest.approx(-0.7, abs=0.05)
    assert degrees[300:].mean() == 60


def test_a_probe_sees_spikes_by_strength_and_number_of_connections():
    """The LFP grows with S; half of the E connections, half of the E part."""
    simulator = RingSimulator(free=RATIO, duration_ms=100.0, transient_ms=0.0)
    assert simulator.forward_model() is None
    signal = simulator.forward_model(LaminarProbe((0.0, -100.0)))
    counts = simulator.simulate(np.array([0.03, 0.0]), np.random.default_rng(0))
    one, strong = (signal.observe(counts, np.array([S, 0.0])) for S in (0.02, 0.04))
    assert one.unit == "mV"
    np.testing.assert_allclose(strong.values, 2 * one.values)
    only_e = counts.with_values(counts.values * np.array([[1.0], [0.0]], np.float32))
    whole, half = (signal.observe(only_e, np.array([0.02, r])) for r in (0.0, np.log(0.5)))
    np.testing.assert_allclose(half.values, 0.5 * whole.values, rtol=1e-6)


# --- events ---


def test_events_are_found_where_they_were_put():
    """Two bursts of 30 spikes, and single spikes that are none; thresholds decide."""
    e, i = np.zeros(2000, int), np.zeros(2000, int)
    e[300:330] = 1
    i[310:320] = 2
    e[1200:1230] = 1
    e[[50, 700, 1900]] = 1
    found = detect_events(e, i)
    assert found.onset_ms == pytest.approx([30.0, 120.0])
    assert found.e_size.tolist() == [30, 30]
    assert found.i_size.tolist() == [20, 0]
    assert found.intervals_ms == pytest.approx([90.0])
    assert (found.duration_ms >= 3.0).all()
    assert (found.duration_ms < 5.5).all()
    assert len(detect_events(e, i, smallest=40).size) == 1
    assert len(detect_events(e, i, opens=25, closes=2).size) == 0
    silent = detect_events(np.zeros(50, int), np.zeros(50, int))
    assert len(silent.size) == len(silent.intervals_ms) == 0


def test_events_are_marked_in_a_raster(tmp_path):
    """As many shaded spans as events in the window, and every spike in the rate below."""
    live = warm(BEAT, 0.4)
    activity = live.advance(200, raster=True)
    events, spikes = detect_events(*activity.counts.T), activity.spikes(live.excitatory)
    assert len(spikes.of("E").times_ms) == activity.counts[:, 0].sum()
    figure = event_figure(spikes, events, (50.0, 150.0), "beat")
    raster, rate = figure.axes
    inside = ((events.end_ms > 50) & (events.onset_ms < 150)).sum()
    assert len(raster.patches) == inside
    assert len(rate.patches) == inside + 1  # and the rate itself
    figure.savefig(tmp_path / "events.png")
    with pytest.raises(ValueError, match="holds nothing"):
        event_figure(spikes, events, (5.0, 5.0))
    with pytest.raises(ValueError, match="there is no raster"):
        live.advance(1).spikes(live.excitatory)


def test_close_events_are_one_and_long_ones_end():
    e = np.zeros(1000, int)
    e[100:110] = e[128:138] = 1
    zero = np.zeros_like(e)
    apart = detect_events(e, zero, window_ms=0.5, merge_ms=0.0)
    assert len(apart.size) == 2
    assert len(detect_events(e, zero, window_ms=0.5, merge_ms=3.0).size) == 1
    e[:] = 1
    assert detect_events(e, zero, longest_ms=10.0).duration_ms.max() <= 10.0


@given(
    e=hnp.arrays(np.int64, 300, elements=st.integers(0, 3)),
    opens=st.integers(0, 8),
    window=st.floats(0.2, 4.0),
    longest=st.floats(0.5, 20.0),
    merge=st.floats(0.0, 3.0),
)
def test_events_are_ordered_apart_and_within_their_bounds(e, opens, window, longest, merge):
    found = detect_events(e, e, opens=opens, closes=opens, window_ms=window, longest_ms=longest, merge_ms=merge)
    assert (found.onset_ms[1:] >= found.end_ms[:-1] - 1e-9).all()
    assert (found.duration_ms > 0).all()
    assert found.e_size.sum() <= e.sum()
    assert (found.duration_ms <= longest + 0.1 + 1e-6).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: detect_events(np.zeros(5), np.zeros(4)), "5, 4 and 5 steps"),
        (lambda: detect_events(np.zeros(0, int), np.zeros(0, int)), "expected three of one length"),
        (lambda: detect_events(-np.ones(5), np.zeros(5)), "negative"),
        (lambda: detect_events(np.ones(5), np.ones(5), window_ms=0.0), "a window of 0.0 ms"),
        (lambda: detect_events(np.ones(5), np.ones(5), opens=1, closes=2), "closing at no more than opens"),
        (lambda: RingNetwork(wiring="torus"), "no wiring 'torus'; choose one of ring, random"),
        (lambda: RingNetwork(reach=200), "less than half"),
        (lambda: RingNetwork(noise_per_ms=float("nan")), "cannot be"),
        (lambda: BeatNetwork(beta=0.0), "make no network"),
        (lambda: RingSimulator(free=(Parameter("g", "1", 0.0, 1.0),)), "the ring has no parameter g"),
        (lambda: RingSimulator(free=RATIO[1:]), "needs its strength S"),
        (lambda: BeatSimulator(free=(Parameter("S", "1", 0.0, 1.0),)), "parameter is c; got S"),
        (lambda: BeatSimulator(duration_ms=0.0), "are no recording"),
        (lambda: warm(RING, 0.03).advance(5, signal=np.ones(4)), r"shape \(4,\) for 5 ms"),
        (lambda: warm(RING, 0.03).advance(5, signal=-np.ones(5)), "expected a factor of the rate"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
