"""Models of spike counts: distributions, what they see, baselines, measures, and the floor that none goes below."""

import numpy as np
import pytest
import torch

from simulators.firing_events.networks import BeatNetwork, RingNetwork
from surrogates.sequences.baselines import hazard, lagged, ridge
from surrogates.sequences.floor import exact_floor
from surrogates.sequences.inputs import by_segment, global_state, local_state, past_counts
from surrogates.sequences.measures import (
    average_precision,
    brier_score,
    ks_passes,
    mean_squared_error,
    poisson_deviance,
)
from surrogates.sequences.models import CountModel, Plan, SegmentModel, train_counts, train_segments
from surrogates.sequences.outputs import COUNTS, MixtureCount, PoissonCount
from surrogates.sequences.published import NextStepLSTM


@pytest.fixture(autouse=True)
def _seeded():
    """Weights are drawn from torch's own generator."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def ring():
    live = RingNetwork().start(0.05, np.random.default_rng(0))
    live.advance(300)
    return live


@pytest.mark.parametrize("kind", COUNTS)
def test_probabilities_of_counts_sum_to_one_and_draws_have_their_mean(kind):
    torch.manual_seed(0)
    counts = COUNTS[kind]()
    outputs = torch.randn(5, counts.outputs) + (1.0 if kind == "poisson" else 0.3)
    total = counts.log_prob(outputs[:, None].expand(5, 800, -1), torch.arange(800.0).expand(5, 800)).exp().sum(1)
    np.testing.assert_allclose(total, 1, atol=2e-3)
    drawn = counts.draw(outputs.expand(4000, 5, -1), torch.Generator().manual_seed(1))
    spread = drawn.std(0) / 4000**0.5
    assert ((drawn.mean(0) - counts.mean(outputs)).abs() < 5 * spread + 0.05).all()
    assert (drawn == drawn.round()).all()
    assert drawn.min() >= 0


def test_a_mixture_may_be_narrower_than_poisson():
    """Negative control of the output: no Poisson distribution of mean 20 has a variance of 1."""
    outputs = torch.zeros(3 * 5)
    outputs[5:10], outputs[10:] = 1.0, -0.6
    drawn = MixtureCount().draw(outputs.expand(4000, -1), torch.Generator().manual_seed(0))
    assert drawn.mean() == pytest.approx(20, abs=0.2)
    assert drawn.var() < 2
    wide = PoissonCount().draw(torch.full((4000, 1), np.log(20.0)), torch.Generator().manual_seed(0))
    assert wide.var() == pytest.approx(20, rel=0.15)


def test_models_see_the_past_and_the_state_but_not_what_comes(ring):
    live = ring.copy()
    a = live.advance(50, raster=True, snapshots=True)
    past = past_counts(a.per_ms)
    assert past[0, :2].tolist() == [0, 0]
    np.testing.assert_allclose(np.expm1(past[1:, :2]), a.per_ms[:-1], rtol=1e-5)
    whole, local = global_state(a.snapshots, 300), local_state(a.snapshots, 300)
    cells = (whole.reshape(50, 2, -1)[:, :, :-1] * 5) ** 2
    np.testing.assert_allclose(cells.sum(2), 300, rtol=1e-4)
    places = (local.reshape(50, 2, -1, 30)[:, :, :-1] * 3).sum(2)
    np.testing.assert_allclose(places, 10, rtol=1e-4)
    spikes = a.raster[:, :300].reshape(-1, 10, 300).sum(1)
    np.testing.assert_array_equal(by_segment(spikes).sum(1), a.per_ms[:, 0])
    with pytest.raises(ValueError, match="cannot be parted into 7 segments"):
        local_state(a.snapshots, 300, 7)


def test_currents_of_the_beat_network_are_seen():
    live = BeatNetwork().start(0.4, np.random.default_rng(0))
    seen = live.advance(30, snapshots=True)
    ring_like = global_state(seen.snapshots._replace(currents=np.empty((30, 0, 400), np.float32)), 300)
    assert global_state(seen.snapshots, 300).shape[1] == ring_like.shape[1] + 4


def test_nothing_predicts_below_the_exact_floor(ring):
    """Of a state the mean over futures has the floor's error; of a constant it is far more; the noise is fresh."""
    floor = exact_floor(ring, 150, 7, 2, 40)
    first = floor.mean[:, 0]
    own = np.mean((floor.real[:, 0] - first) ** 2)
    assert own == pytest.approx(floor.variance[:, 0].mean(), rel=0.5)
    assert floor.real[:, 0].var() > 1.5 * floor.variance[:, 0].mean()
    assert floor.variance[:, 1].mean() > floor.variance[:, 0].mean()
    with pytest.raises(ValueError, match="two futures or more"):
        exact_floor(ring, 1, futures=1)


