"""A user's own cell, from its JSON file to a trained surrogate, by one command; and what is wrong with such files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from inference.cli import app
from simulators.campaigns.store import Campaign
from simulators.provenance import describe
from surrogates.neurons.assessment import against_cell
from surrogates.neurons.assessment.behaviour import behaviour
from surrogates.neurons.interface import Target
from surrogates.neurons.trained import load_neuron
from surrogates.neurons.training import curricula, make
from surrogates.neurons.training.curricula import CURRICULA, Regime
from surrogates.neurons.training.data import Runs
from surrogates.neurons.training.make import curriculum_of
from surrogates.neurons.training.own_cells import read_own_cell

SWC = """# a soma of 20 um and one dendrite of 200 um
1 1 0 0 0 10 -1
2 1 0 -10 0 10 1
3 1 0 10 0 10 1
4 3 10 0 0 1 1
5 3 110 0 0 1 4
6 3 210 0 0 1 5
"""
PARAMETERS = {
    "passive": [{"ra": 100.0, "cm": [{"section": "soma", "cm": 1.0}, {"section": "dend", "cm": 1.0}], "e_pas": -70.0}],
    "conditions": [{"celsius": 6.3, "v_init": -70.0, "erev": [{"section": "soma", "ena": 50.0, "ek": -77.0}]}],
    "genome": [
        {"section": "soma", "name": "g_pas", "value": 1e-4, "mechanism": ""},
        {"section": "dend", "name": "g_pas", "value": 1e-4, "mechanism": ""},
        {"section": "soma", "name": "gnabar_hh", "value": 0.12, "mechanism": "hh"},
        {"section": "soma", "name": "gkbar_hh", "value": 0.036, "mechanism": "hh"},
    ],
}
SYNAPSES = [
    {"name": "excitatory", "section_list": "dend", "count": 4, "rise_ms": 0.5, "decay_ms": 3.0, "reversal_mV": 0.0,
     "weight_uS": 3e-3},
    {"name": "inhibitory", "section_list": "soma", "count": 2, "rise_ms": 0.5, "decay_ms": 8.0, "reversal_mV": -80.0,
     "weight_uS": 2e-3, "inhibitory": True},
]  # fmt: skip


@pytest.fixture
def own(tmp_path):
    """Writes the cell's file with other entries; None leaves one out."""
    (tmp_path / "cell.swc").write_text(SWC)
    (tmp_path / "fit_parameters.json").write_text(json.dumps(PARAMETERS))

    def write(**changed):
        about = {"morphology": "cell.swc", "parameters": "fit_parameters.json", "synapses": SYNAPSES} | changed
        (tmp_path / "cell.json").write_text(json.dumps({k: v for k, v in about.items() if v is not None}))
        return tmp_path / "cell.json"

    return write


def test_a_file_says_the_cell_and_how_hard_it_is_driven(own):
    found = read_own_cell(own(rates_Hz=[30, 10], record=["dend[0]"], passes=77))
    assert [s.name for s in found.cell.synapses][::5] == ["excitatory_0", "inhibitory_1"]
    assert [o.name for o in found.cell.outputs] == ["dend[0] V"]
    assert found.regimes[-1].protocol.parameters.high.tolist() == [30, 10]
    assert found.schedule.passes == 77


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"synapses": []}, "no list of synapses"),
        ({"morfology": "cell.swc"}, "morfology, which is none of"),
        ({"morphology": None}, "no morphology"),
        ({"synapses": [{"name": "what"}]}, "entry 0 of synapses.* has no section_list; expected a name"),
        ({"mechanisms": "mods"}, "--trust"),
        ({"template": {"file": "cell.hoc", "name": "Cell"}}, "--trust"),
        ({"morphology": "nothing.swc"}, "nothing.swc"),
        ({"synapses": [SYNAPSES[0] | {"rise_ms": 9.0}]}, "rise"),
        (
            {"synapses": [SYNAPSES[0] | {"count": 10**9}]},
            "expected a whole number from 1 to 10000",
        ),
        (
            {"synapses": [SYNAPSES[0], SYNAPSES[1] | {"count": 2.5}]},
            "entry 1 of synapses.*count is 2.5",
        ),
        ({"synapses": [SYNAPSES[0] | {"count": True}]}, "count is true"),
        ({"synapses": [SYNAPSES[0] | {"inhibitory": "false"}]}, 'inhibitory is "false"; expected true or false'),
        ({"synapses": [SYNAPSES[0] | {"reversal_mV": float("nan")}]}, "reversal_mV is NaN; expected a finite number"),
        ({"synapses": [SYNAPSES[0] | {"decay_ms": float("inf")}]}, "decay_ms is Infinity"),
        ({"synapses": [SYNAPSES[0] | {"weight_uS": "3e-3"}]}, 'weight_uS is "3e-3"'),
        ({"synapses": [SYNAPSES[0] | {"name": f"g{k}", "count": 6000} for k in range(2)]}, "10,000 synapses in all"),
        ({"synapses": [SYNAPSES[0] | {"colour": "red"}]}, "says colour, which is none of name, section_list"),
        ({"rates_Hz": 20}, "rates_Hz is 20; expected two numbers above 0"),
        ({"rates_Hz": [20, 0]}, "expected two numbers above 0"),
        ({"rates_Hz": [20, 1e9]}, "up to 1000"),
        ({"record": ["dend[0]", "dend[0]"]}, "name one thing twice"),
        ({"passes": "many"}, 'passes is "many"; expected a whole number from 1'),
        ({"rounds": 0}, "a whole number from 1 to 99"),
        ({"seed": 1.5}, "a whole number"),
        ({"record": "apic[0]"}, "a list of names"),
        ({"morphology": 3}, "the name of a file"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(own, changed, said):
    with pytest.raises(ValueError, match=said):
        read_own_cell(own(**changed))


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ({"file": "cell.hoc", "name": "Cell"}, "leave out one"),
        ({"file": "cell.hoc", "name": "Cell", "celsius": "warm"}, "template is .*; expected"),
        ({"file": "cell.hoc", "name": "Cell", "arguments": "morphology"}, "template is .*; expected"),
    ],
)
def test_a_template_is_the_whole_cell_and_well_formed(own, template, said):
    with pytest.raises(ValueError, match=said):
        read_own_cell(own(template=template), trust=True)


