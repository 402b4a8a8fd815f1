"""The column: against hnn-core itself, event for event; its gains, its drives, and what is refused."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from simulators.campaigns.workers import local_pool
from simulators.cells.hnn import CELL_TYPES, HNNCell
from simulators.cells.inputs import SynapticEvents
from simulators.column.connectivity import ColumnModel
from simulators.column.drives import BurstDrive, EvokedDrive, PoissonDrive
from simulators.column.simulator import ColumnSimulator
from simulators.column.standard_drives import EVOKED, beta_event, noise
from simulators.interface import Parameter, Simulator
from simulators.provenance import describe
from simulators.registry import rebuilt

hnn_core = pytest.importorskip("hnn_core")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

DURATION_MS = 60.0
COLUMN = ColumnModel()


def by_hnn_core(model: str, duration_ms: float) -> tuple:
    """Dipole of the layers (fA m), spikes, and the noise that hnn-core drew, all by itself; in a process of its own."""
    from hnn_core.network_builder import _simulate_single_trial

    net = getattr(hnn_core, f"{model}_model")(mesh_shape=(3, 3))
    weights = {t: receptors["ampa"] for t, receptors in noise().weights_uS.items()}
    net.add_poisson_drive(
        "noise",
        tstop=duration_ms,
        rate_constant=dict.fromkeys(weights, 240.0),
        weights_ampa=weights,
        location="proximal",
        synaptic_delays={t: 0.1 if t.startswith("L2") else 1.0 for t in weights},
        event_seed=7,
    )
    net._params.update(record_vsec=False, record_isec=False, record_ca=False)
    net._verbose = False
    net._instantiate_drives(tstop=duration_ms, n_trials=1)
    data = _simulate_single_trial(net, duration_ms, 0.025, 0)
    cells = [gid for t in CELL_TYPES for gid in net.gid_ranges[t]]
    spikes = sorted(
        (t, cells.index(gid)) for t, gid in zip(data["spike_times"], data["spike_gids"], strict=True) if gid in cells
    )
    return data["dpl_data"], spikes, [np.array(t) for t in net.external_drives["noise"]["events"][0]]


def replayed(trains: list[np.ndarray], model: ColumnModel) -> list[SynapticEvents]:
    """Events at each cell from hnn-core's trains."""

    class Replay(PoissonDrive):
        def times(self, n, duration_ms, rng):
            return trains

    given = {f.name: getattr(noise(240.0), f.name) for f in fields(PoissonDrive)}
    return Replay(**given).draw(model, DURATION_MS, np.random.default_rng(0))


@pytest.mark.parametrize("model", ["calcium", "jones_2009", "law_2021"])
def test_it_does_what_hnn_core_does_with_the_same_events(model):
    """Dipoles to rounding, spikes to the step; and no longer with one gain a hundredth of a decade off."""
    with local_pool(1) as pool:
        dipoles, spikes, trains = pool.submit(by_hnn_core, model, DURATION_MS).result()
    column = ColumnSimulator(
        ColumnModel(model), (noise(240.0),), record=("layers",), duration_ms=DURATION_MS, transient_ms=0.0
    )
    drives = replayed(trains, column.model)
    run = column.run(np.zeros(len(column.free)), drives)
    found = sorted(zip(run.spikes_ms, run.spikers, strict=True))
    assert len(found) == len(spikes) > 20
    np.testing.assert_allclose(np.array(found), np.array(spikes), atol=1e-6)
    ours, theirs = column.observe(run).values, 1e-6 * dipoles[20::20, 1:].T
    scale = theirs.std()
    assert np.abs(ours - theirs).max() < 1e-5 * scale
    off = np.zeros(len(column.free))
    off[column.parameters.names.index("L5e_L5e")] = 0.01
    assert np.abs(column.observe(column.run(off, drives)).values - theirs).max() > 1e-2 * scale


def test_it_is_a_simulator_and_repeats_itself_after_another_theta():
    column = ColumnSimulator(duration_ms=30.0, transient_ms=10.0, record=("dipole", "layers", "spikes", "voltages"))
    assert isinstance(column, Simulator)
    first = column.simulate(np.zeros(11), np.random.default_rng(3))
    assert first.values.shape == (1 + 2 + 4 + 24, 80)
    assert first.transient == 20
    assert first.units[:8] == ("nAm", "nAm", "nAm", "1", "1", "1", "1", "mV")
    np.testing.assert_allclose(first.values[0], first.values[1:3].sum(0), rtol=1e-5)
    column.simulate(np.full(11, 0.5), np.random.default_rng(4))
    np.testing.assert_array_equal(column.simulate(np.zeros(11), np.random.default_rng(3)).values, first.values)


