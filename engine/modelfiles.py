"""A model folder's files, held against the sizes and hashes of its manifest before any of them is opened."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stemwright.engine.errors import BadOutput, ModelDamaged
from stemwright.engine.manifest import FORMAT, NAME, Manifest, parse, read_manifest
from stemwright.engine.runtimes.ort import cores

AGAIN = "Install the model again."
CHUNK = 1 << 20  # bytes hashed at once
READERS = 2  # files read at once; more make a disk go back and forth


def verify(folder: Path, manifest: Manifest | None = None) -> Manifest:
    """Hold every file against its size and hash in the manifest; the first that differs is ModelDamaged."""
    manifest = manifest or read_manifest(folder)
    paths = {name: inside(folder, name) for name in manifest.files}
    try:
        for name, path in paths.items():
            size, belongs = path.stat().st_size, manifest.files[name].size
            if size != belongs:
                raise ModelDamaged(f"{path}: has {size} bytes where {belongs} belong. {AGAIN}")
        found = hashes(list(paths.values()))
    except OSError as error:
        raise ModelDamaged(
            f"{error.filename}: cannot be read ({error.strerror}). Check its permissions."
        ) from error
    for name, path in paths.items():
        if found[path] != manifest.files[name].sha256:
            raise ModelDamaged(f"{path}: was altered (its sha256 is not the manifest's). {AGAIN}")
    return manifest


def listed(folder: Path, manifest: Manifest, name: str) -> Path:
    """A file a part of the model is made of: it must be among those that were verified."""
    if name not in manifest.files:
        raise ModelDamaged(f"{folder / NAME}: uses {name!r}, whose hash it does not list. {AGAIN}")
    return folder / name


def inside(folder: Path, name: str) -> Path:
    """The file of that name in the folder; ModelDamaged where it is missing or a link leads out."""
    path = folder / name
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelDamaged(f"{path}: is missing. {AGAIN}") from error
    if not real.is_relative_to(folder.resolve()) or not real.is_file():
        raise ModelDamaged(
            f"{path}: leads out of the model's folder, or is no file. Do not trust this model."
        )
    return path


def hashes(paths: Sequence[Path]) -> Mapping[Path, str]:
    """The sha256 of each, the largest begun first."""
    order = sorted(paths, key=lambda path: path.stat().st_size, reverse=True)
    with ThreadPoolExecutor(min(READERS, cores())) as pool:
        found = dict(zip(order, pool.map(sha256, order), strict=True))
    return {path: found[path] for path in paths}


def sha256(path: Path) -> str:
    """Of a file's content, as 64 hexadecimal digits."""
    digest, room = hashlib.sha256(), memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)  # read on while it is hashed
        while size := file.readinto(room):
            digest.update(room[:size])
    return digest.hexdigest()


def write_manifest(folder: Path, content: dict[str, Any], names: Iterable[str]) -> Manifest:
    """Write `manifest.json` for these files of the folder, hashes and sizes computed.

    content  every other field, as at the head of `manifest`; it is read back before it is put in place
    """
    found = hashes([inside(folder, name) for name in sorted(names)])
    listed = {
        path.relative_to(folder).as_posix(): {"sha256": digest, "bytes": path.stat().st_size}
        for path, digest in found.items()
    }
    whole = {"format": FORMAT, **content, "files": listed}
    made = parse(json.loads(json.dumps(whole)), folder / NAME)
    part = folder / (NAME + ".part")
    try:
        part.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(folder / NAME)
    except OSError as error:
        raise BadOutput(
            f"{folder / NAME}: cannot be written ({error.strerror}). Check the folder."
        ) from error
    return made
