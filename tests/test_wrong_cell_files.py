"""What is wrong with the files of a user's own cell is named."""

import pytest

from simulators.cells.detailed.cell import DetailedCell, HocTemplate, Reconstruction
from simulators.cells.detailed.parameters import read_parameters
from tests.cell_files import ALLEN, ASC, BLUEPYOPT, CHANNELS, HOC, PASSIVE, SWC, VALUES, WHOLE, uniform


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
        (changed(uniform("\u00e9_hh", 1)), "is no name of a variable"),
        (changed(uniform("g_pas", 1), mech="morphology"), "NEURON has no mechanism morphology"),
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
