"""Where files go: the cache of what is costly to compute, and whether a file can be written before the work for it."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder that CIRCUITSBI_CACHE names, or one in the user's own cache; it need not exist yet."""
    return Path(os.environ.get("CIRCUITSBI_CACHE") or Path.home() / ".cache" / "circuitsbi")


def refuse_unwritable(path: Path) -> None:
    """Raises ValueError where no file can be written."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to write {path.name} to")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"{path} may not be written; name another file")
