"""Reads what tests need of a Markdown page: its code blocks, tables and links."""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "blocks", "links", "table"]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block: ```` ```LANGUAGE [FILE] [no-run REASON] ````."""

    page: Path
    line: int
    language: str
    info: tuple[str, ...]
    text: str

    @property
    def name(self) -> str:
        """The file that the block is, if it says so."""
        return self.info[0] if self.info and "." in self.info[0] else ""

    @property
    def reason(self) -> str | None:
        """Why it is not run; empty where that is missing, None for a block that is run."""
        if "no-run" not in self.info:
            return None
        return " ".join(self.info[self.info.index("no-run") + 1 :])


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, from its top; the text of an indented block is dedented."""
    found = []
    fence: re.Match[str] | None = None
    start, lines = 0, list[str]()
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if fence is None:
            fence = re.match(r"( *)(`{3,})(.*)", line)
            start, lines = number, []
        elif line.strip() == fence[2]:
            language, *info = fence[3].split() or [""]
            found.append(Block(page, start, language, tuple(info), "\n".join(lines) + "\n"))
            fence = None
        else:
            lines.append(line.removeprefix(fence[1]))
    assert fence is None, f"{page}:{start}: a block without an end"
    return found


def table(page: Path, first: str, *, section: str | None = None) -> list[dict[str, str]]:
    """The rows of all tables whose first column is headed `first`, as dictionaries by column.

    `section`: only those under the heading of the second level with this text.
    """
    rows, columns, heading = [], list[str](), ""
    for line in page.read_text().splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        if section is not None and heading != section:
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        if not cells:
            columns = []
        elif columns:
            rows.append(dict(zip(columns, cells, strict=True)))
        elif cells[0] == first:
            columns = cells
    return [row for row in rows if not set(row[first]) <= set(":- ")]


def links(page: Path) -> list[str]:
    """The relative links of a page, without their anchors."""
    text = re.sub(r"^( *)(`{3,}).*?^\1\2$", "", page.read_text(), flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    return [target for target in targets if "://" not in target and not target.startswith("mailto:")]
