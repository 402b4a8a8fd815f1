"""A plain function as a simulator: what the decorator takes and refuses, and what makes two models the same."""

import sys

import numpy as np
import pytest

from circuitsbi import simulator
from simulators.campaigns.run import run_campaign
from simulators.campaigns.store import CampaignError
from simulators.fingerprint import code_fingerprint
from simulators.interface import Parameter, ParameterSpace, Simulator
from simulators.provenance import describe
from simulators.registry import load_simulator

GOOD = {"parameters": {"sd": (0.5, 2.0)}, "sampling_rate": 1000.0, "unit": "mV", "channels": ("V",)}


def noise(sd, rng):
    return rng.normal(0, sd, (1, 300))


def returning(values):
    """A simulator that returns this, whatever it is asked."""
    return simulator(**GOOD)(lambda sd, rng: values)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ((0.5, 2), Parameter("sd", "1", 0.5, 2.0)),
        ((0.5, 2, "mV"), Parameter("sd", "mV", 0.5, 2.0)),
        ([0.5, 2.0, "mV", "how wild"], Parameter("sd", "mV", 0.5, 2.0, "how wild")),
    ],
)
def test_a_parameter_is_its_range_and_perhaps_unit_and_meaning(given, made):
    assert simulator(**{**GOOD, "parameters": {"sd": given}})(noise).parameters == ParameterSpace((made,))


def test_a_decorated_function_is_a_simulator_and_a_function_still():
    made = simulator(**GOOD, transient_ms=100.0)(noise)
    assert isinstance(made, Simulator)
    recording = made.simulate([1.0], np.random.default_rng(1))
    np.testing.assert_array_equal(recording.values, noise(1.0, np.random.default_rng(1)))
    np.testing.assert_array_equal(made(1.0, np.random.default_rng(1)), recording.values)
    assert (recording.unit, recording.channels, recording.sampling_rate, recording.transient) == (
        "mV",
        ("V",),
        1000.0,
        100,
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"parameters": {"sd": (1.0,)}}, r"parameter sd is \(1.0,\); expected \(low, high\)"),
        ({"parameters": {"sd": "ab"}}, "parameter sd is 'ab'"),
        ({"parameters": {"sd": 3.0}}, "parameter sd is 3.0"),
        ({"parameters": {"sd": (2.0, 1.0)}}, r"range 2.0 \.\.\. 1.0 is not an interval"),
        ({"parameters": {}}, "needs parameters"),
        ({"parameters": {"other": (0.0, 1.0)}}, r"noise\(sd, rng\) cannot be called as noise\(other, rng\)"),
        ({"parameters": {"sd": (0.5, 2.0), "more": (0.0, 1.0)}}, "unexpected keyword argument 'more'"),
        ({"channels": "V"}, r"channels is 'V'; give a name a channel, such as channels=\('V',\)"),
        ({"sampling_rate": 0.0}, "rate must be positive"),
        ({"sampling_rate": float("inf")}, "rate must be positive"),
        ({"transient_ms": -1.0}, "transient not negative"),
    ],
)
def test_what_the_decorator_cannot_take_is_refused_at_once(changed, said):
    with pytest.raises(ValueError, match=said):
        simulator(**{**GOOD, **changed})(noise)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.ones((300, 1)), r"returned shape \(300, 1\); expected 1 channels \(V\) x samples; transpose it"),
        (np.ones((2, 300)), r"returned shape \(2, 300\); expected 1 channels \(V\) x samples$"),
        (np.ones((1, 2, 3)), r"shape \(1, 2, 3\); expected numbers, channels x samples"),
        (np.float64(3.0), r"shape \(\)"),
        (None, "returned object"),
        (["a", "b"], "expected numbers"),
        (np.ones((1, 300)) * 1j, "returned complex128"),
    ],
)
def test_what_is_no_channels_by_samples_is_refused_with_its_shape(values, said, rng):
    with pytest.raises(ValueError, match=said):
        returning(values).simulate([1.0], rng)


@pytest.mark.parametrize("values", [np.arange(300), list(range(300)), np.arange(300.0)[None]])
def test_one_channel_may_have_one_dimension(values, rng):
    np.testing.assert_array_equal(returning(values).simulate([1.0], rng).values, np.arange(300)[None])


@pytest.mark.parametrize("bad", [[0.1], [np.nan], [1.0, 1.0]])
def test_a_theta_outside_is_refused_before_the_function_is_called(bad, rng):
    with pytest.raises(ValueError, match="sd"):
        returning(None).simulate(bad, rng)


# --- what makes two models the same ---

