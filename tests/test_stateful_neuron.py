"""The stateful surrogate neuron: exact synapses, its state, its readout of spikes, and that it learns."""

import numpy as np
import pytest
import torch

from simulators.cells.inputs import SynapticEvents
from simulators.cells.point import AMPA, GABA, PointCell
from simulators.cells.simulator import CellSimulator
from surrogates.neurons.architectures.memory import MEMORIES, LeakyMemory
from surrogates.neurons.architectures.stateful import StatefulNeuron
from surrogates.neurons.interface import Target
from surrogates.neurons.training.data import Runs
from surrogates.neurons.training.loop import Schedule, free_running_error, train_neuron


def network(outputs: int = 1, **settings) -> StatefulNeuron:
    torch.manual_seed(0)
    return StatefulNeuron.of((AMPA, GABA), outputs, 1.0, **{"hidden": 12, "membranes": 3, **settings})


def some_events(runs: int = 3, bins: int = 60, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2.5e-3 * (torch.rand(runs, bins, 2, generator=generator) < 0.2).float()


def test_conductances_are_those_of_neurons_synapses():
    """What the network sees is log(1 + g / least) first: g at the end of each bin, against the alpha function."""
    given = SynapticEvents(np.array([3.0, 5.0, 5.0]), np.array([0, 0, 1]), np.array([1e-3, 3e-3, 8e-3]))
    net = network()
    grid = torch.from_numpy(given.binned(2, 30, 1.0))[None]
    seen, *_ = net._seen(grid, net.begin(1))
    g = net.least_uS * torch.expm1(seen[0, :, :2]).detach().double().numpy()
    t = np.arange(1.0, 31.0)
    excitatory = sum(
        w * np.where(t > t0, (t - t0) / 2 * np.exp(1 - (t - t0) / 2), 0) for t0, w in ((3, 1e-3), (5, 3e-3))
    )
    np.testing.assert_allclose(g[:, 0], excitatory, rtol=0.01, atol=2e-5)
    inhibitory = 8e-3 * np.where(t > 5, (t - 5) * np.exp(1 - (t - 5)), 0)
    np.testing.assert_allclose(g[:, 1], inhibitory, rtol=0.01, atol=5e-5)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("frame", [1, 2, 3])
def test_step_by_step_comes_to_the_same_as_all_at_once(frame, memory):
    net = network(frame=frame, memory=memory)
    events = some_events()
    whole = net.respond(events)
    state, parts = net.begin(3), []
    for first in range(0, 60, frame):
        response, state = net.step(events[:, first : first + frame], state)
        parts.append(response)
    for k, field in enumerate(whole):
        torch.testing.assert_close(torch.cat([p[k] for p in parts], 1), field, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("memory", MEMORIES)
def test_told_its_own_spikes_it_says_what_it_says_running_freely(memory):
    net = network(frame=2, memory=memory)
    with torch.no_grad():
        net.heads[-1].bias[:] = 0
    events = some_events()
    free, state = net.step(events, net.begin(3))
    assert 0 < free.spikes.mean() < 1
    columns, after = net(events, free.spikes)
    torch.testing.assert_close(columns[..., 1] + columns[..., 2], free.v)
    torch.testing.assert_close(after.hidden, state.hidden)


def test_leaky_memories_follow_their_equations():
    torch.manual_seed(0)
    memory = LeakyMemory(3, 5, 1.0)
    x, m = torch.randn(2, 20, 3), torch.zeros(2, 5)
    said = memory(x, m)
    tau = torch.tensor(500.0) ** torch.linspace(0, 1, 5)
    k = torch.exp(-1 / tau)
    inner = torch.nn.Linear(8, 10)
    inner.weight.data = torch.cat([memory.read.weight, memory.recall.weight], 1)
    inner.bias.data = memory.read.bias
    for t in range(20):
        m = k * m + 5 * (1 - k) * torch.tanh(
            memory.write(torch.nn.functional.silu(inner(torch.cat([x[:, t], k * m], 1))))
        )
        torch.testing.assert_close(said[:, t], m)


def test_state_has_the_same_size_however_long_a_neuron_ran():
    net = network()
    sizes = set()
    for bins in (1, 10, 100):
        _, state = net.step(some_events(bins=bins), net.begin(3))
        sizes.add(tuple(tuple(x.shape) for x in state))
    assert len(sizes) == 1


@pytest.mark.parametrize("frame", [1, 2])
def test_nothing_is_known_before_its_frame(frame):
    """Later events change nothing earlier than the frame they are in."""
    net = network(frame=frame)
    events = some_events()
    changed = events.clone()
    changed[:, 31] += 1e-2
    a, b = net.respond(events), net.respond(changed)
    first = 31 // frame * frame
    assert torch.equal(a.v[:, :first], b.v[:, :first])
    assert not torch.equal(a.v[:, first:], b.v[:, first:])


def test_bins_that_make_no_whole_frame_are_refused():
    with pytest.raises(ValueError, match="61 bins are no whole number of frames of 2"):
        network(frame=2).respond(some_events(bins=61))


def spikes_for(probability: list[float], frame: int = 1) -> list[float]:
    """What is given of one neuron's chances in successive bins."""
    net, chance, found = network(frame=frame), torch.zeros(1), []
    for p in torch.tensor([probability]).split(frame, 1):
        now, chance = net._spikes(p, chance)
        found += now[0].tolist()
    return found


@pytest.mark.parametrize(
    ("probability", "spikes"),
    [
        ([0.9, 0.0, 0.0], [1, 0, 0]),
        ([0.2, 0.4, 0.3], [0, 1, 0]),
        ([0.1, 0.1, 0.1], [0, 0, 0]),
        ([1.0, 1.0, 0.0], [1, 1, 0]),
    ],
)
def test_a_spike_spread_over_bins_is_one_spike(probability, spikes):
    assert spikes_for(probability) == spikes


def test_a_frame_has_one_spike_at_most():
    assert spikes_for([0.6, 0.9, 0.9, 0.0], frame=2) == [1, 0, 1, 0]


def test_as_many_spikes_are_given_as_are_expected():
    """Of 500 spikes whose chance lies in three bins of one third each, none is lost and none is doubled."""
    assert sum(spikes_for(([1 / 3] * 3 + [0.0] * 9) * 500)) == 500


def test_own_spikes_are_remembered():
    """A cell that has spiked is told another V than one that has not, and running freely is told its own spikes."""
    net, events = network(frame=2), some_events()
    with torch.no_grad():
        net.heads[2].bias.view(2, -1)[:, 0] -= 1.5  # spikes now and then
        response = net.respond(events)
        assert 0 < response.spikes.mean() < 0.4
        columns, _ = net(events, response.spikes)
        silent, _ = net(events, torch.zeros_like(response.spikes))
    v = columns[..., 1] * net.sd[1] + net.mean[1] + columns[..., 2] * net.sd[2]
    torch.testing.assert_close(v, response.v, rtol=1e-4, atol=1e-5)
    assert (silent - columns).abs().max() > 0.01


def test_membranes_are_those_of_a_passive_cell():
    """A membrane with the leak, pace and synapses of NEURON's passive cell has its potential."""
    cell, bins = PointCell(active=False), 40
    given = SynapticEvents(np.array([3.0, 5.0, 5.0]), np.array([0, 0, 1]), np.array([1e-3, 3e-3, 8e-3]))
    simulator = CellSimulator(cell, duration_ms=float(bins), sample_ms=0.025)
    net = StatefulNeuron.of((AMPA, GABA), 0, 0.025, membranes=1)
    area_cm2 = capacity_uF = np.pi * 25e-4**2
    with torch.no_grad():
        net.reach[:] = np.log(np.e - 1)  # softplus of it is 1
        net.leak[:] = np.log(1e-3 * area_cm2 * 1e6 / net.least_uS)
        net.pace[:] = np.log(net.least_uS * 0.025e-3 / capacity_uF)
        seen, _ = net._seen(torch.from_numpy(given.binned(2, 40 * bins, 0.025))[None], net.begin(1))
    v = 20 * seen[0, :, 2].double().numpy() - 70
    expected = simulator.respond([given])[0].values[0]
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(v, expected, rtol=0, atol=0.08)  # NEURON goes by implicit Euler steps


def integrator(events: torch.Tensor) -> Target:
    """A leaky integrator of excitation that spikes at a threshold: a cell that is quick to learn."""
    v, spikes, level = [], [], torch.full((len(events),), -70.0)
    for now in events.unbind(1):
        level = level + 0.1 * (-70 - level) + 2000 * now[:, 0] - 600 * now[:, 1]
        fired = level > -60
        v.append(torch.where(fired, 20.0, level))
        spikes.append(fired.float())
        level = torch.where(fired, -75.0, level)
    v = torch.stack(v, 1)
    return Target(v, torch.stack(spikes, 1), v[..., None] * 0.5)


def test_gradients_of_spikes_point_where_more_of_them_are():
    """By what factor excitation raises the number of spikes: the gradient against the difference it makes."""
    events, unseen = some_events(128, 100), some_events(256, 100, seed=2)
    net = network(hidden=24, outputs=0)
    runs = Runs(events, integrator(events)._replace(outputs=torch.zeros(128, 100, 0)))
    net.scale_to(*runs)
    schedule = Schedule(passes=100, batch=32, stretch_bins=25, learning_rate=6e-3, shares=(1.0,), validations=1)
    train_neuron(net, [runs], runs, schedule, progress=False)

    def spikes(scale: torch.Tensor) -> torch.Tensor:
        return net.step(unseen * scale, net.begin(256))[0].spikes.sum() / 256

    scale = torch.ones(2, requires_grad=True)
    spikes(scale).backward()
    assert scale.grad is not None
    with torch.no_grad():
        for k in range(2):
            change = 0.1 * torch.eye(2)[k]
            difference = float(spikes(1 + change) - spikes(1 - change)) / 0.2
            assert 0.3 < float(scale.grad[k]) / difference < 3, (k, scale.grad, difference)


def test_it_learns_a_cell_and_an_untrained_one_does_not_know_it():
    events, unseen = some_events(128, 100), some_events(32, 100, seed=1)
    net = network(hidden=24)
    validation = Runs(unseen, integrator(unseen))
    net.scale_to(events, integrator(events))
    before = free_running_error(net, validation)
    schedule = Schedule(passes=150, batch=32, stretch_bins=25, learning_rate=6e-3, shares=(1.0,), validations=3)
    trained = train_neuron(net, [Runs(events, integrator(events))], validation, schedule, progress=False)
    assert trained.error < 0.8 < 1.0 < before


def test_a_stretch_goes_on_where_the_one_before_ended():
    """The loss of two stretches with the state carried is that of the whole; without it, it is another."""
    net, events = network(), some_events()
    target, generator = integrator(events), torch.Generator()
    net.scale_to(events, target)
    columns, _ = net(events, target.spikes)
    _, state = net.loss(events[:, :30], Target(*(x[:, :30] for x in target)), None, generator)
    assert not any(x.requires_grad for x in state)
    torch.testing.assert_close(
        net(events[:, 30:], target.spikes[:, 30:], state)[0], columns[:, 30:], rtol=1e-4, atol=1e-5
    )
    assert not torch.allclose(net(events[:, 30:], target.spikes[:, 30:])[0], columns[:, 30:], atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"frame": 0}, "frames of 0 bins"),
        ({"hidden": 0}, "0 hidden units"),
        ({"membranes": -1}, "-1 membranes"),
        ({"least_uS": 0.0}, "least conductance of 0.0"),
        ({"bin_ms": 0.0}, "bins of 0.0 ms"),
        ({"bin_ms": float("nan")}, "bins of nan ms"),
        ({"constants": [[2.0, 1.0, 0.0]] * 2}, "slower than its rise"),
    ],
)
def test_settings_that_make_no_network_are_named(settings, said):
    right = {"synapses": 2, "outputs": 0, "bin_ms": 1.0, "constants": [[1.0, 2.0, 0.0]] * 2}
    with pytest.raises(ValueError, match=said):
        StatefulNeuron(**(right | settings))


