"""The published surrogate neurons: their sizes, what they may see, and that they learn a cell that is known."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from surrogates.neurons.architectures.published import (
    ARCHITECTURES,
    CNNLSTM,
    DETAILED_CELL,
    DilatedWindow,
    LinearWindow,
)
from surrogates.neurons.architectures.standardised import spikes
from surrogates.neurons.architectures.tcn_lstm import TCNLSTM
from surrogates.neurons.interface import Target

REST = -65.0
WINDOWED = [name for name in ARCHITECTURES if name != "TCNLSTM"]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def leaky_integrator(rng, runs=8, bins=300, bin_ms=1.0):
    """Events and V of a passive cell: an excitatory and an inhibitory synapse whose currents fall exponentially."""
    weights = np.array([2e-3, 5e-3])
    events = rng.binomial(1, (0.08, 0.04), (runs, bins, 2)) * weights
    current, v = np.zeros((runs, 2)), np.full(runs, REST)
    trace = np.empty((runs, bins))
    for t in range(bins):
        current = current * np.exp(-bin_ms / 4) + events[:, t] / weights
        v = v + bin_ms * ((REST - v) / 10 + current @ (0.8, -1.0))
        trace[:, t] = v
    v_and_current = torch.tensor(trace, dtype=torch.float32), torch.tensor(trace * 1e-3 - 1, dtype=torch.float32)
    target = Target(v_and_current[0], torch.zeros(runs, bins), v_and_current[1][..., None])
    return torch.tensor(events, dtype=torch.float32), target


def without_outputs(target):
    return target._replace(outputs=target.outputs[..., :0])


def surrogate(name, events, target, **settings):
    torch.manual_seed(0)
    network = ARCHITECTURES[name](events.shape[2], target.outputs.shape[2], 1.0, **settings)
    network.scale_to(events, target)
    return network


@pytest.fixture(scope="module")
def cell():
    return leaky_integrator(np.random.default_rng(1))


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("LinearWindow", 2.07e4),
        ("NonlinearWindow", 2.07e4),
        ("DeepWindow", 2.47e6),
        ("DilatedWindow", 3.64e5),
        ("CNNLSTM", 1.83e6),  # the text has 1.95e6, its code this
    ],
)
def test_numbers_of_parameters_are_the_published_ones(name, published):
    network = ARCHITECTURES[name](synapses=2, outputs=2, bin_ms=1.0)
    assert float(f"{parameters(network):.2e}") == published


def test_larger_published_networks_have_the_published_sizes():
    assert float(f"{parameters(CNNLSTM(200, 0, 1.0, **DETAILED_CELL)):.1e}") == 5.4e6
    assert float(f"{parameters(TCNLSTM(34, 1, 0.5)):.0e}") == 2e5


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_settings_build_the_same_network_again(name, cell):
    network = surrogate(name, *cell)
    again = type(network)(**network.settings)
    again.load_state_dict(network.state_dict())
    response = [n.respond(cell[0][:2, :20]) for n in (network, again)]
    assert torch.equal(response[0].v, response[1].v)
    assert torch.equal(response[0].outputs, response[1].outputs)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("changed", [0, 11, 39])
def test_later_events_change_nothing_before_them(name, changed, cell):
    """The bin of an event itself must change, and none before it."""
    network = surrogate(name, *cell)
    events = cell[0][:2, :40].clone()
    before = network.respond(events)
    events[:, changed] += 0.1
    after = network.respond(events)
    assert torch.equal(before.v[:, :changed], after.v[:, :changed])
    assert torch.equal(before.outputs[:, :changed], after.outputs[:, :changed])
    assert (before.v[:, changed] != after.v[:, changed]).all()


@pytest.mark.parametrize("name", WINDOWED)
def test_one_step_prediction_does_not_see_the_voltage_it_predicts(name, cell):
    events, target = cell[0][:2, :120], Target(*(field[:2, :120] for field in cell[1]))
    network = surrogate(name, *cell)
    before = network.one_step(events, target)
    moved = target._replace(v=target.v + 20 * (torch.arange(120) >= 70))
    after = network.one_step(events, moved)
    torch.testing.assert_close(before.v[:, :71], after.v[:, :71])
    assert (before.v[:, 71] - after.v[:, 71]).abs().min() > 1e-4


@pytest.mark.parametrize("name", WINDOWED)
def test_free_running_is_one_step_prediction_of_its_own_past(name, cell):
    """Told that the cell did what the network says, the network says it again."""
    events = cell[0][:2, :90]
    network = surrogate(name, *cell)
    free = network.respond(events)
    again = network.one_step(events, Target(free.v, free.spikes, free.outputs))
    torch.testing.assert_close(again.v, free.v, rtol=0, atol=1e-2)
    torch.testing.assert_close(again.outputs, free.outputs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", WINDOWED)
def test_stretches_carry_what_their_windows_need(name, cell):
    """The state after two stretches, one of them shorter than a window, is that after one."""
    events, target = cell
    network = surrogate(name, events, target)
    generator, state = torch.Generator().manual_seed(0), None
    for part in (slice(0, 30), slice(30, 300)):
        _, state = network.loss(events[:, part], Target(*(field[:, part] for field in target)), state, generator)
    _, whole = network.loss(events, target, None, generator)
    assert torch.equal(state.targets, whole.targets)
    assert torch.equal(state.events, whole.events)
    assert state.targets.shape[1] == network.window


def test_loss_is_the_error_of_one_step_predictions(cell):
    """All bins of two stretches drawn many times over: the mean of their losses is that of all one-step errors."""
    events, target = cell
    network = surrogate("LinearWindow", events, target, windows_per_run=3000)
    generator, state, losses = torch.Generator().manual_seed(0), None, []
    for part in (slice(0, 150), slice(150, 300)):
        loss, state = network.loss(events[:, part], Target(*(f[:, part] for f in target)), state, generator)
        losses.append(loss.item())
    said = network.one_step(events, target)
    v, outputs = (said.v - target.v) / target.v.std(), (said.outputs - target.outputs) / target.outputs.std()
    expected = (v.square().mean() + outputs.square().mean()) / 2
    assert np.mean(losses) == pytest.approx(expected.item(), rel=0.05)


def test_strides_of_two_give_what_dilated_causal_convolutions_give(cell):
    """Against all bins of all layers, padded as a causal convolution is."""
    network = DilatedWindow(2, 1, 1.0)
    windows = torch.randn(5, 64, network.columns)
    x = windows.transpose(1, 2)
    for n, layer in enumerate(network.convolutions):
        x = torch.tanh(F.conv1d(F.pad(x, (2**n, 0)), layer.weight, layer.bias, dilation=2**n))
    torch.testing.assert_close(network(windows)[:, 0], network.last(x[..., -1]))


def test_a_window_that_the_dilated_layers_do_not_span_is_refused():
    with pytest.raises(ValueError, match="window is 100"):
        DilatedWindow(2, 0, 1.0, window=100)


def test_steps_with_a_carried_state_are_the_whole_sequence(cell):
    events = cell[0][:3, :200]
    network = surrogate("TCNLSTM", *cell).eval()
    whole = network.respond(events)
    state, v = network.begin(3), []
    for now in events.unbind(1):
        targets, state = network.step(now, state)
        v.append(targets[:, 0])
    torch.testing.assert_close(torch.stack(v, 1), whole.v, rtol=0, atol=1e-4)


def test_losses_of_stretches_make_up_the_loss_of_a_run(cell):
    events, target = cell
    network, generator = surrogate("TCNLSTM", events, target).eval(), torch.Generator()
    whole, _ = network.loss(events, target, None, generator)
    first, state = network.loss(events[:, :150], Target(*(f[:, :150] for f in target)), None, generator)
    second, _ = network.loss(events[:, 150:], Target(*(f[:, 150:] for f in target)), state, generator)
    torch.testing.assert_close((first + second) / 2, whole)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_few_steps_lower_the_loss(name, cell):
    events, target = (cell[0][:, :150], Target(*(field[:, :150] for field in cell[1])))
    network = surrogate(name, events, target)
    steps, rate = (40, 5e-3) if name == "TCNLSTM" else (12, 1e-3)
    optimiser, losses = torch.optim.NAdam(network.parameters(), rate), []
    for _ in range(steps):
        loss, _ = network.loss(events, target, None, torch.Generator().manual_seed(0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_a_linear_network_learns_a_passive_cell(rng):
    """Free-running on runs it has not seen; an untrained one is the control."""
    events, target = leaky_integrator(rng, runs=32)
    target = without_outputs(target)
    network = surrogate("LinearWindow", events[:24], Target(*(field[:24] for field in target)))
    unseen, v = events[24:], target.v[24:]
    untrained = explained(network.respond(unseen).v, v)
    optimiser = torch.optim.NAdam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=400)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        loss, _ = network.loss(events[:24], Target(*(field[:24] for field in target)), None, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    assert explained(network.respond(unseen).v, v) > 0.95
    assert untrained < 0.5


def explained(said, true):
    return 1 - ((said - true).square().mean() / true.var()).item()


def test_an_unstable_network_stays_finite(cell):
    network = surrogate("LinearWindow", *cell)
    torch.nn.init.ones_(network.network[1].weight)
    torch.nn.init.ones_(network.network[2].weight)
    assert network.respond(cell[0][:, :50]).v.isfinite().all()


def test_the_first_layer_s_weights_cost():
    network = CNNLSTM(2, 0, 1.0, l1=0.5)
    assert network.penalty().item() == pytest.approx(0.5 * network.first.weight.abs().sum().item())


def test_scales_come_from_the_data(cell):
    events, target = cell
    network = LinearWindow(2, 1, 1.0)
    silent = torch.cat([events[..., :1], torch.zeros_like(events[..., 1:])], 2)
    network.scale_to(silent, target)
    torch.testing.assert_close(network.event_scale, torch.tensor([2e-3, 1.0]))
    torch.testing.assert_close(network.mean[0], target.v.mean())
    torch.testing.assert_close(network.rest[0] * network.sd[0] + network.mean[0], target.v[:, 0].mean())


def test_spikes_are_maxima_above_threshold_and_two_ms_apart():
    v = np.full((1, 60), -70.0)
    v[0, [5, 20, 23, 40, 59]] = (30, 10, 20, -30, 30)
    v[0, 50:53] = 15
    assert np.flatnonzero(spikes(v, -20.0, 1.0)[0]).tolist() == [5, 20, 23, 51]
    assert np.flatnonzero(spikes(v, -20.0, 0.5)[0]).tolist() == [5, 23, 51]
