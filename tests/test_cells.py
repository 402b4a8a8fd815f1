"""Cells in NEURON against closed forms and against the network they were taken out of."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from simulators.campaigns.run import run_campaign
from simulators.campaigns.workers import local_pool
from simulators.cells.hnn import CELL_TYPES, HNNCell
from simulators.cells.inputs import DistinctMilliseconds, SynapticEvents
from simulators.cells.point import AMPA, GABA, PointCell
from simulators.cells.simulator import CellSimulator
from simulators.interface import Parameter, ParameterSpace
from surrogates.neurons.training.data import read_runs

ALMOST_NONE = ParameterSpace((Parameter("scale", "1", 0.0, 1e-3, "Rate of all synaptic events, relative"),))

NOTHING = SynapticEvents(np.zeros(0), np.zeros(0, int), np.zeros(0))


def events(*triples: tuple[float, int, float]) -> SynapticEvents:
    """From (time in ms, synapse, weight in uS)."""
    times, synapses, weights = zip(*triples, strict=True)
    return SynapticEvents(np.array(times), np.array(synapses), np.array(weights))


def alpha(t: np.ndarray, tau: float) -> np.ndarray:
    return np.where(t > 0, t / tau * np.exp(1 - np.maximum(t, 0) / tau), 0.0)


@pytest.mark.parametrize(("dt_ms", "tolerance_mV"), [(0.025, 0.15), (0.005, 0.07)])
def test_a_passive_cell_follows_its_equation(dt_ms, tolerance_mV):
    """C dV/dt = g_leak (E - V) + sum of the synapses, each nearly an alpha function.

    A rise of 10 mV/ms lags by half a step of 25 us; what is left at 5 us is the alpha function's approximation.
    """
    simulator = CellSimulator(PointCell(active=False), duration_ms=60.0, dt_ms=dt_ms)
    given = events((5.0, 0, 2.5e-3), (9.0, 0, 5e-3), (20.0, 1, 8e-3))
    (recording,) = simulator.respond([given])
    area_cm2 = np.pi * 25**2 * 1e-8

    def slope(t, v):
        g_e = 2.5e-3 * alpha(t - 5, 2) + 5e-3 * alpha(t - 9, 2)
        g_i = 8e-3 * alpha(t - 20, 1)
        # uS * mV is nA; over uF it is mV/ms only with the factor that mS and uS differ by.
        current = 1e-3 * area_cm2 * 1e6 * (-70 - v) + g_e * (0 - v) + g_i * (-90 - v)
        return current / (area_cm2 * 1e3)

    exact = solve_ivp(slope, (0, 60), [-70.0], t_eval=np.arange(1.0, 60.5), rtol=1e-8, max_step=0.1).y[0]
    np.testing.assert_allclose(recording.values[0], exact, atol=tolerance_mV)
    assert np.ptp(recording.values[0]) > 3


def test_an_event_of_weight_w_adds_a_conductance_that_peaks_at_w():
    """Read from the currents of a passive cell: what charges it and what leaks."""
    simulator = CellSimulator(PointCell(active=False, diameter_um=250.0), duration_ms=30.0, sample_ms=0.025)
    (recording,) = simulator.respond([events((2.0, 0, 1e-2))])
    v = recording.values[0].astype(float)
    capacitance_nF = np.pi * 250**2 * 1e-8 * 1e3  # the leak is as many uS
    conductance = capacitance_nF * (np.gradient(v, 0.025) + v + 70) / -v
    assert conductance.max() == pytest.approx(1e-2, rel=0.02)


def test_events_are_seen_in_their_own_bin_and_not_before():
    simulator = CellSimulator(PointCell(), duration_ms=50.0)
    silent, one = (r.values[0] for r in simulator.respond([NOTHING, events((20.0, 0, 2.5e-3))]))
    np.testing.assert_array_equal(silent[:20], one[:20])
    assert one[20] > silent[20] + 0.05


def test_spikes_are_counted_once_and_keep_their_height():
    """The same spikes sampled at every step have no higher peak than sampled every millisecond."""
    given = [events(*((10.0 + 25 * k, 0, 2e-2) for k in range(6)))]
    coarse = CellSimulator(PointCell(), duration_ms=200.0).respond(given)[0].values
    fine = CellSimulator(PointCell(), duration_ms=200.0, sample_ms=0.025).respond(given)[0].values
    assert coarse[1].sum() == fine[1].sum() == 6
    assert coarse[0].max() == pytest.approx(fine[0].max(), abs=1e-4)
    at = np.flatnonzero(coarse[1])
    np.testing.assert_array_equal(at, np.flatnonzero(fine[1]) // 40)
    assert all(coarse[0, t : t + 3].max() > 0 for t in at)


def test_no_step_is_lost_in_a_long_run():
    """NEURON's clock lags behind by more and more: an event late in the run is answered as the first one is."""
    simulator = CellSimulator(PointCell(currents=True), duration_ms=26_000.0)
    (recording,) = simulator.respond([events((505.0, 0, 2.5e-3), (25_505.0, 0, 2.5e-3))])
    np.testing.assert_allclose(recording.values[:, 25_500:25_600], recording.values[:, 500:600], atol=0.02)
    assert np.ptp(recording.values[0, 500:600]) > 1