def test_no_cell_and_no_json_are_said(tmp_path):
    with pytest.raises(ValueError, match="there is no cell 'L4'; choose one of point"):
        curriculum_of("L4")
    for text in ("{", "[" * 100_000, f'{{"seed": {"9" * 5000}}}'):
        (tmp_path / "cell.json").write_text(text)
        with pytest.raises(ValueError, match="cannot be read as JSON"):
            curriculum_of(str(tmp_path / "cell.json"))


def small(curriculum):
    """The same with next to no data and training."""
    regimes = tuple(Regime(r.name, r.protocol, 4) for r in curriculum.regimes)
    schedule = replace(curriculum.schedule, passes=2, batch=4, stretch_bins=50, validations=1)
    network = curriculum.network | {"hidden": 6, "membranes": 2}
    return replace(
        curriculum,
        regimes=regimes,
        schedule=schedule,
        network=network,
        duration_ms=100.0,
        tests=min(3, curriculum.tests),
        validations=3,
    )


def test_a_cell_too_quiet_to_learn_spikes_from_is_said(caplog):
    """One spike in 3 s is told about, two are enough."""
    v = torch.zeros(1, 6000)
    for spikes, said in ((1, True), (2, False)):
        caplog.clear()
        train = torch.zeros(1, 6000)
        train[0, :spikes] = 1
        make._warn_of_silence(
            "cell.json", Runs(torch.zeros(1, 6000, 2), Target(v, train, torch.zeros(1, 6000, 0))), 0.5
        )
        assert ("too seldom for its spikes to be learned" in caplog.text) is said


def test_an_own_cell_is_trained_and_evaluated_by_one_command_each(own, tmp_path, monkeypatch):
    read = make.curriculum_of
    for module in (make, against_cell):
        monkeypatch.setattr(module, "curriculum_of", lambda *a: small(read(*a)))
    run = CliRunner().invoke
    out, data = str(tmp_path / "own.safetensors"), str(tmp_path / "data")
    trained = run(app, ["surrogate", "train", "--cell", str(own()), "--out", out, "--data", data, "--workers", "1"])
    assert trained.exit_code == 0, trained.output
    assert "on the validation runs" in trained.output
    found = run(app, ["surrogate", "evaluate", out, "--cell", str(own()), "--data", data, "--workers", "1"])
    assert found.exit_code == 0, found.output
    scores = json.loads(found.output.strip().splitlines()[-1])
    assert set(scores) == {"low", "high", "all"}
    assert scores["all"]["runs"] == 6
    curriculum = make.curriculum_of(str(own()))
    fires = behaviour(load_neuron(out), curriculum, runs=1, duration_ms=200.0, long_ms=400.0).to_json()
    assert np.shape(fires["neuron_Hz"]) == np.shape(fires["surrogate_Hz"]) == (6, 3)
    assert max(map(max, fires["neuron_Hz"])) > 0
    assert fires["map_r2"] < 0.5  # it has learned nothing yet
    assert len(fires["explained_by_stretch"]) == 2
    other = run(app, ["surrogate", "evaluate", out, "--cell", "L5_basket", "--data", data, "--workers", "1"])
    assert other.exit_code == 2
    assert "not a surrogate of L5_basket: its synapse 0 is" in other.output
    slower = own(synapses=[SYNAPSES[0] | {"decay_ms": 4.0}, SYNAPSES[1]])
    other = run(app, ["surrogate", "evaluate", out, "--cell", str(slower), "--data", data, "--workers", "1"])
    assert other.exit_code == 2
    assert "its synapse 0 is" in other.output
    more = run(app, ["surrogate", "evaluate", out, "--cell", str(own()), "--data", data, "--runs", "2"])
    assert json.loads(more.output.strip().splitlines()[-1])["all"]["runs"] == 4
    picture = run(app, ["surrogate", "evaluate", out, "--cell", str(own()), "--data", data, "--figure", "a.docx"])
    assert picture.exit_code == 2
    assert "a.docx does not end in a kind of picture" in picture.output
    for cell in ("cell", "L5_basket"):
        assert (tmp_path / "data" / cell).is_dir() == (cell == "cell")
    assert not list(tmp_path.glob("*.training"))
    nowhere = run(app, ["surrogate", "train", "--cell", "point", "--out", str(tmp_path / "no" / "x"), "--data", data])
    assert nowhere.exit_code == 2
    assert "there is no folder" in nowhere.output


