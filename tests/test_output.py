"""What reaches a terminal or a page: nothing that they would obey, and errors in plain words."""

import io

import pytest
import typer
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from inference.cli import app
from inference.commands import output
from inference.commands.output import SafeConsole, plain_errors
from inference.reports.html import rendered

STRANGE = "Cz\x1b[2J\x9b31m\u202e[bold]"
SHOWN = r"Cz\x1b[2J\x9b31m\u202e[bold]"


@pytest.fixture
def console(monkeypatch):
    """A terminal's, whose colours are escape sequences of our own."""
    console = SafeConsole()
    console.file = io.StringIO()
    console.width = 200
    monkeypatch.setattr(output, "console", console)
    monkeypatch.setattr(output, "_errors", console)
    return console


def table():
    out = Table(STRANGE)
    out.add_row(Text(STRANGE, "bold"))
    return out


@pytest.mark.parametrize("thing", [STRANGE, Text(f"a\n{STRANGE}"), table()], ids=["text", "styled", "table"])
def test_a_terminal_shows_what_it_would_obey(console, thing):
    console.print(thing)
    said = console.file.getvalue()
    assert SHOWN[:10] in said  # a table cuts what it took for shorter
    assert isinstance(thing, Table) or SHOWN in said
    assert not set("\x1b\x9b\u202e") & set(said)
    assert not isinstance(thing, Text) or said.startswith("a\n")


def test_warnings_and_errors_are_shown_too(console):
    output.warn("recording", STRANGE)
    with pytest.raises(typer.Exit), plain_errors():
        raise ValueError(f"channel {STRANGE}\nnever changes")
    said = console.file.getvalue()
    assert said.count(SHOWN) == 2
    assert "\x1b" not in said
    assert "\nnever changes" in said


def test_our_own_colours_reach_a_terminal():
    console = SafeConsole()
    console.file, console._force_terminal = io.StringIO(), True
    console._color_system = console._color_system or 3
    console.print(Text("bold", "bold"), STRANGE, highlight=False)
    assert console.file.getvalue() == f"\x1b[1mbold\x1b[0m {SHOWN}\n"


def test_a_page_shows_what_a_terminal_would_obey():
    page = rendered("page.html.jinja", title=STRANGE, **dict.fromkeys(("sections", "notes", "provenance"), ()))
    assert SHOWN.replace("[bold]", "") in page
    assert not set("\x1b\x9b\u202e") & set(page)


def test_where_nothing_can_be_written_is_said_in_words(tmp_path):
    counts = tmp_path / "c.npz"
    found = CliRunner().invoke(
        app,
        [
            "observe",
            str(counts),
            "--simulator",
            "brunel",
            "--at",
            "J=0.2,g=5",
            "--out",
            str(tmp_path / "no" / "lfp.npz"),
        ],
    )
    assert found.exit_code == 2
    assert "there is no folder" in " ".join(found.output.split())


def test_errors_of_the_system_name_the_file(console):
    with pytest.raises(typer.Exit), plain_errors():
        open("/no/such/folder/x", "w")  # noqa: SIM115
    said = console.file.getvalue()
    assert "/no/such/folder/x can be neither read nor written (No such file or directory); name another" in said
    assert "Errno" not in said
