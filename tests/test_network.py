"""Networks of surrogate neurons: every cell does what it does alone with what it received in the network."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from simulators.cells.hnn import CELL_TYPES
from simulators.cells.inputs import SynapticEvents
from simulators.column.connectivity import ColumnModel
from simulators.column.simulator import ColumnSimulator
from simulators.column.standard_drives import noise as noise_drive
from simulators.interface import Simulator
from simulators.provenance import describe
from simulators.registry import rebuilt
from surrogates.network.circuit import Circuit, Links, Plasticity, Population
from surrogates.network.compiled import CompiledNetwork, NetworkRun
from surrogates.network.differentiable import DifferentiableNetwork, gradient_trouble

BINS, BIN_MS, FRAME = 600, 0.5, 2
pytest.importorskip("hnn_core")
POPULATIONS = (Population("E", "L2_pyramidal", 5), Population("I", "L5_basket", 3))
TYPES = np.repeat([0, 1], [5, 3])


def links(rng, n=60) -> Links:
    sources, targets = rng.integers(0, 8, n), rng.integers(0, 8, n)
    synapses = np.where(TYPES[targets] == 0, rng.integers(0, 30, n), rng.integers(0, 3, n))
    weights = 10 ** rng.uniform(-4, -2, n)
    return Links(sources, targets, synapses, weights, rng.uniform(1.0, 9.0, n), rng.integers(0, 3, n))


def circuit(rng, **changes) -> Circuit:
    return Circuit(**({"populations": POPULATIONS, "links": links(rng), "groups": ("a", "b", "c")} | changes))


def noise(rng, copies=1) -> list[list[SynapticEvents]]:
    def cell(kind: int) -> SynapticEvents:
        n = rng.poisson(60)
        return SynapticEvents(
            rng.uniform(0, BINS * BIN_MS, n), rng.integers(0, 30 if kind == 0 else 3, n), 10 ** rng.uniform(-3.5, -2, n)
        )

    return [[cell(kind) for kind in TYPES] for _ in range(copies)]


def efficacies(times_ms: np.ndarray, p: Plasticity) -> np.ndarray:
    """Of each spike of a train, by the closed form from spike to spike."""
    u, x, before, found = 0.0, 1.0, -np.inf, []
    for t in times_ms:
        x = 1 - (1 - x) * np.exp(-(t - before) / p.recovery_ms)
        u = u * np.exp(-(t - before) / p.facilitation_ms) if p.facilitation_ms else 0.0
        u += p.use * (1 - u)
        found.append(u * x)
        x, before = x - u * x, t
    return np.array(found)


def received(
    c: Circuit, run: NetworkRun, factors: np.ndarray, drives: list[SynapticEvents], copy=0
) -> list[np.ndarray]:
    """Summed weights in each bin at each synapse of each cell, from the links' table and the spikes that were."""
    found = []
    for cell, kind in enumerate(TYPES):
        grid = drives[cell].binned(30 if kind == 0 else 3, BINS, BIN_MS).astype(float)
        for k in np.flatnonzero(c.links.targets == cell):
            bins = np.flatnonzero(run.spikes[copy, c.links.sources[k]])
            plastic = c.plasticity.get(c.groups[c.links.groups[k]])
            size = efficacies(bins * BIN_MS, plastic) if plastic else np.ones(len(bins))
            later = c.links.delays_ms[k] / BIN_MS
            whole, part = int(later), later - int(later)
            for b, s in zip(bins, size, strict=True):
                for arrives, share in ((b + whole, 1 - part), (b + whole + 1, part)):
                    if arrives < BINS:
                        grid[arrives, c.links.synapses[k]] += (
                            s * share * c.links.weights_uS[k] * factors[c.links.groups[k]]
                        )
        found.append(grid)
    return found


@pytest.mark.parametrize("plasticity", [{}, {"b": Plasticity(0.4, 80.0, 30.0), "c": Plasticity(0.6, 150.0)}])
def test_every_cell_does_what_it_does_alone_with_the_same_events(plasticity, rng):
    """Spike for spike: links, delays between bins, sums of coincident events, gains, plasticity; two copies."""
    torch.set_num_threads(1)
    c, drives = circuit(rng, plasticity=plasticity), noise(rng, 2)
    factors = np.array([[1.0, 2.0, 0.5], [0.3, 1.0, 3.0]])
    run = CompiledNetwork(c, 2).run(factors, drives, BINS * BIN_MS, voltages=True)
    assert run.spikes.shape == (2, 8, BINS)
    assert run.spikes.sum() > 60
    for copy in range(2):
        grids = received(c, run, factors[copy], drives[copy], copy)
        for p in range(2):
            grid = torch.from_numpy(np.stack([grids[k] for k in np.flatnonzero(p == TYPES)]).astype(np.float32))
            alone = c.neurons[p].network.respond(grid)
            np.testing.assert_array_equal(run.spikes[copy, p == TYPES], alone.spikes)
            np.testing.assert_allclose(run.v[copy, p == TYPES], alone.v, atol=0.02)
            dipole = alone.outputs[..., 0].sum(0) if p == 0 else np.zeros(BINS)
            np.testing.assert_allclose(run.summed[copy, p], dipole, atol=0.05)