def test_it_is_built_anew_after_something_else_has_used_neuron():
    """A single cell, and a session that deletes all sections when it ends."""
    from simulators.cells.run import run as run_cell
    from simulators.fields.cell_model import neuron_session

    column = ColumnSimulator(duration_ms=20.0, transient_ms=0.0)
    first = column.simulate(np.zeros(11), np.random.default_rng(3)).values
    nothing = SynapticEvents(np.empty(0), np.empty(0, int), np.empty(0))
    run_cell(HNNCell("L5_basket"), [nothing], 5.0, 0.025, 0.5)
    np.testing.assert_array_equal(column.simulate(np.zeros(11), np.random.default_rng(3)).values, first)
    with neuron_session():
        pass
    np.testing.assert_array_equal(column.simulate(np.zeros(11), np.random.default_rng(3)).values, first)


def test_drives_that_do_not_fit_a_column_are_refused():
    column = ColumnSimulator(duration_ms=20.0, transient_ms=0.0)
    drives = column.events(np.zeros(11), np.random.default_rng(0))
    with pytest.raises(ValueError, match="drives of 23 cells; the column has 24"):
        column.run(np.zeros(11), drives[:-1])
    for synapse in (-1, 99):
        wrong = SynapticEvents(np.array([5.0]), np.array([synapse]), np.array([1e-3]))
        with pytest.raises(ValueError, match=f"reaches synapses {synapse} ... {synapse} of cell 0, which has 3"):
            column.run(np.zeros(11), [wrong, *drives[1:]])


def test_the_events_of_a_cell_make_it_do_in_isolation_what_it_did_in_the_column():
    """So that a surrogate of the cell can learn from the column's runs."""
    from simulators.cells.run import run as run_cell

    column = ColumnSimulator(drives=(noise(240.0),), duration_ms=DURATION_MS, transient_ms=0.0)
    theta = np.linspace(-0.3, 0.3, 11)
    run = column.run(theta, column.events(theta, np.random.default_rng(0)), dendrites=True)
    events = run.events()
    for cell_type in ("L2_pyramidal", "L5_pyramidal", "L5_basket"):
        k = column.model.cells_of(cell_type)[-1]
        (alone,) = run_cell(HNNCell(cell_type, dendrites=True), [events[k]], DURATION_MS, 0.025, 0.5)
        assert alone.shape == run.values[k].shape
        np.testing.assert_array_equal(alone[1], run.values[k][1])
        scale = run.values[k].std(axis=1, keepdims=True)
        assert (np.abs(alone - run.values[k]) <= 0.02 * scale).all()


def test_a_campaign_says_which_column_made_it_and_it_can_be_made_again():
    """With drives and parameters of every kind; through the JSON that a campaign keeps."""
    column = ColumnSimulator(
        ColumnModel("law_2021", (2, 3)),
        (noise(), *EVOKED, *beta_event()),
        free=(COLUMN.gain("L2e_L5e"), Parameter("evprox1_mean_ms", "ms", 20.0, 40.0)),
        record=("layers", "spikes"),
        duration_ms=170.0,
    )
    assert rebuilt(json.loads(json.dumps(describe(column)))) == column


def test_a_gain_multiplies_the_weights_of_its_connections_alone():
    names = COLUMN.pairs
    assert len(names) == 11
    factors = COLUMN.factors({"L2e_L5e": 0.3, "L2i_L2e_gabab": -1.0})
    expected = np.ones(len(COLUMN.connections.sources))
    for k, pathway in enumerate(COLUMN.pathways):
        mine = COLUMN.connections.pathways == k
        if (pathway.source, pathway.target) == ("L2_pyramidal", "L5_pyramidal"):
            expected[mine] = 10**0.3
        if pathway.name == "L2i_L2e_gabab":
            expected[mine] = 0.1
    np.testing.assert_allclose(factors, expected)
    assert np.sum(factors != 1) > 9