def test_spikes_come_no_later_than_their_peaks():
    """Peaks of spikes, which V keeps, are in the bin of the spike or the next one, whenever in a bin it comes."""
    cells = [events(*((t + 0.1 * k, 0, 8e-3) for t in (10.0, 40.0))) for k in range(10)]
    for recording in CellSimulator(PointCell(), duration_ms=80.0).respond(cells):
        for k in np.flatnonzero(recording.values[1]):
            assert k + int(np.argmax(recording.values[0, k - 1 : k + 3])) - 1 in (k, k + 1)


def test_a_cell_does_the_same_alone_and_among_others():
    simulator = CellSimulator(PointCell(currents=True), duration_ms=200.0)
    thetas = np.array([[0.0], [1.5], [4.0]])
    together = simulator.simulate_batch(thetas, [np.random.default_rng(k) for k in range(3)])
    for k, recording in enumerate(together):
        alone = simulator.simulate(thetas[k], np.random.default_rng(k))
        np.testing.assert_array_equal(recording.values, alone.values)


def test_ionic_currents_have_the_size_that_moves_the_voltage():
    """Without synapses C dV/dt = -(I_Na + I_K + I_leak): at rest they cancel, in a spike the sodium comes first."""
    cell = PointCell(currents=True)
    simulator = CellSimulator(cell, duration_ms=60.0, sample_ms=0.025)
    (recording,) = simulator.respond([events((5.0, 0, 3e-2))])
    v, _, sodium, potassium = recording.values.astype(float)
    after = slice(1200, None)  # the synapse is over 25 ms after its event
    area_cm2 = np.pi * 25**2 * 1e-8
    # Both leaks: of pas, and the one that comes with Hodgkin and Huxley's channels.
    leak = area_cm2 * 1e6 * (1e-3 * (v + 70) + 3e-4 * (v + 54.3))
    charging = area_cm2 * 1e3 * np.gradient(v, 0.025)
    np.testing.assert_allclose((sodium + potassium + leak + charging)[after], 0, atol=0.03)
    assert sodium.min() < -1
    assert potassium.max() > 1
    assert sodium.argmin() < potassium.argmax()


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_the_columns_cells_have_a_synapse_for_each_section_and_receptor(cell_type):
    cell = HNNCell(cell_type, dendrites=True)
    assert len(cell.synapses) == {"L5_pyramidal": 34, "L2_pyramidal": 30}.get(cell_type, 3)
    assert sum(o.name == "dipole" for o in cell.outputs) == cell.pyramidal
    assert {s.inhibitory for s in cell.synapses} == {False, True}


WEIGHT, DELAY_MS = 2e-3, 0.1


