"""REAPER's project as text (.rpp): lines of words, blocks between < and >.

A word with blanks stands in one of three quotes, and none of them can be written inside itself; a line ends a
word whatever stands around it. What a name cannot keep for that reason is replaced; a path that cannot be
written is refused, for its replacement would not be found.
"""

from collections.abc import Iterator

from stemwright.engine.commands.project import Project, Track
from stemwright.engine.commands.project_files import Shape, plain, relative
from stemwright.engine.errors import BadOutput
from stemwright.engine.writing import quoted

QUOTES = "\"'`"
REAPER = "6.0"  # the oldest whose format this is; an older one says so and opens it anyway


def check(project: Project) -> None:
    """Raise BadOutput for a path that cannot be written."""
    for track in project.tracks:
        _path(project, track)


def rpp(project: Project, shape: Shape) -> bytes:
    """UTF-8, and a path that is not keeps its bytes. Times are fixed to seconds, so a tempo set later moves
    nothing (TIMELOCKMODE 0).
    """
    lines = [
        f'<REAPER_PROJECT 0.1 "{REAPER}" 0',
        f"  TEMPO {_number(project.grid)} 4 4",
        "  TIMELOCKMODE 0",
        f"  SAMPLERATE {shape.rate} 1 0",
        f"  MASTER_NCH {_even(shape.channels)} 2",
        *(f"  {line}" for track in project.tracks for line in _track(project, shape, track)),
        ">",
    ]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def _track(project: Project, shape: Shape, track: Track) -> Iterator[str]:
    yield "<TRACK"
    yield f"  NAME {_quoted(track.name)}"
    yield f"  PEAKCOL {_colour(track.colour)}"
    yield f"  VOLPAN {_number(shape.level(track))} 0 -1 -1 1"
    yield f"  MUTESOLO {int(track.is_muted)} 0 0"
    yield f"  NCHAN {_even(shape.channels)}"
    yield "  <ITEM"
    yield "    POSITION 0"
    yield f"    LENGTH {_number(shape.seconds)}"
    yield "    LOOP 0"
    yield "    FADEIN 1 0 0 1 0 0 0"
    yield "    FADEOUT 1 0 0 1 0 0 0"
    yield f"    NAME {_quoted(track.name)}"
    yield "    SOFFS 0"
    yield f"    <SOURCE {'FLAC' if track.file.suffix.lower() == '.flac' else 'WAVE'}"
    yield f"      FILE {_path(project, track)}"
    yield "    >"
    yield "  >"
    yield ">"


def _path(project: Project, track: Track) -> str:
    path = relative(track.file, project.path)
    if all(quote in path for quote in QUOTES) or plain(path) != path:
        raise BadOutput(
            f"{quoted(path)}: a REAPER project cannot hold a path with line ends, or with all three of "
            f"{' '.join(QUOTES)} in it. Rename it, or write another kind: --project song.dawproject"
        )
    return _quoted(path)


def _quoted(text: str) -> str:
    """In a quote that is not in it; with all three in it, REAPER's own way: ` becomes '"""
    line = plain(text)
    for quote in QUOTES:
        if quote not in line:
            return quote + line + quote
    return "`" + line.replace("`", "'") + "`"


def _colour(colour: str) -> int:
    """#rrggbb → blue, green, red from the top, and the bit that says it is set"""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return 1 << 24 | blue << 16 | green << 8 | red


def _number(value: float) -> str:
    """Never with an exponent; twelve decimals of a second are far below a frame."""
    return f"{value:.12f}".rstrip("0").rstrip(".")


def _even(channels: int) -> int:
    """REAPER's tracks have channels in pairs."""
    return max(2, channels + channels % 2)
