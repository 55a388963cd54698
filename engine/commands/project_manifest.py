"""A plain folder's manifest: JSON, for whoever drags the files into a DAW or reads them with a script."""

import json
from typing import Any

from stemwright.engine.commands.project import Project, Track
from stemwright.engine.commands.project_files import Shape, relative

FORMAT = 1  # raised when a key changes its meaning


def manifest(project: Project, shape: Shape) -> bytes:
    """UTF-8. start and length are seconds, gain is linear, tempo is null where nobody knows it."""
    content = {
        "format": FORMAT,
        "name": project.title,
        "task": project.task.value,
        "model": project.model,
        "seed": project.seed,
        "tempo": project.tempo,
        "rate": shape.rate,
        "tracks": [_track(project, shape, track) for track in project.tracks],
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def _track(project: Project, shape: Shape, track: Track) -> dict[str, Any]:
    return {
        "name": track.name,
        "file": relative(track.file, project.path),
        "role": track.role,
        "prompt": track.prompt,
        "start": 0.0,
        "length": shape.seconds,
        "frames": shape.frames,
        "rate": shape.rate,
        "channels": shape.channels,
        "gain": shape.level(track),
        "colour": track.colour,
        "muted": track.is_muted,
    }