@pytest.mark.parametrize("pair", ["L5e_L2e", "L5i_L2i", "L2_basket_L2_pyramidal", "L2e_L5e_gabaa", "noise_rate_Hz"])
def test_a_pair_that_does_not_exist_is_refused_with_those_that_do(pair):
    with pytest.raises(ValueError, match=rf"no connection '{pair}'; its pairs are L2i_L2i, .*L5e_L5e"):
        COLUMN.gain(pair)


@pytest.mark.parametrize("gain", [np.inf, -np.inf, np.nan])
def test_a_gain_that_is_no_number_is_refused(gain):
    with pytest.raises(ValueError, match=r"the gain L2e_L5e is .*; a log10 gain is a finite number"):
        COLUMN.factors({"L2e_L5e": gain})


def test_parameters_of_drives_change_the_drive_they_name():
    free = (
        Parameter("noise_rate_Hz", "Hz", 40.0, 200.0),
        Parameter("noise_gain", "1", -1.0, 1.0),
        Parameter("noise_L5e_gain", "1", -1.0, 1.0),
        COLUMN.gain("L2e_L5e"),
    )
    column = ColumnSimulator(free=free, duration_ms=2000.0, transient_ms=0.0)
    few = column.events(np.array([50.0, 0.0, 0.0, 0.0]), np.random.default_rng(0))
    many = column.events(np.array([150.0, 0.5, 0.25, 0.0]), np.random.default_rng(0))
    assert 2.4 < sum(map(len, many)) / sum(map(len, few)) < 3.7
    for cell_type, log10 in (("L2_pyramidal", 0.5), ("L5_pyramidal", 0.75), ("L2_basket", 0.5)):
        k = COLUMN.cells_of(cell_type)[0]
        assert many[k].weights_uS.max() / few[k].weights_uS.max() == pytest.approx(10**log10)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"drives": ()}, "without a drive stays silent"),
        ({"drives": (noise(), noise(60.0))}, "two drives have one name"),
        ({"free": (Parameter("noise_speed", "1", 0.0, 1.0),)}, "drive noise has no 'speed'; its parameters are noise_"),
        ({"free": (Parameter("L5e_L2e", "1", 0.0, 1.0),)}, "no connection 'L5e_L2e'"),
        ({"record": ("EEG",)}, "no EEG to record"),
        ({"record": ()}, "nothing is recorded"),
        ({"sample_ms": 0.51}, "no whole number of steps"),
        ({"dt_ms": 0.0}, "no whole number of steps"),
        ({"free": (COLUMN.gain("L2e_L5e"), COLUMN.gain("L2e_L5e"))}, "distinct names"),
        ({"free": (Parameter("noise_rate_Hz", "Hz", -10.0, 10.0),)}, "rate_Hz is -10"),
        ({"drives": (replace(noise(), location="apex"),)}, "no ampa at 'apex'"),
        ({"duration_ms": 0.0}, "are no recording"),
        ({"transient_ms": -1.0}, "are no recording"),
    ],
)
def test_a_simulator_that_cannot_be_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        ColumnSimulator(**changes)


@pytest.mark.parametrize(
    ("model", "mesh", "said"),
    [
        ("neymotin", (3, 3), "no model 'neymotin'; choose one of calcium"),
        ("calcium", (3, 0), "expected two whole numbers"),
        ("calcium", (1000, 1000), "has over 1,000 pyramidal cells in a layer"),
    ],
)
def test_a_column_that_cannot_be_is_refused(model, mesh, said):
    with pytest.raises(ValueError, match=said):
        ColumnModel(model, mesh)


