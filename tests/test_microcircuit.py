"""The microcircuit of Rett syndrome: who drives whom, what it does, and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest

from inference.features.spectra import SpectralFeatures
from simulators.interface import Parameter, ParameterSpace, Simulator
from simulators.provenance import describe
from simulators.registry import rebuilt
from surrogates.network import microcircuit
from surrogates.network.circuit import Plasticity
from surrogates.network.microcircuit import PROXIMAL, RELEASE, RETT, Microcircuit, connect
from surrogates.neurons.trained import load_neuron

WILD = np.array([10.0, 1.0])
ALL = ParameterSpace(
    (
        Parameter("connectivity", "%", 0.0, 40.0),
        Parameter("quantal_size", "1", 0.0, 2.0),
        Parameter("inhibitory_quantum", "1", 0.0, 8.0),
    )
)
SMALL = Microcircuit(ALL, cells=40, before_ms=60.0, after_ms=40.0)


def rngs(n: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, k]) for k in range(n)]


def spikes(circuit: Microcircuit, theta, n: int = 4) -> np.ndarray:
    """Of n networks, by network, cell and bin."""
    return circuit.run(np.tile(theta, (n, 1)), rngs(n)).spikes


class TestConnections:
    @pytest.mark.parametrize("connectivity", [2.0, 10.0, 40.0])
    def test_pairs_are_connected_with_the_probabilities_that_were_asked_for(self, connectivity, rng):
        """Numbers of pairs are binomial: within four standard deviations."""
        cells, p = 500, connectivity / 100
        made = connect(cells, connectivity, rng)
        pairs = cells * (cells - 1) / 2
        for found, expected in (
            (made.reciprocal.sum() / 2, 0.5 * p),
            ((~made.reciprocal).sum(), 2 * p),
            ((~made.reciprocal & (made.sources < made.targets)).sum(), p),
        ):
            assert abs(found - pairs * expected) <= 4 * np.sqrt(pairs * expected * (1 - expected)) + 1e-6

    def test_reciprocal_are_those_whose_target_drives_the_source(self, rng):
        made = connect(60, 15.0, rng)
        there = set(zip(made.sources.tolist(), made.targets.tolist(), strict=True))
        assert len(there) == len(made.sources)
        assert not (made.sources == made.targets).any()
        back = [(t, s) in there for s, t in zip(made.sources.tolist(), made.targets.tolist(), strict=True)]
        np.testing.assert_array_equal(back, made.reciprocal)

    @pytest.mark.parametrize(
        ("cells", "connectivity", "said"),
        [
            (150, -1.0, r"-1 % lies outside 0 \.\.\. 40 %"),
            (150, 41.0, r"41 % lies outside 0 \.\.\. 40 %"),
            (150, np.nan, "nan % lies outside"),
            (1, 10.0, "1 cells; connections need two"),
        ],
    )
    def test_what_cannot_be_connected_is_refused(self, cells, connectivity, said, rng):
        with pytest.raises(ValueError, match=said):
            connect(cells, connectivity, rng)

    def test_a_connection_has_five_contacts_which_are_half_as_strong_again_if_it_is_reciprocal(self):
        circuit = Microcircuit()
        links, drives = circuit.draw(WILD, np.random.default_rng(3))
        made = connect(circuit.cells, WILD[0], np.random.default_rng(3))
        names = [s.name for s in load_neuron(circuit.neuron).synapses]
        assert {names[k] for k in links.synapses} == set(PROXIMAL)
        by_connection = links.weights_uS.reshape(-1, 5)
        np.testing.assert_array_equal(by_connection, np.repeat(by_connection[:, :1], 5, 1))
        strength = by_connection[:, 0]
        np.testing.assert_allclose(strength[made.reciprocal], 1.5 * strength[~made.reciprocal][0])
        np.testing.assert_allclose(RELEASE.use * strength[~made.reciprocal], 0.2e-3)
        assert len(drives) == 150

    def test_quanta_scale_what_they_should(self):
        """Excitatory ones connections and background, inhibitory ones the background; the stimulus is as it is."""
        names = [s.name for s in load_neuron("L5_pyramidal").synapses]
        base, more = (SMALL.draw(np.array([10.0, *q]), np.random.default_rng(1)) for q in ((1.0, 1.0), (0.5, 1.5)))
        np.testing.assert_allclose(more[0].weights_uS, 0.5 * base[0].weights_uS)
        for was, now in zip(base[1], more[1], strict=True):
            np.testing.assert_array_equal(was.times_ms, now.times_ms)
            inhibitory = np.array([names[k].endswith("gabaa") for k in now.synapses])
            stimulus = was.weights_uS == 0.05
            assert stimulus.sum() == 1
            assert was.times_ms[stimulus] == 60.0
            factor = np.where(inhibitory, 1.5, np.where(stimulus, 1.0, 0.5))
            np.testing.assert_allclose(now.weights_uS, factor * was.weights_uS)


class TestActivity:
    def test_the_stimulus_makes_cells_fire_within_ten_milliseconds(self):
        found = spikes(replace(SMALL, after_ms=12.0), [0.0, 1.0, 1.0], 2)
        assert (found[:, :, 120:140].any(2).mean(1) > 0.9).all()

    def test_without_excitatory_quanta_there_is_silence_until_the_stimulus(self):
        found = spikes(SMALL, [10.0, 0.0, 1.0], 2)
        assert not found[:, :, :120].any()
        assert found[:, :, 120:].any(2).all()

    def test_connections_and_quanta_excite_and_inhibition_inhibits(self):
        """Spikes before the stimulus; in the wild type networks are near the edge, so that everything tells."""
        circuit = Microcircuit(ALL, after_ms=1.0)
        settings = {
            "alone": (0.0, 1.0, 1.0),
            "sparse": (5.0, 1.0, 1.0),
            "wild type": (10.0, 1.0, 1.0),
            "smaller quanta": (10.0, 0.75, 1.0),
            "larger quanta": (10.0, 1.25, 1.0),
            "inhibited": (10.0, 1.0, 8.0),
        }
        n = 6
        run = circuit.run(np.repeat(list(settings.values()), n, 0), [g for _ in settings for g in rngs(n)])
        before = dict(zip(settings, run.spikes.sum((1, 2)).reshape(-1, n).mean(1), strict=True))
        assert before["alone"] < before["sparse"] < before["wild type"] < before["larger quanta"]
        assert before["smaller quanta"] < 0.2 * before["wild type"]
        assert before["inhibited"] < 0.8 * before["wild type"]

    def test_connections_depress(self, monkeypatch):
        """Had they recovered at once, the same connections would excite more."""
        circuit = Microcircuit(after_ms=1.0)
        depressing = spikes(circuit, WILD, 6).sum()
        monkeypatch.setattr(microcircuit, "RELEASE", Plasticity(RELEASE.use, 1e-3))
        assert spikes(circuit, WILD, 6).sum() > 1.1 * depressing


class TestSimulator:
    def test_it_is_one(self):
        circuit = Microcircuit(after_ms=20.0, record=("spikes", "V"))
        assert isinstance(circuit, Simulator)
        assert circuit.parameters == RETT
        found = circuit.simulate(WILD, np.random.default_rng(0))
        assert (found.channels, found.units, found.sampling_rate) == (("spikes", "V"), ("1", "mV"), 2000.0)
        assert found.values.shape == (2, 240)
        assert -90 < found.values[1].mean() < -50
        run = circuit.run(WILD[None], [np.random.default_rng(0)], voltages=True)
        np.testing.assert_array_equal(found.values[0], run.spikes[0].sum(0))
        np.testing.assert_allclose(found.values[1], run.v[0].mean(0), rtol=1e-5)
        assert np.isfinite(SpectralFeatures(2000.0)(found)).all()

    def test_the_same_seed_gives_the_same_and_a_batch_what_each_of_it_alone_does(self):
        thetas = ALL.sample(5, np.random.default_rng(7))
        batch = SMALL.simulate_batch(thetas, rngs(5))
        for k in (0, 3):
            alone = SMALL.simulate(thetas[k], rngs(5)[k])
            np.testing.assert_array_equal(alone.values, batch[k].values)
        other = SMALL.simulate(thetas[3], np.random.default_rng(99))
        assert (other.values != batch[3].values).any()

    def test_it_lasts_as_long_as_it_is_told_to(self):
        assert SMALL.lasting(0.25).simulate(np.array([5.0, 1.0, 1.0]), np.random.default_rng(0)).duration_ms == 250.0
        with pytest.raises(ValueError, match="60 ms before the stimulus, -10 ms after"):
            SMALL.lasting(0.05)

    def test_what_is_no_parameter_is_as_in_the_wild_type(self):
        one = replace(SMALL, parameters=ParameterSpace((Parameter("connectivity", "%", 0.0, 40.0),)))
        found = one.simulate(np.array([10.0]), np.random.default_rng(2))
        same = SMALL.simulate(np.array([10.0, 1.0, 1.0]), np.random.default_rng(2))
        np.testing.assert_array_equal(found.values, same.values)

    def test_a_campaign_says_what_made_it_and_it_can_be_made_again(self):
        assert rebuilt(json.loads(json.dumps(describe(SMALL)))) == SMALL

    @pytest.mark.parametrize(
        ("theta", "said"),
        [
            ([0.5, 1.0], r"connectivity = 0\.5 % lies outside 1 \.\.\. 20"),
            ([25.0, 1.0], r"connectivity = 25 % lies outside 1 \.\.\. 20"),
            ([10.0, -1.0], r"quantal_size = -1 lies outside 0\.5 \.\.\. 1\.5"),
            ([10.0, np.nan], "quantal_size = nan lies outside"),
            ([10.0], "theta has shape"),
        ],
    )
    def test_thetas_outside_are_refused(self, theta, said):
        with pytest.raises(ValueError, match=said):
            Microcircuit().simulate(np.array(theta), np.random.default_rng(0))

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            (
                {"parameters": ParameterSpace((Parameter("J", "mV", 0, 1),))},
                "has no parameter J; choose of connectivity",
            ),
            ({"parameters": ParameterSpace((Parameter("connectivity", "%", 0, 50),))}, "it lies between 0 and 40"),
            ({"parameters": ParameterSpace((Parameter("quantal_size", "1", -1, 1),))}, "it lies between 0 and inf"),
            ({"cells": 1}, "1 cells"),
            ({"batch_size": 0}, "0 side by side"),
            ({"record": ()}, "nothing to record; choose of spikes, V"),
            ({"record": ("dipole",)}, "dipole to record; choose of spikes, V"),
            ({"record": ("V", "V")}, "each once"),
            ({"after_ms": 0.0}, "0 ms after"),
            ({"before_ms": np.nan}, "nan ms before the stimulus"),
            ({"neuron": "L5_basket"}, "L5_basket has no .*expected a surrogate of an L5 pyramidal cell"),
            ({"neuron": "nowhere.safetensors"}, "there is no file"),
        ],
    )
    def test_circuits_that_cannot_be_are_refused(self, changes, said):
        with pytest.raises(ValueError, match=said):
            Microcircuit(**changes)
