"""Complete values by their plan: nulls, lists, leaves, errors with paths, and the resolver jobs that remain."""

from typing import Any

import msgspec

from headwater.engine.calls import RequestContext
from headwater.engine.execution.codegen import Bail
from headwater.engine.execution.faults import FieldPath, Path, completion_error, field_error, path_text
from headwater.engine.execution.plan import FieldPlan, ObjectPlan, Shape, ShapeKind
from headwater.engine.scalars import ScalarFault
from headwater.errors import RequestError


class Bubble(Exception):
    """A required value is null; its error is recorded."""


class Slot(msgspec.Struct):
    """A place in the response: `container[key]`. `parent` is the slot of the container, None for `data`.

    Completion never waits: fields with resolvers become jobs, which remember their slot. A null that may not stand
    there climbs through the slots above until it may.
    """

    container: Any
    key: Any
    is_required: bool
    parent: "Slot | None"

    def put_null(self, run: "Run") -> None:
        """Null the nearest place that may be null; if there is none, the whole `data` is."""
        slot: Slot | None = self
        while slot is not None and slot.is_required:
            slot = slot.parent
        if slot is None:
            run.is_data_null = True
        else:
            slot.container[slot.key] = None


class Job(msgspec.Struct):
    """One field to resolve; its value goes to `slot`."""

    plan: FieldPlan
    source: Any
    path: FieldPath
    slot: Slot


class Run(msgspec.Struct):
    """One execution. `tracked` remembers which plan made an object of an abstract type, by the object's id.

    `introspection` holds the answers of `__schema` and `__type` fields by response key.
    """

    context: RequestContext
    variables: dict[str, Any]
    raw_variables: dict[str, Any]
    max_resolvers: int
    errors: list[dict[str, Any]] = msgspec.field(default_factory=list)
    jobs: list[Job] = msgspec.field(default_factory=list)
    tracked: dict[int, tuple[dict[str, Any], ObjectPlan]] = msgspec.field(default_factory=dict)
    introspection: dict[str, Any] = msgspec.field(default_factory=dict)
    resolver_count: int = 0
    is_data_null: bool = False


def complete_object(run: Run, plan: ObjectPlan, source: Any, path: Path, slot: Slot | None) -> dict[str, Any]:
    """The response of an object; `source` is a dict. Raises: Bubble if a required field is null."""
    has_failed = False
    response: dict[str, Any] | None = None
    fields = plan.special
    if plan.fast is not None:
        # Not contextlib.suppress: this runs for every object, and that costs more than the selection.
        try:
            response = plan.fast(source)
        except (Bail, ScalarFault):
            response = None
    if response is None:
        response = {}
        fields = plan.fields
    if plan.is_tracked:
        run.tracked[id(response)] = (response, plan)
    for one in fields:
        here = (path, one.response_key)
        try:
            response[one.response_key] = complete_field(run, one, source, here, response, slot)
        except Bubble:
            # The rest is still completed: the service reports every required null of an object.
            has_failed = True
    if has_failed:
        raise Bubble
    return response


def complete_field(
    run: Run, plan: FieldPlan, source: Any, path: FieldPath, response: dict[str, Any], slot: Slot | None
) -> Any:
    """The value of one field of `response`, whose slot is `slot`; None for now if a resolver has to be asked.

    Raises: Bubble.
    """
    if plan.name == "__typename":
        return plan.parent_type
    if plan.refusal is not None:
        error_type, message = plan.refusal
        run.errors.append(field_error(path, plan.location, RequestError(message, error_type)))
        return _null(plan.shape)
    if plan.is_introspection:
        return run.introspection.get(plan.response_key)
    here = Slot(response, plan.response_key, plan.shape.is_required, slot)
    if plan.resolver is not None:
        run.jobs.append(Job(plan, source, path, here))
        return None
    return complete(run, plan, plan.shape, source.get(plan.name), path, here)


def _null(shape: Shape) -> None:
    if shape.is_required:
        raise Bubble


