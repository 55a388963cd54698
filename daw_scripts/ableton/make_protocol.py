"""Copies the protocol's constants to where Live finds them: python daw_scripts/ableton/make_protocol.py"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent
ORIGINAL = HERE.parent / "protocol" / "stemwright_protocol.py"
COPY = HERE / "Stemwright" / ORIGINAL.name


def main() -> None:
    COPY.write_bytes(ORIGINAL.read_bytes())


if __name__ == "__main__":
    main()
