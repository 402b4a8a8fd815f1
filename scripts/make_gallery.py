"""Run the examples of docs/gallery and write their figures and what they print.

    python scripts/make_gallery.py                     all of them (some minutes each at most)
    python scripts/make_gallery.py rett_map a_study    some
    python scripts/make_gallery.py --short             the short form, as tests run it; nothing is written

A page's blocks run in their order, in an empty folder: Python in one session, a block with a title becomes a file of
that name, and lines of a shell block run the ``circuitsbi`` command. A block marked as output is what the block above
it prints ("output in full": in words that the short form need not print). In the short form the last number before a
comment ``# short: 60`` is replaced by that of the comment, so that what is tested is what is shown. A page makes the
figure NAME.png, which stands beside it.

The last line is one JSON object: seconds by page.
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "docs" / "gallery"
MOST_BYTES = 80_000  # of a figure

BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[\w ]+) -->\n)?^```(?P<kind>\w+)(?P<rest>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
SHORT = re.compile(
    r"^(?P<before>.*[^\w.])(?P<number>\d[\d_]*(?:\.\d+)?)(?P<after>[^\d#\n]*)# short: (?P<short>\S+)$", re.MULTILINE
)
OUTPUT = "output", "output in full"
TITLE = re.compile(r'title="([^"]+)"')


class Output(NamedTuple):
    """What a page shows, what its code printed, whether in any form, and where in the page it stands."""

    shown: str
    printed: str
    in_any_form: bool
    span: tuple[int, int]


def names() -> list[str]:
    """Of all pages, in the order of the index."""
    index = (GALLERY / "index.md").read_text(encoding="utf-8")
    return list(dict.fromkeys(re.findall(r"\]\((\w+)\.md\)", index)))


def text_of(name: str) -> str:
    """A page as it is written."""
    return (GALLERY / f"{name}.md").read_text(encoding="utf-8")


def shortened(code: str) -> str:
    """The code with its numbers replaced by those of the short form.

    >>> shortened("n = 2000  # short: 60")
    'n = 60'
    """
    return SHORT.sub(lambda m: f"{m['before']}{m['short']}{m['after']}".rstrip(), code)


def run(name: str, folder: Path, short: bool) -> list[Output]:
    """Run a page in a folder, empty before. Raises what its code raises, and ValueError where a command fails."""
    session: dict[str, Any] = {"__name__": "gallery"}
    found, printed = [], ""
    with in_folder(folder):
        for block in BLOCK.finditer(text_of(name)):
            code = shortened(block["body"]) if short else block["body"]
            if block["mark"] in OUTPUT:
                found.append(Output(block["body"], printed, block["mark"] == OUTPUT[0], block.span("body")))
            elif title := TITLE.search(block["rest"]):
                Path(title[1]).write_text(code, encoding="utf-8")
            elif block["kind"] in ("python", "sh"):
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    if block["kind"] == "sh":
                        run_shell(code)
                    else:
                        exec(compile(code, f"{name}.md", "exec"), session)
                printed = out.getvalue().strip("\n") + "\n"
    return found


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """Work in it, with modules from its files, which are forgotten afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        sys.path.remove(str(folder))
        for module in set(sys.modules) - before:
            if str(getattr(sys.modules[module], "__file__", "")).startswith(str(folder)):
                del sys.modules[module]


def run_shell(code: str) -> None:
    """Each line that names the command. Raises ValueError for another line, or one that ends in an error."""
    import typer.main

    from inference.cli import app

    for line in re.sub(r"\\\n\s*", "", code).splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] != "circuitsbi":
            raise ValueError(f"only circuitsbi is run, not '{line}'")
        if typer.main.get_command(app).main(words[1:], "circuitsbi", standalone_mode=False):
            raise ValueError(f"'{line}' ended in an error")


def write_output(name: str, found: list[Output]) -> None:
    """Put what was printed into the page."""
    text = text_of(name)
    for output in reversed(found):
        first, end = output.span
        text = text[:first] + output.printed + text[end:]
    (GALLERY / f"{name}.md").write_text(text, encoding="utf-8")


def keep_figure(made: Path, kept: Path) -> None:
    """As it is, or where that is too large, in a palette of its own colours."""
    from PIL import Image

    if made.stat().st_size <= MOST_BYTES:
        shutil.copyfile(made, kept)
        return
    with Image.open(made) as image:
        palette = image.convert("RGB").quantize(256, kmeans=10, dither=Image.Dither.NONE)
        palette.save(kept, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of pages; all by default")
    parser.add_argument("--short", action="store_true", help="the short form; nothing is written")
    parser.add_argument("--keep", type=Path, help="folder to run in, a folder for each page, instead of a passing one")
    given = parser.parse_args()
    if unknown := set(given.names) - set(names()):
        raise SystemExit(f"there is no page {', '.join(sorted(unknown))}; choose of {', '.join(names())}")
    matplotlib.use("Agg")
    os.environ["COLUMNS"] = "100"  # of the tables that commands print
    seconds = {}
    for name in given.names or names():
        folder = Path(tempfile.mkdtemp()) if given.keep is None else given.keep / name
        folder.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        found = run(name, folder.resolve(), given.short)
        seconds[name] = round(time.perf_counter() - start, 1)
        if not given.short:
            keep_figure(folder / f"{name}.png", GALLERY / f"{name}.png")
            write_output(name, found)
        print(f"{name}: {seconds[name]} s", flush=True)
        if given.keep is None:
            shutil.rmtree(folder)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