def complete(run: Run, plan: FieldPlan, shape: Shape, value: Any, path: Path, slot: Slot) -> Any:
    """The response of a value of `shape`, somewhere below `plan`'s field. Raises: Bubble."""
    if value is None:
        if shape.is_required:
            message = (
                f"Cannot return null for non-nullable type: '{shape.type_text}' within parent "
                f"'{plan.parent_type}' ({path_text(path)})"
            )
            run.errors.append(completion_error(path, message))
            raise Bubble
        return None
    first_job = len(run.jobs)
    try:
        if shape.kind is ShapeKind.LEAF:
            return _leaf(run, shape, value, path)
        if shape.kind is ShapeKind.LIST:
            return _list(run, plan, shape, value, path, slot)
        return _composite(run, plan, shape, value, path, slot)
    except Bubble:
        # Nothing below a nulled place needs to be resolved any more.
        del run.jobs[first_job:]
        if shape.is_required:
            raise
        return None


def _leaf(run: Run, shape: Shape, value: Any, path: Path) -> Any:
    if shape.serialize is None:
        return value
    try:
        return shape.serialize(value)
    except ScalarFault as fault:
        run.errors.append(completion_error(path, f"Can't serialize value ({path_text(path)}) : {fault}"))
        raise Bubble from fault


def _list(run: Run, plan: FieldPlan, shape: Shape, value: Any, path: Path, slot: Slot) -> list[Any]:
    element = shape.element
    if not isinstance(value, list | tuple) or element is None:
        raise _mismatch(run, path, "LIST", value)
    response: list[Any] = [None] * len(value)
    has_failed = False
    for index, item in enumerate(value):
        here = Slot(response, index, element.is_required, slot)
        try:
            response[index] = complete(run, plan, element, item, (path, index), here)
        except Bubble:
            has_failed = True
    if has_failed:
        raise Bubble
    return response


def _composite(run: Run, plan: FieldPlan, shape: Shape, value: Any, path: Path, slot: Slot) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _mismatch(run, path, "OBJECT", value)
    if shape.kind is ShapeKind.OBJECT:
        (object_plan,) = shape.objects.values()
        return complete_object(run, object_plan, value, path, slot)
    name = value.get("__typename")
    chosen = shape.objects.get(name) if isinstance(name, str) else None
    if chosen is None:
        reason = (
            f"Could not determine the exact type of '{shape.type_text}'"
            if name is None
            else f"Runtime Object type '{name}' is not a possible type for '{shape.type_text}'."
        )
        message = (
            f"Can't resolve '{path_text(path)}'. Abstract type '{shape.type_text}' must resolve to an Object type at "
            f"runtime for field '{plan.parent_type}.{plan.name}'. {reason}"
        )
        run.errors.append(completion_error(path, message))
        raise Bubble
    return complete_object(run, chosen, value, path, slot)


def _mismatch(run: Run, path: Path, expected: str, value: Any) -> Bubble:
    kinds = {dict: "OBJECT", list: "LIST", tuple: "LIST", str: "STRING", bool: "BOOLEAN", int: "INT", float: "FLOAT"}
    got = kinds.get(type(value), type(value).__name__.upper())
    message = f"Can't resolve value ({path_text(path)}) : type mismatch error, expected type {expected}, got {got}"
    run.errors.append(completion_error(path, message))
    return Bubble()


def select_data(shape: Shape, data: Any) -> Any:
    """An error's `data` cut to the selection of its field; what has another form passes as it is."""
    if isinstance(data, list) and shape.element is not None:
        return [select_data(shape.element, item) for item in data]
    if not isinstance(data, dict) or not shape.objects:
        return data
    name = data.get("__typename")
    chosen = shape.objects.get(name) if isinstance(name, str) else None
    if chosen is None:
        chosen = next(iter(shape.objects.values()))
    return {one.response_key: select_data(one.shape, data.get(one.name)) for one in chosen.fields}
