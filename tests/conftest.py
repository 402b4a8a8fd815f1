"""What all tests share: one thread a process, types and shapes checked at every call, and a fixed random generator."""

import json
import os
import re
from pathlib import Path

# Before the worker processes of pytest-xdist start, which inherit it: they would fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import numpy as np
import pytest
from jaxtyping import install_import_hook

ROOT = Path(__file__).parents[1]
PACKAGES = ("simulators", "surrogates", "inference")
# An int may stand for a float, as in every type checker; Self cannot be checked in methods decorated one by one.
CHECKER = (
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True,"
    " hint_overrides=beartype.FrozenDict({beartype.typing.Self: object})))"
)


def modules_to_check():
    """Every module but those with compiled kernels: numba cannot compile a function that has been wrapped."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            compiled = re.search(r"^\s*(import|from) numba\b", path.read_text(encoding="utf-8"), re.MULTILINE)
            if path.name != "__init__.py" and not compiled:
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


install_import_hook(list(modules_to_check()), CHECKER)

hypothesis.settings.register_profile("reproducible", derandomize=True, deadline=None)
hypothesis.settings.load_profile("reproducible")


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers in every run and every test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory):
    """A cache that is empty at the start, shared by one module's tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITSBI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def few_slabs(monkeypatch):
    """Cheaper kernels, for questions that their accuracy does not touch."""
    from simulators.fields import kernels as kernels_module

    monkeypatch.setattr(kernels_module, "_DEPTH_SLABS", 2)


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