def test_the_comparison_would_notice_a_delay_that_is_a_tenth_of_a_millisecond_off(rng):
    c, drives = circuit(rng), noise(rng)
    ones = np.ones((1, 3))
    run = CompiledNetwork(c).run(ones, drives, BINS * BIN_MS)
    other = replace(c, links=c.links._replace(delays_ms=c.links.delays_ms + 0.1))
    assert (CompiledNetwork(other).run(ones, drives, BINS * BIN_MS).spikes != run.spikes).any()


def test_a_copy_does_the_same_alone_and_beside_others_and_again(rng):
    c, drives = circuit(rng), noise(rng, 40)
    factors = 10 ** rng.uniform(-0.3, 0.3, (40, 3))
    together = CompiledNetwork(c, 40)
    first = together.run(factors, drives, 100.0)
    alone = CompiledNetwork(c).run(factors[33:34], drives[33:34], 100.0)
    np.testing.assert_array_equal(alone.spikes[0], first.spikes[33])
    np.testing.assert_array_equal(together.run(factors, drives, 100.0).spikes, first.spikes)
    assert len({s.tobytes() for s in first.spikes}) == 40


def test_without_links_or_with_gains_of_zero_cells_are_alone(rng):
    c, drives = circuit(rng), noise(rng)
    none = Circuit(POPULATIONS, Links(*(column[:0] for column in c.links)), c.groups)
    unlinked = CompiledNetwork(none).run(np.ones((1, 3)), drives, 200.0)
    np.testing.assert_array_equal(CompiledNetwork(c).run(np.zeros((1, 3)), drives, 200.0).spikes, unlinked.spikes)
    assert unlinked.spikes.any()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"populations": ()}, "at least one population"),
        ({"delays_ms": 0.9}, "shortest delay is 0.9 ms; with these surrogates a spike takes at least a frame, 1 ms"),
        ({"weights_uS": -1.0}, "finite and not negative"),
        ({"weights_uS": np.nan}, "finite and not negative"),
        ({"sources": 8}, "a link has source .* 8; counted from 0 there are 8"),
        ({"groups": 3}, "a link has group"),
        ({"synapses": 30}, "to synapse 30; its target has"),
        ({"plasticity": {"d": Plasticity(0.5, 100.0)}}, "plasticity of d; the groups are a, b, c"),
        ({"plasticity": {"a": Plasticity(1.5, 100.0)}}, r"use is in \(0, 1\]"),
    ],
)
def test_a_circuit_that_cannot_be_is_refused(changes, said, rng):
    for name, value in changes.items():
        if name in Links._fields:
            made = links(rng)
            column = getattr(made, name).copy()
            column[7] = value
            changes = {"links": made._replace(**{name: column})}
    with pytest.raises(ValueError, match=said):
        circuit(rng, **changes)


def test_surrogates_of_another_frame_are_refused(rng):
    with pytest.raises(ValueError, match=r"frames differ .*E 1 ms, I 1 ms, P"):
        circuit(rng, populations=(*POPULATIONS, Population("P", "point", 1)))


def test_runs_that_cannot_be_are_refused(rng):
    network, drives = CompiledNetwork(circuit(rng), 2), noise(rng, 2)
    with pytest.raises(ValueError, match="factors of shape"):
        network.run(np.ones((1, 3)), drives, 10.0)
    with pytest.raises(ValueError, match="finite and not negative"):
        network.run(np.array([[1.0, 1.0, np.inf]] * 2), drives, 10.0)
    with pytest.raises(ValueError, match="drives of 1 copies"):
        network.run(np.ones((2, 3)), drives[:1], 10.0)
    with pytest.raises(ValueError, match="no bin"):
        network.run(np.ones((2, 3)), drives, 0.1)
    with pytest.raises(ValueError, match="0 copies"):
        CompiledNetwork(circuit(rng), 0)


