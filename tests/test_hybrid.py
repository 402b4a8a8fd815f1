"""The full hybrid scheme, and the kernels' agreement with it."""

from dataclasses import replace

import numpy as np
import pytest

from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.field import KernelSignal
from simulators.brunel.model import BrunelNetwork
from simulators.fields import hybrid
from simulators.fields import kernels as kernels_module
from simulators.fields.cell_model import CellModel, neuron_session
from simulators.fields.head import lead_field
from simulators.fields.hybrid import fidelity, hybrid_signal
from simulators.fields.kernels import bin_average, kernels
from simulators.fields.probes import LaminarProbe, ScalpElectrodes
from simulators.recording import Recording, Spikes

pytestmark = pytest.mark.usefixtures("own_cache")

THETA = np.array([0.2, 5.0, 2.0])


VOLLEYS = BrunelNetwork(order=60, duration_ms=200.0, transient_ms=0.0, dt_ms=0.25)


@pytest.fixture(scope="module")
def volleys():
    """Volleys of one population at a time, which move all cells together: counts and spikes."""
    rng = np.random.default_rng(1)
    times, senders = [], []
    for start in rng.uniform(0, 180, 20):
        first, end = VOLLEYS.populations[rng.choice(["excitatory", "inhibitory"])]
        fired = np.flatnonzero(rng.random(end - first) < rng.random()) + first
        senders.append(fired)
        times.append(0.25 * np.ceil(rng.uniform(start, start + 4, fired.size) / 0.25))
    times, senders = np.concatenate(times), np.concatenate(senders)
    order = np.argsort(times)
    spikes = Spikes(times[order], senders[order], VOLLEYS.populations)
    return VOLLEYS.count(spikes.times_ms, spikes.senders), spikes


@pytest.fixture(scope="module")
def volley_lfp(volleys):
    """The hybrid scheme's LFP of the volleys."""
    return hybrid_signal(volleys[1], (0.2, -1.0), VOLLEYS, np.random.default_rng(1))


def agree(kernel_lfp, hybrid):
    """R2 above 0.9 and standard deviations within 25 % in the upper layer.

    The lower contacts lie among the somata, where a few cells dominate a network as small as this one.
    """
    figures = fidelity(kernel_lfp, hybrid)
    return min(figures["R2"][:3]) > 0.9 and max(abs(np.log(figures["std_ratio"][:3]))) < np.log(1.25)


def test_kernels_agree_with_the_hybrid_scheme(volleys, volley_lfp):
    assert agree(KernelSignal(network=VOLLEYS).observe(volleys[0], THETA), volley_lfp)


@pytest.mark.parametrize("wrong", [False, True])
def test_scalp_kernels_agree_with_the_hybrid_scheme(volleys, few_slabs, wrong):
    electrodes = ScalpElectrodes((0.0, 40.0))
    reference = hybrid_signal(volleys[1], (0.2, -1.0), VOLLEYS, np.random.default_rng(1), electrodes)
    assert (reference.unit, reference.channels) == ("uV", ("0 deg", "40 deg"))
    # Only apical dendrites make a large vertical dipole; without synapses on them its sign turns.
    swapped = CellModel(excitatory=replace(CellModel().excitatory, excitation=(0.0, 1.0), inhibition=(1.0, 0.0)))
    cells = swapped if wrong else CellModel()
    observed = KernelSignal(electrodes, VOLLEYS, cells).observe(volleys[0], THETA)
    figures = fidelity(observed, reference)
    close = min(figures["R2"]) > 0.9 and max(abs(np.log(figures["std_ratio"]))) < np.log(1.25)
    assert close != wrong


