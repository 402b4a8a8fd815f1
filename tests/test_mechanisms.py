"""Compiled mechanisms: the package's own against their equations, and what is said of folders that are no good."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simulators.cells import mechanisms
from simulators.cells.inputs import SynapticEvents
from simulators.cells.mechanisms import load_mechanisms, load_own
from simulators.cells.point import AMPA, NMDA, PointCell
from simulators.cells.simulator import CellSimulator

ROOT = Path(__file__).parents[1]
MOD = ROOT / "simulators" / "cells" / "mod"
LOAD = "from simulators.cells.mechanisms import load_own; load_own()"

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def h(own_cache):
    """NEURON with the package's mechanisms, which two processes compile at the same time and this one does not."""
    both = [subprocess.Popen([sys.executable, "-c", LOAD], cwd=ROOT) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mechanisms, "_compiler", lambda: pytest.fail("compiled again"))
        load_own()
    from neuron import h

    h.load_file("stdrun.hoc")
    return h


def clamped(h, voltage_mV, events_ms, weight_uS=2e-3, **parameters):
    """Conductance (uS) and current (nA) of an NMDA synapse at a constant voltage."""
    soma = h.Section(name="soma")
    soma.L = soma.diam = 10
    clamp, synapse = h.SEClamp(soma(0.5)), h.NMDASyn(soma(0.5))
    clamp.rs, clamp.dur1, clamp.amp1 = 1e-6, 1e9, voltage_mV
    for name, value in parameters.items():
        setattr(synapse, name, value)
    connection = h.NetCon(None, synapse)
    connection.weight[0] = weight_uS
    g, i = h.Vector().record(synapse._ref_g), h.Vector().record(synapse._ref_i)
    handler = h.FInitializeHandler(lambda: [connection.event(t) for t in events_ms])
    h.cvode_active(0)
    h.dt = 0.025
    h.finitialize(voltage_mV)
    h.continuerun(60)
    del handler
    return np.array(g), np.array(i)


@pytest.mark.parametrize("voltage_mV", [-80.0, -40.0, 0.0])
def test_nmda_is_blocked_as_jahr_and_stevens_say(h, voltage_mV):
    g, i = clamped(h, voltage_mV, [5.0], e=10.0, mg=1.2)
    unblocked = 1 / (1 + np.exp(-0.062 * voltage_mV) * 1.2 / 3.57)
    np.testing.assert_allclose(i, g * unblocked * (voltage_mV - 10.0), rtol=1e-4, atol=1e-12)


def test_nmda_events_peak_at_their_weight_and_add_up(h):
    one, _ = clamped(h, -40.0, [5.0], tau1=2.0, tau2=20.0)
    assert one.max() == pytest.approx(2e-3, rel=1e-3)
    assert one.argmax() * 0.025 - 5 == pytest.approx(np.log(10) * 40 / 18, abs=0.05)
    together, _ = clamped(h, -40.0, [5.0, 5.0, 5.0], tau1=2.0, tau2=20.0)
    np.testing.assert_allclose(together, 3 * one, rtol=1e-9)
    free, current = clamped(h, -80.0, [5.0], mg=0.0, e=0.0)
    np.testing.assert_allclose(current, free * -80.0, rtol=1e-4, atol=1e-12)


def test_nmda_in_a_cell_is_stronger_where_the_cell_is_depolarised(h):
    """Negative control: without magnesium the second event adds less than the first, not more."""
    effect = {}
    for magnesium in (1.0, 1e-6):
        nmda = type(NMDA)("NMDA", 2.0, 80.0, 0.0, 5e-3, magnesium_mM=magnesium)
        simulator = CellSimulator(PointCell(active=False, synapses=(AMPA, nmda)), duration_ms=60)
        inputs = [([], []), ([5.0], [1]), ([5.0] * 4, [1] * 4)]
        events = [SynapticEvents(np.array(t, float), np.array(s, int), np.full(len(t), 5e-3)) for t, s in inputs]
        rest, one, four = (r.values[0].max() for r in simulator.respond(events))
        effect[magnesium] = (four - rest) / (one - rest)
    assert effect[1.0] > 4.2
    assert effect[1e-6] < 3.5