@pytest.mark.parametrize("plasticity", [{}, {"a": Plasticity(0.4, 80.0, 30.0), "c": Plasticity(0.6, 150.0)}])
def test_in_torch_it_does_the_same_spike_for_spike(plasticity, rng):
    torch.set_num_threads(1)
    c, drives = circuit(rng, plasticity=plasticity), noise(rng, 2)
    factors = np.array([[1.0, 2.0, 0.5], [0.3, 1.0, 3.0]])
    compiled = CompiledNetwork(c, 2).run(factors, drives, 250.0, voltages=True)
    with torch.no_grad():
        run = DifferentiableNetwork(c, 2).run(torch.as_tensor(factors, dtype=torch.float32), drives, 250.0)
    np.testing.assert_array_equal(run.spikes, compiled.spikes)
    np.testing.assert_allclose(run.v, compiled.v, atol=0.02)
    np.testing.assert_allclose(run.summed, compiled.summed, atol=0.05)
    assert compiled.spikes.sum() > 50


def test_gradients_are_those_of_finite_differences_while_no_spike_comes_or_goes(rng):
    """Of the mean voltage with respect to each group's factor, with spikes as they are."""
    torch.set_num_threads(1)
    c, drives = circuit(rng), noise(rng)
    network = DifferentiableNetwork(c, memory_gradient=1.0, spike_gradient=0.0)
    factors = torch.full((1, 3), 0.5, requires_grad=True)
    run = network.run(factors, drives, 40.0)
    assert run.spikes.sum() > 3
    run.v.double().mean().backward()
    assert factors.grad is not None
    compared = 0
    for k, sign in product(range(3), (1, -1)):
        step = torch.zeros(1, 3)
        step[0, k] = sign * 1e-3
        with torch.no_grad():
            other = network.run(factors + step, drives, 40.0)
        if (other.spikes == run.spikes).all():
            slope = float(other.v.double().mean() - run.v.detach().double().mean()) / (sign * 1e-3)
            assert float(factors.grad[0, k]) == pytest.approx(slope, rel=0.02)
            compared += 1
    assert compared >= 4


def test_less_of_the_gradient_reaches_back_through_a_memory_that_is_damped(rng):
    torch.set_num_threads(1)
    c, drives, sizes = circuit(rng), noise(rng), []
    for share in (1.0, 0.5, 0.0):
        factors = torch.ones(1, 3, requires_grad=True)
        DifferentiableNetwork(c, memory_gradient=share).run(factors, drives, 100.0).v.mean().backward()
        assert factors.grad is not None
        sizes.append(float(factors.grad.abs().sum()))
    assert sizes[0] > sizes[1] > sizes[2] > 0