def poisson(**changes) -> PoissonDrive:
    given = {"name": "d", "location": "proximal", "weights_uS": {"L5_pyramidal": {"ampa": 1e-3}}, "rate_Hz": 100.0}
    return PoissonDrive(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "my drive"}, "name is one word"),
        ({"weights_uS": {}}, "reaches no cell"),
        ({"weights_uS": {"L4": {"ampa": 1.0}}}, "reaches L4"),
        ({"weights_uS": {"L5_basket": {"ampa": -1.0}}}, "finite and not negative"),
        ({"rate_Hz": np.inf}, "rate_Hz is inf"),
        ({"rate_Hz": 1e7}, "is more than 10000"),
        ({"space_constant": 0.0}, "must be above 0"),
        ({"delays_ms": {"L5_pyr": 5.0}}, "has a delay to L5_pyr"),
        ({"delays_ms": {"L5_pyramidal": -5.0}}, "finite and not negative"),
        ({"trains": -1}, "has -1 trains"),
    ],
)
def test_a_drive_that_cannot_be_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        poisson(**changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"location": "apex"}, "L5_pyramidal has no ampa at 'apex'; its locations are proximal, distal"),
        ({"weights_uS": {"L5_pyramidal": {"glycine": 1.0}}}, "its receptors there .*ampa"),
        ({"location": "distal", "weights_uS": {"L5_basket": {"ampa": 1.0}}}, "L5_basket has no ampa at 'distal'"),
    ],
)
def test_a_place_that_a_cell_lacks_is_named(changes, said):
    with pytest.raises(ValueError, match=said):
        poisson(**changes).draw(COLUMN, 10.0, np.random.default_rng(0))


def test_noise_is_poisson_and_every_cell_has_its_own(rng):
    trains = poisson(rate_Hz=80.0, start_ms=500.0).times(400, 1500.0, rng)
    counts = np.array([len(t) for t in trains])
    assert abs(counts.mean() - 80) < 4 * np.sqrt(80 / 400)
    assert 0.75 < counts.var() / 80 < 1.3
    assert min(t.min() for t in trains) >= 500
    drawn = noise().draw(COLUMN, 1000.0, rng)
    shared = [np.isin(a.times_ms, b.times_ms).sum() for a in drawn for b in drawn if a is not b]
    assert max(shared) == 0


def test_volleys_and_bursts_come_when_they_should(rng):
    volley = EvokedDrive(
        name="e", location="proximal", weights_uS={"L2_basket": {"ampa": 1.0}}, mean_ms=50.0, sd_ms=3.0
    )
    times = np.concatenate(volley.times(1000, 200.0, rng))
    assert abs(times.mean() - 50) < 0.5
    assert 2.7 < times.std() < 3.3
    burst = BurstDrive(
        name="b", location="proximal", weights_uS={"L2_basket": {"ampa": 1.0}}, start_ms=100.0, sd_ms=0.0,
        stop_ms=450.0, rate_Hz=10.0,
    )  # fmt: skip
    (train,) = burst.times(1, 1000.0, rng)
    np.testing.assert_allclose(np.sort(train), [95, 105, 195, 205, 295, 305, 395, 405])
    events = burst.draw(COLUMN, 1000.0, rng)
    assert len(events[0]) == 10 * 8  # ten trains that all cells share
    np.testing.assert_allclose(events[0].times_ms, events[1].times_ms, atol=1e-3)
    assert not len(events[5])


def test_weights_fade_and_delays_grow_with_the_distance_from_the_middle():
    drive = poisson(space_constant=2.0, delays_ms={"L5_pyramidal": 1.5})
    events = drive.draw(COLUMN, 1000.0, np.random.default_rng(0))
    middle, corner = COLUMN.cells_of("L5_pyramidal")[4], COLUMN.cells_of("L5_pyramidal")[0]
    near = np.exp(-2 / 4)
    np.testing.assert_allclose(events[middle].weights_uS, 1e-3)
    np.testing.assert_allclose(events[corner].weights_uS, 1e-3 * near)
    trains = drive.times(9, 1000.0, np.random.default_rng(0))
    for cell, delay in ((middle, 1.5), (corner, 1.5 / near)):
        expected = trains[cell - COLUMN.cells_of("L5_pyramidal")[0]] + delay
        np.testing.assert_allclose(np.unique(events[cell].times_ms), np.sort(expected))


@pytest.mark.parametrize(
    ("model", "drives", "low", "high"), [("jones_2009", EVOKED, 20.0, 200.0), ("law_2021", beta_event(), 20.0, 130.0)]
)
def test_standard_drives_move_the_dipole(model, drives, low, high):
    """An evoked response and a beta event: little before the first volley, more between ``low`` and ``high`` ms."""
    column = ColumnSimulator(ColumnModel(model), drives, duration_ms=250.0, transient_ms=0.0, dt_ms=0.05)
    dipole = column.simulate(np.zeros(len(column.free)), np.random.default_rng(2)).values[0]
    at = 0.5 * np.arange(1, 501)
    moving = np.abs(dipole - dipole[10])
    assert low < at[moving.argmax()] < high
