"""A user's own cell: against the same cell built by hand, the values that files name, and what is wrong with files."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from simulators.campaign import describe
from simulators.cells.cell import LiveCell
from simulators.cells.detailed import DetailedCell, HocTemplate, Reconstruction, SynapseGroup
from simulators.cells.inputs import SynapticEvents
from simulators.cells.parameters_json import read_parameters
from simulators.cells.simulator import CellSimulator
from simulators.cells.synapses import point_processes

SWC = """# soma, an axon of 200 um, two basal dendrites, an apical trunk with two branches
1 1 0 0 0 10 -1
2 2 0 10 0 0.6 1
3 2 0 60 0 0.6 2
4 2 60 110 0 0.3 3
5 2 -60 110 0 0.4 3
6 3 10 0 0 1 1
7 3 110 0 0 1 6
8 3 -10 0 0 1 1
9 3 -310 0 0 0.5 8
10 4 0 -10 0 1.5 1
11 4 0 -210 0 1 10
12 4 60 -290 0 0.5 11
13 4 -60 -290 0 0.5 11
"""
ASC = """; the soma is a contour
("CellBody" (Color Red) (CellBody) (-8 -8 0 0.1) (8 -8 0 0.1) (8 8 0 0.1) (-8 8 0 0.1))
((Dendrite) (0 8 0 2) (0 50 0 2) ((20 80 0 1) (20 120 0 1) | (-20 80 0 1) (-20 120 0 1)))
((Apical) (0 -8 0 2) (0 -150 0 2))
"""


def uniform(name, value, sections="all", kind="section"):
    return {"param_name": name, "sectionlist": sections, "type": kind, "dist_type": "uniform", "value": value}


WHOLE = [
    {"param_name": "v_init", "type": "global", "value": -65},
    {"param_name": "celsius", "type": "global", "value": 20},
]
PASSIVE = [*WHOLE, uniform("g_pas", 1e-4), uniform("e_pas", -70), uniform("Ra", 150), uniform("cm", 1)]
BLUEPYOPT = [
    *PASSIVE,
    uniform("cm", 2, "apical"),
    uniform("gnabar_hh", 0.15, "somatic", "range"),
    uniform("ek", -85, "somatic"),
    {
        **uniform("gkbar_hh", 0.01, "apical", "range"),
        "dist_type": "exp",
        "dist": "(-0.8696 + 2.087*math.exp(({distance})*0.0031))*{value}",
    },
    {"param_name": "gl_hh", "sectionlist": "somatic", "type": "range", "dist_type": "uniform", "bounds": [0, 1]},
]
CHANNELS = {"all": ["pas"], "somatic": ["hh"], "apical": ["hh"]}
VALUES = {"gl_hh.somatic": 2e-4}
ALLEN = {
    "passive": [{"ra": 120.0, "e_pas": -80.0, "cm": [{"section": s, "cm": 1.5} for s in ("soma", "axon", "dend")]}],
    "conditions": [{"celsius": 34.0, "v_init": -82.0, "erev": [{"section": "soma", "ena": 53.0, "ek": -107.0}]}],
    "genome": [
        {"section": "soma", "name": "g_pas", "value": 5e-4, "mechanism": ""},
        {"section": "dend", "name": "g_pas", "value": "3e-05", "mechanism": ""},
        {"section": "soma", "name": "gnabar_hh", "value": 0.2, "mechanism": "hh"},
        {"section": "glob", "name": "nai0_na_ion", "value": 12, "mechanism": ""},
    ],
}


@pytest.fixture
def files(tmp_path):
    """Writes files and gives their paths: text as it is, anything else as JSON."""

    def write(**contents):
        paths = []
        for name, content in contents.items():
            path = tmp_path / name.replace("_dot_", ".")
            path.write_text(content if isinstance(content, str) else json.dumps(content))
            paths.append(str(path))
        return paths

    return write


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
    assert (live.whole, dendrite.v, body.celsius) == ({"nai0_na_ion": 12}, -82, 34)


def test_what_one_cell_sets_in_neuron_as_a_whole_does_not_reach_the_next(bluepyopt, files):
    (whole,) = files(whole=[*BLUEPYOPT, {"param_name": "nai0_na_ion", "type": "global", "value": 12}])
    from neuron import h

    events = [SynapticEvents(np.zeros(0), np.zeros(0, int), np.zeros(0))]

    def inside(cell):
        recording = CellSimulator(DetailedCell(cell), duration_ms=10.0).respond(events)[0]
        return h.nai0_na_ion, recording.values

    before, first = inside(bluepyopt)
    other = replace(bluepyopt, parameters=whole)
    assert DetailedCell(other).build().whole == {"nai0_na_ion": 12}
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


HOC = """
begintemplate {name}
public soma, dend, apic, axon, all, somatic, basal, apical, axonal
create soma[1], dend[1], apic[1], axon[1]
objref this, all, somatic, basal, apical, axonal
strdef path
proc init() {{
    all = new SectionList()  somatic = new SectionList()  basal = new SectionList()
    apical = new SectionList()  axonal = new SectionList()
    printf("this must not be seen")
    sprint(path, "%s/%s", $s1, $s2)
    take_shape()
    forall {{ insert {mechanism} nseg = 3 }}
}}
proc take_shape() {{ localobj reader, tool
    reader = new Import3d_SWC_read()
    reader.quiet = 1
    reader.input(path)
    tool = new Import3d_GUI(reader, 0)
    tool.instantiate(this)
}}
endtemplate {name}
"""


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


def test_what_hoc_complains_of_is_said(files):
    (file,) = files(broken_dot_hoc=HOC.format(name="BrokenCell", mechanism="NoSuchChannel"))
    with pytest.raises(ValueError, match=r"(?s)cannot read .*broken\.hoc: .*NoSuchChannel.*\.mod files"):
        DetailedCell(HocTemplate(file, "BrokenCell")).build()
    (file,) = files(whole_dot_hoc=HOC.format(name="WholeCell", mechanism="pas"))
    with pytest.raises(ValueError, match=r"defines no template Other; it defines WholeCell"):
        DetailedCell(HocTemplate(file, "Other")).build()
    with pytest.raises(ValueError, match=r"makes no cell of the arguments \(\): .*not enough arguments"):
        DetailedCell(HocTemplate(file, "WholeCell")).build()
    files(whole_dot_hoc=HOC.format(name="WholeCell", mechanism="hh"))
    with pytest.raises(ValueError, match=r"something else of the name WholeCell .*fresh Python process"):
        DetailedCell(HocTemplate(file, "WholeCell")).build()


@pytest.mark.parametrize(
    ("suffix", "content", "said"),
    [
        ("swc", "1 1 0 0 0 ten -1", r"line 1: '1 1 0 0 0 ten -1' is no sample of an SWC file"),
        ("swc", "\0\1binary", "is no text"),
        ("swc", '{"json": 1}', "is no sample of an SWC file"),
        ("swc", SWC.replace(" 1 0 0 0 10 -1", " 3 0 0 0 10 -1"), "has no soma"),
        ("swc", SWC.replace("0 60 0 0.6 2", "0 60 0 0.6 99"), "line 4: the parent 99 must be a sample before it"),
        ("swc", SWC.replace("10 -1", "-10 -1"), "line 2: .* radius -10 um must be finite"),
        ("swc", SWC.replace("6 3 10 0 0 1 1", "6 3 10 0 0 1 -1"), "2 samples without a parent"),
        ("swc", SWC.replace("\n6 3 ", "\n6 7 "), "samples of kind 7"),
        ("swc", SWC.replace("\n7 3 ", "\n6 3 "), "6 is the number of another sample"),
        ("swc", SWC.replace("0 0 0 10 -1", "0 0 0 1_0 -1"), "is no sample of an SWC file"),
        ("swc", SWC.replace("-310 0 0", "-3e6 0 0"), r"dend\[1\] is 2.99.*um long; is the file's unit um"),
        ("swc", SWC.replace("-310 0 0", "-3e200 0 0"), r"dend\[1\] is inf um long"),
        ("swc", "\ufeff" + SWC, "save it as UTF-8 without BOM"),
        ("asc", ASC.replace("-150 0 2", "nan 0 2"), r"apic\[0\] is nan um long"),
        ("asc", ASC.replace("0 2) (0 -150 0 2)", "0 0) (0 -150 0 0)"), r"apic\[0\] has a diameter that is not above 0"),
        ("asc", ASC[:-9], "brackets do not match"),
        ("asc", ASC.replace("(CellBody)", ""), "has no soma"),
        ("asc", ASC.replace("(Apical) (0 -8 0 2)", "(Apical) 7 (0 -8 0 2)"), r"cell\.asc: parse error.*on line 4"),
        ("hoc", "create soma", r"\.hoc is not known; give an \.swc or \.asc"),
    ],
)
def test_wrong_morphologies_are_named(files, suffix, content, said):
    morphology, parameters = files(**{f"cell_dot_{suffix}": content}, parameters=PASSIVE)
    with pytest.raises(ValueError, match=f"(?s)morphology .*{said}"):
        DetailedCell(Reconstruction(morphology, parameters)).build()


def changed(entries, **change):
    return [*WHOLE, {**entries, **change}]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("not JSON", "is no JSON"),
        ({"a": 1}, "neither a fit_parameters.json .* nor a parameters.json"),
        (WHOLE[:1], "no celsius; add"),
        (changed(uniform("cm", 1), value=None), "cm.all: value is None; it must be a finite number"),
        (changed(uniform("cm", 1), type="local"), "cm is of type 'local'"),
        (changed(uniform("cm", 1), sectionlist="apicall"), "cm: .*cell.swc has no sections 'apicall', only all"),
        (changed(uniform("cm", 1), dist_type="step"), "cm.all is of type section with the distribution 'step'"),
        (changed(uniform("cm", 1, "all", "range"), dist_type="exp", dist="open('x')"), "is not arithmetic"),
        ([*WHOLE, {"param_name": "g_x", "sectionlist": "all", "bounds": [0, 1]}], "g_x.all has bounds but no value"),
        (changed(uniform("gbar_Na", 1), mech="Na"), "NEURON has no mechanism Na; put Na.mod"),
        (changed(uniform("gnabar_hh", 1)), "there is no gnabar_hh in 'all'; its mechanisms are"),
        (changed(uniform("__class__", 1)), "there is no __class__ in 'all'"),
        (changed(uniform("nseg", 1)), "there is no nseg in 'all'"),
        ([*WHOLE, {"param_name": "dt", "type": "global", "value": 1}], "dt is no global variable of a mechanism"),
        ({**ALLEN, "passive": []}, "passive must be a list with one entry"),
        ({**ALLEN, "genome": [{"section": "soma", "value": 1}]}, "genome: name is None; it must be a name"),
        ({**ALLEN, "conditions": [{"v_init": 1}]}, "conditions: celsius is None"),
    ],
)
def test_wrong_parameters_are_named(files, parameters, said):
    paths = files(cell_dot_swc=SWC, parameters=parameters)
    with pytest.raises(ValueError, match=f"(?s)parameters.*{said}"):
        DetailedCell(Reconstruction(*paths)).build()


def test_values_of_no_parameter_are_named(files):
    paths = files(parameters=BLUEPYOPT, channels=CHANNELS, values={**VALUES, "gl_hh.apical": 1})
    with pytest.raises(ValueError, match=r"no parameter gl_hh\.apical in .*there is .*gl_hh\.somatic"):
        read_parameters(*paths)
    with pytest.raises(ValueError, match="name their own mechanisms and values"):
        read_parameters(*files(allen=ALLEN, channels=CHANNELS))


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
