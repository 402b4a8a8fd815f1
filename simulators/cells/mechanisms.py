"""Channels and synapses written in NMODL: compiled on first use, kept, and loaded into NEURON once a process."""

import hashlib
import io
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from simulators.files import cache_folder

_OWN = Path(__file__).parent / "mod"
_SOURCES = (".mod", ".inc", ".h", ".hpp")
_LAST_LINES = 12  # of a compiler's message
_PROGRESS = re.compile(r"\s*([-=]> |Translating |Thread Safe|make: \*\*\* Waiting)")
_NO_CODE = re.compile(r"\bCOMMENT\b.*?\bENDCOMMENT\b|\bVERBATIM\b.*?\bENDVERBATIM\b|[:?][^\n]*", re.DOTALL)


class _Library(NamedTuple):
    path: Path
    names: tuple[str, ...]


_loaded: dict[str, _Library] = {}


def load_own() -> None:
    """Load the mechanisms of this package: NMDASyn and kdrshift."""
    load_mechanisms(_OWN)


def load_mechanisms(folder: str | os.PathLike) -> tuple[str, ...]:
    """Compile the .mod files of a folder, unless that was done before, and load them. Returns their mechanisms' names.

    The compiled library is kept in the folder that the environment variable CIRCUITSBI_CACHE names, else in
    ~/.cache/circuitsbi. NMODL files are programs: what they say runs with all rights of the user, VERBATIM blocks are
    plain C. So a folder is only ever compiled that a user's own configuration names; name none that you do not trust.

    Raises ValueError where there is no such folder or no .mod file in it, no compiler, a file that does not compile,
    or a mechanism of a name that NEURON has already.
    """
    sources = read_sources(folder)
    key = _digest(sources)
    if key not in _loaded:
        path = cache_folder() / f"mechanisms_{key[:32]}{'.dylib' if sys.platform == 'darwin' else '.so'}"
        names = _names(sources, folder)
        _check_free(names, folder)
        if not path.is_file():
            _compile(sources, path, folder)
        _load(path, folder)
        _loaded[key] = _Library(path, names)
    return _loaded[key].names


def loaded_libraries() -> tuple[Path, ...]:
    """What has been loaded into this process, in its order, for another one that is to know the same mechanisms."""
    return tuple(library.path for library in _loaded.values())


def read_sources(folder: str | os.PathLike) -> dict[str, bytes]:
    """Content of the files of a folder that its mechanisms are made of, by name. Raises ValueError as above."""
    if not Path(folder).is_dir():
        raise ValueError(f"mechanisms: there is no folder {folder}; give the one that holds the .mod files")
    paths = sorted(p for p in Path(folder).iterdir() if p.suffix in _SOURCES and p.is_file())
    stems = [p.stem for p in paths if p.suffix == ".mod"]
    if not stems:
        raise ValueError(f"mechanisms: no .mod file in {folder}; give the folder that holds them itself")
    for stem in stems:
        # The name becomes that of a function in C, and a word in a makefile.
        if not re.fullmatch(r"[A-Za-z0-9_]+", stem):
            raise ValueError(f"mechanisms: rename {stem}.mod in {folder}; letters, digits and _ alone can be compiled")
    return {p.name: p.read_bytes() for p in paths}


def _digest(sources: dict[str, bytes]) -> str:
    """SHA-256 of everything that a compiled library depends on."""
    recipe = {name: hashlib.sha256(content).hexdigest() for name, content in sources.items()}
    recipe |= {"NEURON": version("neuron"), "platform": f"{sys.platform} {platform.machine()}"}
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def _names(sources: dict[str, bytes], folder: str | os.PathLike) -> tuple[str, ...]:
    """Names of the mechanisms that the files define; a file of functions alone defines none."""
    found: dict[str, str] = {}
    for file, content in sources.items():
        if not file.endswith(".mod"):
            continue
        text = _NO_CODE.sub(" ", content.decode("latin-1"))
        block = re.search(r"\bNEURON\s*\{([^}]*)\}", text)
        kind = re.search(r"\b(?:SUFFIX|POINT_PROCESS|ARTIFICIAL_CELL)\s+(\w+)", block.group(1) if block else "")
        name = kind.group(1) if kind else file.removesuffix(".mod")
        if name in found:
            raise ValueError(f"mechanisms: {found[name]} and {file} in {folder} both define {name}; keep one of them")
        if name != "nothing":
            found[name] = file
    return tuple(found)


