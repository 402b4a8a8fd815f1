"""Training: staged, resumable, stopped early; and the scores by which it is judged."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from surrogates.neurons.architectures.stateful import StatefulNeuron
from surrogates.neurons.architectures.tcn_lstm import TCNLSTM
from surrogates.neurons.interface import Response, Target
from surrogates.neurons.measures.scores import _around, correlation, match_spikes, score, variance_explained
from surrogates.neurons.training import loop as training
from surrogates.neurons.training.data import Runs
from surrogates.neurons.training.loop import Schedule, free_running_error, train_neuron
from tests.test_stateful_neuron import integrator, network, some_events

SCHEDULE = Schedule(passes=12, batch=8, stretch_bins=30, learning_rate=5e-3, shares=(0.5, 0.5), validations=6)


def runs(n: int, seed: int) -> Runs:
    events = some_events(n, 60, seed)
    return Runs(events, integrator(events))


def convolutional() -> TCNLSTM:
    torch.manual_seed(0)
    return TCNLSTM(2, 1, 1.0, channels=4, units=6, hidden=6, dropout=0.3)


def trained(path=None, schedule=SCHEDULE, make=network) -> tuple:
    net = make()
    result = train_neuron(net, [runs(12, 0), runs(24, 1)], runs(8, 2), schedule, path, progress=False)
    return net, result


class Killed(Exception):
    pass


@pytest.mark.parametrize(("after", "make"), [(1, network), (3, network), (5, network), (2, convolutional)])
def test_training_that_was_killed_goes_on_and_ends_with_the_same_weights(after, make, tmp_path, monkeypatch):
    whole, uninterrupted = trained(make=make)
    store, count = training._Training.store, 0

    def store_then_die(self, path):
        nonlocal count
        store(self, path)
        count += 1
        if count == after:
            raise Killed

    monkeypatch.setattr(training._Training, "store", store_then_die)
    with pytest.raises(Killed):
        trained(tmp_path / "checkpoint", make=make)
    monkeypatch.undo()
    again, resumed = trained(tmp_path / "checkpoint", make=make)
    assert resumed._replace(minutes=uninterrupted.minutes) == uninterrupted
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_checkpoints_of_another_training_are_refused(tmp_path):
    trained(tmp_path / "checkpoint")
    with pytest.raises(ValueError, match="another training"):
        trained(tmp_path / "checkpoint", replace(SCHEDULE, learning_rate=1e-3))
    with pytest.raises(ValueError, match="another training"):
        train_neuron(network(), [runs(12, 0), runs(24, 3)], runs(8, 2), SCHEDULE, tmp_path / "checkpoint", False)
    other = runs(12, 0), runs(24, 1)  # the same voltages with other outputs
    other[1].target.outputs[0, 0] += 1.0
    with pytest.raises(ValueError, match="another training"):
        train_neuron(network(), other, runs(8, 2), SCHEDULE, tmp_path / "checkpoint", False)
    (tmp_path / "checkpoint").write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match="damaged or no training"):
        trained(tmp_path / "checkpoint")


def test_data_of_later_stages_are_not_seen_before(monkeypatch):
    seen = []
    learn = training._Training.learn
    monkeypatch.setattr(
        training._Training, "learn", lambda self, r, available: (seen.append(available), learn(self, r, available))
    )
    trained()
    assert seen == [12] * 6 + [36] * 6


def test_the_best_state_is_kept_and_waiting_has_an_end(monkeypatch):
    """Errors that only grow: training stops after ``patience`` validations and gives back the first state."""
    errors = iter([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    states = []

    def rising(net, _):
        states.append({k: v.clone() for k, v in net.state_dict().items()})
        return next(errors)

    monkeypatch.setattr(training, "free_running_error", rising)
    net, result = trained(schedule=replace(SCHEDULE, patience=3))
    assert result.error == 0.5
    assert len(result.history) == 4
    for name, value in net.state_dict().items():
        assert torch.equal(value, states[0][name])


def test_minutes_are_those_before_a_restart_too(tmp_path):
    _, first = trained(tmp_path / "checkpoint", replace(SCHEDULE, patience=1))
    _, again = trained(tmp_path / "checkpoint", replace(SCHEDULE, patience=1))
    assert again.minutes == first.minutes > 0


@pytest.mark.parametrize("make", [network, convolutional])
def test_training_that_comes_to_nothing_is_said(make):
    def broken():
        net = make()
        with torch.no_grad():
            next(net.parameters()).fill_(torch.nan)
        return net

    with pytest.raises(ValueError, match="diverged"):
        trained(make=broken)


def test_a_cell_that_never_responds_is_said():
    silent = runs(8, 2)
    silent.target.v.fill_(-65.0)
    with pytest.raises(ValueError, match="the cell does not respond; raise weights or rates"):
        train_neuron(network(), [runs(12, 0), runs(24, 1)], silent, SCHEDULE, progress=False)


def test_a_last_stretch_of_one_bin_teaches_something():
    _, result = trained(schedule=replace(SCHEDULE, stretch_bins=59))
    assert np.isfinite(result.error)


def test_stages_and_shares_must_agree():
    with pytest.raises(ValueError, match="1 stages of data, but shares of the passes for 2"):
        train_neuron(network(), [runs(8, 0)], runs(4, 1), SCHEDULE, progress=False)


def spikes(*bins: int, length: int = 40) -> torch.Tensor:
    train = torch.zeros(1, length)
    train[0, list(bins)] = 1
    return train


@pytest.mark.parametrize(
    ("predicted", "true", "tolerance", "matched"),
    [
        ((5, 20), (5, 20), 0.0, 2),
        ((6, 19), (5, 20), 1.0, 2),
        ((6, 19), (5, 20), 0.5, 0),
        ((5, 6), (5,), 2.0, 1),
        ((5,), (4, 6), 2.0, 1),
        ((4, 6), (5, 7), 1.0, 2),
        ((), (5,), 2.0, 0),
    ],
)
def test_spikes_are_matched_once_and_as_many_as_can_be(predicted, true, tolerance, matched):
    found = match_spikes(spikes(*predicted), spikes(*true), 1.0, tolerance)
    assert (found.matched, found.predicted, found.true) == (matched, len(predicted), len(true))
    assert found.shift_ms.size == matched


def test_a_perfect_surrogate_scores_full_marks_and_a_shuffled_one_does_not():
    target = runs(20, 3).target
    perfect = score(Response(*target), target, 1.0, ["half V"]).to_json()
    for name in ("precision_1ms", "recall_1ms", "variance_explained", "r", "subthreshold_r", "half V_r"):
        assert perfect[name] == pytest.approx(1, abs=1e-4), name
    assert perfect["rate_error_Hz"] == 0
    assert perfect["rate_r"] == pytest.approx(1)
    order = np.roll(np.arange(20), 1)
    shuffled = score(Response(*(x[order] for x in target)), target, 1.0, ["half V"]).to_json()
    for name in ("precision_1ms", "recall_1ms", "variance_explained", "r", "subthreshold_r", "half V_r"):
        assert shuffled[name] < 0.7, name
    assert free_running_error(_Fixed(Response(*target)), Runs(some_events(20), target)) == pytest.approx(0, abs=1e-6)
    assert free_running_error(_Fixed(Response(*(x[order] for x in target))), Runs(some_events(20), target)) > 0.8


class _Fixed(StatefulNeuron):
    """Stands for a network whose response is known."""

    def __init__(self, response: Response) -> None:
        super().__init__(2, 1, 1.0, constants=[[1.0, 2.0, 0.0]] * 2)
        self.response = response

    def respond(self, _) -> Response:
        return self.response


def test_scores_know_their_closed_forms():
    x = torch.linspace(0, 1, 101)
    assert correlation(2 * x + 1, x) == pytest.approx(1)
    assert correlation(-x, x) == pytest.approx(-1)
    assert correlation(torch.ones(101), x) == 0
    assert correlation(np.arange(5), 3 * np.arange(5)) == pytest.approx(1)
    assert variance_explained(x.mean().expand(101), x) == pytest.approx(0, abs=1e-6)
    assert variance_explained(x + 1, x) < 0


def test_precision_is_of_what_is_predicted_and_recall_of_what_is_true():
    """Two of three predicted spikes are true, and two of five true ones predicted; one comes late, one early."""
    found = match_spikes(spikes(7, 20, 30), spikes(5, 10, 15, 21, 36), 0.5, 1.0)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 5)
    assert found.shift_ms.tolist() == [1.0, -0.5]


def test_where_nothing_spikes_there_is_no_precision_and_no_recall():
    """A silent surrogate of a silent cell is not told as a perfect one."""
    found = match_spikes(spikes(), spikes(), 0.5, 1.0)
    assert np.isnan([found.precision, found.recall]).all()
    v, none = torch.randn(2, 1, 40), torch.zeros(1, 40, 0)
    told = score(Response(v[0], spikes(), none), Target(v[1], spikes(), none), bin_ms=0.5).to_json()
    assert told["precision_2ms"] is None
    assert told["recall_2ms"] is None


def test_variance_explained_is_one_less_the_error_over_the_variance():
    """Of the numbers 0 ... 4 about their mean: 2. Off by 0.5 everywhere, an eighth of it is not explained."""
    x = torch.arange(5.0)
    assert variance_explained(x + 0.5, x) == pytest.approx(1 - 0.25 / 2)


def test_rates_are_per_second_of_the_runs_and_true_ones_come_first():
    """In 40 bins of 0.5 ms, 20 ms: one and three true spikes, two predicted ones in each run."""
    true = torch.cat([spikes(5), spikes(5, 15, 25)])
    predicted = torch.cat([spikes(5, 10), spikes(5, 15)])
    v = torch.linspace(-70, -60, 40).expand(2, 40)
    found = score(Response(v, predicted, v[..., None]), Target(v, true, v[..., None]), 0.5)
    assert found.rates_Hz == pytest.approx((100.0, 100.0))
    assert found.rate_error_Hz == pytest.approx(50.0)
    swapped = score(Response(v, true[:1].expand(2, 40), v[..., None]), Target(v, true, v[..., None]), 0.5)
    assert swapped.rates_Hz == pytest.approx((100.0, 50.0))


def test_v_from_2_ms_before_to_10_ms_after_a_spike_is_the_spikes():
    near = torch.nonzero(_around(spikes(15), 1.0)[0])[:, 0]
    assert near.tolist() == list(range(13, 26))
    assert torch.nonzero(_around(spikes(15, length=60), 0.5)[0])[:, 0].tolist() == list(range(11, 36))
