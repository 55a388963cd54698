"""Makes daw_scripts/reaper/index.xml, which ReaPack reads, from the header of Stemwright.lua.

python make_index.py https://github.com/OWNER/REPOSITORY/raw/TAG 2026-11-20T12:00:00Z
"""

import re
import sys
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

REAPER = Path(__file__).resolve().parents[3] / "daw_scripts" / "reaper"
SCRIPTS = REAPER / "Stemwright"


def field(header: str, name: str) -> str:
    found = re.search(rf"@{name} (.+)", header)
    assert found is not None, name
    return found[1].strip()


def source(path: Path, base: str) -> str:
    """The line of one file; files in the folder itself are actions."""
    name = path.relative_to(SCRIPTS).as_posix()
    url = f"{base}/daw_scripts/reaper/Stemwright/{quote(name)}"
    own = "" if name == "Stemwright.lua" else f" file={quoteattr(name)}"
    main = ' main="main"' if "/" not in name else ""
    return f"        <source{main}{own}>{escape(url)}</source>\n"


def index(base: str, time: str) -> str:
    header = (SCRIPTS / "Stemwright.lua").read_text("utf-8")
    files = [SCRIPTS / "Stemwright.lua", *sorted(set(SCRIPTS.rglob("*.lua")) - {SCRIPTS / "Stemwright.lua"})]
    version, author = quoteattr(field(header, "version")), quoteattr(field(header, "author"))
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<index version="1" name="Stemwright">\n'
        '  <category name="Stemwright">\n'
        f'    <reapack name="Stemwright.lua" type="script" desc={quoteattr(field(header, "description"))}>\n'
        f"      <version name={version} author={author} time={quoteattr(time)}>\n"
        "        <changelog><![CDATA[First version.]]></changelog>\n"
        + "".join(source(path, base) for path in files)
        + "      </version>\n    </reapack>\n  </category>\n</index>\n"
    )


if __name__ == "__main__":
    (REAPER / "index.xml").write_text(index(sys.argv[1].rstrip("/"), sys.argv[2]), "utf-8")
