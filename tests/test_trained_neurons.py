"""Files of surrogate neurons, shipped ones, and the simulator that runs them."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from simulators import Simulator
from simulators.cells.cell import Output
from simulators.cells.hnn import CELL_TYPES
from simulators.cells.inputs import DistinctMilliseconds, SynapticEvents
from simulators.cells.point import AMPA, GABA
from surrogates.neurons import trained as stored
from surrogates.neurons.architectures.published import CNNLSTM, LinearWindow
from surrogates.neurons.architectures.tcn_lstm import TCNLSTM
from surrogates.neurons.measures.scores import match_spikes
from surrogates.neurons.trained import SurrogateSimulator, TrainedNeuron, load_neuron, shipped_neurons
from surrogates.neurons.training.curricula import CURRICULA
from surrogates.neurons.training.data import simulate_runs
from tests.test_stateful_neuron import network, some_events


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "neuron.safetensors"
    TrainedNeuron(network(frame=2), (AMPA, GABA), (Output("I_K", "nA"),), {"made": "for a test"}).save(path)
    return path


def test_a_saved_surrogate_answers_as_before_but_for_half_precision(file):
    again = TrainedNeuron.load(file)
    assert (again.synapses, again.outputs, again.about) == ((AMPA, GABA), (("I_K", "nA"),), {"made": "for a test"})
    here, there = network(frame=2).respond(some_events()), again.network.respond(some_events())
    torch.testing.assert_close(here.v, there.v, atol=0.02, rtol=0.01)
    again.save(file)
    twice = TrainedNeuron.load(file)
    assert torch.equal(twice.network.respond(some_events()).v, there.v)


@pytest.mark.parametrize("net", [LinearWindow(2, 0, 1.0), network(outputs=0, memory="gated")])
def test_other_networks_are_stored_too(net, tmp_path):
    TrainedNeuron(net, (AMPA, GABA), (), {}).save(tmp_path / "other.safetensors")
    assert type(TrainedNeuron.load(tmp_path / "other.safetensors").network) is type(net)


def test_recordings_have_the_channels_of_the_cell(file):
    neuron = TrainedNeuron.load(file)
    events = SynapticEvents(np.array([1.0, 7.0]), np.array([0, 1]), np.array([2e-3, 1e-3]))
    (recording,) = neuron.respond([events], 25.0)
    assert recording.channels == ("V", "spikes", "I_K")
    assert recording.units == ("mV", "1", "nA")
    assert recording.values.shape == (3, 25)
    assert neuron.respond([], 25.0) == []
    with pytest.raises(ValueError, match="hold no bin"):
        neuron.respond([events], 0.2)
    with pytest.raises(ValueError, match="synapses 7"):
        neuron.respond([SynapticEvents(np.array([1.0]), np.array([7]), np.array([1.0]))], 25.0)


def test_a_surrogate_is_a_simulator(file):
    simulator = SurrogateSimulator(str(file), DistinctMilliseconds(), duration_ms=200.0)
    assert isinstance(simulator, Simulator)
    one, two = (simulator.simulate(np.array([1.0]), np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.values, two.values)
    batch = simulator.simulate_batch(np.array([[0.5], [1.0]]), [np.random.default_rng(k) for k in (1, 3)])
    np.testing.assert_allclose(batch[1].values, one.values, atol=1e-4)
    with pytest.raises(ValueError, match="outside"):
        simulator.simulate(np.array([9.0]), np.random.default_rng(0))
    for duration_ms in (-5.0, math.inf):
        with pytest.raises(ValueError, match="both must be above 0"):
            replace(simulator, duration_ms=duration_ms)


def test_an_estimator_is_no_surrogate(file):
    with safe_open(file, framework="pt") as opened:
        header = json.loads(opened.metadata()["circuitsbi"])
    header.pop("thing")  # as in the files of estimators
    save_file(load_file(file), file, {"circuitsbi": json.dumps(header)})
    with pytest.raises(ValueError, match="not those of a circuitsbi surrogate neuron"):
        TrainedNeuron.load(file)


def changed(file, **header):
    """The file with other entries in its header."""
    with safe_open(file, "pt") as opened:
        about = json.loads(opened.metadata()["circuitsbi"])
    save_file(load_file(file), file, {"circuitsbi": json.dumps(about | header)})
    return file


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"architecture": "os.system"}, "does not fit together"),
        ({"settings": {"hidden": 10**9}}, "out of all proportion"),
        ({"settings": {"dilations": [10**9]}}, "out of all proportion"),
        ({"settings": {"bin_ms": float("nan")}}, "out of all proportion"),
        ({"settings": {"filters": [1] * 101}}, "filters is out of all proportion"),
        ({"settings": {"lstm_layers": 101}}, "lstm_layers is out of all proportion"),
        ({"settings": {}}, "does not fit together"),
        ({"outputs": [[1, 2]]}, "1 is no name"),
        ({"synapses": [asdict(AMPA) | {"inhibitory": "false"}, asdict(GABA)]}, "not true or false"),
        ({"synapses": [asdict(AMPA) | {"decay_ms": "slow"}, asdict(GABA)]}, "does not fit together"),
        ({"synapses": []}, "does not fit together"),
        ({"format": 99}, "format 99"),
        ({"thing": "estimator"}, "not those of a circuitsbi surrogate neuron"),
    ],
)
def test_files_that_are_wrong_are_refused(file, header, said):
    with pytest.raises(ValueError, match=said):
        TrainedNeuron.load(changed(file, **header))


def test_damaged_and_missing_files_are_refused(file, tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        TrainedNeuron.load(tmp_path / "nothing.safetensors")
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(ValueError, match="damaged"):
        TrainedNeuron.load(file)


@pytest.mark.parametrize(
    ("architecture", "settings", "said"),
    [
        (LinearWindow, {"threshold_mV": math.nan}, "the threshold is nan mV"),
        (LinearWindow, {"window": 0}, "windows of 0 bins"),
        (CNNLSTM, {"repeats": 0}, "the window is given 0 times"),
        (TCNLSTM, {"dilations": [-1, 2, 4]}, "taps .* bins apart"),
    ],
)
def test_networks_that_could_not_answer_are_not_made(architecture, settings, said):
    with pytest.raises(ValueError, match=said):
        architecture(2, 1, 1.0, **settings)


def test_a_weight_that_is_infinite_only_in_single_precision_is_refused(file):
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(file)
    tensors["heads.0.bias"] = tensors["heads.0.bias"].double() + 1e138
    save_file(tensors, file, metadata)
    with pytest.raises(ValueError, match=r"not finite \(heads.0.bias\)"):
        TrainedNeuron.load(file)


def test_a_number_of_five_thousand_digits_is_an_error(file):
    with safe_open(file, framework="pt") as opened:
        about = opened.metadata()["circuitsbi"]
    save_file(load_file(file), file, {"circuitsbi": about.replace('"outputs": 1', '"outputs": ' + "9" * 5000)})
    with pytest.raises(ValueError, match="damaged or no surrogate neuron"):
        TrainedNeuron.load(file)


@pytest.mark.parametrize("value", [float("nan"), 1e5])
def test_weights_that_are_no_numbers_are_neither_written_nor_read(value, file, tmp_path):
    net = network()
    with torch.no_grad():
        net.heads[0].bias[0] = value  # 1e5 is too much for half precision
    with pytest.raises(ValueError, match=r"not finite: heads.0.bias"):
        TrainedNeuron(net, (AMPA, GABA), (Output("I_K", "nA"),), {}).save(tmp_path / "wrong")
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(file)
    tensors["heads.0.bias"][0] = torch.inf
    save_file(tensors, file, metadata)
    with pytest.raises(ValueError, match=r"not finite \(heads.0.bias\)"):
        TrainedNeuron.load(file)


def test_a_small_file_cannot_ask_for_a_huge_memory():
    with pytest.raises(ValueError, match="remember 10000 at most"):
        TCNLSTM(2, 1, 1.0, channels=1, kernel=10_000, dilations=[10_000])


def test_every_cell_of_the_project_has_a_shipped_surrogate_that_is_its_own():
    own = {f"column_{cell_type}" for cell_type in CELL_TYPES}  # that learned in the column, too
    assert set(shipped_neurons()) == set(CURRICULA) | own
    for name in own:
        alone, tuned = load_neuron(name.removeprefix("column_")), load_neuron(name)
        assert (tuned.synapses, tuned.outputs, tuned.network.settings) == (
            alone.synapses, alone.outputs, alone.network.settings)  # fmt: skip
        assert len(tuned.about["inputs"]["uS_per_s"]) == len(tuned.synapses)
    for name, curriculum in CURRICULA.items():
        neuron, path = load_neuron(name), Path(stored.__file__).parents[1] / "shipped" / f"{name}.safetensors"
        assert neuron.synapses == curriculum.cell.synapses, name
        assert neuron.outputs == curriculum.cell.outputs, name
        assert neuron.network.settings == curriculum.build().settings, name
        assert path.stat().st_size < 1_000_000, name
        assert {"command", "data", "versions"} <= set(neuron.about), name


@pytest.mark.parametrize(("name", "duration_ms"), [("point", 2000.0), ("L5_basket", 500.0), ("L2_basket", 500.0)])
def test_a_shipped_surrogate_fires_when_neuron_does_and_not_when_another_run_does(name, duration_ms):
    neuron, curriculum = load_neuron(name), CURRICULA[name]
    simulator = replace(curriculum.simulator(curriculum.regimes[-1]), duration_ms=duration_ms)
    runs = simulate_runs(simulator, 6, seed=7_000_000)
    spikes = neuron.network.respond(runs.events).spikes
    for order, agree in ((range(6), True), ((5, 0, 1, 2, 3, 4), False)):
        found = match_spikes(spikes, runs.target.spikes[list(order)], neuron.network.bin_ms, 1.0)
        assert found.true > 10
        assert (found.precision > 0.95 and found.recall > 0.95) is agree