def in_the_columns_network() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Voltage, dipole of layer 5 (nAm) and the sections reached, of a network of hnn-core with one driven cell."""
    import hnn_core

    net = hnn_core.calcium_model(mesh_shape=(1, 1))
    net.clear_connectivity()
    net.add_evoked_drive(
        "known", mu=10.0, sigma=0.0, numspikes=1, location="proximal", space_constant=1e20,
        weights_ampa={"L5_pyramidal": WEIGHT}, synaptic_delays={"L5_pyramidal": DELAY_MS},
    )  # fmt: skip
    with hnn_core.JoblibBackend(n_jobs=1):
        dipole = hnn_core.simulate_dipole(net, tstop=40.0, dt=0.025, n_trials=1, record_vsec="soma", postproc=False)
    (gid,) = net.gid_ranges["L5_pyramidal"]
    v = np.array(net.cell_response.vsec[0][gid]["soma"])
    return v, dipole[0].data["L5"], net.cell_types["L5_pyramidal"]["cell_object"].sect_loc["proximal"]


def test_a_cell_does_what_it_does_in_the_columns_network():
    """Events sent to one cell of a network of hnn-core come to the same voltage and dipole outside of it."""
    pytest.importorskip("hnn_core")
    # In a process of its own: hnn-core leaves its network in NEURON, where it would be simulated along, or crash.
    with local_pool(1) as pool:
        within, layer, reached = pool.submit(in_the_columns_network).result()
    cell = HNNCell("L5_pyramidal")
    names = [s.name for s in cell.synapses]
    simulator = CellSimulator(cell, duration_ms=40.0, sample_ms=0.025)
    given = events(*((10.0 + DELAY_MS, names.index(f"{section}_ampa"), WEIGHT) for section in reached))
    (alone,) = simulator.respond([given])
    bins = slice(1, alone.values.shape[1] + 1)
    np.testing.assert_allclose(alone.values[0], within[bins], atol=2e-3)
    assert np.ptp(within[400:]) > 5
    changed, layer = alone.values[2] - alone.values[2, 0], layer[bins] * 1e6  # nAm to nA um
    # hnn-core adds a constant to the layer's dipole.
    np.testing.assert_allclose(changed, layer - layer[0], atol=2e-3 * np.ptp(changed))


def test_a_campaign_of_cells_is_stored_with_the_unit_of_each_channel(tmp_path):
    simulator = CellSimulator(PointCell(currents=True), duration_ms=50.0)
    campaign = run_campaign(simulator, 3, seed=1, path=tmp_path / "cells.zarr", progress=False)
    (recording,) = campaign.recordings(np.array([1]))
    assert recording.units == ("mV", "1", "nA", "nA")
    assert recording.channels == ("V", "spikes", "I_Na", "I_K")


def test_a_cell_at_rest_is_a_run_like_any_other(tmp_path):
    """Its row is called silent, which in a network would be a fault."""
    simulator = CellSimulator(PointCell(active=False), DistinctMilliseconds(parameters=ALMOST_NONE), duration_ms=50.0)
    campaign = run_campaign(simulator, 3, 0, tmp_path / "rest.zarr", progress=False)
    assert not campaign.usable.size
    runs = read_runs(campaign, simulator)
    assert len(runs) == 3
    np.testing.assert_allclose(runs.target.v, -70, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"dt_ms": 0.3}, "whole number of steps"),
        ({"duration_ms": 0.5}, "hold no sample"),
        ({"duration_ms": np.inf}, "inf"),
        ({"dt_ms": np.nan}, "whole number of steps"),
        ({"sample_ms": np.inf}, "whole number of steps"),
        ({"batch_size": 0}, "0 cells side by side"),
    ],
)
def test_times_that_do_not_fit_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        CellSimulator(PointCell(), **arguments)


def test_what_cells_do_not_have_is_refused_by_name():
    with pytest.raises(ValueError, match="passive"):
        PointCell(active=False, currents=True)
    with pytest.raises(ValueError, match="no cell 'L4_stellate'"):
        HNNCell("L4_stellate")
    with pytest.raises(ValueError, match="synapses 5"):
        CellSimulator(PointCell(synapses=(AMPA, GABA)), duration_ms=10.0).respond([events((1.0, 5, 1e-3))])


def charge(synapse, weight_uS, drive_mV):
    """What a small event moves, in pC: the integral of two exponentials that peak at the weight (NEURON's Exp2Syn)."""
    rise, decay = synapse.rise_ms, synapse.decay_ms
    peak = rise * decay / (decay - rise) * np.log(decay / rise)
    return weight_uS * (decay - rise) / (np.exp(-peak / decay) - np.exp(-peak / rise)) * drive_mV


@pytest.mark.parametrize(("synapse", "weight_uS", "drive_mV"), [(0, 2e-5, 70.0), (1, 6e-5, -20.0)])
@pytest.mark.parametrize("diameter_um", [25.0, 40.0])
def test_a_small_event_moves_its_charge_through_the_leak(synapse, weight_uS, drive_mV, diameter_um):
    """The time integral of the deflection is charge over leak, and its mean time that of the synapse plus the
    membrane's time constant; of a deflection of microvolts, so that the driving force stays."""
    cell = PointCell(active=False, diameter_um=diameter_um)
    simulator = CellSimulator(cell, duration_ms=40.0, sample_ms=0.025)
    (recording,) = simulator.respond([events((5.0, synapse, weight_uS))])
    deflection = recording.values[0].astype(float) + 70
    leak_uS = 1e-3 * np.pi * diameter_um**2 * 1e-8 * 1e6
    at = (AMPA, GABA)[synapse]
    assert 0.025 * deflection.sum() == pytest.approx(charge(at, weight_uS, drive_mV) / leak_uS, rel=4e-3)
    times = 0.025 * (1 + np.arange(len(deflection)))
    late = (times * deflection).sum() / deflection.sum() - 5
    # 1 uF/cm2 over 1 mS/cm2 is 1 ms.
    assert late == pytest.approx(at.rise_ms + at.decay_ms + 1.0, abs=0.03)


def test_at_rest_the_ionic_currents_balance_both_leaks():
    """To a tenth of a percent, which a spike's steps of time do not allow."""
    (recording,) = CellSimulator(PointCell(currents=True), duration_ms=300.0).respond([NOTHING])
    v, _, sodium, potassium = recording.values[:, -1].astype(float)
    area_cm2 = np.pi * 25**2 * 1e-8
    leaks = area_cm2 * 1e6 * (1e-3 * (v + 70) + 3e-4 * (v + 54.3))
    assert sodium + potassium == pytest.approx(-leaks, rel=1e-3)
    assert abs(leaks) > 1e-3


def test_a_step_belongs_to_the_sample_that_it_ends_in():
    """Four steps a sample: the first sample is steps 1 ... 4, of which the last may be a spike's crossing or peak."""
    from simulators.cells.run import _spikes

    v = np.full(17, -70.0)
    v[4:9], v[8], v[13] = -10.0, 25.0, 30.0
    counts, peaks = _spikes(v, -20.0, 4, 0.5, 4)
    assert counts.tolist() == [1, 0, 0, 1]
    assert peaks == [(1, 25.0), (3, 30.0)]
