"""The GraphQL engine of one API: documents and plans are compiled once and kept, operations run on them."""

from collections.abc import Callable, Coroutine, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from graphql import (
    FragmentDefinitionNode,
    GraphQLObjectType,
    Node,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
)

from headwater.engine.authorization import Authorization, IamPolicies
from headwater.engine.calls import (
    FieldResolver,
    GraphQLRequest,
    GraphQLResult,
    Limits,
    PublishedMutation,
    RequestContext,
    RequestRefused,
    SubscriptionRefused,
)
from headwater.engine.execution.codegen import CodeCache
from headwater.engine.execution.completion import Run
from headwater.engine.execution.deadline import DeadlinePassed, within
from headwater.engine.execution.faults import document_error, request_error
from headwater.engine.execution.inputs import InputTypes, VariablePlan, VariableRefusal, coerce_variables
from headwater.engine.execution.plan import FieldPlan, ObjectPlan, PlanCompiler, PlanScope
from headwater.engine.execution.run import execute, mutation_steps, query_steps
from headwater.engine.introspection import Introspection
from headwater.engine.schema import ApiSchema
from headwater.engine.subscription import PreparedSubscription, Projection
from headwater.engine.validation.documents import DocumentValidator, select_operation
from headwater.errors import RequestError, TemplateError
from headwater.values.identity import AuthMode, GraphQLCaller


@dataclass(frozen=True, slots=True)
class OperationPlan:
    """A compiled operation for one set of conditions and rights; `projection` is there for subscriptions.

    `is_withheld` tells that the caller's policies grant none of what it asks for.
    """

    root: ObjectPlan
    has_introspection: bool
    projection: Projection | None = None
    is_withheld: bool = False


# A document of 5 KB takes 280 to 490 times its text with one plan, a short one 900 times.
_COMPILED_FACTOR = 250


@dataclass(slots=True)
class CompiledDocument:
    """A validated operation; `condition_names` are the variables its `@skip` and `@include` depend on.

    `recent` is the last caller and its plan, where that depends on nothing else: callers that are known by their
    headers are the very same object each time.

    `size` is an estimate in bytes of what it takes with its plans, `unit_size` of what each plan adds.
    """

    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    variables: tuple[VariablePlan, ...]
    condition_names: tuple[str, ...]
    unit_size: int
    is_mutation: bool
    is_subscription: bool
    plans: dict[Hashable, OperationPlan] = field(default_factory=dict)
    recent: tuple[GraphQLCaller, OperationPlan] | None = None
    is_kept: bool = False

    @property
    def size(self) -> int:
        return self.unit_size * (1 + len(self.plans))