def test_membranes_relax_to_where_their_conductances_pull_them():
    """C dE/dt = sum of g_s (E_s - E), with the leak's own at -70 mV: exact while conductances are constant.

    In units of 20 mV above -70 mV, AMPA pulls to 3.5 and GABA to -1; pace and leak are logarithms.
    """
    net = network()
    events = torch.zeros(1, 200, 2)
    events[0, 3, 0], events[0, 60, 1] = 5e-3, 8e-3
    seen, state = net._seen(events, net.begin(1))
    g = torch.expm1(seen[0, :, :2]).detach().numpy()
    reach, leak, pace = (
        x.detach().numpy() for x in (torch.log1p(torch.exp(net.reach)), net.leak.exp(), net.pace.exp())
    )
    potential, found = np.zeros(3), []
    for e, i in g:
        total = e * reach[0] + i * reach[1] + leak
        towards = (3.5 * e * reach[0] - 1.0 * i * reach[1]) / total
        potential = towards + (potential - towards) * np.exp(-total * pace)
        found.append([*potential, *np.log(total)])
    assert np.ptp(found, 0).min() > 0.01
    np.testing.assert_allclose(seen[0, :, 2:].detach(), found, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(state.potential[0].detach(), potential, atol=1e-4)


def test_a_wider_network_does_what_it_did_until_it_is_trained():
    """And then its new units learn: they have gradients that are not zero."""
    net, events = network(outputs=2), some_events()
    wider = net.widened(20)
    assert wider.hidden == 20
    for before, after in zip(net.respond(events), wider.respond(events), strict=True):
        torch.testing.assert_close(after, before)
    spikes = torch.zeros(events.shape[:2])
    columns, _ = wider(events, spikes)
    columns.square().sum().backward()
    assert wider.heads[2].weight.grad[:, net.hidden :].abs().max() > 0
    with pytest.raises(ValueError, match="12 leaky units cannot become 8"):
        net.widened(8)
    with pytest.raises(ValueError, match="12 gated units cannot become 20"):
        network(memory="gated").widened(20)
