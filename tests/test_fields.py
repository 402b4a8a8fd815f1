"""The LFP of a Brunel network by kernels: probes, kernels, and their cache."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulators.brunel.field import WEIGHTS, KernelSignal
from simulators.brunel.model import ASYNCHRONOUS_RANGE, BrunelNetwork
from simulators.fields import kernels as kernels_module
from simulators.fields.cell_model import CellModel, Morphology
from simulators.fields.kernels import bin_average
from simulators.fields.probes import SKAAR_PROBE, LaminarProbe
from simulators.files import cache_folder
from simulators.interface import ForwardModel, Parameter, ParameterSpace
from simulators.recording import Recording

pytestmark = pytest.mark.usefixtures("own_cache")

THETA = np.array([0.2, 5.0, 2.0])


def kernels(probe=SKAAR_PROBE, cells=None, network=None):
    """Of a Brunel network, of full size unless told otherwise."""
    return KernelSignal(probe, network or BrunelNetwork(), cells or CellModel()).kernels


def counts(values, network=None):
    """Values (2, bins) as the network's counts."""
    network = network or BrunelNetwork(duration_ms=float(np.shape(values)[1]), transient_ms=50.0)
    return network.recording(np.asarray(values))


# ---- probes


def test_probe_survives_json_and_names_its_channels():
    probe = LaminarProbe((-50, -150.5), sigma_S_per_m=0.25)
    assert LaminarProbe.from_json(json.loads(json.dumps(probe.to_json()))) == probe
    assert probe.channels == ("z = -50 um", "z = -150.5 um")
    assert len(SKAAR_PROBE.channels) == 6


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (dict(depths_um=()), "at least one"),
        (dict(depths_um=(0.0, float("nan"))), "finite"),
        (dict(depths_um=(-100.0, -100.0)), "distinct"),
        (dict(sigma_S_per_m=0.0), "sigma_S_per_m = 0"),
        (dict(contact_radius_um=-1.0), "contact_radius_um = -1"),
    ],
)
def test_impossible_probe_is_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        LaminarProbe(**arguments)


# ---- what a kernel looks like


def test_kernels_are_causal_and_a_longer_delay_only_shifts_them(few_slabs):
    early, late = (kernels(network=BrunelNetwork(delay_ms=delay)).values for delay in (1.5, 4.5))
    assert (early[..., 0] == 0).all()
    assert (early[..., 1] != 0).all()
    np.testing.assert_allclose(late[..., 3:], early[..., :-3], rtol=0, atol=1e-9 * abs(early).max())
    assert (late[..., :3] == 0).all()


def test_kernels_have_ended_within_their_length(few_slabs):
    values = kernels().values
    assert (abs(values[..., -1]) < 1e-5 * abs(values).max(-1)).all()


def test_sinks_lie_where_the_synapses_are(few_slabs):
    """Half of the excitation lies above -300 um, all of the (unit, depolarising) inhibitory synapses below."""
    peak = kernels().values.sum(-1)
    assert peak[0, 0] < 0 < peak[0, -1]
    assert peak[1, -2] < 0 < peak[1, 0]


def test_kernels_grow_with_the_number_of_targets(few_slabs):
    """A spike reaches in-degree x targets / sources cells: ten times as many in a network ten times as large."""
    small, large = (kernels(network=BrunelNetwork(order=order)).values for order in (250, 2500))
    np.testing.assert_allclose(10 * small, large, rtol=0, atol=1e-6 * abs(large).max())


def test_depth_slabs_have_converged():
    """The default against half as many, relative to the largest channel."""
    values = kernels().values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels_module, "_DEPTH_SLABS", 5)
        coarser = kernels().values
    np.testing.assert_allclose(coarser, values, rtol=0, atol=0.01 * abs(values).max())


def test_one_contact_sees_what_it_sees_among_six(few_slabs):
    single = kernels(LaminarProbe((-200.0,)))
    np.testing.assert_allclose(single.values[:, 0], kernels().values[:, 2], rtol=1e-9)
    lfp = single.view(WEIGHTS).observe(counts(np.ones((2, 120), int)), {"J": 0.1, "g": 5.0})
    assert lfp.values.shape == (1, 120)
    assert lfp.channels == ("z = -200 um",)


def test_a_morphology_file_replaces_the_ball_and_sticks(few_slabs):
    import LFPy

    file = Path(LFPy.__file__).parent / "test" / "L23E_p23.hoc"
    shorter = replace(CellModel().excitatory, file=str(file))
    other = kernels(cells=CellModel(excitatory=shorter)).values
    same = kernels(cells=CellModel(excitatory=replace(shorter, file=None, apical_um=324.0))).values
    np.testing.assert_allclose(other, same, rtol=1e-9)
    assert abs(other - kernels().values).max() > 0.05 * abs(other).max()


def test_bin_average_of_a_single_instant_is_a_triangle():
    """A response at 2.25 ms to a spike anywhere in bin 0 falls into bins 2 and 3, more often into the nearer."""
    fine = np.zeros(80)
    fine[36] = 1.0
    np.testing.assert_allclose(bin_average(fine, 16), [0, 0, 0.75 / 16, 0.25 / 16, 0])


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: Morphology(file="absent.hoc"), "absent.hoc"),
        (lambda: CellModel(soma_depths_um=(-350.0, -450.0)), "interval"),
        (lambda: CellModel(inhibitory=Morphology(inhibition=(0.5, 0.6))), "sum 1"),
        (lambda: kernels(network=BrunelNetwork(bin_ms=0.1)), "bin_ms = 0.1"),
        (lambda: kernels(cells=CellModel(inhibitory=Morphology(excitation=(1.0, 0.0)))), "layer"),
    ],
)
def test_impossible_cells_and_bins_are_refused(build, word):
    with pytest.raises(ValueError, match=word):
        build()


