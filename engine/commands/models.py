"""`stemwright models`: what is there, what it says of itself, and whether its files are whole."""

import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stemwright.engine import modelfiles, modelfolder
from stemwright.engine.commands.show import put
from stemwright.engine.errors import ModelError
from stemwright.engine.manifest import NAME, Manifest, read_manifest


def run(flags: Namespace) -> int:
    action = {"list": _list, "show": _show, "verify": _verify}[flags.action]
    return action(flags)


def _list(flags: Namespace) -> int:
    """Every model by name; a damaged one with what is wrong with it, whose exit code is then this one's."""
    code = 0
    rows: list[dict[str, Any]] = []
    for name, folder in modelfolder.list_models().items():
        try:
            rows.append({"name": name, "folder": str(folder), **_summary(read_manifest(folder))})
        except ModelError as error:
            code = code or error.exit_code
            rows.append({"name": name, "folder": str(folder), "error": str(error)})
    if flags.json:
        put(json.dumps(rows))
        return code
    for row in rows:
        about = row.get("error") or f"{row['family']}, {row['rate']} Hz, {row['megabytes']} MB"
        put(f"{row['name']}  {about}  {row['folder']}")
    if not rows:
        put(f"no models here; put model folders into {modelfolder.user_folder()}")
    return code


def _summary(manifest: Manifest) -> dict[str, Any]:
    size = sum(listed.size for listed in manifest.files.values())
    return {"family": manifest.family, "rate": manifest.rate, "megabytes": round(size / 1e6, 1)}


def _show(flags: Namespace) -> int:
    """The manifest; --json gives the file's own content."""
    folder = modelfolder.find(flags.model)
    manifest = read_manifest(folder)
    if flags.json:
        put(json.dumps(json.loads((folder / NAME).read_text(encoding="utf-8"))))
        return 0
    for name, value in _facts(folder, manifest).items():
        put(f"{name:13} {value}")
    return 0


def _facts(folder: Path, manifest: Manifest) -> dict[str, str]:
    seconds = manifest.window * manifest.hop / manifest.rate
    facts = {
        "name": manifest.name,
        "folder": str(folder),
        "family": manifest.family,
        "tracks": ", ".join(manifest.tracks.names),
        "rate": f"{manifest.rate} Hz, one latent frame is {manifest.hop} frames",
        "window": f"{manifest.window} latent frames ({seconds:.2f} s)",
        "licence": manifest.licence or "not stated",
    }
    for task, defaults in manifest.defaults.items():
        facts[task.value] = ", ".join(f"{key} {value}" for key, value in asdict(defaults).items())
    for what, table in (("provenance", manifest.provenance), ("quality", manifest.quality)):
        if table:
            facts[what] = json.dumps(table, ensure_ascii=False)
    return facts | {name: f"{listed.size} bytes" for name, listed in manifest.files.items()}


def _verify(flags: Namespace) -> int:
    folder = modelfolder.find(flags.model)
    manifest = modelfiles.verify(folder)
    if flags.json:
        put(
            json.dumps(
                {"name": manifest.name, "folder": str(folder), "files": len(manifest.files), "whole": True}
            )
        )
    else:
        put(f"{manifest.name}: all {len(manifest.files)} files are whole ({folder})")
    return 0