@pytest.mark.parametrize(
    "wrong",
    [
        dict(network=replace(VOLLEYS, delay_ms=6.5)),
        dict(cells=CellModel(excitatory=replace(CellModel().excitatory, excitation=(0.0, 1.0), inhibition=(1.0, 0.0)))),
        dict(cells=CellModel(radius_um=400.0)),
    ],
    ids=["5 ms late", "layers swapped", "half the area"],
)
def test_wrong_kernels_disagree_with_the_hybrid_scheme(volleys, volley_lfp, few_slabs, wrong):
    source, reference = volleys[0], volley_lfp
    right = dict(network=VOLLEYS, cells=CellModel())
    assert agree(KernelSignal(**right).observe(source, THETA), reference)
    assert not agree(KernelSignal(**right | wrong).observe(source, THETA), reference)


def test_membrane_currents_of_a_cell_add_up_to_zero(rng):
    """Synaptic current that enters a cell must leave it elsewhere, or the cell would be a monopole."""
    with neuron_session() as folder:
        cable = hybrid._Cable(CellModel().excitatory, CellModel(), VOLLEYS, folder)
        injected = np.zeros((cable.cell.totnsegs, cable.steps))
        injected[5] = rng.random(cable.steps)
        currents = cable.membrane_currents(injected)
    assert currents.shape == injected.shape
    assert abs(currents.sum(0)).max() < 1e-10 * abs(currents).max()
    assert currents[5].mean() < 0 < currents[0].mean()


def test_synaptic_current_is_an_alpha_function():
    weights = np.zeros((1, 400))
    weights[0, 10] = 2.0
    t = np.arange(-10, 390) * 0.1
    alpha = np.where(t > 0, 2 * 7.357e-3 * t / 5 * np.exp(1 - t / 5), 0)
    np.testing.assert_allclose(hybrid._alpha_currents(weights, CellModel(), 0.1)[0], alpha, atol=1e-12)


def test_hybrid_scheme_repeats_itself_and_refuses_too_many_cells(rng):
    network = BrunelNetwork(order=20, duration_ms=50.0, transient_ms=10.0, dt_ms=0.25)
    spikes = Spikes(np.array([5.0, 5.0, 20.0]), np.array([0, 90, 3]), network.populations)
    first, second = (
        hybrid_signal(spikes, (0.2, -1.0), network, np.random.default_rng(3), LaminarProbe((-100.0,)), n_cells=10)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.values, second.values)
    assert first.values.shape == (1, 50)
    assert first.transient == 10
    assert first.unit == "mV"
    assert not first.values[:, :6].any()
    assert first.values[:, 8:].any()
    with pytest.raises(ValueError, match="n_cells = 101"):
        hybrid_signal(spikes, (0.2, -1.0), network, rng, n_cells=101)


@pytest.mark.slow
def test_kernels_agree_with_the_hybrid_scheme_in_spontaneous_activity(rng):
    """Synchronous activity of 500 neurons: each has its own spikes, which agreement with volleys does not test."""
    network = BrunelNetwork(order=100, duration_ms=400.0, transient_ms=100.0)
    theta = np.array([0.4, 3.5, 1.0])
    spikes = CompiledBrunel(network).simulate_spikes(theta, rng)
    approximate = KernelSignal(network=network).observe(network.count(spikes.times_ms, spikes.senders), theta)
    figures = fidelity(approximate, hybrid_signal(spikes, (0.4, -1.4), network, rng))
    assert figures["R2"][0] > 0.8
    assert abs(np.log(figures["std_ratio"][0])) < np.log(1.25)


