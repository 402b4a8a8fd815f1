"""Whether a file can be written, asked before the work for it is done."""

import os
from pathlib import Path


def refuse_unwritable(path: Path) -> None:
    """Raises ValueError where no file can be written."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to write {path.name} to")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"{path} may not be written; name another file")
