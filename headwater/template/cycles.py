"""Circular dependencies between resources, which CloudFormation refuses before it makes anything."""

import re
from collections.abc import Iterator
from typing import Any

from headwater.errors import TemplateError
from headwater.template.intrinsics import Stack

_NAMES = re.compile(r"\$\{([^!}][^}.]*)")


def circular_dependencies(stack: Stack) -> list[list[str]]:
    """Cycles of the stack's resources by `DependsOn`, `Ref`, `Fn::GetAtt` and `Fn::Sub`; each is told once."""
    live = stack.logical_ids()
    needs = {logical_id: sorted(_needs(stack, logical_id) & set(live)) for logical_id in live}
    done: set[str] = set()
    found: list[list[str]] = []
    for start in live:
        path: list[str] = []
        # Depth first without recursion, for a template may chain all of its 500 resources.
        pending = [(start, iter(needs[start]))] if start not in done else []
        path += [start] if pending else []
        while pending:
            name, rest = pending[-1]
            following = next(rest, None)
            if following is None:
                pending.pop()
                path.pop()
                done.add(name)
            elif following in path:
                found.append([*path[path.index(following) :], following])
            elif following not in done:
                path.append(following)
                pending.append((following, iter(needs[following])))
    return found


def _needs(stack: Stack, logical_id: str) -> set[str]:
    body = stack.document.resources[logical_id]
    depends = body.get("DependsOn") or ()
    needed = {depends} if isinstance(depends, str) else {str(name) for name in depends}
    # A resource may name itself, in its own policy for example, where AWS resolves that late.
    return (needed | set(_references(stack, body.get("Properties")))) - {logical_id}


def _references(stack: Stack, value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for child in value:
            yield from _references(stack, child)
    elif isinstance(value, dict):
        if len(value) == 1:
            ((name, argument),) = value.items()
            yield from _of_function(stack, name, argument)
        else:
            for child in value.values():
                yield from _references(stack, child)


def _of_function(stack: Stack, name: Any, argument: Any) -> Iterator[str]:
    if name == "Ref" and isinstance(argument, str):
        yield argument
    elif name == "Fn::GetAtt" and argument:
        yield str(argument.split(".")[0] if isinstance(argument, str) else argument[0])
    elif name == "Fn::Sub":
        text = argument[0] if isinstance(argument, list) and argument else argument
        yield from _NAMES.findall(str(text))
        yield from _references(stack, argument)
    elif name == "Fn::If" and isinstance(argument, list) and len(argument) == 3:
        try:
            taken = argument[1] if stack.condition(str(argument[0])) else argument[2]
        except TemplateError:
            # Resolving the resource tells what is wrong with the condition.
            return
        yield from _references(stack, taken)
    else:
        yield from _references(stack, argument)