def test_the_floor_knows_a_signal_that_comes(ring):
    """All futures have the same input; one that stops leaves hardly a spike, and no two futures that differ much."""
    steady, stopped = (exact_floor(ring, 20, 10, 10, 20, signal=np.full(210, x)) for x in (1.0, 0.0))
    none = exact_floor(ring, 20, 10, 10, 20)
    np.testing.assert_array_equal(steady.mean, none.mean)
    assert stopped.mean[10:, -1].mean() < 0.2 * steady.mean[10:, -1].mean()
    with pytest.raises(ValueError, match="a signal of 100 ms; 200 are needed"):
        exact_floor(ring, 20, 10, 10, 20, signal=np.ones(100))


def test_state_tells_more_than_counts_and_counts_more_than_nothing(ring):
    """20 s to learn from and 5 s of another ring: a little training has the order that long ones have."""
    live = ring.copy(seed=5)
    other = RingNetwork().start(0.05, np.random.default_rng(9))
    other.advance(300)
    a, b = (x.advance(ms, raster=True, snapshots=True) for x, ms in ((live, 20_000), (other, 5000)))
    y = b.per_ms[100:, 0]
    segments = by_segment(a.raster[:, :300].reshape(-1, 10, 300).sum(1))
    local = train_segments(SegmentModel(18), local_state(a.snapshots, 300), segments, Plan(3, 128, rate=3e-3))
    errors = [
        mean_squared_error(y, local.expected(local_state(b.snapshots, 300))[100:]),
        mean_squared_error(y, ridge(lagged(a.per_ms), a.per_ms[:, 0])(lagged(b.per_ms))[100:]),
        mean_squared_error(y, np.full(len(y), a.per_ms[:, 0].mean())),
    ]
    assert errors[0] < 0.8 * errors[1] < 0.8 * errors[2]


def test_free_runs_have_the_rate_of_what_they_learned():
    """Alternating counts of 12 and 0, which a model of the last count can hold up for ever."""
    counts = np.zeros((4000, 2), np.float32)
    counts[::2] = [12, 6]
    model = train_counts(CountModel(6, hidden=16), past_counts(counts), counts, Plan(60, 4, 100))
    free = model.free_run(counts[None, :21], 200, seed=0)
    assert free.shape == (1, 200, 2)
    np.testing.assert_allclose(free[0, 1::2].mean(0), [12, 6], atol=1)
    assert free[0, ::2].mean() < 0.5
    assert model.surprise(past_counts(counts), counts) < 0.5
    again = model.free_run(counts[None, :21], 200, seed=0)
    np.testing.assert_array_equal(free, again)


