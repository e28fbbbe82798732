"""Generate the Python functions that complete values without resolvers, at a fraction of a microsecond a field."""

# A generated function either returns exactly what the careful walk in `completion` would, or raises Bail or
# ScalarFault; then the caller walks carefully and finds the errors with their paths. Closures for each field cost half
# as much again. Nothing in the generated text comes from a request except names, which the GraphQL grammar limits to
# letters, digits and `_`; they are put in by `repr`.

from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from headwater.engine.execution.plan import ObjectPlan, Shape


_MAX_TEXTS: Final = 1_000


class Bail(Exception):
    """The value has something wrong with it."""


def bail() -> Any:
    """Raise Bail from inside an expression."""
    raise Bail


class CodeCache(dict[str, CodeType]):
    """Compiled texts; the aliases of a fan-out mutation all have the same, and compiling is half of making a plan."""

    def __missing__(self, text: str) -> CodeType:
        code = compile(text, "<selection>", "exec")
        if len(self) >= _MAX_TEXTS:
            self.clear()
        self[text] = code
        return code


def generate_object(plan: "ObjectPlan", codes: CodeCache) -> Callable[[Any], dict[str, Any]]:
    """The function from a source to the response of an object; fields that need more than reading come out None."""
    names: dict[str, Any] = {"Bail": Bail, "bail": bail}
    entries = []
    for one in plan.fields:
        key = repr(one.response_key)
        if one.name == "__typename":
            entries.append(f"{key}: {plan.type_name!r}")
        elif not one.is_plain:
            entries.append(f"{key}: None")
        else:
            entries.append(f"{key}: {_expression(one.shape, f'(v := g({one.name!r}))', 'v', names)}")
    text = (
        "def complete(s):\n"
        "    if s.__class__ is not dict: raise Bail\n"
        "    g = s.get\n"
        f"    return {{{', '.join(entries)}}}\n"
    )
    return _run(codes[text], names)


def generate_value(shape: "Shape", codes: CodeCache) -> Callable[[Any], Any]:
    """The function from a resolver's value to the response of its field."""
    names: dict[str, Any] = {"Bail": Bail, "bail": bail}
    return _run(codes[f"def complete(v):\n    return {_expression(shape, 'v', 'v', names)}\n"], names)


def _run(code: CodeType, names: dict[str, Any]) -> Callable[[Any], Any]:
    exec(code, names)
    function: Callable[[Any], Any] = names["complete"]
    return function


def _expression(shape: "Shape", bound: str, variable: str, names: dict[str, Any]) -> str:
    """An expression for a completed value; `bound` yields the value and binds `variable` for what follows."""
    if shape.element is not None:
        item = f"x{len(names)}"
        names[item] = None
        inner = _expression(shape.element, item, item, names)
        each = f"[{inner} for {item} in {variable}]"
        if shape.is_required:
            return f"({each} if {bound}.__class__ is list else bail())"
        return f"(None if {bound} is None else {each} if {variable}.__class__ is list else bail())"
    if shape.kind.value != "LEAF":
        complete = _constant(names, _object_function(shape))
        if shape.is_required:
            return f"{complete}({bound})"
        return f"(None if {bound} is None else {complete}({variable}))"
    return _leaf_expression(shape, bound, variable, names)


def _object_function(shape: "Shape") -> Callable[[Any], Any]:
    functions: dict[Any, Callable[[Any], dict[str, Any]] | None] = {
        name: plan.fast for name, plan in shape.objects.items()
    }
    if shape.kind.value == "OBJECT":
        (only,) = functions.values()
        assert only is not None
        return only

    def complete(source: Any) -> Any:
        if source.__class__ is not dict:
            raise Bail
        function = functions.get(source.get("__typename"))
        if function is None:
            raise Bail
        return function(source)

    return complete


def _leaf_expression(shape: "Shape", bound: str, variable: str, names: dict[str, Any]) -> str:
    if shape.serialize is None:
        return f"({variable} if {bound} is not None else bail())" if shape.is_required else bound
    serialize = _constant(names, shape.serialize)
    test = None
    if shape.fast_class is not None:
        test = f".__class__ is {shape.fast_class.__name__}"
    elif shape.type_text == "Int":
        test = f".__class__ is int and -2147483648 <= {variable} <= 2147483647"
    elif shape.type_text == "Float":
        test = f".__class__ is float and {variable} - {variable} == 0.0"
    elif shape.enum_names is not None:
        test = f".__class__ is str and {variable} in {_constant(names, shape.enum_names)}"
    if test is None:
        if shape.is_required:
            return f"{serialize}({bound})"
        return f"(None if {bound} is None else {serialize}({variable}))"
    if shape.is_required:
        return f"({variable} if {bound}{test} else {serialize}({variable}))"
    return f"({variable} if {bound} is None or {variable}{test} else {serialize}({variable}))"


def _constant(names: dict[str, Any], value: Any) -> str:
    name = f"c{len(names)}"
    names[name] = value
    return name