def _check_free(names: tuple[str, ...], folder: str | os.PathLike) -> None:
    """A second mechanism of the same name can end the whole process inside NEURON, so it is refused before."""
    from neuron import h

    taken = [name for name in names if hasattr(h, name)]
    if taken:
        raise ValueError(
            f"mechanisms: {folder} defines {', '.join(taken)}, a name that NEURON already has here (its own, that of "
            f"an earlier version, or of another model such as hnn-core's); use a fresh Python process, or rename it"
        )


def _compile(sources: dict[str, bytes], library: Path, folder: str | os.PathLike) -> None:
    """The library appears in one step, so that processes that compile it at once do not see each other's halves."""
    command = _compiler()
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent, prefix="mechanisms_") as work:
            for name, content in sources.items():
                (Path(work) / name).write_bytes(content)
            done = subprocess.run(
                [command], cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
            )
            built = next(Path(work).glob("*/libnrnmech.*"), None)
            if done.returncode or built is None:
                raise ValueError(_complaint(done.stdout, sources, folder))
            os.replace(built, library)
    except OSError as error:
        raise ValueError(
            f"mechanisms: nothing can be compiled in {library.parent} ({error}); set CIRCUITSBI_CACHE to a folder that "
            f"can be written"
        ) from error


def _compiler() -> str:
    """The nrnivmodl of this Python. Raises ValueError naming what it lacks."""
    # The wheel's nrnivmodl fails without perl, although it has no need of it.
    tools = ["make", "perl"]
    tools += [shlex.split(os.environ.get(name) or sysconfig.get_config_var(name) or "cc")[0] for name in ("CC", "CXX")]
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise ValueError(
            f"mechanisms: compiling .mod files needs {', '.join(missing)}, not to be found on this machine's PATH; "
            f"install a C compiler, make and perl (Debian: apt install build-essential perl)"
        )
    for place in (Path(sys.executable).parent, sysconfig.get_path("scripts")):
        if (command := Path(place) / "nrnivmodl").is_file():
            return str(command)
    raise ValueError(
        f"mechanisms: NEURON's nrnivmodl is not beside {sys.executable}; install NEURON there: pip install neuron"
    )


def _complaint(output: str, sources: dict[str, bytes], folder: str | os.PathLike) -> str:
    """What a compiler said, without the traceback of the script that called it; and the file that it was about."""
    said = re.sub(r"\x1b\[\d*m", "", output.split("Traceback (most recent call last)")[0]) or output
    stems = re.findall(r"\*\*\* \[[^\]]*?(\w+)\.(?:c|cpp|o)\] Error", said)
    files = [f"{stem}.mod" for stem in stems if f"{stem}.mod" in sources]
    lines = [line for line in said.splitlines() if line.strip() and not _PROGRESS.match(line)][-_LAST_LINES:]
    return f"mechanisms: {files[0] if files else 'a file'} in {folder} does not compile:\n" + "\n".join(lines)


def _load(library: Path, folder: str | os.PathLike) -> None:
    from neuron import h

    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            done = h.nrn_load_dll(str(library))
    except RuntimeError:
        done = 0
    if not done:
        raise ValueError(
            f"mechanisms: NEURON cannot load those of {folder}: {said.getvalue().strip()}; use a fresh Python process, "
            f"and if that does not help delete {library}"
        )