def test_an_external_signal_is_seen(rng):
    """Counts that the signal decides: with it they are predicted, without it they are not."""
    signal = rng.integers(0, 2, 4000).astype(np.float32)
    counts = np.stack([8 * signal, 4 * signal], 1)
    x = past_counts(counts)
    with_signal = np.concatenate([x, signal[:, None]], 1)
    told = train_counts(CountModel(6, external=1, hidden=16, counts="poisson"), with_signal, counts, Plan(10, 4, 100))
    blind = train_counts(CountModel(6, hidden=16, counts="poisson"), x, counts, Plan(10, 4, 100))
    errors = [mean_squared_error(counts[:, 0], m.expected(s)) for m, s in ((told, with_signal), (blind, x))]
    assert errors[0] < 1 < 10 < errors[1]
    driven = np.concatenate([signal[:30], np.ones(20)])[None, :, None]
    free = told.free_run(counts[None, :30], 20, 0, driven)
    assert free[0, :, 0].mean() == pytest.approx(8, abs=2)
    with pytest.raises(ValueError, match="external signals are to be of shape"):
        told.free_run(counts[None, :30], 20, 0)


def test_the_published_lstm_learns_a_series_and_predicts_it():
    t = np.arange(600)
    values = np.stack([np.sin(t / 5), np.cos(t / 5)], 1)
    told = NextStepLSTM(2, 10, 32).train_on(values[:500], passes=10).predict(values)
    assert told.shape == (590, 2)
    assert mean_squared_error(values[500:, 0], told[490:, 0]) < 0.05
    with pytest.raises(ValueError, match="hold no window of 10"):
        NextStepLSTM(2).train_on(values[:10])
    with pytest.raises(ValueError, match="make no model"):
        NextStepLSTM(2, window=0)


def test_lags_hold_what_was_and_ridge_finds_it(rng):
    x = rng.normal(size=(500, 2))
    columns = lagged(x, 3)
    assert (columns[0] == 0).all()
    np.testing.assert_array_equal(columns[5], [*x[4], *x[3], *x[2]])
    y = 2 * columns[:, 0] - columns[:, 3] + 1
    assert mean_squared_error(y, ridge(columns, y, 1e-3)(columns)) < 1e-4


def test_a_hazard_tells_the_chance_by_the_time_since():
    quiet = np.tile(np.arange(10.0), 300)
    onset = quiet == 9
    chance = hazard(quiet, onset)(np.arange(10.0))
    assert chance[9] > 0.9
    assert chance[:9].max() < 0.1


def test_measures_tell_skill_from_none(rng):
    y = rng.poisson(5.0, 4000)
    assert poisson_deviance(y, np.full(4000, 5.0)) < poisson_deviance(y, np.full(4000, 7.0))
    assert poisson_deviance(y, y) == pytest.approx(0, abs=1e-2)
    onset = rng.random(4000) < 0.1
    assert average_precision(onset, onset.astype(float)) == 1
    assert average_precision(onset, rng.random(4000)) == pytest.approx(0.1, abs=0.03)
    assert brier_score(onset, np.full(4000, 0.1)) == pytest.approx(0.09, abs=0.01)
    with pytest.raises(ValueError, match="no onset in this stretch"):
        average_precision(np.zeros(5), np.zeros(5))


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.85, 1.0), (0.5, 0.0, 0.3)])
def test_ks_passes_tell_one_distribution_from_another(rng, shift, low, high):
    assert low <= ks_passes(rng.normal(size=2000), rng.normal(size=2000) + shift) <= high
    with pytest.raises(ValueError, match="the test draws 200 of each"):
        ks_passes(rng.normal(size=20), rng.normal(size=2000))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CountModel(6, counts="normal"), "no distribution 'normal' of counts; choose one of poisson, mixture"),
        (lambda: CountModel(0), "make no model"),
        (lambda: train_counts(CountModel(6), np.zeros((100, 6)), np.zeros((100, 2))), "two stretches or more"),
        (lambda: train_segments(SegmentModel(3), np.zeros((5, 3, 30)), np.zeros((4, 30))), "spikes of 4 ms"),
        (lambda: CountModel(50).free_run(np.zeros((1, 5, 2)), 5, 0), "cannot run without the network"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
