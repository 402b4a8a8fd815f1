"""What the commands write on the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

# Names of files and channels may hold square brackets: nothing in a text is taken for markup.
console = Console(markup=False)
_errors = Console(stderr=True, markup=False)


def warn(about: str, text: str) -> None:
    """One line on the terminal: what is doubtful, and why."""
    console.print(Text.assemble((f"{about}:", "bold yellow"), f" {text}"))


def refuse_unwritable(*paths: Path | None, picture: bool = False) -> None:
    """Raises ValueError where a file cannot be written, before all the work for it is done. None: none is wanted."""
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name a file in it")
        if not path.parent.is_dir():
            raise ValueError(f"there is no folder {path.parent} to write {path.name} to")
        if picture:
            from matplotlib.backend_bases import FigureCanvasBase

            kinds = FigureCanvasBase.get_supported_filetypes()
            if path.suffix.lower().lstrip(".") not in kinds:
                raise ValueError(f"{path} does not end in a kind of picture: {', '.join(sorted(kinds))}")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Errors a user can mend are one message and exit status 2, without a traceback."""
    from simulators.campaign_store import CampaignError

    try:
        yield
    except (ValueError, CampaignError, ImportError, OSError) as error:
        _errors.print(Text.assemble(("error:", "bold red"), f" {error}"), soft_wrap=True, highlight=False)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        console.print("stopped; what was finished is kept")
        raise typer.Exit(130) from None
