"""Files that say whether they are whole: chunks that end in their checksum, metadata that hold theirs.

A chunk of one row is written as Zarr's bytes and crc32c codecs write it, so that it can be checked, and read, without
knowing what else there is. Each file is written under another name first: it is there entirely or not at all.
"""

import json
import math
import os
import struct
import uuid
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr

from simulators.campaigns.rows import CampaignError

_MOST_BYTES = 2**24  # of metadata
_MOST_NUMBERS = 2**28  # in a chunk: a recording, or one population of a packed campaign
_SEAL = "checksum"


def write_chunk(path: Path, content: bytes) -> None:
    """Write a chunk and its checksum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, content + struct.pack("<I", google_crc32c.value(content)))


def read_chunk(path: Path) -> bytes | None:
    """The content of a chunk; None where it is damaged or gone."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    body, seal = content[:-4], content[-4:]
    return body if seal == struct.pack("<I", google_crc32c.value(body)) else None


def metadata_of(attributes: dict[str, Any] | None = None, **array: Any) -> dict[str, Any]:
    """Zarr's metadata of an array made with these options, or of a group if there are none."""
    files: dict = {}
    store = zarr.storage.MemoryStore(files)
    if array:
        zarr.create_array(store, attributes=attributes, **array)
    else:
        zarr.create_group(store, attributes=attributes)
    return json.loads(files["zarr.json"].to_bytes())


def write_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    """Write the ``zarr.json`` of an array or group, with the checksum of its content among the attributes."""
    sealed = metadata | {"attributes": metadata["attributes"] | {_SEAL: _checksum(metadata)}}
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / "zarr.json", json.dumps(sealed, indent=2).encode())


def read_metadata(folder: Path) -> tuple[dict[str, Any], bool]:
    """The ``zarr.json`` of an array or group, and whether it holds its checksum (campaigns of format 1 have none).

    Raises CampaignError, naming the file, where it is damaged or gone.
    """
    file = folder / "zarr.json"
    try:
        if (size := file.stat().st_size) > _MOST_BYTES:
            raise ValueError(f"{size} bytes are too many for metadata")
        metadata = json.loads(file.read_bytes())
        if not isinstance(metadata, dict) or not isinstance(metadata.get("attributes"), dict):
            raise ValueError("these are no metadata of Zarr")
        seal = metadata["attributes"].pop(_SEAL, None)
        if seal not in (None, _checksum(metadata)):
            raise ValueError("its checksum is wrong")
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(folder, error) from error
    return metadata, seal is not None


def array_metadata(folder: Path, n: int, sealed: bool) -> dict[str, Any]:
    """Metadata of an array of ``n`` rows or more, of a size that can be. Raises CampaignError naming what is not so."""
    metadata, has_seal = read_metadata(folder)
    try:
        shape, chunk = metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"]
        sizes = [*shape, *chunk]
        if len(shape) != len(chunk) or not all(type(size) is int and size > 0 for size in sizes):
            raise ValueError(f"shape {shape} in chunks of {chunk}")
        if shape[0] < n:
            raise ValueError(f"{shape[0]} rows of {n}")
        if math.prod(chunk) > _MOST_NUMBERS:
            raise ValueError(f"chunks of {chunk} are more than {_MOST_NUMBERS:,} numbers")
        if sealed and not has_seal:
            raise ValueError("its checksum is gone")
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(folder, error) from error
    return metadata


def damaged(folder: Path, error: object) -> CampaignError:
    """What to say of damaged metadata in a folder."""
    remedy = "remove the campaign and simulate anew"
    if folder.name == "values":
        remedy = "remove the folder it is in and run the same command again, which simulates anew"
    return CampaignError(f"{folder / 'zarr.json'} is damaged ({error}); restore it from a copy, or {remedy}")


def _checksum(metadata: dict[str, Any]) -> str:
    return f"{google_crc32c.value(json.dumps(metadata, sort_keys=True).encode()):08x}"


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def text_bytes(text: str) -> bytes:
    """A single text as Zarr's vlen-utf8 codec writes it."""
    encoded = text.encode()
    return struct.pack("<II", 1, len(encoded)) + encoded


def text_of(content: bytes) -> str:
    """The inverse of ``text_bytes``."""
    return content[8:].decode(errors="replace")


def float_bytes(values: np.ndarray) -> bytes:
    """Numbers as Zarr's bytes codec writes them."""
    return np.ascontiguousarray(values, "<f8").tobytes()
