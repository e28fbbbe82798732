"""Faults of a template, collected over its resources so that one start reports them all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from headwater.errors import HeadwaterError, TemplateError
from headwater.template.document import TemplateDocument


class FollowUpError(TemplateError):
    """A resource needs another one that is at fault itself; only that one is reported."""


@dataclass(slots=True)
class Faults:
    """What is wrong with the resources that were looked at so far.

    `lines` maps logical ids to lines of the template. `broken` holds the names, ARNs and ids of resources at fault.
    """

    lines: Mapping[str, int]
    found: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def add(self, error: TemplateError) -> None:
        """Remember an error, one readable line for each line of its message."""
        place = ".".join(part for part in (error.logical_id, error.property_path) if part)
        line = line_of(error.logical_id, self.lines)
        where = f"{place} (line {line}): " if line else f"{place}: " if place else ""
        for message in error.message.splitlines() or [""]:
            text = where + message
            if text not in self.found:
                self.found.append(text)

    @contextmanager
    def collecting(self, logical_id: str, *names: str) -> Iterator[None]:
        """Collect what the block raises about a resource, which is known as `names` to others."""
        try:
            yield
        except FollowUpError:
            self.broken.update((logical_id, *names))
        except HeadwaterError as error:
            self.broken.update((logical_id, *names))
            self.add(_placed(error, logical_id))
        except KeyError as error:
            self.broken.update((logical_id, *names))
            self.add(TemplateError("missing", logical_id=logical_id, property_path=str(error.args[0])))
        except (AttributeError, TypeError, ValueError) as error:
            # Deploying reads values as the documentation shapes them, so a value of another shape ends up here.
            self.broken.update((logical_id, *names))
            self.add(TemplateError(f"a value of a wrong type: {error}", logical_id=logical_id))

    def missing(self, message: str, name: str, *, property_path: str = "") -> TemplateError:
        """The error for a reference to nothing, or to a resource whose own fault is known."""
        kind = FollowUpError if name in self.broken else TemplateError
        return kind(message, property_path=property_path)

    def has_broken(self, kind: str, document: TemplateDocument) -> bool:
        """Whether a resource of a type is at fault."""
        return any(document.resources[name]["Type"] == kind for name in self.broken if name in document.resources)

    def raise_found(self) -> None:
        """Raises: TemplateError with everything that was found, one fault a line."""
        if self.found:
            raise TemplateError("\n".join(self.found))


def _placed(error: HeadwaterError, logical_id: str) -> TemplateError:
    if not isinstance(error, TemplateError):
        return TemplateError(str(error), logical_id=logical_id)
    if error.logical_id:
        return error
    return TemplateError(error.message, logical_id=logical_id, property_path=error.property_path)


def line_of(logical_id: str, lines: Mapping[str, int]) -> int | None:
    """The line of a resource; of the serverless resource it was made from where the transform made it."""
    while logical_id:
        if logical_id in lines:
            return lines[logical_id]
        logical_id = logical_id[:-1]
    return None
