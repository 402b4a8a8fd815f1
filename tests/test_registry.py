"""Simulators by name: files, modules, entry points, --set, and what a stranger's campaign file may not do."""

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from toy_simulators import NoiseSimulator

from simulators import registry
from simulators.brunel.compiled_network import CompiledBrunel
from simulators.interface import Parameter, ParameterSpace, Simulator
from simulators.provenance import describe
from simulators.registry import announced, as_described, configured, load_simulator, rebuilt

FUNCTION = """
from circuitsbi import simulator
from {beside} import SCALE

@simulator(parameters={{"sd": (0.5, 2.0)}}, sampling_rate=1000.0, unit="mV", channels=("V",))
def model(sd, rng):
    return SCALE * rng.normal(0, sd, (1, 300))

def plain(sd, rng):
    return 0
"""
DATACLASS = """
from dataclasses import dataclass
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from {beside} import SCALE

@dataclass(frozen=True)
class Model:
    parameters: ParameterSpace = ParameterSpace((Parameter("sd", "1", 0.5, 2.0),))
    samples: int = 300

    def simulate(self, theta, rng):
        (sd,) = self.parameters.check(theta)
        return Recording(SCALE * rng.normal(0, sd, (1, self.samples)), 1000.0, "mV", ("V",))

@dataclass(frozen=True)
class Needy(Model):
    samples: int

class NoDataclass:
    parameters = Model().parameters

    def simulate(self, theta, rng):
        return Model().simulate(theta, rng)
""".replace("class Needy(Model):\n    samples: int\n", "class Needy:\n    needed: int\n")


def simulated(simulator, seed=1):
    return simulator.simulate([1.0], np.random.default_rng(seed)).values