def gates(h, shift_mV, voltages_mV):
    soma = h.Section(name="soma")
    soma.insert("kdrshift")
    soma.insert("hh")
    soma.shift_kdrshift = shift_mV
    found = []
    for v in voltages_mV:
        h.finitialize(v)
        found.append((soma.ninf_kdrshift, soma.linf_kdrshift, soma.n_hh, soma.ntau_kdrshift, soma.ntau_hh))
    return np.array(found).T


def test_the_potassium_current_moves_along_the_voltage(h):
    voltages = np.arange(-110.0, 20.0, 0.5)
    h.celsius = 6.3
    half = {}
    for shift in (-10.0, 0.0, 10.0):
        n, slow, squid, tau, squid_tau = gates(h, shift, voltages)
        half[shift] = np.interp(0.5, n, voltages), np.interp(-0.5, -slow, voltages)
        if shift == 0:
            np.testing.assert_allclose(n, squid, atol=1e-3)
            np.testing.assert_allclose(tau, squid_tau, atol=0.02)
    assert half[0.0][1] == pytest.approx(-54.0, abs=0.01)
    for shift in (-10.0, 10.0):
        np.testing.assert_allclose(np.subtract(half[shift], half[0.0]), shift, atol=0.01)


def test_a_point_cell_with_potassium_rests_lower_the_lower_its_channels_open(h):
    at_rest = {}
    for shift in (-10.0, 0.0, 10.0):
        cell = PointCell(active=False, currents=True, potassium_S_per_cm2=0.05, potassium_shift_mV=shift, rest_mV=-55.0)
        (recording,) = CellSimulator(cell, duration_ms=100).respond(
            [SynapticEvents(np.zeros(0), np.zeros(0, int), np.zeros(0))]
        )
        assert recording.channels == ("V", "spikes", "I_K")
        at_rest[shift] = recording.values[0, -1]
        assert recording.values[2, -1] > 0
    assert -77 < at_rest[-10.0] < at_rest[0.0] < at_rest[10.0] < -55
    with pytest.raises(ValueError, match="passive cell has no I_Na"):
        PointCell(active=False, currents=True)
    with pytest.raises(ValueError, match="must not be negative"):
        PointCell(potassium_S_per_cm2=-1)


def folder_with(path, **files):
    for name, text in files.items():
        (path / f"{name}.mod").write_text(text)
    return path


def test_folders_without_mechanisms_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere"):
        load_mechanisms(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no .mod file in"):
        load_mechanisms(tmp_path)
    with pytest.raises(ValueError, match=r"rename a\$b\.mod"):
        load_mechanisms(folder_with(tmp_path, **{"a$b": "NEURON { SUFFIX a }"}))


def test_names_that_neuron_has_are_refused_before_it_could_end_the_process(h, tmp_path):
    text = ": SUFFIX other\nCOMMENT NEURON { SUFFIX third } ENDCOMMENT\nNEURON {\n  SUFFIX hh ? squid\n}"
    with pytest.raises(ValueError, match="defines hh, a name that NEURON already has"):
        load_mechanisms(folder_with(tmp_path, squid=text))
    with pytest.raises(ValueError, match=r"squid.mod and twin.mod .* both define hh"):
        load_mechanisms(folder_with(tmp_path, twin=text))


def test_a_changed_folder_is_not_the_one_that_was_loaded(h, tmp_path):
    for path in MOD.glob("*.mod"):
        (tmp_path / path.name).write_text(path.read_text())
    assert set(load_mechanisms(tmp_path)) == {"NMDASyn", "kdrshift"}
    (tmp_path / "nmda.mod").write_text((MOD / "nmda.mod").read_text() + "\n")
    with pytest.raises(ValueError, match=r"defines kdrshift, NMDASyn, a name .* fresh Python process"):
        load_mechanisms(tmp_path)


def test_a_file_that_does_not_compile_is_shown_with_what_the_compiler_says(tmp_path):
    text = (MOD / "nmda.mod").read_text().replace("NMDASyn", "Unheard").replace("DERIVATIVE state {", "DERIVATIVE {")
    with pytest.raises(ValueError, match=r"broken\.mod in .* does not compile:\n(.*\n)*.*in file broken\.mod") as error:
        load_mechanisms(folder_with(tmp_path, broken=text))
    assert "Traceback" not in str(error.value)


def test_a_missing_compiler_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"compiling .mod files needs make, .*install a C compiler"):
        load_mechanisms(folder_with(tmp_path, unheard="NEURON { SUFFIX unheard }"))


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CIRCUITSBI_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ValueError, match="set CIRCUITSBI_CACHE"):
        load_mechanisms(folder_with(tmp_path, unheard="NEURON { SUFFIX unheard }"))


