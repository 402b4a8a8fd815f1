"""The circuit of E and I cells: NEURON and compiled spike for spike, single cells against a solver, its two rhythms."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.signal import welch

from simulators import Parameter, Recording
from simulators.ei_circuit.field import CircuitSignal
from simulators.ei_circuit.membranes import MEMBRANES
from simulators.ei_circuit.model import AMPA, BETA, GAMMA, NMDA, E, EICircuit, F, Population, S, Synapse
from simulators.ei_circuit.simulator import CompiledEICircuit, NeuronEICircuit
from simulators.fields.probes import LaminarProbe

WITH_NMDA = EICircuit((replace(E, synapses=(AMPA, NMDA)), F, S), BETA | {"E_E_nmda": 0.05, "E_F_nmda": 0.02})
DRIVEN = EICircuit().changed({"E_current_uA_cm2": 0.5, "F_leak_mV": -60.0, "E_noise_Hz": 150.0})
TWO = EICircuit((Population("P", 12, "traub_miles", (AMPA,), noise_Hz=900.0, noise_mS_cm2=0.05),), {"P_P": 0.2})


def at(circuit: EICircuit) -> np.ndarray:
    return np.array([circuit.strengths.get(name, 0.0) for name in circuit.pairs])


def peak_Hz(recording: Recording) -> float:
    f, power = welch(recording.steady[0], recording.sampling_rate, nperseg=500)
    inside = (f >= 6) & (f <= 100)
    return float(f[inside][power[inside].argmax()])


@pytest.mark.parametrize("circuit", [EICircuit(), EICircuit(strengths=GAMMA), WITH_NMDA, DRIVEN, TWO])
def test_neuron_and_the_loop_agree_spike_for_spike(circuit):
    """Over 1 s: the same spikes in the same steps; potentials and currents to rounding."""
    simulators = [kind(circuit, transient_ms=0.0) for kind in (CompiledEICircuit, NeuronEICircuit)]
    runs = [simulator.run(at(circuit), np.random.default_rng(3), spikes=True) for simulator in simulators]
    compiled, neuron = (run.spikes for run in runs)
    assert len(compiled.times_ms) > 100
    np.testing.assert_array_equal(compiled.senders, neuron.senders)
    np.testing.assert_allclose(compiled.times_ms, neuron.times_ms, atol=1e-6)
    np.testing.assert_array_equal(runs[0].counts, runs[1].counts)
    np.testing.assert_allclose(runs[0].mean_v, runs[1].mean_v, atol=1e-6)
    np.testing.assert_allclose(runs[0].lfp, runs[1].lfp, rtol=1e-6, atol=1e-9)


def test_spikes_depend_on_each_events_step():
    """Negative control of the agreement: one step of delay more, and spikes differ."""
    one, other = (
        CompiledEICircuit(EICircuit(delay_ms=d), duration_ms=300.0, transient_ms=0.0).run(
            at(EICircuit()), np.random.default_rng(3), spikes=True
        )
        for d in (1.0, 1.05)
    )
    n = min(len(one.spikes.senders), len(other.spikes.senders))
    assert (one.spikes.senders[:n] != other.spikes.senders[:n]).any()


@pytest.mark.parametrize(("cell", "current"), [("traub_miles", 0.8), ("wang_buzsaki", 0.6)])
def test_a_single_cell_fires_as_its_equations_say(cell, current):
    """Intervals under a constant current: within 5 % of scipy's solution of the same equations, without tables or
    steps; with a fifth of the step, within 1 %."""
    membrane = MEMBRANES[cell]
    leak = E.leak_mV if cell == "traub_miles" else F.leak_mV
    alone = Population("P", 1, cell, (AMPA,), leak_mV=leak, current_uA_cm2=current, noise_Hz=0.0)

    def slope(_t, y):
        v, m, h, n = y
        rates = [(a.item(), b.item()) for a, b in membrane.rates(np.array([v]))]
        i = membrane.sodium_mS_cm2 * m**3 * h * (v - membrane.sodium_mV)
        i += membrane.potassium_mS_cm2 * n**4 * (v - membrane.potassium_mV) + alone.leak_mS_cm2 * (v - leak)
        return [current - i, *(a * (1 - x) - b * x for (a, b), x in zip(rates, (m, h, n), strict=True))]

    def crossing(_t, y):
        return y[0]

    crossing.direction = 1
    v0 = -65.0
    start = [v0, *((a / (a + b)).item() for a, b in membrane.rates(np.array([v0])))]
    solved = solve_ivp(slope, (0, 1300), start, events=crossing, rtol=1e-7, atol=1e-8, max_step=0.5)
    exact = np.diff(solved.t_events[0][3:]).mean()
    for dt, tolerance in ((0.05, 0.05), (0.01, 0.01)):
        simulator = CompiledEICircuit(EICircuit((alone,), {}, dt_ms=dt))
        made = simulator.run(np.zeros(1), np.random.default_rng(0), spikes=True)
        assert np.diff(made.spikes.times_ms[3:]).mean() == pytest.approx(exact, rel=tolerance)


@pytest.mark.parametrize(
    ("strengths", "band", "rate"), [(BETA, (13.0, 20.0), (10.0, 14.0)), (GAMMA, (41.0, 48.0), (20.0, 24.0))]
)
def test_the_circuit_has_two_rhythms(strengths, band, rate):
    """16.3 +- .8 and 44.3 +- .8 Hz over graphs and noise; E cells at 11.6 and 21.7 Hz."""
    simulator = CompiledEICircuit(EICircuit(strengths=strengths), duration_ms=2000.0)
    for seed in range(2):
        recording = simulator.simulate(at(simulator.circuit), np.random.default_rng(seed))
        assert band[0] <= peak_Hz(recording) <= band[1]
        spikes = recording.steady[recording.channels.index("E spikes")]
        assert rate[0] <= spikes.sum() / 80 / 2 <= rate[1]


def test_a_fixed_graph_is_the_same_in_every_simulation():
    fixed, free = EICircuit(graph_seed=1), EICircuit()
    graphs = [[c.draw(10, np.random.default_rng(seed)).graph.targets for seed in (0, 1)] for c in (fixed, free)]
    np.testing.assert_array_equal(*graphs[0])
    assert graphs[1][0].size != graphs[1][1].size or (graphs[1][0] != graphs[1][1]).any()


def test_connections_and_noise_have_the_numbers_that_are_asked_for():
    circuit = EICircuit(connection_probability=0.3)
    draw = circuit.draw(20_000, np.random.default_rng(0))
    assert draw.graph.targets.size == pytest.approx(0.3 * 120 * 119, rel=0.05)
    sources = np.repeat(np.arange(120), np.diff(draw.graph.starts))
    assert (sources != draw.graph.targets).all()
    assert (np.diff(draw.event_steps) >= 0).all()
    events = np.bincount(circuit.population_of[draw.event_cells])
    np.testing.assert_allclose(events, [80 * 200, 20 * 100, 20 * 100], rtol=0.1)
    weights = circuit.weights()
    assert weights[0, 1, 0] == pytest.approx(BETA["E_F"] / (0.3 * 80))
    assert weights[1, 0].nonzero()[0].tolist() == [1]


def test_parameters_are_strengths_and_drives():
    free = (Parameter("E_F", "mS/cm2", 0.0, 1.0), Parameter("E_noise_Hz", "Hz", 0.0, 300.0))
    simulator = CompiledEICircuit(free=free, record=("spikes",), duration_ms=400.0)
    assert simulator.at(np.array([0.4, 100.0])).populations[0].noise_Hz == 100.0
    silent, driven = (simulator.simulate(np.array([0.4, hz]), np.random.default_rng(0)) for hz in (0.0, 300.0))
    assert silent.steady[0].sum() < driven.steady[0].sum() / 10


def test_a_spikes_field_comes_after_it_and_grows_with_strength():
    """Synapses of E draw current in, of F out; half the strength, half the field."""
    simulator = CompiledEICircuit(duration_ms=200.0, transient_ms=0.0)
    probe = LaminarProbe((0.0, -100.0, -400.0))
    signal = simulator.forward_model(probe)
    assert isinstance(signal, CircuitSignal)
    assert simulator.forward_model() is None
    silent = simulator.simulate(at(simulator.circuit), np.random.default_rng(0))
    theta = at(simulator.circuit)

    def seen(source: str, factor: float = 1.0) -> np.ndarray:
        values = np.zeros_like(silent.values)
        values[silent.channels.index(f"{source} spikes"), 20] = 1
        changed = theta.copy()
        changed[simulator.parameters.names.index(f"{source}_E")] *= factor
        return signal.observe(silent.with_values(values), changed).values

    excitation = seen("E")
    assert excitation[:, :20] == pytest.approx(0.0, abs=1e-15)
    assert np.abs(excitation).max() > 1e-7
    excited, inhibited, _ = (weight.sign for weight in signal.view.weights)
    assert excited > 0 > inhibited
    assert seen("E", 0.5) == pytest.approx(0.5 * excitation)
    with pytest.raises(ValueError, match="has no E spikes"):
        signal.observe(replace(silent, values=silent.values[:1], channels=("lfp",), unit="uA/cm2"), theta)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: EICircuit(strengths={"E_X": 0.1}), "there is no population .X. .there are E, F, S"),
        (lambda: EICircuit(strengths={"E_F_nmda": 0.1}), "spikes of E open ampa, not nmda"),
        (lambda: EICircuit(strengths={"E_F": -0.1}), "strength E_F is -0.1"),
        (lambda: EICircuit(strengths={"E_F": float("nan")}), "strength E_F is nan"),
        (lambda: EICircuit((E, E)), "distinct names"),
        (lambda: EICircuit(()), "got none"),
        (lambda: EICircuit((E, replace(F, synapses=(Synapse("ampa", 9.0, 0.0),)))), "two synapses named ampa"),
        (lambda: EICircuit(delay_ms=0.07), "a delay of 0.07 ms is no whole number of steps"),
        (lambda: EICircuit(connection_probability=0.0), "connection_probability is 0.0"),
        (lambda: replace(E, cell="squid"), "there is no cell 'squid'; choose one of traub_miles"),
        (lambda: replace(E, name="L2_E"), "cannot name a population"),
        (lambda: replace(E, size=0), "has 0 cells"),
        (lambda: replace(E, noise_Hz=-1.0), "noise_Hz is -1.0"),
        (lambda: replace(E, noise_Hz=1e9), "more than 100000"),
        (lambda: Synapse("x", 0.0, 0.0), "expected a decay above 0"),
        (lambda: CompiledEICircuit(record=("eeg",)), "eeg cannot be recorded"),
        (lambda: CompiledEICircuit(record=()), "nothing cannot be recorded"),
        (lambda: CompiledEICircuit(sample_ms=0.33), "no whole number of steps"),
        (lambda: CompiledEICircuit(duration_ms=0.0), "are no recording"),
        (lambda: CompiledEICircuit(free=(Parameter("E_size", "1", 1.0, 9.0),)), "no population 'size'"),
        (lambda: CompiledEICircuit(free=(Parameter("G_F", "1", 0.0, 9.0),)), "no population 'G'"),
    ],
)
def test_what_no_circuit_can_be_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