def branched_swc(path):
    """A cell as reconstructions give it: a soma contour of three points, tapering branches, dendrites of both kinds."""
    points = [(1, 1, 0, 0, 0, 9.5, -1), (2, 1, 0, -9.5, 0, 9.5, 1), (3, 1, 0, 9.5, 0, 9.5, 1)]

    def branch(kind, parent, start, end, radii):
        for i, at in enumerate(np.linspace(0.0, 1.0, 6)[1:]):
            x, y, z = (1 - at) * np.array(start) + at * np.array(end)
            radius = (1 - at) * radii[0] + at * radii[1]
            points.append((len(points) + 1, kind, x, y, z, radius, parent if i == 0 else len(points)))
        return len(points)

    fork = branch(4, 1, (0, 0, 10), (5, -5, 180), (1.6, 0.9))
    for end in ((60, 20, 330), (-40, -30, 360)):
        branch(4, fork, (5, -5, 180), end, (0.7, 0.3))
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        fork = branch(3, 1, (8 * x, 8 * y, -4), (50 * x, 50 * y, -50), (1.0, 0.6))
        for side in (-1, 1):
            branch(3, fork, (50 * x, 50 * y, -50), (110 * x - 40 * side * y, 110 * y + 40 * side * x, -90), (0.5, 0.3))
    path.write_text("# branched cell\n" + "".join("{} {} {:g} {:g} {:g} {:g} {}\n".format(*p) for p in points))
    return path


@pytest.mark.slow
def test_a_branched_swc_morphology_agrees_with_the_hybrid_scheme_of_the_same_cells(tmp_path, few_slabs):
    file = str(branched_swc(tmp_path / "cell.swc"))
    cells = CellModel(excitatory=replace(CellModel().excitatory, file=file))
    network = BrunelNetwork(order=40, duration_ms=120.0, transient_ms=20.0)
    rng = np.random.default_rng(1)
    fired = np.flatnonzero(rng.random(network.n_excitatory) < 0.8)
    times = 0.25 * np.ceil(rng.uniform(25, 29, fired.size) / 0.25)
    order = np.argsort(times)
    spikes = Spikes(times[order], fired[order], network.populations)
    source = network.count(spikes.times_ms, spikes.senders)
    reference = hybrid_signal(spikes, (0.2, -1.0), network, rng, cells=cells)
    right = KernelSignal(network=network, cells=cells).observe(source, THETA)
    sticks = KernelSignal(network=network).observe(source, THETA)
    assert agree(right, reference)
    off, off_sticks = (np.square(lfp.steady - reference.steady)[:3].sum() for lfp in (right, sticks))
    assert off < off_sticks / 2


# ---- the formulas one by one