MODEL = '''
"""A model."""
import numpy as np
from circuitsbi import simulator
from beside import scale
SIZE = 3.0
TABLE = {"a": [1.0, 2.0]}

def gain(x):
    """Doc."""
    return SIZE * x  # comment

def unused(x):
    return x

@simulator(parameters={"sd": (0.5, 2.0)}, sampling_rate=1000.0, unit="mV", channels=("V",))
def model(sd, rng, extra=1.0):
    """Doc."""
    inner = lambda x: scale(gain(x)) + TABLE["a"][0] + extra
    return rng.normal(0, inner(sd), (1, 300))
'''
CLASS = """
from dataclasses import dataclass
import numpy as np
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
SIZE = 3.0

@dataclass(frozen=True)
class model:
    parameters: ParameterSpace = ParameterSpace((Parameter("sd", "1", 0.5, 2.0),))
    samples: int = 300

    @property
    def size(self):
        return SIZE

    def simulate(self, theta, rng):
        (sd,) = self.parameters.check(theta)
        return Recording(rng.normal(0, self.size * sd, (1, self.samples)), 1000.0, "mV", ("V",))
"""
HELPER = "FACTOR = 2.0\ndef scale(x):\n    return FACTOR * x\n"


@pytest.fixture
def own_model(tmp_path, monkeypatch):
    """Writes own_model.py and beside.py, with some text replaced, into a new folder, and loads own_model.py:model."""
    folders = iter(range(100))

    def load(model=MODEL, old="", new="", old_beside="", new_beside=""):
        assert old in model
        assert old_beside in HELPER
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        (folder / "own_model.py").write_text(model.replace(old, new, 1))
        (folder / "beside.py").write_text(HELPER.replace(old_beside, new_beside, 1))
        monkeypatch.setattr(sys, "path", [p for p in sys.path if not p.startswith(str(tmp_path))])
        for name in ("own_model", "beside"):
            sys.modules.pop(name, None)
        return load_simulator(f"{folder}/own_model.py:model")

    yield load
    for name in ("own_model", "beside"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("model", "old", "new"),
    [
        (MODEL, "# comment", "# another comment"),
        (MODEL, '"""Doc."""', '"""Another word."""'),
        (MODEL, "    return SIZE * x", "    return (SIZE *\n        x)"),
        (MODEL, "def unused(x):\n    return x", "def unused(x):\n    return -x"),
        (CLASS, "    def simulate", "    # a comment\n    def simulate"),
    ],
)
def test_comments_layout_and_what_is_not_used_make_no_difference(own_model, model, old, new):
    assert describe(own_model(model)) == describe(own_model(model, old, new))


@pytest.mark.parametrize(
    ("model", "old", "new"),
    [
        (MODEL, "SIZE = 3.0", "SIZE = 4.0"),
        (MODEL, "return SIZE * x", "return SIZE + x"),
        (MODEL, "[1.0, 2.0]", "[1.5, 2.0]"),
        (MODEL, "extra=1.0", "extra=1.5"),
        (MODEL, "(0.5, 2.0)", "(0.5, 3.0)"),
        (MODEL, "sampling_rate=1000.0", "sampling_rate=500.0"),
        (MODEL, '("V",)', '("W",)'),
        (CLASS, "SIZE = 3.0", "SIZE = 4.0"),
        (CLASS, "self.size * sd", "self.size + sd"),
        (CLASS, "samples: int = 300", "samples: int = 400"),
    ],
)
def test_a_changed_constant_helper_or_option_does(own_model, model, old, new):
    assert describe(own_model(model)) != describe(own_model(model, old, new))


@pytest.mark.parametrize(("old", "new"), [("FACTOR = 2.0", "FACTOR = 3.0"), ("FACTOR * x", "FACTOR + x")])
def test_so_does_what_it_uses_of_the_file_beside(own_model, old, new):
    assert describe(own_model()) != describe(own_model(old_beside=old, new_beside=new))


@pytest.mark.parametrize(("model", "old", "new"), [(MODEL, "SIZE = 3", "SIZE = 4"), (CLASS, "SIZE = 3", "SIZE = 4")])
def test_two_models_of_one_name_are_never_mixed_in_a_campaign(own_model, tmp_path, model, old, new):
    run_campaign(own_model(model), 2, 1, tmp_path / "c.zarr", progress=False)
    with pytest.raises(CampaignError, match=r"another simulator:\n  simulator.code: there"):
        run_campaign(own_model(model, old, new), 2, 1, tmp_path / "c.zarr", progress=False)


def test_a_dataclass_of_ours_is_told_by_its_class_module_and_the_version():
    assert set(describe(ParameterSpace((Parameter("a", "1", 0.0, 1.0),)))) == {"class", "module", "parameters"}


def test_functions_around_values_differ_by_these():
    def around(value):
        return lambda: value

    assert code_fingerprint(around(1)) == code_fingerprint(around(1)) != code_fingerprint(around(2))
