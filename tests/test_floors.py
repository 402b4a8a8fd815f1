"""Floors and rooms: what may import what, held by reading the imports of every module."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("simulators", "surrogates", "inference", "scripts")
"""From the ground up; ``circuitsbi`` hands on names of all and stands beside the scripts."""

ROOMS = (
    "features",
    "recordings",
    "fitting",
    "estimators",
    "evaluation",
    "explaining",
    "groups",
    "reports",
    "workflows",
    "commands",
)
"""Of inference, along the data's way. ``inference.estimate`` lies below all that make estimates."""

CIRCUIT = re.compile(r"\b(brunel|poster|hnn|hnn_core|cortical|L[25][ei])\b", re.IGNORECASE)
OF_ONE_CIRCUIT = {
    f"inference/workflows/{name}.py" for name in ("brunel", "demo", "column", "column_infer", "column_rhythm")
}
HELP_TEXTS = "inference/commands/"


class Import(NamedTuple):
    """One module of ours asks for another; at once, or only when a function of it is called."""

    by: str
    of: str
    at_once: bool

    def __str__(self):
        return f"{self.by} imports {self.of}{'' if self.at_once else ' in a function'}"


def python_files(root):
    named = [root / "circuitsbi.py"] if (root / "circuitsbi.py").is_file() else []
    return named + [p for floor in FLOORS if (root / floor).is_dir() for p in sorted((root / floor).rglob("*.py"))]


def module_name(path, root):
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(root):
    """Every import of one module of ours by another; those for type checkers alone count as in a function."""
    files = {module_name(p, root): p for p in python_files(root)}
    found = set()

    def note(by, name, at_once):
        # Scripts find each other without the name of their folder.
        for candidate in (name, f"scripts.{name}"):
            while candidate and candidate not in files:
                candidate = candidate.rpartition(".")[0]
            if candidate and candidate not in ("scripts", by):
                found.add(Import(by, candidate, at_once))

    def walk(node, by, at_once):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    note(by, alias.name, at_once)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{by} imports relatively"
                for alias in child.names:
                    note(by, f"{child.module}.{alias.name}", at_once)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            walk(child, by, at_once and not typing_only and not function)

    for name, path in files.items():
        walk(ast.parse(path.read_text(encoding="utf-8")), name, at_once=True)
    return found


def floor(module):
    return FLOORS.index(module.partition(".")[0]) if module != "circuitsbi" else len(FLOORS)


def room(module):
    """Place of a module's room in inference; None elsewhere and at its root."""
    floor_name, _, rest = module.partition(".")
    name = rest.partition(".")[0]
    return ROOMS.index(name) if floor_name == "inference" and name in ROOMS else None


def going_up(imports):
    """Imports from a floor or a room above."""
    for one in imports:
        above = floor(one.of) > floor(one.by) and not (one.of == "circuitsbi" and one.by.startswith("scripts"))
        rooms = room(one.by), room(one.of)
        if above or (None not in rooms and rooms[1] > rooms[0]):
            yield str(one)


def circles(imports):
    """Groups of modules that import each other at once, by taking away all that lead to no circle."""
    ahead = defaultdict(set)
    for one in imports:
        if one.at_once:
            ahead[one.by].add(one.of)
    left = set(ahead)
    while dead := {m for m in left if not ahead[m] & left}:
        left -= dead
    while dead := {m for m in left if not any(m in ahead[other] for other in left)}:
        left -= dead
    return left


IMPORTS = imports_of(ROOT)


def test_no_import_goes_up():
    assert sorted(going_up(IMPORTS)) == []


def test_no_import_runs_in_a_circle():
    assert sorted(circles(IMPORTS)) == []


def test_estimates_depend_on_features_alone():
    of = {one.of for one in IMPORTS if one.by == "inference.estimate" and one.of.startswith("inference")}
    assert of <= {m for m in of if room(m) == ROOMS.index("features")}


def test_every_room_has_its_place():
    rooms = {p.name for p in (ROOT / "inference").iterdir() if (p / "__init__.py").is_file()}
    assert rooms == set(ROOMS)


def test_fields_know_no_circuit():
    wrong = [str(o) for o in IMPORTS if o.by.startswith("simulators.fields") and o.of.startswith("simulators.brunel")]
    assert wrong == []


def naming_one_circuit(root):
    """Files of inference that name a circuit where nothing should. Texts for users of the terminal may."""
    for path in sorted((root / "inference").rglob("*")):
        if path.suffix not in (".py", ".jinja"):
            continue
        name, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
        if name.startswith(HELP_TEXTS):
            text = without_strings(text)
        if name not in OF_ONE_CIRCUIT and CIRCUIT.search(text):
            yield name


def without_strings(source):
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.unparse(tree)


def test_general_rooms_name_no_circuit():
    """Exactly those that still do: what has been mended is taken out of the list."""
    assert not set(naming_one_circuit(ROOT))


@pytest.mark.parametrize("module", ["simulators", "circuitsbi", "inference"])
def test_importing_the_packages_loads_nothing_heavy(module):
    code = (
        f"import sys, {module}\n"
        "print([n for n in ('nest', 'neuron', 'torch', 'LFPy', 'hnn_core', 'sbi', 'matplotlib') if n in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert printed.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("files", "up", "round_about"),
    [
        ({"simulators/a.py": "from surrogates import b", "surrogates/b.py": ""}, 1, set()),
        ({"simulators/a.py": "def f():\n    import surrogates.b", "surrogates/b.py": ""}, 1, set()),
        ({"surrogates/b.py": "import simulators.a", "simulators/a.py": ""}, 0, set()),
        ({"inference/features/a.py": "import inference.commands.b", "inference/commands/b.py": ""}, 1, set()),
        ({"inference/commands/b.py": "import inference.features.a", "inference/features/a.py": ""}, 0, set()),
        (
            {"simulators/a.py": "import simulators.b", "simulators/b.py": "import simulators.a"},
            0,
            {"simulators.a", "simulators.b"},
        ),
        ({"simulators/a.py": "import simulators.b", "simulators/b.py": "def f():\n    import simulators.a"}, 0, set()),
    ],
)
def test_what_is_forbidden_is_found(tmp_path, files, up, round_about):
    """The negative control: small houses with one mistake each, and their likes without."""
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (path.parent / "__init__.py").touch()
        (tmp_path / name.partition("/")[0] / "__init__.py").touch()
    imports = imports_of(tmp_path)
    assert len(list(going_up(imports))) == up
    assert circles(imports) == round_about


def test_a_circuit_named_in_a_general_room_is_found(tmp_path):
    for name, text in {
        "inference/reports/page.jinja": "<p>the Brunel network</p>",
        "inference/commands/a.py": 'HELP = "such as brunel"',
        "inference/commands/b.py": "import simulators.brunel",
        "inference/features/c.py": "# any circuit",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert list(naming_one_circuit(tmp_path)) == ["inference/commands/b.py", "inference/reports/page.jinja"]
