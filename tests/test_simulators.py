"""What every simulator promises, in one test over all of them. A new simulator is one line in SIMULATORS."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from simulators import Observed, ParameterSpace, Recording, Simulator, Spikes
from simulators.brunel import nest_network
from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import ASYNCHRONOUS_RANGE, BrunelNetwork
from simulators.brunel.nest_network import NestBrunel
from simulators.cells.hnn import HNNCell
from simulators.cells.inputs import PoissonSynapses
from simulators.cells.point import PointCell
from simulators.cells.simulator import CellSimulator
from simulators.ei_circuit.simulator import CompiledEICircuit, NeuronEICircuit
from simulators.firing_events.simulator import BeatSimulator, RingSimulator
from surrogates.spectra.cross_spectrum import Bands
from surrogates.spectra.emulator import SpectralEmulator

EI_UNITS = "uA/cm2, 1, 1, 1, mV, mV, mV"
BRUNEL = BrunelNetwork(order=50, duration_ms=150.0, transient_ms=50.0)


@dataclass(frozen=True)
class Summed:
    """A trivial forward model: all channels in one."""

    def observe(self, source: Recording, theta: np.ndarray) -> Recording:
        return Recording(
            source.values.sum(0, keepdims=True), source.sampling_rate, source.unit, ("sum",), source.transient
        )


@dataclass(frozen=True)
class Expected:
    """A simulator and what its recordings look like. Its network must not be silent in the middle of its range."""

    simulator: Simulator
    shape: tuple[int, int]
    unit: str
    sampling_rate: float = 1000.0


def emulator() -> SpectralEmulator:
    """Of white noise as loud as the sum of the parameters; trained in a moment."""
    rng = np.random.default_rng(0)
    theta = ASYNCHRONOUS_RANGE.sample(60, rng)
    made = SpectralEmulator(
        ASYNCHRONOUS_RANGE, Bands(5.0, 485.0, 60.0), width=8, iterations=60, duration_ms=150.0, transient_ms=50.0
    )
    return made.fit(
        theta, [Recording(t.sum() * rng.standard_normal((2, 500)), 1000.0, "1", ("one", "two")) for t in theta]
    )


SIMULATORS = {
    "compiled Brunel": Expected(CompiledBrunel(BRUNEL), (2, 150), "1"),
    "Brunel in NEST": Expected(NestBrunel(BRUNEL), (2, 150), "1"),
    "spectral emulator": Expected(emulator(), (2, 150), "1"),
    "point cell": Expected(CellSimulator(PointCell(currents=True), duration_ms=300.0), (4, 300), "mV, 1, nA, nA"),
    "basket cell of the column": Expected(
        CellSimulator(HNNCell("L5_basket"), PoissonSynapses(40.0), 150.0, 0.5), (2, 300), "mV, 1", 2000.0
    ),
    "E-I circuit": Expected(CompiledEICircuit(duration_ms=150.0, transient_ms=50.0), (7, 200), EI_UNITS),
    "E-I circuit in NEURON": Expected(NeuronEICircuit(duration_ms=150.0, transient_ms=50.0), (7, 200), EI_UNITS),
    "ring": Expected(RingSimulator(duration_ms=150.0, transient_ms=50.0), (2, 200), "1"),
    "beat network": Expected(BeatSimulator(duration_ms=150.0, transient_ms=50.0), (2, 200), "1"),
    "observed": Expected(Observed(CompiledBrunel(BRUNEL), Summed()), (1, 150), "1"),
}

every_simulator = pytest.mark.parametrize("expected", SIMULATORS.values(), ids=SIMULATORS)


def middle(simulator: Simulator) -> np.ndarray:
    return simulator.parameters.from_unit(np.full(len(simulator.parameters), 0.5))


def simulate(simulator: Simulator, seed: int) -> Recording:
    return simulator.simulate(middle(simulator), np.random.default_rng(seed))


@every_simulator
def test_recordings_have_the_shape_and_unit_that_are_promised(expected):
    recording = simulate(expected.simulator, seed=1)
    assert isinstance(recording, Recording)
    assert recording.values.shape == expected.shape
    assert recording.unit == expected.unit
    assert recording.sampling_rate == expected.sampling_rate
    assert np.isfinite(recording.values).all()
    assert not recording.is_silent()


@every_simulator
def test_simulators_keep_to_the_protocol(expected):
    assert isinstance(expected.simulator, Simulator)
    assert isinstance(expected.simulator.parameters, ParameterSpace)


@every_simulator
def test_the_seed_decides_the_recording(expected):
    first, again, other = (simulate(expected.simulator, seed).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@every_simulator
def test_theta_decides_the_recording(expected):
    simulator = expected.simulator
    recordings = [
        simulator.simulate(
            simulator.parameters.from_unit(np.full(len(simulator.parameters), u)), np.random.default_rng(1)
        )
        for u in (0.3, 0.7)
    ]
    assert (recordings[0].values != recordings[1].values).any()


@every_simulator
@pytest.mark.parametrize("bad", ["above", "below", "nan"])
def test_a_value_outside_is_refused_by_name(expected, bad, rng):
    for k, p in enumerate(expected.simulator.parameters):
        theta = middle(expected.simulator)
        theta[k] = {"above": p.high + 1, "below": p.low - 1, "nan": np.nan}[bad]
        with pytest.raises(ValueError, match=f"^{p.name} = .* lies outside"):
            expected.simulator.simulate(theta, rng)


@every_simulator
def test_a_theta_of_the_wrong_length_is_refused_with_the_names(expected, rng):
    parameters = expected.simulator.parameters
    with pytest.raises(ValueError, match=", ".join(parameters.names)):
        expected.simulator.simulate(middle(expected.simulator)[:-1], rng)


@pytest.fixture(scope="module")
def new_process():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@every_simulator
def test_simulators_can_be_sent_to_a_new_process(expected, new_process):
    there = new_process.submit(simulate, expected.simulator, 3).result()
    here = simulate(expected.simulator, 3)
    np.testing.assert_array_equal(there.values, here.values)
    assert there.channels == here.channels


# --- NEST ---


def test_counts_of_nest_are_the_binned_spikes():
    theta = middle(NestBrunel(BRUNEL))
    spikes = NestBrunel(BRUNEL).simulate_spikes(theta, np.random.default_rng(1))
    assert isinstance(spikes, Spikes)
    assert (np.diff(spikes.times_ms) >= 0).all()
    assert spikes.senders.min() >= 0
    assert spikes.senders.max() < 5 * BRUNEL.order
    counts = NestBrunel(BRUNEL).simulate(theta, np.random.default_rng(1))
    np.testing.assert_array_equal(BRUNEL.count(spikes.times_ms, spikes.senders).values, counts.values)


def test_nest_is_left_as_it_was_found_even_after_a_failure(monkeypatch, rng):
    nest = nest_network.load_nest()

    def fail(*_):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(type(nest), "Simulate", property(lambda _: fail), raising=False)
    with pytest.raises(RuntimeError, match="in the middle"):
        NestBrunel(BRUNEL).simulate(middle(NestBrunel(BRUNEL)), rng)
    assert nest.network_size == 0


def test_nest_is_silent_and_leaves_the_terminal_to_others():
    """Nothing reaches the two descriptors, nor a sys.stdout that is something else, as in a notebook."""
    code = (
        "import io, os, sys, numpy as np\n"
        "from simulators.brunel.nest_network import BrunelNetwork, NestBrunel\n"
        "print('before', flush=True)\n"
        "terminal, sys.stdout = sys.stdout, io.StringIO()\n"
        "NestBrunel(BrunelNetwork(order=10, duration_ms=20.0, transient_ms=0.0))"
        ".simulate(np.array([0.2, 5.0, 2.0]), np.random.default_rng(0))\n"
        "os.write(2, b'error')\n"
        "assert sys.stdout.getvalue() == ''\n"
        "print('after', file=terminal)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"before{os.linesep}after{os.linesep}", "error")


def test_a_missing_nest_is_said_with_what_to_install(monkeypatch, rng):
    monkeypatch.setitem(sys.modules, "nest", None)
    monkeypatch.delitem(sys.modules, "nest")
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ImportError, match=r"pip install nest-simulator.*or use CompiledBrunel"):
        NestBrunel(BRUNEL).simulate(middle(NestBrunel(BRUNEL)), rng)


def test_two_threads_repeat_themselves_too():
    first, again = (simulate(NestBrunel(BRUNEL, threads=2), seed=1).values for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"threads": 0}, "threads = 0"), ({"parameters": ParameterSpace(ASYNCHRONOUS_RANGE.parameters[:2])}, "expected")],
)
def test_a_nest_configuration_that_cannot_run_is_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        NestBrunel(**changed)
