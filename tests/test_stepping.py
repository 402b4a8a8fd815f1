"""The compiled steps of many surrogate neurons: the network's own results, whichever way events are given."""

import numpy as np
import pytest
import torch

from surrogates.neurons.architectures.stateful import StatefulNeuron
from surrogates.neurons.stepping.stepper import FrameEvents, Stepper

CONSTANTS = ((0.5, 5.0, 0.0), (1.0, 20.0, 0.0), (0.5, 5.0, -80.0), (1.98, 2.0, -90.0), (1.0, 200.0, -90.0))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def network(outputs=1, **settings):
    """Untrained, but with voltages and spikes as wide as those of a cell, and a memory as long."""
    torch.manual_seed(0)
    made = StatefulNeuron(len(CONSTANTS), outputs, 0.5, constants=CONSTANTS, **settings)
    with torch.no_grad():
        made.memory.read.weight *= 2
        made.memory.pace += 1.5  # for the longest time constants would collect rounding
        made.heads[2].weight *= 4
        made.heads[2].bias.view(made.frame, -1)[:, 0] -= 2
    made.mean[1:] = torch.tensor([-65.0, 0.0] + [2.0] * outputs)
    made.sd[1:] = torch.tensor([20.0, 10.0] + [3.0] * outputs)
    return made


def events(rng, cells, bins):
    """Poisson events, of weights as in the project's protocols."""
    weights = np.exp(rng.uniform(np.log(1e-4), np.log(1e-1), (cells, 1, len(CONSTANTS))))
    return (rng.poisson(0.02, (cells, bins, len(CONSTANTS))) * weights).astype(np.float32)


def run(stepper, grid):
    """Spikes, V and outputs of all frames."""
    frames = np.split(grid, grid.shape[1] // stepper.frame, axis=1)
    return [np.concatenate(field, 1) for field in zip(*(stepper.step(frame) for frame in frames), strict=True)]


@pytest.mark.parametrize(
    ("cells", "settings"),
    [(40, {}), (1, {"frame": 2, "hidden": 50, "membranes": 5, "outputs": 0}), (33, {"frame": 4, "outputs": 3})],
)
def test_a_second_in_steps_is_the_networks_own_response(cells, settings, rng):
    made = network(**settings)
    grid = events(rng, cells, 2000)
    expected = made.respond(torch.from_numpy(grid))
    spikes, v, outputs = run(Stepper(made, cells), grid)
    assert expected.v.std() > 3
    assert expected.spikes.sum() > 100
    np.testing.assert_array_equal(spikes, expected.spikes)
    np.testing.assert_allclose(v, expected.v, rtol=0, atol=0.005)
    np.testing.assert_allclose(outputs, expected.outputs, rtol=0, atol=0.005)


def test_other_weights_give_other_voltages(rng):
    """The comparison above would see an error of a thousandth in a matrix."""
    made = network()
    grid = events(rng, 20, 400)
    expected = made.respond(torch.from_numpy(grid)).v.numpy()
    with torch.no_grad():
        made.memory.recall.weight *= 1.001
    assert np.abs(run(Stepper(made, 20), grid)[1] - expected).max() > 0.01


def test_rounding_is_small_for_a_synapse_that_rises_as_slowly_as_it_decays(rng):
    """As the difference of two large numbers, its conductance would move V by .04 mV here."""
    torch.manual_seed(0)
    made = StatefulNeuron(1, 0, 1.0, constants=[(1.98, 2.0, 0.0)], least_uS=2.5e-3)
    made.sd[1] = 100
    grid = rng.poisson(0.1, (20, 500, 1)).astype(np.float32) * 2.5e-3
    single = made.respond(torch.from_numpy(grid)).v.numpy()
    exact = made.double().respond(torch.from_numpy(grid).double()).v.numpy()
    _, v, _ = run(Stepper(made.float(), 20), grid)
    assert np.abs(v - exact).max() < 2e-4
    assert np.abs(single - exact).max() < 2e-4


def test_single_events_are_their_sums_in_any_order(rng):
    made = network(frame=2)
    dense, sparse = Stepper(made, 70), Stepper(made, 70)
    for grid in np.split(events(rng, 70, 40), 20, axis=1):
        once = FrameEvents.of(grid)
        halves = [np.concatenate([field, field]) for field in once._replace(weights_uS=once.weights_uS / 2)]
        order = rng.permutation(len(halves[0]))
        expected, got = dense.step(grid), sparse.step(FrameEvents(*(field[order] for field in halves)))
        np.testing.assert_allclose(got.v, expected.v, rtol=0, atol=0.001)


def test_only_some_outputs_are_computed_if_asked(rng):
    made, grid = network(outputs=3, frame=2), events(rng, 5, 40)
    _, v, outputs = run(Stepper(made, 5), grid)
    _, same_v, some = run(Stepper(made, 5, outputs=[2, 0]), grid)
    np.testing.assert_allclose(same_v, v, rtol=0, atol=1e-4)
    np.testing.assert_allclose(some, outputs[..., [2, 0]], rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="counted from 0"):
        Stepper(made, 5, outputs=[3])


def test_other_memories_than_leaky_ones_are_refused():
    with pytest.raises(TypeError, match="with a GatedMemory have no compiled steps"):
        Stepper(StatefulNeuron(len(CONSTANTS), 1, 0.5, constants=CONSTANTS, memory="gated"), 5)


def test_cells_at_rest_again_do_the_same(rng):
    stepper = Stepper(network(), 5)
    grid = events(rng, 5, 50)
    first = run(stepper, grid)
    stepper.rest()
    for one, other in zip(first, run(stepper, grid), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("name", "value"), [("cells", 3), ("cells", -1), ("synapses", 5), ("bins", 1)])
def test_events_at_places_that_are_not_there_are_refused(name, value):
    place = FrameEvents(*(np.array([0, k]) for k in (2, 4, 0)), np.array([1e-3, 1e-3]))
    place = place._replace(**{name: np.array([0, value])})
    with pytest.raises(ValueError, match=str(value)):
        Stepper(network(), 3).step(place)


def test_misshapen_events_and_no_cells_are_refused():
    with pytest.raises(ValueError, match="2 weights"):
        Stepper(network(), 3).step(FrameEvents(*np.zeros((3, 1), int), np.zeros(2)))
    with pytest.raises(ValueError, match=r"\(3, 1, 5\)"):
        Stepper(network(), 3).step(np.zeros((3, 2, 5), np.float32))
    for wrong in (-1e-3, np.nan, np.inf):
        with pytest.raises(ValueError, match="finite and not negative"):
            Stepper(network(), 3).step(np.full((3, 1, 5), wrong, np.float32))
    with pytest.raises(ValueError, match="at least one"):
        Stepper(network(), 0)
