"""A user's own cell: against the same cell built by hand, and the values that files name."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from simulators.cells.cell import LiveCell
from simulators.cells.detailed.cell import DetailedCell, HocTemplate, Reconstruction, SynapseGroup
from simulators.cells.inputs import SynapticEvents
from simulators.cells.simulator import CellSimulator
from simulators.cells.synapses import point_processes
from simulators.provenance import describe
from tests.cell_files import ALLEN, ASC, BLUEPYOPT, CHANNELS, HOC, PASSIVE, SWC, VALUES


@pytest.fixture
def bluepyopt(files):
    return Reconstruction(*files(cell_dot_swc=SWC, parameters=BLUEPYOPT, channels=CHANNELS, values=VALUES))


def named(live):
    return {section.name().rpartition(".")[2]: section for section in live.alive.lists["all"]}


class ByHand:
    """The cell of the files above, with a synapse in the middle of each of two sections."""

    synapses = tuple(s for name in ("dend", "apic") for s in SynapseGroup(name, "all", 1, 0.5, 3, 0, 0.01).synapses())
    outputs = DetailedCell.outputs.fget(type("", (), dict(record=("apic[1]",), currents=("na",)))())
    threshold_mV, celsius = -20.0, 20.0

    def build(self):
        from neuron import h

        shapes = dict(soma=(20, 20, 20), dend_0=(100, 2, 2), dend_1=(300, 2, 1), apic_0=(200, 3, 2))
        shapes |= dict(apic_1=(100, 2, 1), apic_2=(100, 2, 1), axon_0=(30, 1.2, 1.2), axon_1=(30, 0.9, 0.9))
        made = {name: h.Section(name=name) for name in shapes}
        for name, (length, start, end) in shapes.items():
            section = made[name]
            section.pt3dadd(0, 0, 0, start)
            section.pt3dadd(length, 0, 0, end)
            section.nseg = 1 + 2 * int(length / 40)
            section.insert("pas")
            section.Ra, section.cm, section.g_pas, section.e_pas = 150, 1, 1e-4, -70
        for child, parent in dict(dend_0=0.5, dend_1=0.5, apic_0=0.5, axon_0=1.0).items():
            made[child].connect(made["soma"](parent))
        for child, parent in dict(apic_1="apic_0", apic_2="apic_0", axon_1="axon_0").items():
            made[child].connect(made[parent](1))
        for name in ("soma", "apic_0", "apic_1", "apic_2"):
            made[name].insert("hh")
        made["soma"].gnabar_hh, made["soma"].gl_hh, made["soma"].ek = 0.15, 2e-4, -85
        for name in ("apic_0", "apic_1", "apic_2"):
            made[name].cm = 2
            for segment in made[name]:
                distance = h.distance(made["soma"](0.5), segment)
                segment.gkbar_hh = 0.01 * (-0.8696 + 2.087 * math.exp(0.0031 * distance))

        def initialise():
            for section in made.values():
                section.v = -65

        middle = made["soma"](0.5)
        references = [made["apic_1"](0.5)._ref_v, middle._ref_ina]
        synapses = point_processes([made["dend_1"](0.5), made["apic_2"](0.5)], self.synapses)
        return LiveCell(middle, synapses, references, [1.0, math.pi * 400 * 1e-2], initialise, made)


class InTheMiddle(DetailedCell):
    """As the cell by hand has its synapses."""

    def _places(self, shape):
        return [shape.section("dend[1]")(0.5), shape.section("apic[2]")(0.5)]


def test_a_reconstruction_does_what_the_same_cell_built_by_hand_does(bluepyopt):
    groups = (SynapseGroup("dend", "basal", 1, 0.5, 3, 0, 0.01), SynapseGroup("apic", "apical", 1, 0.5, 3, 0, 0.01))
    own = InTheMiddle(bluepyopt, groups, record=("apic[1]",), currents=("na",))
    assert (own.synapses, own.outputs) == (ByHand.synapses, ByHand.outputs)
    events = SynapticEvents(np.array([5.0, 20.0, 40.0]), np.array([0, 1, 0]), np.array([0.01, 0.02, 0.06]))
    run = dict(duration_ms=60.0, sample_ms=0.5)
    (found,) = CellSimulator(own, **run).respond([events])
    (expected,) = CellSimulator(ByHand(), **run).respond([events])
    assert found.channels == ("V", "spikes", "apic[1] V", "I_Na")
    assert found.values[1].sum() >= 1
    np.testing.assert_allclose(found.values, expected.values, atol=2e-2)


def test_bluepyopt_s_files_set_the_values_that_they_name(bluepyopt):
    from neuron import h

    live = DetailedCell(bluepyopt).build()
    sections = named(live)
    soma, apical = sections["soma[0]"], sections["apic[0]"]
    assert (soma.cm, soma.Ra, soma.gnabar_hh, soma.ek, soma.gl_hh) == (1, 150, 0.15, -85, 2e-4)
    assert (apical.cm, apical.g_pas, sections["dend[1]"].nseg) == (2, 1e-4, 15)
    assert not h.ismembrane("hh", sec=sections["dend[0]"])
    for segment in apical:
        distance = h.distance(soma(0.5), segment)
        assert segment.gkbar_hh == pytest.approx(0.01 * (-0.8696 + 2.087 * math.exp(0.0031 * distance)))
    assert (bluepyopt.celsius, bluepyopt.rest_mV) == (20, -65)


def test_the_allen_institute_s_files_set_the_values_that_they_name(files):

    swc = SWC.replace(" 4 ", " 3 ")
    body = Reconstruction(*files(cell_dot_swc=swc, fit_parameters=ALLEN))
    live = DetailedCell(body).build()
    sections = named(live)
    soma, dendrite, stub = sections["soma[0]"], sections["dend[2]"], sections["axon[0]"]
    assert (soma.cm, soma.Ra, soma.e_pas, soma.g_pas, soma.gnabar_hh) == (1.5, 120, -80, 5e-4, 0.2)
    assert (soma.ena, soma.ek, dendrite.g_pas, dendrite.e_pas) == (53, -107, 3e-5, -80)
    assert (stub.L, stub.diam, stub.parentseg().x, sections["axon[1]"].parentseg().sec) == (30, 1, 0.5, stub)
    assert sum(name.startswith("axon") for name in sections) == 2
    live.initialise()
    assert (live.globals, dendrite.v, body.celsius) == ({"nai0_na_ion": 12}, -82, 34)


def test_what_one_cell_sets_in_neuron_as_a_whole_does_not_reach_the_next(bluepyopt, files):
    (whole,) = files(whole=[*BLUEPYOPT, {"param_name": "nai0_na_ion", "type": "global", "value": 12}])
    from neuron import h

    events = [SynapticEvents(np.zeros(0), np.zeros(0, int), np.zeros(0))]

    def inside(cell):
        recording = CellSimulator(DetailedCell(cell), duration_ms=10.0).respond(events)[0]
        return h.nai0_na_ion, recording.values

    before, first = inside(bluepyopt)
    other = replace(bluepyopt, parameters=whole)
    assert DetailedCell(other).build().globals == {"nai0_na_ion": 12}
    assert inside(other)[0] == before != 12
    np.testing.assert_array_equal(inside(bluepyopt)[1], first)


@pytest.mark.parametrize(
    ("axon", "diameters", "at", "count"),
    [("thin stub", (1, 1), 0.5, 2), ("own stub", (1.2, 0.9), 1.0, 2), ("kept", (1.2, 0.9), 0.5, 3)],
)
def test_axons_are_kept_or_replaced(bluepyopt, axon, diameters, at, count):
    sections = named(DetailedCell(replace(bluepyopt, axon=axon)).build())
    axons = [sections[f"axon[{k}]"] for k in range(count)]
    assert f"axon[{count}]" not in sections
    assert tuple(round(s.diam, 3) for s in axons[:2]) == diameters
    assert axons[0].parentseg().x == at


def test_synapses_lie_by_length_and_at_the_same_places_in_every_build(bluepyopt):
    basal = SynapseGroup("basal", "basal", 4000, 0.5, 3, 0, 1e-3)
    soma = SynapseGroup("inhibition", "soma", 2, 1, 5, -80, 1e-3, inhibitory=True)
    cell = DetailedCell(bluepyopt, (soma, basal))
    assert [s.inhibitory for s in cell.synapses[:3]] == [True, True, False]

    def places(cell, skip):
        live = cell.build()
        segments = [s.get_segment() for s in live.synapses[skip:]]
        return [(s.sec.name().rpartition(".")[2], s.x) for s in segments]

    found = places(cell, 2)
    on_long = np.array([x for name, x in found if name == "dend[1]"])
    assert len(on_long) / 4000 == pytest.approx(300 / 400, abs=4 * (0.75 * 0.25 / 4000) ** 0.5)
    assert on_long.mean() == pytest.approx(0.5, abs=4 / (12 * len(on_long)) ** 0.5)
    assert np.quantile(on_long, 0.25) == pytest.approx(0.25, abs=0.04)
    assert found == places(cell, 2) == places(DetailedCell(bluepyopt, (basal,)), 0)
    assert found != places(replace(cell, seed=1), 2)


def test_cells_leave_nothing_behind(bluepyopt):
    from neuron import h

    before = len(list(h.allsec()))
    live = DetailedCell(bluepyopt).build()
    assert len(list(h.allsec())) > before
    del live
    assert len(list(h.allsec())) == before


def test_a_campaign_can_tell_a_changed_file(bluepyopt, tmp_path):
    cell = DetailedCell(bluepyopt)
    assert describe(cell) == describe(DetailedCell(bluepyopt))
    (tmp_path / "values").write_text(json.dumps({"gl_hh.somatic": 3e-4}))
    assert describe(cell) != describe(DetailedCell(bluepyopt))


def test_a_neurolucida_morphology_is_read(files):
    body = Reconstruction(*files(cell_dot_ASC=ASC, parameters=PASSIVE, channels={"all": ["pas"]}))
    sections = named(DetailedCell(body).build())
    assert set(sections) == {"soma[0]", *(f"dend[{k}]" for k in range(3)), "apic[0]", "axon[0]", "axon[1]"}
    assert sections["soma[0]"].g_pas == 1e-4


def test_a_hoc_template_makes_a_cell_that_responds(files, tmp_path, capfd):
    """The morphology has no apical dendrite, so the template's own apic[0] hangs on nothing."""
    (tmp_path / "morphology").mkdir()
    swc = "\n".join(line for line in SWC.splitlines() if " 4 " not in line[:6])
    (tmp_path / "morphology" / "cell.swc").write_text(swc)
    (file,) = files(model_dot_hoc=HOC.format(name="OwnCell", mechanism="hh"))
    body = HocTemplate(file, "OwnCell", ("morphology", "cell.swc"), celsius=6.3, rest_mV=-65.0)
    cell = DetailedCell(body, (SynapseGroup("fast", "dend", 3, 0.5, 3, 0, 0.05),), record=("dend[1]",))
    events = SynapticEvents(np.full(3, 5.0), np.arange(3), np.full(3, 0.05))
    (recording,) = CellSimulator(cell, duration_ms=30.0).respond([events])
    assert recording.values[1].sum() == 1
    assert recording.values[2].max() > recording.values[2, 0] + 20
    assert "apic[0]" not in named(cell.build())
    assert "must not be seen" not in "".join(capfd.readouterr())
    (tmp_path / "morphology" / "cell.swc").write_text(swc + "\n")
    assert replace(cell, seed=cell.seed).content != cell.content
    with pytest.raises(ValueError, match=r"fast: .*model\.hoc has no sections 'apical', only all, somatic, basal"):
        replace(cell, synapse_groups=(SynapseGroup("fast", "apical", 3, 0.5, 3, 0, 0.05),)).build()


def test_what_a_cell_is_asked_for_must_be_there(bluepyopt):
    with pytest.raises(ValueError, match=r"has no section apic\[9\]; it has soma\[0\]"):
        DetailedCell(bluepyopt, record=("apic[9]",)).build()
    with pytest.raises(ValueError, match="no current of ca; it has those of k, na"):
        DetailedCell(bluepyopt, currents=("ca",)).build()
    with pytest.raises(ValueError, match=r"no folder .*nowhere"):
        DetailedCell(bluepyopt, mechanisms="nowhere")
    group = SynapseGroup("one", "soma", 1, 0.5, 3, 0, 1e-3)
    with pytest.raises(ValueError, match="give each a name of its own"):
        DetailedCell(bluepyopt, (group, group))
    with pytest.raises(ValueError, match="has 0 synapses"):
        replace(group, count=0)
