"""Build the wheel as a stranger gets it, and use it where nothing of this folder can be found.

    python scripts/check_wheel.py [--keep FOLDER]

What git knows or would add is copied, made a source distribution and from that a wheel. The wheel is installed into a
fresh environment. To save minutes and gigabytes, the other packages are those of the environment that runs this script;
circuitsbi itself must come from the wheel, which is checked. In an empty folder it then says its version, loads every
module, writes a recording from the campaign that ships, answers for it on the command line, and simulates with a
function in a file. Exits with 1, and says what failed, if any of it does.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

BUILD = "import sys, setuptools.build_meta as b; print(getattr(b, 'build_' + sys.argv[1])(sys.argv[2]))"

NEEDS = """
from importlib.metadata import requires
print(*(wanted for wanted in requires("circuitsbi") if "extra ==" not in wanted), sep="\\n")
"""

LOAD = """
import importlib, pathlib, pkgutil, sys
import circuitsbi, inference, simulators, surrogates

home = pathlib.Path(sys.prefix).resolve()
for package in (simulators, surrogates, inference):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        module = importlib.import_module(found.name)
        assert pathlib.Path(module.__file__).resolve().is_relative_to(home), f"{module.__file__} is not the wheel's"
for name in circuitsbi.__all__:
    getattr(circuitsbi, name)
assert pathlib.Path(circuitsbi.__file__).resolve().is_relative_to(home), circuitsbi.__file__
"""

RECORD = """
import circuitsbi

study, campaign = circuitsbi.brunel_study(), circuitsbi.reference_campaign()
theta, (recording,) = study.recordings(campaign, campaign.usable[-1:])
circuitsbi.write_recording(recording, "recording.npz")
print(dict(zip(study.parameters.names, theta[0].round(3).tolist())))
"""

CIRCUIT = """
import circuitsbi

@circuitsbi.simulator(parameters={"sd": (0.5, 2.0, "mV")}, sampling_rate=1000.0, unit="mV", channels=("V",))
def noise(sd, rng):
    return rng.normal(0, sd, (1, 500))
"""


def run(command: Sequence[str | Path], folder: Path, **variables: str) -> str:
    """What a command prints. Raises SystemExit with all of it where the command fails."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env=kept | variables, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))[:300]}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def copied(folder: Path) -> Path:
    """What git knows of this folder, or would add; nothing that a former build left here."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def built(scratch: Path) -> Path:
    """The wheel, made from the source distribution alone."""
    source = copied(scratch / "source")
    archive = run([sys.executable, "-c", BUILD, "sdist", scratch], source).split()[-1]
    with tarfile.open(scratch / archive) as packed:
        packed.extractall(scratch / "unpacked", filter="data")
    (unpacked,) = (scratch / "unpacked").iterdir()
    wheel = scratch / run([sys.executable, "-c", BUILD, "wheel", scratch], unpacked).split()[-1]
    with zipfile.ZipFile(wheel) as contents:
        tops = {name.partition("/")[0] for name in contents.namelist()}
    strangers = {t for t in tops if not t.endswith(".dist-info")} - {
        "circuitsbi.py",
        "simulators",
        "surrogates",
        "inference",
    }
    if strangers:
        raise SystemExit(f"{wheel.name} holds what is no part of the package: {', '.join(sorted(strangers))}")
    return wheel


def environment(scratch: Path, wheel: Path) -> Path:
    """The folder of commands of a fresh environment with the wheel, and with this environment's other packages."""
    home = scratch / "environment"
    run([sys.executable, "-m", "venv", "--without-pip", home], scratch)
    python = home / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install"]
    run([*pip, "--no-deps", wheel], scratch)
    where = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], scratch).strip()
    # Links in a .pth are not followed further, so an editable install over there stays unseen.
    Path(where, "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    needs = run([python, "-c", NEEDS], scratch).split("\n")
    run([*pip, "--no-index", "-c", ROOT / "constraints.txt", *filter(None, needs)], scratch)  # all there, or it fails
    return home / "bin"


def use(commands: Path, empty: Path) -> None:
    """What a first user does. Raises SystemExit where it does not work."""
    variables = {"MPLBACKEND": "Agg", "CIRCUITSBI_CACHE": str(empty.parent / "cache")}
    python, circuitsbi = commands / "python", commands / "circuitsbi"
    said = run([circuitsbi, "--version"], empty)
    print(said, end="")
    assert said.startswith("circuitsbi "), said
    run([python, "-c", LOAD], empty, **variables)
    print("every module loads, and is the wheel's")
    print("recording with", run([python, "-c", RECORD], empty, **variables), end="")
    answer = run([circuitsbi, "infer", "recording.npz", "--report", "report.html"], empty, **variables, COLUMNS="120")
    print(answer, end="")
    missing = [name for name in ("J (mV)", "g", "eta") if name not in answer]
    assert not missing, f"no {missing} in:\n{answer}"
    assert (empty / "report.html").stat().st_size > 10_000, "the report is empty"
    assert "PlayedEmulator" in (empty / "report.html").read_text(encoding="utf-8"), "the report has no sliders"
    (empty / "my_model.py").write_text(CIRCUIT, encoding="utf-8")
    simulate = ["simulate", "--simulator", "my_model.py:noise", "--n", "4", "--out", "runs.zarr"]
    print(run([circuitsbi, *simulate], empty, **variables), end="")
    run([circuitsbi, "surrogate", "train", "--help"], empty, **variables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="empty folder for the wheel and the environment, which stay there")
    keep = parser.parse_args().keep
    with tempfile.TemporaryDirectory(prefix="circuitsbi-wheel-") as temporary:
        scratch = Path(temporary) if keep is None else keep.resolve()
        empty = scratch / "empty"
        empty.mkdir(parents=True)
        wheel = built(scratch)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
        use(environment(scratch, wheel), empty)
    print("the wheel works")


if __name__ == "__main__":
    main()