def test_a_cell_that_cannot_be_built_is_an_error_that_says_why(own, tmp_path, monkeypatch):
    read = make.curriculum_of
    monkeypatch.setattr(make, "curriculum_of", lambda *a: small(read(*a)))
    cell = own(synapses=[SYNAPSES[0] | {"section_list": "tuft"}])
    command = ["surrogate", "train", "--cell", str(cell), "--out", str(tmp_path / "o"), "--data", str(tmp_path / "d")]
    found = CliRunner().invoke(app, [*command, "--workers", "1"])
    assert found.exit_code == 2
    assert "tuft" in found.output
    assert not (tmp_path / "d").exists()  # so that it trains once the file is mended


def test_where_a_cell_s_files_lie_makes_no_difference(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here, there = (make.curriculum_of(str(path)) for path in (own().relative_to(tmp_path), own()))
    simulators = [c.simulator(c.regimes[0]) for c in (here, there)]
    assert describe(simulators[0]) == describe(simulators[1])
    (tmp_path / "cell.swc").write_text(SWC.replace("210", "211"))
    longer = make.curriculum_of("cell.json")
    assert describe(longer.simulator(longer.regimes[0])) != describe(simulators[1])


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (".", "is a folder; name a file"),
        ("folder", "is a folder"),
        ("cell.json", "no surrogate that could be replaced"),
    ],
)
def test_where_nothing_can_be_written_is_said_before_any_simulation(own, tmp_path, monkeypatch, out, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    found = CliRunner().invoke(app, ["surrogate", "train", "--cell", str(own()), "--out", out, "--data", "data"])
    assert found.exit_code == 2
    assert said in " ".join(found.output.split())
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("place", ["../elsewhere.swc", "{above}/elsewhere.swc", "link.swc"])
def test_files_outside_its_folder_are_read_only_with_trust(own, tmp_path, place):
    """By a path that goes up, an absolute one, or a link."""
    above = tmp_path.parent
    (above / "elsewhere.swc").write_text(SWC)
    (tmp_path / "link.swc").symlink_to(above / "elsewhere.swc")
    file = own(morphology=place.format(above=above))
    with pytest.raises(ValueError, match=r"morphology is .*swc\", which lies outside its folder.*--trust"):
        read_own_cell(file)
    assert len(read_own_cell(file, trust=True).cell.synapses) == 6


def test_files_in_a_folder_below_are_its_own(own, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "cell.swc").rename(tmp_path / "parts" / "cell.swc")
    assert len(read_own_cell(own(morphology="parts/../parts/cell.swc")).cell.synapses) == 6


@pytest.mark.parametrize("template", [{}, "cell.hoc", {"file": "cell.hoc", "name": "Cell", "colour": 1}])
def test_wrong_templates_are_named(own, template):
    with pytest.raises(ValueError, match=r"template is .* expected \{.file.: ..., .name.: ...\}"):
        read_own_cell(own(template=template), trust=True)


def test_rounds_beyond_the_last_seed_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there are 1 to 99"):
        CURRICULA["point"].stages(tmp_path, range(1, 101))
    assert not any(tmp_path.iterdir())


def test_every_curriculum_can_be_drawn_and_its_parts_share_no_seed(monkeypatch, tmp_path):
    seeds = []

    def noted(simulator, n, seed, *_, **__):
        seeds.append(seed)
        return Campaign.__new__(Campaign)

    monkeypatch.setattr(curricula, "run_campaign", noted)
    for name, curriculum in CURRICULA.items():
        seeds.clear()
        for part in (*range(1, curriculum.rounds + 1), curricula.TEST, curricula.VALIDATION):
            curriculum.simulate(tmp_path / name, part)
        assert len(set(seeds)) == len(seeds)
        assert len(seeds) == len(curriculum.regimes) * (curriculum.rounds + 2)
        assert len(curriculum.schedule.shares) == len(curriculum.regimes)
        network = curriculum.build()
        assert network.synapses == len(curriculum.cell.synapses)