@pytest.fixture
def own_file(tmp_path, request, monkeypatch):
    """Writes a file with a file of constants beside it; its name is not used by any other test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = "own_" + "".join(c if c.isalnum() else "_" for c in request.node.name).strip("_").lower()
    (tmp_path / f"{name}_beside.py").write_text("SCALE = 2.0\n")

    def write(content):
        path = tmp_path / f"{name}.py"
        path.write_text(content.format(beside=f"{name}_beside"))
        return path

    return write


# --- files ---


@pytest.mark.parametrize(("content", "name"), [(FUNCTION, "model"), (DATACLASS, "Model")])
def test_what_a_file_defines_can_be_sent_to_a_new_process(own_file, content, name):
    simulator = load_simulator(f"{own_file(content)}:{name}")
    assert isinstance(simulator, Simulator)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(simulated, simulator).result()
    np.testing.assert_array_equal(there, simulated(simulator))


def test_a_file_named_twice_is_run_once(own_file):
    path = own_file(FUNCTION)
    assert load_simulator(f"{path}:model") is load_simulator(f"{path}:model")


@pytest.mark.parametrize("name", ["signal", "test", "numpy", "simulators"])
def test_a_file_with_the_name_of_a_module_is_refused(tmp_path, name):
    (tmp_path / f"{name}.py").write_text(FUNCTION.replace("from {beside} import SCALE", "SCALE = 1"))
    before = sys.modules.get(name)
    with pytest.raises(ValueError, match=rf"a module '{name}' already; give {name}.py another name"):
        load_simulator(f"{tmp_path}/{name}.py:model")
    assert sys.modules.get(name) is before


def test_nothing_beside_the_file_hides_a_library(own_file, tmp_path):
    (tmp_path / "colorsys.py").write_text("raise RuntimeError('hidden')")
    load_simulator(f"{own_file(FUNCTION)}:model")
    import colorsys

    assert Path(colorsys.__file__).parent != tmp_path


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nothing.py:model", "there is no file .*nothing.py"),
        ("nothing", r"no simulator 'nothing'; choose one of beat, brunel.*my_model.py:my_circuit"),
        ("no.such.module:model", "cannot import no.such.module: ModuleNotFoundError"),
        ("simulators.interface:nothing", "simulators.interface has no 'nothing'"),
        ("simulators.interface:LEAST_SIMULATIONS", "is a int, not a simulator"),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused(reference, said):
    with pytest.raises(ValueError, match=said):
        load_simulator(reference)


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (FUNCTION, "other", "has no 'other'; it has model"),
        (FUNCTION, "plain", r"(?s)is a plain function, not a simulator.*@simulator\(.*return values  # channels x sam"),
        ("def f(:\n", "model", "cannot be run: SyntaxError"),
        ("import no_such_library\n", "model", "cannot be run: ModuleNotFoundError: No module named 'no_such_library'"),
        (DATACLASS, "Needy", r"Needy cannot be made without arguments: .*'needed'"),
        (DATACLASS, "NoDataclass", r"class NoDataclass, which is no dataclass.*@dataclass\(frozen=True\)"),
        ("model = 3\n", "model", "is a int, not a simulator"),
    ],
)
def test_a_file_without_the_simulator_is_refused_with_what_to_do(own_file, content, name, said):
    path = own_file(content)
    with pytest.raises(ValueError, match=said):
        load_simulator(f"{path}:{name}")


def test_a_file_that_failed_can_be_mended_and_loaded(own_file):
    path = own_file("raise RuntimeError('not yet')")
    with pytest.raises(ValueError, match="RuntimeError: not yet"):
        load_simulator(f"{path}:model")
    own_file(FUNCTION)
    assert load_simulator(f"{path}:model").parameters.names == ("sd",)


def test_a_function_typed_in_at_a_prompt_simulates_and_says_what_it_is():
    code = (
        "from circuitsbi import simulator\nimport numpy as np, pickle\nfrom simulators.provenance import describe\n"
        "@simulator(parameters={'a': (0.0, 1.0)}, sampling_rate=1e3, unit='mV', channels=('V',))\n"
        "def typed(a, rng):\n    return a + rng.normal(size=300)\n"
        "print(typed.simulate([0.5], np.random.default_rng(0)).values.shape, describe(typed)['class'])\n"
        "try:\n    pickle.dumps(typed)\nexcept TypeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["(1, 300) typed", "typed is in no file, so no other process can run it"]


# --- announced ---


def test_every_announced_simulator_can_be_loaded_and_made_again_from_its_description():
    for name in announced():
        made = load_simulator(name)
        assert rebuilt(json.loads(json.dumps(describe(made)))) == made


def test_the_compiled_network_keeps_what_was_set_when_made_again():
    changed = configured(CompiledBrunel(), {"network.order": 50, "network.duration_ms": 400.0})
    assert changed.network.order == 50
    assert rebuilt(json.loads(json.dumps(describe(changed)))) == changed


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network.nothing": 1}, r"there is no 'network.nothing' to set; BrunelNetwork has order"),
        ({"nothing": 1}, r"CompiledBrunel has network"),
        ({"network.order": "many"}, r"network.order is 2500; 'many' is no int"),
        ({"network.order.deeper": 1}, "int has no fields"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name(changes, said):
    with pytest.raises(ValueError, match=said):
        configured(CompiledBrunel(), changes)


# --- what a campaign's description may do ---


@pytest.mark.parametrize(
    "description",
    [
        {"class": "system", "module": "os", "command": "touch {ran}"},
        {"class": "model", "module": "{file}"},
        {"class": "model", "module": "own_ran"},
        {"class": "Popen", "module": "subprocess", "args": ["touch", "{ran}"]},
        {},
    ],
)
def test_no_code_that_a_description_names_is_run(tmp_path, monkeypatch, description):
    ran = tmp_path / "ran"
    (tmp_path / "own_ran.py").write_text(f"open({str(ran)!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    told = json.loads(
        json.dumps(description).replace("{ran}", str(ran)).replace("{file}", str(tmp_path / "own_ran.py"))
    )
    assert rebuilt(told) is None
    assert not ran.exists()
    assert "own_ran" not in sys.modules


@pytest.mark.parametrize(
    "changed", [{"network": 3}, {"network": {"class": "BrunelNetwork", "order": "many"}}, {"parameters": "J"}]
)
def test_fields_that_do_not_fit_are_refused(changed):
    description = json.loads(json.dumps(describe(CompiledBrunel()))) | changed
    with pytest.raises(ValueError, match="this CompiledBrunel cannot be made again"):
        rebuilt(description)


def test_an_entry_point_of_another_package_is_known_by_its_name(monkeypatch):
    point = EntryPoint("noise", "toy_simulators:NoiseSimulator", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    assert load_simulator("noise") == NoiseSimulator()
    other = NoiseSimulator(samples=50)
    assert rebuilt(json.loads(json.dumps(describe(other)))) == other


def test_a_simulator_gets_the_fields_of_its_campaign():
    told = json.loads(json.dumps(describe(NoiseSimulator(samples=50))))
    assert as_described(NoiseSimulator(), told) == NoiseSimulator(samples=50)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"code": "0"}, "code of NoiseSimulator is not what made it"),
        ({"class": "Other"}, "made by Other, not by Noise"),
    ],
)
def test_another_simulator_than_the_campaigns_is_refused(changed, said):
    told = json.loads(json.dumps(describe(NoiseSimulator()))) | changed
    with pytest.raises(ValueError, match=said):
        as_described(NoiseSimulator(), told)


# --- one test over all that are announced ---


def small(name):
    """An announced simulator, where it can be made small, over a short time."""
    made = load_simulator(name)
    return configured(made, {"network.order": 50}) if name.startswith("brunel") else made


@pytest.mark.parametrize("name", sorted(announced()))
def test_announced_simulators_keep_the_promises_of_all(name):
    simulator = small(name)
    simulator = simulator.lasting(0.2) if hasattr(simulator, "lasting") else simulator
    middle = simulator.parameters.from_unit(np.full(len(simulator.parameters), 0.5))
    first, again, other = (simulator.simulate(middle, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.values, again.values)
    assert (first.values != other.values).any()
    assert first.values.shape[0] == len(first.channels) == len(first.units)
    assert np.isfinite(first.values).all()
    for k, p in enumerate(simulator.parameters):
        for bad in (p.low - 1, p.high + 1, np.nan):
            theta = middle.copy()
            theta[k] = bad
            with pytest.raises(ValueError, match=f"^{p.name} = "):
                simulator.simulate(theta, np.random.default_rng(1))


def test_the_parameters_of_a_space_are_made_again_too():
    space = ParameterSpace((Parameter("J", "mV", 0.1, 0.2), *CompiledBrunel().parameters.parameters[1:]))
    changed = CompiledBrunel(parameters=space)
    assert rebuilt(json.loads(json.dumps(describe(changed)))) == changed
