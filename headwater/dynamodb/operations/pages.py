"""Pages of a query or scan: what is read, how much fits, what of it is answered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from headwater.dynamodb.expressions.paths import PathTree, project
from headwater.dynamodb.faults import RequestFault, invalid
from headwater.dynamodb.items.attributes import Item, item_size, page_cost
from headwater.dynamodb.items.changes import size_of_stored, unpack_item
from headwater.dynamodb.operations.capacity import consumed, is_wanted, read_units
from headwater.dynamodb.operations.parameters import Matches
from headwater.dynamodb.operations.ranges import Entry
from headwater.dynamodb.session import Request, Response
from headwater.dynamodb.tables.model import Index, Keys, Table

MAX_PAGE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """What is read: a table, or one of its indexes."""

    table: Table
    index: Index | None

    @property
    def keys(self) -> Keys:
        return self.table.keys if self.index is None else self.index.keys

    @property
    def space(self) -> bytes:
        return self.table.space if self.index is None else self.index.space

    @property
    def start_names(self) -> tuple[str, ...]:
        """The members of LastEvaluatedKey."""
        extra = () if self.index is None else self.index.keys.names
        return tuple(dict.fromkeys((*self.table.keys.names, *extra)))

    def as_read(self, item: Item) -> Item:
        """The item as the table or index holds it."""
        if self.index is None or self.index.projected is None:
            return item
        projected = self.index.projected
        return {name: value for name, value in item.items() if name in projected}


@dataclass(slots=True)
class Page:
    """What one page gathers; sizes are those of the items as the target holds them."""

    items: list[Item] = field(default_factory=list)
    scanned: int = 0
    matched: int = 0
    target_bytes: int = 0
    table_bytes: int = 0
    last: Item | None = None


def collect(
    target: Target, found: Iterator[Entry], request: Request, test: Matches | None, answered: "Answered"
) -> Page:
    """Read entries until the limit, the end of the page, or the end."""
    page = Page()
    limit = request.get("Limit")
    budget = _Budget(target.table.keys.sort)
    is_projected = target.index is not None and target.index.projected is not None
    for entry in found:
        item = unpack_item(entry.raw)
        size = size_of_stored(entry.raw)
        held = target.as_read(item) if is_projected else item
        page.scanned += 1
        page.table_bytes += size
        page.target_bytes += item_size(held) if is_projected else size
        if test is None or test(held if not answered.needs_whole else item):
            page.matched += 1
            if answered.choose is not None:
                page.items.append(answered.choose(item if answered.needs_whole else held))
        # The service stops at the limit without looking whether more would come.
        if page.scanned == limit or budget.is_spent(held, size):
            page.last = item
            break
    return page


class _Budget:
    """The 1 MB of a page in the service's count, computed only where the plain sizes come near it."""

    def __init__(self, sort_name: str | None) -> None:
        self._sort_name = sort_name
        self._exact = 0
        self._pending: list[Item] = []
        self._pending_bound = 0

    def is_spent(self, item: Item, size: int) -> bool:
        """Whether the page is full with this item."""
        self._pending.append(item)
        # Above any real cost: twice the size for the marks of nested values, and the sort key counts again by 3 KB.
        self._pending_bound += 3 * size + 128
        if self._exact + self._pending_bound < MAX_PAGE_BYTES:
            return False
        self._exact += sum(page_cost(pending, self._sort_name) for pending in self._pending)
        self._pending.clear()
        self._pending_bound = 0
        return self._exact >= MAX_PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Answered:
    """What of an item is answered: `choose` is None for a count; `needs_whole` reads the table behind an index."""

    choose: Callable[[Item], Item] | None
    needs_whole: bool = False


def check_select(request: Request, tree: PathTree | None) -> None:
    """The rules between Select and the projection. Raises: ServiceError `ValidationException`."""
    select = request.get("Select")
    if select == "SPECIFIC_ATTRIBUTES" and tree is None:
        raise RequestFault(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"
        )
    if select is not None and select != "SPECIFIC_ATTRIBUTES" and tree is not None:
        member = "AttributesToGet" if request.get("AttributesToGet") is not None else "ProjectionExpression"
        chosen = "only the Count" if select == "COUNT" else select
        raise RequestFault(f"Cannot specify the {member} when choosing to get {chosen}")
    if select == "ALL_PROJECTED_ATTRIBUTES" and request.get("IndexName") is None:
        raise RequestFault("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")


def refuse_all_attributes(target: Target, request: Request) -> None:
    """A global index cannot fetch what it does not hold. Raises: ServiceError `ValidationException`."""
    index = target.index
    if index is None or not index.is_global or index.projected is None:
        return
    if request.get("Select") == "ALL_ATTRIBUTES":
        raise invalid(
            "Select type ALL_ATTRIBUTES is not supported for global secondary index "
            f"{index.name} because its projection type is not ALL"
        )


def answered_part(target: Target, request: Request, tree: PathTree | None) -> Answered:
    """What of each item the request wants. Raises: ServiceError `ValidationException`."""
    select = request.get("Select")
    if select == "COUNT":
        return Answered(None)
    projected = None if target.index is None else target.index.projected
    if tree is None:
        needs_whole = projected is not None and select == "ALL_ATTRIBUTES"
        return Answered(lambda item: item, needs_whole)
    missing = [] if projected is None else [str(name) for name in tree if name not in projected]
    if missing and target.index is not None and target.index.is_global:
        raise invalid(f"Global secondary index {target.index.name} does not project [{', '.join(missing)}]")
    return Answered(lambda item: project(item, tree), bool(missing))


def answer(request: Request, target: Target, page: Page, answered: Answered) -> Response:
    """The response of a page."""
    response: Response = {"Count": page.matched, "ScannedCount": page.scanned}
    if request.get("Select") != "COUNT":
        response["Items"] = page.items
    if page.last is not None:
        response["LastEvaluatedKey"] = {name: page.last[name] for name in target.start_names}
    if is_wanted(request):
        is_consistent = bool(request.get("ConsistentRead"))
        units = read_units(page.target_bytes, is_consistent=is_consistent)
        if target.index is None:
            response["ConsumedCapacity"] = consumed(request, target.table, units)
        else:
            fetched = read_units(page.table_bytes, is_consistent=is_consistent) if answered.needs_whole else 0.0
            by_index: dict[str, Any] = {target.index.name: units}
            response["ConsumedCapacity"] = consumed(request, target.table, fetched, by_index)
    return response
