"""schema.graphql against the last tag: a breaking change needs its line in CHANGELOG.md.

The line stands under `## Unreleased` in `### Breaking`, and names the type or `Type.field` it is about.
"""

import re
import subprocess

import pytest
from graphql import build_schema, find_breaking_changes

from tests.template.schema_file import APPSYNC_DEFINITIONS, schema_text
from tests.template.template_file import ROOT

_UNRELEASED = re.compile(r"^## Unreleased$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_BREAKING = re.compile(r"^### Breaking$(.*?)(?=^###? |\Z)", re.MULTILINE | re.DOTALL)
_COORDINATE = re.compile(r"\b[A-Z]\w*\.\w+")
_TYPE = re.compile(r"\b[A-Z]\w*")


def undocumented(before: str, after: str, changelog: str) -> list[str]:
    """Describe each breaking change between two schemas that the changelog does not name."""
    changes = find_breaking_changes(build_schema(before), build_schema(after))
    unreleased = _UNRELEASED.search(changelog)
    breaking = _BREAKING.search(unreleased[1]) if unreleased else None
    text = breaking[1] if breaking else ""
    return [change.description for change in changes if not _is_named(change.description, text)]


def _is_named(description: str, text: str) -> bool:
    # A sentence begins with a capital too; a coordinate, where there is one, says it best.
    names = _COORDINATE.findall(description) or [name for name in _TYPE.findall(description) if name != "Enum"]
    return any(re.search(rf"\b{re.escape(name)}\b", text) for name in names)


def last_tag() -> str | None:
    done = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None


def test_no_breaking_change_since_the_last_tag_is_missing_from_the_changelog() -> None:
    tag = last_tag()
    if tag is None:
        pytest.skip("there is no tag yet: everything is new")
    before = subprocess.run(
        ["git", "show", f"{tag}:schema.graphql"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert undocumented(APPSYNC_DEFINITIONS + before, schema_text(), changelog) == []


BEFORE = "type Query { device: Device } type Device { id: ID! name: String } enum Kind { A B }"


@pytest.mark.parametrize(
    ("after", "entry"),
    [
        ("type Query { device: Device } type Device { id: ID! } enum Kind { A B }", "`Device.name` is gone"),
        (
            "type Query { device: Device } type Device { id: ID name: String } enum Kind { A B }",
            "`Device.id` may be null",
        ),
        ("type Query { device: Device } type Device { id: ID! name: String } enum Kind { A }", "`Kind.B` is gone"),
        (
            "type Query { device(x: Int!): Device } type Device { id: ID! name: String } enum Kind { A B }",
            "`Query.device`",
        ),
    ],
)
def test_a_breaking_change_is_found_and_its_entry_accepted(after: str, entry: str) -> None:
    head = "# Changelog\n\n## Unreleased\n\n### Breaking\n\n"

    assert len(undocumented(BEFORE, after, "# Changelog\n\n## Unreleased\n\n### Added\n\n- x\n")) == 1
    assert len(undocumented(BEFORE, after, f"{head}- nothing\n\n## 1.0.0\n\n### Breaking\n\n- {entry}\n")) == 1
    assert undocumented(BEFORE, after, f"{head}- {entry}\n\n## 1.0.0\n") == []


def test_an_addition_breaks_nothing() -> None:
    after = BEFORE.replace("name: String", "name: String site: ID")

    assert undocumented(BEFORE, after, "# Changelog\n") == []
