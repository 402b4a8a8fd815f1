"""What README and docs/ show: code runs, commands parse, links lead somewhere; examples in docstrings hold."""

import argparse
import ast
import contextlib
import doctest
import importlib
import io
import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from inference.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
MOST_BYTES = 8000
CLOSE = 0.02  # of a shown number: another machine rounds differently

FENCE = re.compile(r"(?:^<!-- (?P<mark>.*?) -->\n)?^```(?P<kind>\w*).*?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")


def name_of(page):
    return str(page.relative_to(ROOT))


def fences(page, kind):
    """The blocks of one kind of a page, each with what a comment right above it says."""
    return [f for f in FENCE.finditer(page.read_text(encoding="utf-8")) if f["kind"] == kind]


def with_python(slow):
    """Pages whose code is run, with or without what is marked as slow; the gallery's by ``test_gallery``."""
    for page in (p for p in PAGES if p.parent.name != "gallery"):
        marks = [f["mark"] == "slow" for f in fences(page, "python")]
        if marks and (any(marks) if slow else not all(marks)):
            yield pytest.param(page, id=name_of(page))


def run_page(page, slow):
    """Run a page's blocks in their order, as one session; a block below that is marked as output is what it prints."""
    names: dict = {"__name__": "page"}
    printed = ""
    for block in FENCE.finditer(page.read_text(encoding="utf-8")):
        if block["kind"] == "python" and block["mark"] != "not run" and (slow or block["mark"] != "slow"):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(block["body"], f"{name_of(page)}: {block['body'][:60]!r}", "exec"), names)
            printed = out.getvalue()
        elif block["mark"] == "output":
            yield block["body"], printed


def assert_same_output(shown, printed):
    """The same words and layout, and numbers up to what machines differ by."""
    assert NUMBER.sub("#", shown) == NUMBER.sub("#", printed), f"shown:\n{shown}\nprinted:\n{printed}"
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (shown, printed)]
    np.testing.assert_allclose(*numbers, rtol=CLOSE)


@pytest.mark.parametrize("page", with_python(slow=False))
def test_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for shown, printed in run_page(page, slow=False):
        assert_same_output(shown, printed)


@pytest.mark.slow
@pytest.mark.parametrize("page", with_python(slow=True))
def test_slow_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for shown, printed in run_page(page, slow=True):
        assert_same_output(shown, printed)


def shown_commands(page):
    """Every command line of a page, from its blocks and from within its sentences."""
    text = page.read_text(encoding="utf-8")
    lines = [line for f in fences(page, "sh") for line in re.sub(r"\\\n\s*", "", f["body"]).splitlines()]
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", FENCE.sub("", text))
    for line in [*lines, *inline]:
        words = shlex.split(line, comments=True) if line.count("'") % 2 == 0 else line.split()
        yield line, words


COMMANDS = [
    pytest.param(line, words[1:], id=f"{name_of(page)}: {' '.join(words)}"[:90])
    for page in PAGES
    for line, words in shown_commands(page)
    if words[:1] == ["circuitsbi"] and len(words) > 1
]
SCRIPTS = [
    pytest.param(line, words[1:], id=f"{name_of(page)}: {' '.join(words[1:])}"[:90])
    for page in PAGES
    for line, words in shown_commands(page)
    if words[:1] == ["python"] and len(words) > 1 and words[1].startswith("scripts/")
]


def parse(words):
    """Parse a line of the command without running it. Raises an error for what it would refuse."""
    command, context, rest = typer.main.get_command(app), None, list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        context = command.context_class(command, parent=context)
        if rest[0] not in command.commands:
            raise ValueError(f"there is no command '{rest[0]}'")
        command = command.commands[rest.pop(0)]
    if not hasattr(command, "commands"):
        return command.make_context(command.name, rest, parent=context).params
    unknown = set(rest) - {option for p in command.params for option in p.opts} - {"--help"}
    if unknown:
        raise ValueError(f"No such option: {', '.join(unknown)}")
    return {}


