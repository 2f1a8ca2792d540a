"""Pages lead where they say."""

import re
from pathlib import Path

import pytest

from mtl_edge.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(path for folder in ("docs", "exporters", "benchmarks", "models") for path in (ROOT / folder).rglob("*.md")),
]


def _anchors(page: Path) -> set[str]:
    """What the titles of a page are called in links."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "node_modules" not in page.parts],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file or folder of the project, and where it names one, to a title in it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_the_readme_names_every_command() -> None:
    """In its table."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.split("## The commands")[1].split("\n## ")[0]
    for name in main.commands:
        assert re.search(rf"^\| .*`{name}\b.*\|", table, re.MULTILINE), name
