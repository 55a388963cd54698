"""Where a clip's beats lie in its file. Plain numbers; no call into Live.

markers  [(seconds in the file, beats)], rising; Live's last one is not shown and only gives the tempo behind
"""

from __future__ import annotations

from .trouble import Trouble

DRIFT = 0.001  # seconds a straight warp may be off at the region's end


def seconds_at(markers, beats):
    """The place in the file at those beats, with the first and last tempo going on beyond the markers."""
    markers = sorted(markers)
    if len(markers) < 2:
        raise Trouble("Live tells no warp markers of this clip. Switch its Warp off, or consolidate it.")
    pairs = list(zip(markers, markers[1:]))
    for (seconds, begin), (last, end) in pairs:
        if beats <= end or (last, end) == markers[-1]:
            if end <= begin:
                raise Trouble("the clip's warp markers cannot be followed. Consolidate the clip.")
            return seconds + (last - seconds) * (beats - begin) / (end - begin)
    raise AssertionError("the last pair holds all that is behind")


def straight(markers, begin, end, tempo):
    """The span of the file that plays from beat `begin` to `end`, in seconds; Trouble unless it plays at the
    speed it was recorded at, for we cannot stretch as Live does.

    tempo  of the song, beats a minute
    """
    first, last = seconds_at(markers, begin), seconds_at(markers, end)
    for seconds, beats in sorted(markers):
        if begin < beats < end:
            wanted = first + (last - first) * (beats - begin) / (end - begin)
            if abs(seconds - wanted) > DRIFT:
                raise Trouble(
                    f"the clip is warped unevenly: {1000 * (seconds - wanted):.0f} ms at beat {beats:.2f}. "
                    f"Its stems would not fit. {WAY_OUT}"
                )
    played = (end - begin) * 60.0 / tempo
    if abs((last - first) - played) > DRIFT:
        raise Trouble(
            f"the clip is stretched: it plays {last - first:.3f} s of its file in {played:.3f} s. "
            f"Its stems would not fit. {WAY_OUT}"
        )
    return first, last


WAY_OUT = "Consolidate it (Cmd/Ctrl-J, in the Arrangement), or switch its Warp off."