def only_named(words):
    """Whether a sentence names a command, without what it needs to run."""
    return len(words) <= 2


@pytest.mark.parametrize(("line", "words"), COMMANDS)
def test_commands_parse(line, words):
    try:
        parsed = parse(words)
    except Exception as error:
        if type(error).__name__ == "MissingParameter" and only_named(words):
            return
        raise AssertionError(f"{line}: {error}") from error
    if words[0] == "simulate":
        assert parsed["simulator"], f"{line}: says nothing that simulates"


class Parsed(Exception):
    """A script's arguments are understood."""


@pytest.mark.parametrize(("line", "words"), SCRIPTS)
def test_scripts_have_the_options_shown(line, words, monkeypatch):
    path, *options = words
    assert (ROOT / path).is_file(), line
    understand = argparse.ArgumentParser.parse_args

    def and_stop(self, *args, **kwargs):
        understand(self, *args, **kwargs)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", and_stop)
    monkeypatch.setattr(sys, "argv", [path, *options])
    monkeypatch.syspath_prepend(ROOT / "scripts")
    with pytest.raises(Parsed):
        runpy.run_path(str(ROOT / path), run_name="__main__")


def known_options():
    """Every option of a command or script, and those of pip and pytest that the pages show."""

    def of(command):
        for parameter in command.params:
            yield from (*parameter.opts, *parameter.secondary_opts)
        for inner in getattr(command, "commands", {}).values():
            yield from of(inner)

    texts = [p.read_text(encoding="utf-8") for p in (ROOT / "scripts").glob("*.py")]
    return {*of(typer.main.get_command(app)), *re.findall(r'add_argument\(\s*"(--[\w-]+)"', "".join(texts)), "--help"}


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=name_of)  # it names former ones
def test_options_named_in_sentences_exist(page):
    named = {words[0] for _, words in shown_commands(page) if words and re.fullmatch(r"--[\w-]+", words[0])}
    assert named <= known_options()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_pictures_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", h.lower())).strip("-") for h in headings]
            assert anchor in slugs, target


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) < MOST_BYTES


def doctests():
    """Every docstring with an example, read rather than imported: wrapped functions hide theirs."""
    parser = doctest.DocTestParser()
    for path in [
        ROOT / "circuitsbi.py",
        *(p for d in ("simulators", "surrogates", "inference") for p in (ROOT / d).rglob("*.py")),
    ]:
        source = path.read_text(encoding="utf-8")
        if ">>>" not in source:
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node)
                if text and ">>>" in text:
                    name = f"{module}.{getattr(node, 'name', '')}"
                    line = getattr(node, "lineno", 1)
                    yield pytest.param(module, parser.get_doctest(text, {}, name, str(path), line), id=name)


@pytest.mark.parametrize(("module", "examples"), doctests())
def test_examples_in_docstrings_hold(module, examples):
    examples.globs.update(vars(importlib.import_module(module)))
    failures = io.StringIO()
    result = doctest.DocTestRunner().run(examples, out=failures.write)
    assert not result.failed, failures.getvalue()


NEGATIVE = [
    (["infer", "x.npz", "--nosuch"], "No such option"),
    (["simulate", "--network", "brunel"], "No such option"),
    (["nosuch"], "there is no command"),
    (["train"], "out"),
]


@pytest.mark.parametrize(("words", "said"), NEGATIVE)
def test_what_the_command_refuses_does_not_parse(words, said):
    """The negative control of the tests above."""
    with pytest.raises(Exception, match=said):
        parse(words)


def test_other_output_is_told_apart():
    assert_same_output("J = 0.148  [0.143, 0.153]\n", "J = 0.149  [0.143, 0.153]\n")
    for printed in ("J = 0.160  [0.143, 0.153]\n", "g = 0.148  [0.143, 0.153]\n", ""):
        with pytest.raises(AssertionError):
            assert_same_output("J = 0.148  [0.143, 0.153]\n", printed)