def squid(u):
    """n of Hodgkin and Huxley 1952, with rest at -65 mV: steady state, and time constant (ms) at 6.3 degrees."""
    opening = 0.01 * (u + 55) / (1 - np.exp(-(u + 55) / 10))
    closing = 0.125 * np.exp(-(u + 65) / 80)
    return opening / (opening + closing), 1 / (opening + closing)


def korngreen(u):
    """Slow potassium inactivation: steady state, and time constant (ms) at 21 degrees (Korngreen & Sakmann 2000)."""
    return 1 / (1 + np.exp((u + 54) / 11)), 360 + (1010 + 24 * (u + 55)) * np.exp(-(((u + 75) / 48) ** 2))


@pytest.mark.parametrize(("celsius", "shift_mV"), [(6.3, 0.0), (21.0, 7.0), (34.0, -5.0)])
def test_potassium_gates_and_current_are_the_published_ones(h, celsius, shift_mV):
    """Rates rise threefold (activation) and 2.3-fold (inactivation) with 10 degrees; the current is g n^4 l (V - E)."""
    soma = h.Section(name="soma")
    soma.insert("kdrshift")
    soma.shift_kdrshift, soma.gbar_kdrshift, soma.ek = shift_mV, 0.02, -77.0
    h.celsius = celsius
    for v in (-92.0, -71.0, -47.0, -31.0, 12.0):
        h.finitialize(v)
        (n, n_tau), (slow, slow_tau) = squid(v - shift_mV), korngreen(v - shift_mV)
        n_tau, slow_tau = n_tau / 3 ** ((celsius - 6.3) / 10), slow_tau / 2.3 ** ((celsius - 21) / 10)
        found = soma.ninf_kdrshift, soma.ntau_kdrshift, soma.linf_kdrshift, soma.ltau_kdrshift
        np.testing.assert_allclose(found, (n, n_tau, slow, slow_tau), rtol=1e-6)
        h.fcurrent()
        assert soma(0.5).ik == pytest.approx(0.02 * n**4 * slow * (v + 77), rel=1e-6)


def test_nmda_events_are_two_exponentials_at_every_step(h):
    """Of a highest value that is the weight, found on a fine grid and not by its formula."""
    g, _ = clamped(h, -40.0, [5.0], tau1=2.0, tau2=20.0)
    # What NEURON records of g is what the step before it came to.
    t, fine = 0.025 * (np.arange(len(g)) - 1) - 5, np.arange(0, 20, 1e-4)
    shape = [np.where(x > 0, np.exp(-np.maximum(x, 0) / 20) - np.exp(-np.maximum(x, 0) / 2), 0) for x in (t, fine)]
    np.testing.assert_allclose(g, 2e-3 * shape[0] / shape[1].max(), rtol=1e-4, atol=1e-12)