class TestColumn:
    """The column out of surrogates beside the column in NEURON."""

    def test_it_is_a_simulator_of_the_columns_parameters_and_channels(self):
        from surrogates.network.column import SurrogateColumn

        column = ColumnSimulator(record=("dipole", "layers", "spikes", "voltages"), duration_ms=60.0, transient_ms=10.0)
        surrogate = SurrogateColumn(column)
        assert isinstance(surrogate, Simulator)
        assert surrogate.parameters == column.parameters
        theta = np.linspace(-0.2, 0.2, 11)
        found = surrogate.simulate(theta, np.random.default_rng(0))
        expected = column.simulate(theta, np.random.default_rng(0))
        assert (found.channels, found.unit, found.transient) == (expected.channels, expected.unit, expected.transient)
        assert found.values.shape == expected.values.shape
        batch = surrogate.simulate_batch(np.stack([theta, -theta]), [np.random.default_rng(k) for k in (0, 1)])
        np.testing.assert_allclose(batch[0].values, found.values, atol=1e-3)
        assert np.abs(batch[1].values - found.values).max() > 1

    def test_a_campaign_says_which_one_made_it_and_it_can_be_made_again(self):
        from surrogates.network.column import SurrogateColumn

        surrogate = SurrogateColumn(ColumnSimulator(duration_ms=70.0, record=("layers",)))
        assert rebuilt(json.loads(json.dumps(describe(surrogate)))) == surrogate

    def test_its_links_are_the_columns_connections(self):
        from surrogates.network.column import column_circuit

        model = ColumnModel()
        found = column_circuit(model)
        assert len(found.links.sources) == len(model.connections.sources)
        assert [p.name for p in found.populations] == list(CELL_TYPES)
        assert found.groups == tuple(pathway.name for pathway in model.pathways)
        wide = column_circuit(ColumnModel(mesh=(10, 10)))
        all_links = ColumnModel(mesh=(10, 10)).connections
        assert wide.links.weights_uS.sum() > 0.97 * all_links.weights_uS.sum()
        assert wide.links.delays_ms.max() < 200

    def test_inputs_beyond_what_the_surrogates_learned_from_are_said(self, caplog):
        from surrogates.network.column import SurrogateColumn, _network

        _network.cache_clear()  # a network says it once, and another test may have had this one
        column = ColumnSimulator(drives=(noise_drive(120.0),), duration_ms=300.0, transient_ms=0.0)
        theta = np.zeros((1, 11))
        drives = [column.events(theta[0], np.random.default_rng(0))]
        assert SurrogateColumn(column).run(theta, drives).beyond == ()
        assert not [record for record in caplog.records if record.name.startswith("surrogates")]

        def repeated(times: int, factor: float, later_ms: float = 0.0) -> list[SynapticEvents]:
            """The drives with each event so many times at once, weights times a factor, later."""
            return [
                SynapticEvents(
                    np.tile(e.times_ms + later_ms, times),
                    np.tile(e.synapses, times),
                    np.tile(factor * e.weights_uS, times),
                )
                for e in drives[0]
            ]

        def beyond(drive: list[SynapticEvents]) -> tuple[str, ...]:
            return SurrogateColumn(column).run(theta, [drive]).beyond

        assert beyond(repeated(8, 1 / 8)) == ()  # cells that fire together bring no more than one that is as strong
        assert beyond(repeated(1, 1e4, later_ms=400.0)) == ()  # after the end of the run
        assert any("events bring" in line for line in beyond(repeated(99, 1.0)))
        heavy = [*repeated(1, 1e4)[:3], *drives[0][3:]]
        (said,) = beyond(heavy)
        assert said.startswith("L2_basket: events bring")
        assert "they weigh" in said
        assert "those it learned from, at soma_ampa in 100% of the networks" in said
        assert "outside what surrogates learned from" in caplog.text
        unsaid = SurrogateColumn(column, tuple(CELL_TYPES)).run(theta, [heavy])
        assert unsaid.beyond == ()  # surrogates of cells alone do not say what they learned from

    def test_samples_that_are_no_bins_are_refused(self):
        from surrogates.network.column import SurrogateColumn

        with pytest.raises(ValueError, match=r"samples of 1\.0 ms, but the surrogates have bins of 0\.5 ms"):
            SurrogateColumn(ColumnSimulator(sample_ms=1.0))
        with pytest.raises(ValueError, match="3 surrogates; expected one for each of L2_basket"):
            SurrogateColumn(neurons=CELL_TYPES[:3])
        with pytest.raises(ValueError, match="there is no file L4"):
            SurrogateColumn(neurons=("L4", *CELL_TYPES[1:]))
        swapped = (CELL_TYPES[0], CELL_TYPES[3], CELL_TYPES[2], CELL_TYPES[1])
        with pytest.raises(ValueError, match="L5_pyramidal is no surrogate of L2_pyramidal; the order is L2_basket"):
            SurrogateColumn(neurons=swapped)
        for model in ("jones_2009", "law_2021"):
            with pytest.raises(ValueError, match=f"those of '{model}' have other channels or synapses"):
                SurrogateColumn(ColumnSimulator(ColumnModel(model)))


class TestGradients:
    """What is not followed."""

    def test_exploded_and_vanished_gradients_are_told_by_step_and_weight(self):
        names = ("L2e_L2e", "L5i_L5e")
        assert gradient_trouble(torch.tensor([0.1, -0.2]), names, 3) == ""
        for wrong in (np.nan, np.inf, -1e7):
            said = gradient_trouble(torch.tensor([0.1, wrong]), names, 3)
            assert said.startswith("the gradient exploded in step 3: that of L5i_L5e is"), said
        assert "vanished in step 0" in gradient_trouble(torch.zeros(2), names, 0)
        assert "nothing depends on the weights" in gradient_trouble(None, names, 0)

    def test_undamped_gradients_of_a_long_run_are_told(self):
        """At a memory gradient of 1 they explode; the damped ones of the same run do not."""
        from surrogates.network.column import SurrogateColumn

        column = ColumnSimulator(drives=(noise_drive(120.0),), duration_ms=300.0, transient_ms=0.0)
        circuit = SurrogateColumn(column).circuit
        said = []
        for share in (1.0, 0.5):
            factors = torch.ones(1, len(circuit.groups), requires_grad=True)
            network = DifferentiableNetwork(circuit, 1, memory_gradient=share)
            run = network.run(factors, [column.events(np.zeros(11), np.random.default_rng(0))], 300.0)
            run.summed.square().mean().log().backward()
            said.append(gradient_trouble(factors.grad[0], circuit.groups, 0))
        assert "exploded" in said[0]
        assert said[1] == ""
