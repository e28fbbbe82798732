"""Flow 8/8: cut each subscriber's selection from the response of the mutation it follows."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from graphql import GraphQLSchema

from headwater.engine.calls import FieldCall, FieldResolver, RequestContext, SubscriptionRefused
from headwater.engine.event_values import filter_fault
from headwater.engine.execution.codegen import Bail
from headwater.engine.execution.completion import Bubble, Run, Slot, complete
from headwater.engine.execution.faults import channel_error
from headwater.engine.execution.plan import FieldPlan, ObjectPlan, Shape
from headwater.engine.execution.published import missing_fields, refused_fields, selected_tree
from headwater.engine.execution.selection import RequestSelection
from headwater.engine.json_text import encode_json
from headwater.values.identity import GraphQLCaller


class Projection:
    """A subscription field with its selection, compiled for reading completed mutation responses.

    Subscribers with equal `group_key` get equal payloads, so one `project` serves all of them. `resolver` runs once at
    the start of each subscription, if there is one.
    """

    __slots__ = (
        "_prefix",
        "_refused",
        "_schema",
        "_selected",
        "field_name",
        "group_key",
        "mutation_fields",
        "resolver",
        "root",
    )

    def __init__(
        self, root: FieldPlan, schema: GraphQLSchema, mutation_fields: tuple[str, ...], resolver: FieldResolver | None
    ) -> None:
        self.root = root
        self.field_name = root.name
        self.mutation_fields = mutation_fields
        self.resolver = resolver
        self.group_key: Hashable = (root.name, f"{root.response_key}:{_signature(root.shape)}")
        self._schema = schema
        self._prefix = b'{"data":{' + encode_json(root.response_key) + b":"
        self._selected: dict[str, Any] | None = None
        self._refused: list[str] | None = None

    def project(self, response: Any) -> bytes:
        """The `payload` of a `data` frame: `{"data":{…},"errors"?:[…]}`.

        `response` is the mutation's completed response by real field names. What it lacks is null; a null that may
        not be null is an error and climbs, as it does for a query.
        """
        fast = self.root.complete_fast
        if fast is not None:
            try:
                return self._prefix + encode_json(fast(response)) + b"}}"
            except Bail:
                pass
        return self._project_carefully(response)

    def _project_carefully(self, response: Any) -> bytes:
        data, errors = self.completed(response)
        body: dict[str, Any] = {"data": data}
        if errors:
            body["errors"] = errors
        return encode_json(body)

    def completed(self, response: Any) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        """The `data` and the `errors` for a mutation's response."""
        root = self.root
        run = Run(RequestContext(GraphQLCaller("API_KEY")), {}, {}, 0)
        data: dict[str, Any] | None = {root.response_key: None}
        slot = Slot(data, root.response_key, root.shape.is_required, None)
        try:
            value = complete(run, root, root.shape, response, (None, root.response_key), slot)
            data = {root.response_key: value}
        except Bubble:
            data = None if root.shape.is_required else data
        return data, [_event_error(error) for error in run.errors]

    def unselected_fields(self, selected: Mapping[str, Any]) -> list[str]:
        """Fields the subscriber wants and the mutation (`PublishedMutation.selected`) did not select, as `a.b`.

        They arrive as null: worth a warning.
        """
        if self._selected is None:
            self._selected = selected_tree(self.root)
        return missing_fields(dict(selected), self._selected)

    def refused_fields(self) -> list[str]:
        """Fields the subscriber selects and may not see, as `a.b`: they arrive as null."""
        if self._refused is None:
            self._refused = refused_fields(self.root.shape)
        return self._refused

    def filter_fault(self, path: Sequence[str], values: Iterable[Any]) -> str | None:
        """See event_values.filter_fault."""
        root = self._schema.subscription_type
        assert root is not None, "validated subscriptions have a root type"
        return filter_fault(self._schema, root.fields[self.field_name].type, path, values)


class PreparedSubscription(msgspec.Struct, eq=False):
    """A subscription that may start.

    `arguments` lacks what the client omitted and holds None for what it sent as null. `variables` are the client's.
    """

    projection: Projection
    arguments: dict[str, Any]
    variables: dict[str, Any]

    @property
    def has_resolver(self) -> bool:
        return self.projection.resolver is not None

    def check_result(self, call: FieldCall, value: Any) -> None:
        """What the subscription's resolver came to: errors it appended, and a value that must fit the field.

        The value is not delivered, but AppSync completes it as for a query: "important: return null in the response".
        Raises: SubscriptionRefused.
        """
        errors = [channel_error(error) for error in call.appended or ()]
        if value is not None:
            errors += self.projection.completed(value)[1]
        if errors:
            raise SubscriptionRefused(errors)

    def field_call(self, request: RequestContext) -> FieldCall:
        """The call for the subscription's resolver."""
        root = self.projection.root
        info = RequestSelection(root.selection, self.variables)
        path = (None, root.response_key)
        return FieldCall(root.parent_type, root.name, dict(self.arguments), None, info, request, path=path)


def _event_error(error: dict[str, Any]) -> dict[str, Any]:
    """An error of an event. Of nulls the service sends message and path alone (recorded in aws-amplify/docs#2796)."""
    return error if "errorType" in error else {"message": error["message"], "path": error["path"]}


def _signature(shape: Shape) -> str:
    while shape.element is not None:
        shape = shape.element
    if not shape.objects:
        return ""
    return "{" + "|".join(_object_signature(plan) for plan in shape.objects.values()) + "}"


def _object_signature(plan: ObjectPlan) -> str:
    fields = (
        f"{one.response_key}:{one.name}{'!' if one.refusal else ''}{_signature(one.shape)}" for one in plan.fields
    )
    return f"{plan.type_name}({','.join(fields)})"