def test_all_spikes_arrive_after_the_delay_with_the_weight_of_their_population(rng):
    """All excitatory neurons fire at 2 ms and all inhibitory ones at 3: whoever was drawn, the input is known."""
    network = BrunelNetwork(order=20, duration_ms=8.0, transient_ms=0.0)
    (_, n), (_, end) = network.populations.values()
    spikes = Spikes(np.repeat([2.0, 3.0], [n, end - n]), np.arange(end), network.populations)
    trains = hybrid._Trains.of(spikes, (0.2, -1.0), network)
    found = trains.input([np.array([0, 1, 1]), np.array([1, 1, 2, 2, 2])], (3, 80), rng)
    expected = np.zeros((3, 80))
    expected[:, 20 + 15], expected[:, 30 + 15] = [0.2, 0.4, 0.0], [0.0, -2.0, -3.0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_contacts_see_line_sources():
    """1 / (4 pi sigma r) averaged along each segment, from so far away that the contact's size does not matter."""
    with neuron_session() as folder:
        cable = hybrid._Cable(CellModel().excitatory, CellModel(), VOLLEYS, folder)
        cable.cell.set_pos(300.0, -200.0, -400.0)
        found = hybrid._contact_potentials(cable.cell, LaminarProbe((-100.0, -700.0), sigma_S_per_m=0.25))
        ends = np.stack([cable.cell.x, cable.cell.y, cable.cell.z], -1)
    along = (np.arange(200) + 0.5)[:, None, None] / 200
    points = (1 - along) * ends[:, 0] + along * ends[:, 1]
    for row, z in zip(found, (-100.0, -700.0), strict=True):
        # nA over S/m and um is mV.
        expected = (1 / (4 * np.pi * 0.25 * np.linalg.norm(points - [0, 0, z], axis=-1))).mean(0)
        np.testing.assert_allclose(row, expected, rtol=2e-3)


def test_fidelity_is_judged_by_the_variance_of_the_reference(rng):
    b = rng.standard_normal((2, 400))
    one, other = (Recording(x, 1000.0, "mV", ("c", "d"), 100) for x in (np.array([[0.5], [2.0]]) * b + 3, b))
    figures = fidelity(one, other)
    np.testing.assert_allclose(figures["R2"], [0.75, 0.0], atol=1e-12)
    np.testing.assert_allclose(figures["std_ratio"], [0.5, 2.0])
    np.testing.assert_allclose(figures["correlation"], 1.0)


FINE = BrunelNetwork(order=60, duration_ms=60.0, transient_ms=0.0, dt_ms=2.0**-4)
SLAB = CellModel(soma_depths_um=(-405.0, -395.0))


def one_spike(sees):
    """What one spike of each population evokes, (2, channels, bins): cells of one slab, synapses by membrane area.

    sees: from z of the segments (um) to potentials of 1 nA, (channels, segments).
    """
    found = []
    sizes = {name: end - first for name, (first, end) in FINE.populations.items()}
    degrees = {"excitatory": FINE.in_degree_excitatory, "inhibitory": FINE.in_degree_inhibitory}
    with neuron_session() as folder:
        for target, morphology in SLAB.morphologies.items():
            cable = hybrid._Cable(morphology, SLAB, FINE, folder)
            offsets = np.linspace(-405, -395, 41)
            z = cable.cell.z.mean(-1) + offsets[:, None]
            carries = np.isin(np.arange(cable.cell.totnsegs), cable.cell.get_idx(list(morphology.sections)))
            potentials = np.mean([sees(each) for each in z], axis=0)
            for source, fractions in (("excitatory", morphology.excitation), ("inhibitory", morphology.inhibition)):
                share = np.zeros(cable.cell.totnsegs)
                for (low, high), fraction in zip(SLAB.layers_um, fractions, strict=True):
                    if not fraction:
                        continue
                    inside = carries * cable.cell.area * ((z >= low) & (z < high)).mean(0)
                    share += fraction * inside / inside.sum()
                weights = np.zeros((cable.cell.totnsegs, cable.steps))
                # A spike's contacts on a population: its in-degree, times targets over sources.
                weights[:, FINE.steps(1.5)] = degrees[source] * sizes[target] / sizes[source] * share
                currents = cable.membrane_currents(hybrid._alpha_currents(weights, SLAB, FINE.dt_ms))
                found.append(np.pad(potentials @ currents, ((0, 0), (1, 0)))[:, : cable.steps])
    return bin_average(np.stack([found[0] + found[2], found[1] + found[3]]), 16)


@pytest.mark.parametrize("probe", [LaminarProbe((0.0, -200.0, -500.0)), ScalpElectrodes((0.0, 30.0))])
def test_kernels_are_what_one_spike_evokes_to_a_percent(probe, monkeypatch):
    """By injected currents instead of synapses: a sheet of sources for contacts, the lead field of dipoles for EEG."""
    monkeypatch.setattr(kernels_module, "_DEPTH_SLABS", 1)

    def sheet(z):
        """Potential on the axis of a disc that 1 nA is spread over."""
        height, radius = np.abs(probe.z[:, None] - z), SLAB.radius_um
        return (np.hypot(height, radius) - height) / (2 * probe.sigma_S_per_m * np.pi * radius**2)

    expected = one_spike(sheet if isinstance(probe, LaminarProbe) else lambda z: np.outer(lead_field(probe), z))
    found = kernels(probe, SLAB, FINE).values[..., : expected.shape[-1]]
    largest = np.abs(expected).max((1, 2), keepdims=True)
    assert (largest > 0).all()
    np.testing.assert_allclose(found / largest, expected / largest, atol=0.01)
