"""Answer `__schema` and `__type` with graphql-core on the same schema."""

from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    execute_sync,
)

from headwater.engine.execution.plan import ObjectPlan


class Introspection:
    """Answers of one schema; those without variables are kept by their selection's text."""

    def __init__(self, schema: GraphQLSchema, *, max_kept: int = 64) -> None:
        self._schema = schema
        self._kept: dict[str, dict[str, Any]] = {}
        self._max_kept = max_kept

    def answers(
        self,
        plan: ObjectPlan,
        fragments: dict[str, FragmentDefinitionNode],
        operation: OperationDefinitionNode,
        variables: dict[str, Any],
    ) -> dict[str, Any]:
        """The answers of a root plan's introspection fields by response key."""
        found: dict[str, Any] = {}
        for one in plan.special:
            if one.is_introspection:
                found.update(self._answer(one.nodes, fragments, operation, variables))
        return found

    def _answer(
        self,
        nodes: list[FieldNode],
        fragments: dict[str, FragmentDefinitionNode],
        operation: OperationDefinitionNode,
        variables: dict[str, Any],
    ) -> dict[str, Any]:
        text = _text(nodes, fragments)
        keepable = "$" not in text
        if keepable and text in self._kept:
            return self._kept[text]
        alone = OperationDefinitionNode(
            operation=OperationType.QUERY,
            variable_definitions=operation.variable_definitions,
            selection_set=SelectionSetNode(selections=tuple(nodes)),
        )
        document = DocumentNode(definitions=(alone, *fragments.values()))
        answer: Any = execute_sync(self._schema, document, variable_values=variables)
        data: dict[str, Any] = answer.data or {}
        if keepable:
            if len(self._kept) >= self._max_kept:
                self._kept.pop(next(iter(self._kept)))
            self._kept[text] = data
        return data


def _text(nodes: list[FieldNode], fragments: dict[str, FragmentDefinitionNode]) -> str:
    holders = [*nodes, *fragments.values()]
    return "\n".join(node.loc.source.body[node.loc.start : node.loc.end] for node in holders if node.loc)