# ---- from counts to LFP


def test_one_spike_gives_the_kernel(few_slabs):
    forward = KernelSignal()
    for population, factor in ((0, THETA[0]), (1, -THETA[0] * THETA[1])):
        values = np.zeros((2, 150), int)
        values[population, 20] = 1
        lfp = forward.observe(counts(values), THETA)
        assert np.abs(lfp.values[:, :20]).max() < 1e-15
        np.testing.assert_allclose(lfp.values[:, 20:120], factor * forward.kernels.values[population], atol=1e-15)
        assert (lfp.unit, lfp.channels, lfp.transient) == ("mV", SKAAR_PROBE.channels, 50)


def test_lfp_is_linear_in_the_counts_and_does_not_look_ahead(few_slabs, rng):
    forward = KernelSignal()
    a, b = rng.poisson(5, (2, 2, 400))
    lfp = {name: forward.observe(counts(x), THETA).values for name, x in (("a", a), ("b", b), ("2a+b", 2 * a + b))}
    np.testing.assert_allclose(2 * lfp["a"] + lfp["b"], lfp["2a+b"], rtol=1e-9, atol=1e-12)
    changed = a.copy()
    changed[:, 300:] += 7
    np.testing.assert_allclose(forward.observe(counts(changed), THETA).values[:, :301], lfp["a"][:, :301], atol=1e-14)


def test_theta_is_read_by_name(few_slabs, rng):
    values = counts(rng.poisson(5, (2, 200)))
    swapped = ParameterSpace((Parameter("g", "1", 3.0, 8.0), Parameter("J", "mV", 0.05, 0.4)))
    assert isinstance(KernelSignal(), ForwardModel)
    np.testing.assert_array_equal(
        KernelSignal(parameters=swapped).observe(values, THETA[[1, 0]]).values,
        KernelSignal().observe(values, THETA).values,
    )
    with pytest.raises(ValueError, match=r"g = 8\.5"):
        KernelSignal(parameters=ASYNCHRONOUS_RANGE).observe(values, np.array([0.2, 8.5, 2.0]))
    with pytest.raises(ValueError, match="J and g"):
        KernelSignal(parameters=ParameterSpace((Parameter("J", "mV", 0.05, 0.4),)))


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (Recording(np.ones((2, 100)), 1000.0, "mV", ("excitatory", "inhibitory")), "'mV'"),
        (Recording(np.ones((2, 100)), 1000.0, "1", ("inhibitory", "excitatory")), "channels"),
        (Recording(np.ones((1, 100)), 1000.0, "1", ("excitatory",)), "channels"),
        (Recording(np.ones((2, 100)), 2000.0, "1", ("excitatory", "inhibitory")), "2000 Hz"),
    ],
)
def test_a_source_that_is_not_the_networks_counts_is_refused(few_slabs, source, word):
    with pytest.raises(ValueError, match=word):
        KernelSignal().observe(source, THETA)


# ---- the cache


def never(*_):
    raise AssertionError("the kernels should have come from the cache")


def test_cache_gives_the_same_kernels_and_starts_no_neuron(few_slabs, monkeypatch):
    first = kernels().values
    monkeypatch.setattr(kernels_module, "_fine_kernels", never)
    np.testing.assert_array_equal(kernels().values, first)
    program = (
        "import sys; from simulators.fields import kernels as k; from simulators.brunel.field import KernelSignal\n"
        "k._DEPTH_SLABS = 2; total = KernelSignal().kernels.values.sum()\n"
        "print(total, not {'neuron', 'LFPy', 'lfpykernels'} & set(sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    output = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert output.stdout.split() == [str(first.sum()), "True"]


@pytest.mark.parametrize(
    "change",
    [
        dict(probe=LaminarProbe(sigma_S_per_m=0.4)),
        dict(cells=CellModel(radius_um=500.0)),
        dict(network=BrunelNetwork(100)),
    ],
)
def test_cache_tells_probes_cells_and_networks_apart(few_slabs, monkeypatch, change):
    kernels()
    monkeypatch.setattr(kernels_module, "_fine_kernels", never)
    kernels(network=BrunelNetwork(threshold_mV=15.0))  # what kernels do not depend on finds the same file
    with pytest.raises(AssertionError, match="from the cache"):
        kernels(**change)


@pytest.mark.parametrize(
    "damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b[:200] + b"\xff" * 64 + b[264:]]
)
def test_a_damaged_cache_file_is_computed_again(few_slabs, damage):
    first = kernels().values
    [path] = [p for p in cache_folder().iterdir() if holds(p, first)]
    path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(kernels().values, first)
    assert holds(path, first)


def holds(path, values):
    with np.load(path, allow_pickle=False) as stored:
        return np.array_equal(stored["values"], values)


def test_a_cache_that_cannot_be_written_is_no_obstacle(few_slabs, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    first = kernels().values
    monkeypatch.setenv("CIRCUITSBI_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="CIRCUITSBI_CACHE"):
        np.testing.assert_array_equal(kernels().values, first)


def test_neuron_is_left_as_it_was_found(few_slabs, tmp_path, monkeypatch, capfd):
    from neuron import h

    monkeypatch.setenv("CIRCUITSBI_CACHE", str(tmp_path))
    h.dt = 0.04
    kernels()
    assert h.dt == 0.04
    assert not h.CVode().use_fast_imem()
    assert not list(h.allsec())
    assert capfd.readouterr().out == ""
