"""Faults collected over the resources of a template."""

import pytest

from headwater.deploy.faults import Faults, FollowUpError, line_of
from headwater.errors import ServiceError, TemplateError

LINES = {"Api": 3, "Table": 9}


def test_each_line_of_a_message_gets_its_place() -> None:
    faults = Faults(LINES)

    faults.add(TemplateError("one\ntwo", logical_id="Table", property_path="KeySchema"))

    assert faults.found == ["Table.KeySchema (line 9): one", "Table.KeySchema (line 9): two"]


def test_a_resource_the_transform_made_has_the_line_of_its_origin() -> None:
    assert line_of("ApiSchema", LINES) == 3
    assert line_of("Other", LINES) is None


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (TemplateError("wrong", property_path="P"), "Table.P (line 9): wrong"),
        (TemplateError("wrong", logical_id="Api"), "Api (line 3): wrong"),
        (ServiceError("Code", "wrong"), "Table (line 9): Code: wrong"),
        (KeyError("Name"), "Table.Name (line 9): missing"),
        (TypeError("no text"), "Table (line 9): a value of a wrong type: no text"),
    ],
)
def test_whatever_is_wrong_with_a_resource_is_collected_and_marks_its_names(error: Exception, found: str) -> None:
    faults = Faults(LINES)

    with faults.collecting("Table", "my-table"):
        raise error

    assert faults.found == [found]
    assert faults.broken == {"Table", "my-table"}


def test_what_needs_a_resource_at_fault_is_not_reported_itself() -> None:
    faults = Faults(LINES, broken={"my-function"})

    with faults.collecting("Api"):
        raise faults.missing("no function", "my-function")
    with faults.collecting("Table"):
        raise faults.missing("no function", "nobody")

    assert isinstance(faults.missing("", "my-function"), FollowUpError)
    assert faults.found == ["Table (line 9): no function"]
    assert faults.broken == {"my-function", "Api", "Table"}


def test_a_fault_of_ours_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError), Faults(LINES).collecting("Table"):
        _ = 1 / 0


def test_nothing_found_raises_nothing() -> None:
    Faults(LINES).raise_found()

    faults = Faults(LINES)
    faults.add(TemplateError("a"))
    faults.add(TemplateError("a"))
    faults.add(TemplateError("b"))
    with pytest.raises(TemplateError, match=r"^a\nb$"):
        faults.raise_found()
