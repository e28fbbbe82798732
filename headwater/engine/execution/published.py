"""Turn the completed response of a mutation field into what subscriptions are cut from."""

from typing import Any

from headwater.engine.execution.completion import Run
from headwater.engine.execution.plan import FieldPlan, ObjectPlan, Shape, ShapeKind


def real_names(run: Run, shape: Shape, value: Any) -> Any:
    """A completed value keyed by real field names, by which subscribers select; a field selected twice is merged.

    Objects of abstract types get their `__typename`.
    """
    if value is None or not shape.has_aliases:
        return value
    if shape.element is not None:
        return [real_names(run, shape.element, item) for item in value]
    if shape.kind is ShapeKind.ABSTRACT:
        _, plan = run.tracked[id(value)]
        return {"__typename": plan.type_name, **_object(run, plan, value)}
    (plan,) = shape.objects.values()
    return _object(run, plan, value)


def _object(run: Run, plan: ObjectPlan, value: dict[str, Any]) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for one in plan.fields:
        item = real_names(run, one.shape, value[one.response_key])
        renamed[one.name] = _merge(renamed[one.name], item) if one.name in renamed else item
    return renamed


def _merge(first: Any, second: Any) -> Any:
    """Two selections of one field: their objects are joined; otherwise the first that is not null counts."""
    if isinstance(first, dict) and isinstance(second, dict):
        joined = dict(first)
        for key, item in second.items():
            joined[key] = _merge(joined[key], item) if key in joined else item
        return joined
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return [_merge(one, other) for one, other in zip(first, second, strict=True)]
    return second if first is None else first


def selected_tree(plan: FieldPlan) -> dict[str, Any]:
    """The selection below a field by real names, as nested dicts; all members of an abstract type together."""
    return _shape_tree(plan.shape)


def _shape_tree(shape: Shape) -> dict[str, Any]:
    while shape.element is not None:
        shape = shape.element
    tree: dict[str, Any] = {}
    for plan in shape.objects.values():
        for one in plan.fields:
            _join(tree.setdefault(one.name, {}), _shape_tree(one.shape))
    return tree


def _join(tree: dict[str, Any], other: dict[str, Any]) -> None:
    for name, below in other.items():
        _join(tree.setdefault(name, {}), below)


def refused_fields(shape: Shape, prefix: str = "") -> list[str]:
    """Paths (`owner.email`) of a selection that its caller may not see, each once."""
    while shape.element is not None:
        shape = shape.element
    found: dict[str, None] = {}
    for plan in shape.objects.values():
        for one in plan.fields:
            below = [prefix + one.name] if one.refusal else refused_fields(one.shape, f"{prefix}{one.name}.")
            found.update(dict.fromkeys(below))
    return list(found)


def missing_fields(selected: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[str]:
    """Paths (`owner.email`) that are in `wanted` and not in `selected`; `__typename` never is missing."""
    missing: list[str] = []
    for name, below in wanted.items():
        if name == "__typename":
            continue
        if name not in selected:
            missing.append(prefix + name)
        else:
            missing += missing_fields(selected[name], below, f"{prefix}{name}.")
    return missing