class GraphQLEngine:
    """Executes operations on one schema with its resolvers."""

    def __init__(
        self,
        schema: ApiSchema,
        resolvers: Mapping[tuple[str, str], FieldResolver],
        *,
        default_mode: AuthMode,
        modes: tuple[AuthMode, ...] = (),
        limits: Limits | None = None,
        iam_policies: IamPolicies | None = None,
        default_action: Literal["ALLOW", "DENY"] = "ALLOW",
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`modes` are the additional ones; the default may be among them. `clock` is needed for `take_times` alone.

        Raises: TemplateError if a resolver is attached to a field that does not exist.
        """
        for type_name, field_name in resolvers:
            if not schema.has_field(type_name, field_name):
                raise TemplateError(f"a resolver is attached to {type_name}.{field_name}, which the schema has not")
        self.schema = schema
        self._resolvers = dict(resolvers)
        self._limits = limits or Limits()
        self._authorization = Authorization(
            schema, default_mode=default_mode, modes=modes, iam_policies=iam_policies, default_action=default_action
        )
        self._validator = DocumentValidator(schema.graphql, self._limits, clock)
        self._inputs = InputTypes(schema.graphql)
        self._introspection = Introspection(schema.graphql)
        self._published_fields = frozenset(schema.publishing)
        self._documents: dict[tuple[str, str | None], CompiledDocument] = {}
        self._documents_size = 0
        self._codes = CodeCache()

    @property
    def cached_queries(self) -> tuple[str, ...]:
        """The texts of the documents that are kept, the one to be forgotten first in front."""
        return tuple(query for query, _ in self._documents)

    async def execute(self, request: GraphQLRequest, context: RequestContext) -> GraphQLResult:
        """Run a query or mutation; faults of the request become the result's `errors` and status."""
        outcome = self.start(request, context)
        return outcome if isinstance(outcome, GraphQLResult) else await outcome

    def start(
        self, request: GraphQLRequest, context: RequestContext
    ) -> GraphQLResult | Coroutine[Any, Any, GraphQLResult]:
        """As execute; the result at once if no resolver has to be waited for."""
        raw_variables = request.variables or {}
        try:
            document = self._document(request.query, request.operation_name)
            if document.is_subscription:
                fault = request_error("Subscriptions are served over WebSocket only.", "UnsupportedOperation")
                raise RequestRefused([fault], status=400, has_data_member=False)
            variables = _coerced(document, raw_variables)
            plan = self._plan(document, variables, context.caller)
            if plan.is_withheld:
                raise RequestRefused([_permission_denied()], status=401, has_data_member=False)
        except RequestRefused as refused:
            return GraphQLResult(refused.body(), refused.status, is_refused=True)
        run = Run(context, variables, raw_variables, self._limits.max_resolvers)
        if plan.has_introspection:
            run.introspection = self._introspection.answers(
                plan.root, document.fragments, document.operation, raw_variables
            )
        published: list[PublishedMutation] = []
        if document.is_mutation:
            steps = mutation_steps(run, plan.root, self._published_fields, published)
        else:
            steps = query_steps(run, plan.root)
        data = execute(run, steps)
        if data is None or isinstance(data, dict):
            return _result(run, data, published)
        return self._wait(run, data, published)

    def take_times(self) -> tuple[float, float, float] | None:
        """When the document of the operation that was started last began, was parsed and was validated.

        None if it was known, or did not parse.
        """
        times, self._validator.times = self._validator.times, None
        return times

    def fault_of(self, query: str) -> str | None:
        """What is wrong with the document of a query or mutation that is to be run later; None if nothing is."""
        try:
            document = self._document(query, None)
        except RequestRefused as refused:
            return refused.message
        return "a subscription cannot be run" if document.is_subscription else None

    async def _wait(
        self, run: Run, work: Coroutine[Any, Any, dict[str, Any] | None], published: list[PublishedMutation]
    ) -> GraphQLResult:
        data: dict[str, Any] | None = None
        try:
            data = await within(self._limits.timeout_s, work)
        except DeadlinePassed:
            run.errors.append(
                {
                    "path": None,
                    "data": None,
                    "errorType": "ExecutionTimeout",
                    "errorInfo": None,
                    "locations": None,
                    "message": "Execution timed out.",
                }
            )
        return _result(run, data, published)

    def prepare_subscription(self, request: GraphQLRequest, caller: GraphQLCaller) -> PreparedSubscription:
        """Check a subscription operation and compile what its subscriber will be sent.

        Raises: SubscriptionRefused with the `errors` of the `error` frame.
        """
        raw_variables = request.variables or {}
        try:
            document = self._document(request.query, request.operation_name)
            if not document.is_subscription:
                message = "unknown not supported through the realtime channel"
                raise SubscriptionRefused([request_error(message, "UnsupportedOperation")])
            variables = _coerced(document, raw_variables)
            plan = self._plan(document, variables, caller)
            if plan.is_withheld:
                raise SubscriptionRefused([_permission_denied()])
        except SubscriptionRefused:
            raise
        except RequestRefused as refused:
            # The channel's errors have neither path nor locations.
            kept: tuple[str, ...] = ("errorType", "message")
            errors = [{name: one[name] for name in kept if name in one} for one in refused.errors]
            raise SubscriptionRefused(errors) from refused
        if plan.projection is None:
            raise SubscriptionRefused([document_error("The subscription selects no field.", None)])
        return self._prepared(plan.projection, variables, raw_variables)

    def _prepared(
        self, projection: Projection, variables: dict[str, Any], raw_variables: dict[str, Any]
    ) -> PreparedSubscription:
        root = projection.root
        if root.refusal is not None:
            raise SubscriptionRefused([request_error(root.refusal[1], root.refusal[0])])
        try:
            arguments = root.build_arguments(variables)
        except RequestError as error:
            raise SubscriptionRefused([{"message": error.message}]) from error
        return PreparedSubscription(projection, arguments, raw_variables)

    def _document(self, query: str, operation_name: str | None) -> CompiledDocument:
        key = (query, operation_name or None)
        kept = self._documents.pop(key, None)
        if kept is not None:
            # Taken out and put back: a dict in order of use is the LRU.
            self._documents[key] = kept
            return kept
        try:
            document = self._validator.document(query)
            operation = select_operation(document, operation_name)
        except RecursionError as error:
            raise RequestRefused([document_error("The document is nested too deeply.", None)]) from error
        fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
        compiled = CompiledDocument(
            operation,
            fragments,
            self._inputs.variables(operation),
            _condition_names(document),
            len(query) * _COMPILED_FACTOR,
            is_mutation=operation.operation is OperationType.MUTATION,
            is_subscription=operation.operation is OperationType.SUBSCRIPTION,
        )
        self._keep(key, compiled)
        return compiled

    def _keep(self, key: tuple[str, str | None], document: CompiledDocument) -> None:
        if 2 * document.unit_size > self._limits.max_cached_bytes:
            return  # it would push all others out and then go itself
        document.is_kept = True
        self._documents[key] = document
        self._documents_size += document.size
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        limits = self._limits
        while len(self._documents) > limits.max_cached_documents or self._documents_size > limits.max_cached_bytes:
            oldest = next(iter(self._documents))
            forgotten = self._documents.pop(oldest)
            self._documents_size -= forgotten.size
            forgotten.is_kept = False

    def _plan(self, document: CompiledDocument, variables: Mapping[str, Any], caller: GraphQLCaller) -> OperationPlan:
        names = document.condition_names
        recent = document.recent
        if recent is not None and recent[0] is caller:
            return recent[1]
        conditions = {name: variables.get(name) for name in names} if names else {}
        key = (*conditions.values(), self._authorization.key(caller))
        plan = document.plans.get(key)
        if plan is None:
            try:
                plan = self._compile(document, conditions, caller)
            except RecursionError as error:
                raise RequestRefused([document_error("The document is nested too deeply.", None)]) from error
            self._keep_plan(document, key, plan)
        if not names:
            document.recent = (caller, plan)
        return plan

    def _keep_plan(self, document: CompiledDocument, key: Hashable, plan: OperationPlan) -> None:
        if len(document.plans) >= self._limits.max_plans_per_document:
            document.plans.pop(next(iter(document.plans)))
        elif document.is_kept:
            self._documents_size += document.unit_size
        document.plans[key] = plan
        self._forget_oldest()

    def _compile(
        self, document: CompiledDocument, conditions: Mapping[str, Any], caller: GraphQLCaller
    ) -> OperationPlan:
        operation = document.operation
        scope = PlanScope(
            schema=self.schema.graphql,
            inputs=self._inputs,
            fragments=document.fragments,
            variables=conditions,
            is_allowed=lambda type_name, field_name: self._authorization.is_allowed(caller, type_name, field_name),
            resolvers=self._resolvers,
            max_depth=self._limits.max_depth,
            max_fields=self._limits.max_plan_fields,
            codes=self._codes,
            is_projection=document.is_subscription,
            published_fields=(self._published_fields if operation.operation is OperationType.MUTATION else frozenset()),
        )
        root_type = self.schema.graphql.get_root_type(operation.operation)
        assert isinstance(root_type, GraphQLObjectType), "validated operations have a root type"
        root = PlanCompiler(scope).compile_object(root_type, [operation.selection_set])
        return OperationPlan(
            root,
            any(one.is_introspection for one in root.fields),
            self._projection(root.fields[0]) if document.is_subscription and root.fields else None,
            self._is_withheld(caller, root),
        )

    def _projection(self, root: FieldPlan) -> Projection:
        resolver = self._resolvers.get((root.parent_type, root.name))
        return Projection(root, self.schema.graphql, self.schema.subscribed.get(root.name, ()), resolver)

    def _is_withheld(self, caller: GraphQLCaller, root: ObjectPlan) -> bool:
        asked = [one.name for one in root.fields if not one.name.startswith("__")]
        return bool(asked) and all(self._authorization.is_withheld(caller, root.type_name, name) for name in asked)


def _permission_denied() -> dict[str, Any]:
    # Recorded in amplify-cli#4343, #13712 and gql#239: an operation that the caller's policies do not grant is refused
    # as a whole. Of several fields some of which are granted, the others are null (inferred).
    return request_error("Permission denied", "UnauthorizedException")


def _result(run: Run, data: dict[str, Any] | None, published: list[PublishedMutation]) -> GraphQLResult:
    body: dict[str, Any] = {"data": data}
    if run.errors:
        body["errors"] = run.errors
    if run.context.extensions:
        body["extensions"] = run.context.extensions
    return GraphQLResult(body, published=tuple(published))


def _coerced(document: CompiledDocument, values: Mapping[str, Any]) -> dict[str, Any]:
    if not document.variables:
        return {}
    try:
        return coerce_variables(document.variables, values)
    except VariableRefusal as refusal:
        locations = [refusal.location] if refusal.location else None
        raise RequestRefused([document_error(refusal.message, locations)]) from refusal


def _condition_names(node: Node) -> tuple[str, ...]:
    """The variables of every `@skip` and `@include` in the document, each once."""
    return tuple(dict.fromkeys(_walk_conditions(node)))


def _walk_conditions(node: Node) -> Iterator[str]:
    for directive in getattr(node, "directives", ()) or ():
        for argument in directive.arguments or ():
            if isinstance(argument.value, VariableNode):
                yield argument.value.name.value
    below: Any = getattr(node, "definitions", None) or getattr(node, "selections", None) or ()
    selection_set: Any = getattr(node, "selection_set", None)
    for child in (*below, *((selection_set,) if selection_set else ())):
        yield from _walk_conditions(child)
