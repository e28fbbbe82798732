"""Flow 7/8 and 8/8: a template's GraphQL APIs: schema, data sources, resolvers, authorization and real time."""

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from headwater.appsync_js import JsModule
from headwater.auth.appsync import ApiKeys, AppSyncAuthenticator, AuthSettings, UserPool
from headwater.auth.authorizer import LambdaAuthorizer
from headwater.datasource.resolvers import (
    DirectLambdaResolver,
    PipelineResolver,
    ResolverSettings,
    Step,
    UnitResolver,
)
from headwater.datasource.sources.lambda_source import LambdaSource
from headwater.deploy.data_sources import data_source
from headwater.deploy.deployment import Deployment
from headwater.deploy.faults import Faults, FollowUpError
from headwater.engine import (
    ApiSchema,
    FieldResolver,
    GraphQLEngine,
    GraphQLRequest,
    Limits,
    PreparedSubscription,
    PublishedMutation,
    RequestContext,
)
from headwater.errors import RequestError, TemplateError
from headwater.server.appsync_http import AppSyncHttp, read_request
from headwater.server.appsync_realtime import AppSyncRealtime
from headwater.template.attributes import ATTRIBUTES, Named
from headwater.template.intrinsics import Resource
from headwater.values.http import HttpRequest
from headwater.values.identity import AuthMode, AwsPrincipal, GraphQLCaller


@dataclass(slots=True)
class GraphQLApi:
    """A running API."""

    logical_id: str
    api_id: str
    engine: GraphQLEngine
    http: AppSyncHttp
    realtime: AppSyncRealtime
    api_keys: tuple[str, ...]


async def deploy_api(deployment: Deployment, resource: Resource) -> None:
    """Bring one API up with everything of the template that names its id."""
    builder = _ApiBuilder(deployment, resource)
    builder.load_sources()
    deployment.apis[resource.logical_id] = builder.build()
    deployment.report(resource, deployment.stack.environment.api_url(resource.logical_id))


class _ApiBuilder:
    """Collects the resources of one API."""

    def __init__(self, deployment: Deployment, resource: Resource) -> None:
        self.deployment = deployment
        self.resource = resource
        self.properties = resource.properties
        self.api_id = deployment.stack.physical_id(resource.logical_id)
        self.arn = deployment.stack.environment.arn("appsync", f"apis/{self.api_id}")
        self._sources: dict[str, Any] = {}
        environment = {
            str(name): str(value) for name, value in (self.properties.get("EnvironmentVariables") or {}).items()
        }
        # What the schema is known as among the names of resources at fault.
        self._schema_name = f"the schema of {self.api_id}"
        self._settings = ResolverSettings(environment=environment)

    @property
    def _faults(self) -> Faults:
        return self.deployment.faults

    def _mine(self, kind: str) -> list[Resource]:
        return [
            one
            for one in self.deployment.of_type(kind)
            if one.properties.get("ApiId") == self.api_id and one.logical_id not in self._faults.broken
        ]

    def load_sources(self) -> None:
        """Make the API's data sources."""
        for resource in self._mine("AWS::AppSync::DataSource"):
            name = str(resource.properties.get("Name"))
            with self._faults.collecting(resource.logical_id, name):
                self._sources[name] = data_source(self.deployment, resource)

    def build(self) -> GraphQLApi:
        """Raises: TemplateError for a fault of the API itself; those of its parts are collected."""
        schema = self._schema()
        authenticator, keys = self._authenticator()
        depth = int(self.properties.get("QueryDepthLimit", 0))
        engine = GraphQLEngine(
            schema,
            self._resolvers(schema),
            default_mode=self.properties["AuthenticationType"],
            modes=self._modes(),
            limits=Limits(
                max_depth=depth,
                max_resolvers=int(self.properties.get("ResolverCountLimit") or 10_000),
                is_introspection_enabled=self.properties.get("IntrospectionConfig", "ENABLED") == "ENABLED",
            ),
            authorize_iam=self._authorize_iam,
            default_action=self._default_action(),
        )
        calls = _ApiCalls(self.deployment, engine, authenticator, has_authorizer=self._authorizer() is not None)
        realtime = AppSyncRealtime(
            authenticate=calls.authenticate_realtime, prepare=calls.prepare, run_resolver=calls.run_resolver
        )
        calls.realtime = realtime
        http = AppSyncHttp(
            engine,
            calls.authenticate_http,
            clock=self.deployment.clock,
            new_request_id=lambda: str(uuid.uuid4()),
            publish=calls.publish,
            invalidate=calls.invalidate,
        )
        return GraphQLApi(self.resource.logical_id, self.api_id, engine, http, realtime, keys)

    def _schema(self) -> ApiSchema:
        """The API's schema; one that is at fault is reported and stands for an empty one."""
        schemas = self._mine("AWS::AppSync::GraphQLSchema")
        if not schemas and self._faults.has_broken("AWS::AppSync::GraphQLSchema", self.deployment.loaded.document):
            raise FollowUpError("the API's schema is at fault")
        if len(schemas) != 1:
            raise TemplateError(f"the API has {len(schemas)} GraphQLSchema resources; it needs one")
        schema = schemas[0]
        with self._faults.collecting(schema.logical_id, self._schema_name):
            if "Definition" in schema.properties:
                return self.deployment.compiled.schema(str(schema.properties["Definition"]))
            return self.deployment.compiled.schema(self._read(schema, "DefinitionS3Location"))
        return self.deployment.compiled.schema("type Query { nothing: ID }")

    def _read(self, resource: Resource, name: str) -> str:
        uri = resource.properties.get(name)
        if not isinstance(uri, str):
            raise TemplateError(f"expected a path, found {uri!r}", property_path=name)
        path = self.deployment.loaded.path(uri)
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise TemplateError(f"cannot read {path}: {reason}", property_path=name) from error

    def _modes(self) -> tuple[AuthMode, ...]:
        providers = self.properties.get("AdditionalAuthenticationProviders") or []
        return tuple(provider["AuthenticationType"] for provider in providers)

    def _authorize_iam(self, principal: AwsPrincipal, type_name: str, field_name: str) -> bool:
        resource = f"{self.arn}/types/{type_name}/fields/{field_name}"
        return self.deployment.roles.is_allowed(principal, "appsync:GraphQL", resource)

    def _providers(self) -> list[Mapping[str, Any]]:
        return [self.properties, *(self.properties.get("AdditionalAuthenticationProviders") or [])]

    def _default_action(self) -> Literal["ALLOW", "DENY"]:
        action = (self.properties.get("UserPoolConfig") or {}).get("DefaultAction", "ALLOW")
        return "DENY" if action == "DENY" else "ALLOW"

    def _authorizer(self) -> LambdaAuthorizer | None:
        for provider in self._providers():
            config = provider.get("LambdaAuthorizerConfig")
            if provider["AuthenticationType"] == "AWS_LAMBDA":
                if not isinstance(config, Mapping):
                    raise TemplateError("missing: AWS_LAMBDA needs it", property_path="LambdaAuthorizerConfig")
                pattern = config.get("IdentityValidationExpression")
                return LambdaAuthorizer(
                    str(config["AuthorizerUri"]),
                    float(config.get("AuthorizerResultTtlInSeconds", 300)),
                    re.compile(pattern) if pattern else None,
                )
        return None

    def _authenticator(self) -> tuple[AppSyncAuthenticator, tuple[str, ...]]:
        pools: list[UserPool] = []
        modes = {provider["AuthenticationType"] for provider in self._providers()}
        for provider in self._providers():
            mode = provider["AuthenticationType"]
            if mode == "AMAZON_COGNITO_USER_POOLS":
                pools.append(self._pool(provider.get("UserPoolConfig") or {}))
            elif mode == "OPENID_CONNECT":
                raise TemplateError(
                    "OPENID_CONNECT does not work here: its keys lie on another host; use a user pool",
                    property_path="AuthenticationType",
                )
            elif mode not in ("API_KEY", "AWS_IAM", "AWS_LAMBDA"):
                raise TemplateError(f"{mode!r} is no authorization mode", property_path="AuthenticationType")
        keys = self._api_keys()
        settings = AuthSettings(
            api_id=self.api_id,
            account_id=self.deployment.options.account_id,
            endpoint_path=self.deployment.stack.environment.api_path(self.resource.logical_id),
            api_keys=ApiKeys(keys) if "API_KEY" in modes else None,
            is_iam="AWS_IAM" in modes,
            user_pools=tuple(pools),
            authorizer=self._authorizer(),
        )
        authenticator = AppSyncAuthenticator(
            settings, find_secret=self.deployment.roles.find_secret, invoke=self._invoke_authorizer
        )
        return authenticator, tuple(keys)

    async def _invoke_authorizer(self, function: str, event: dict[str, Any]) -> Any:
        result = await self.deployment.functions.invoke(function, orjson.dumps(event))
        if result.function_error is not None:
            raise RequestError(result.payload.decode(errors="replace"), "UnauthorizedException")
        return orjson.loads(result.payload)

    def _pool(self, config: Mapping[str, Any]) -> UserPool:
        pool_id = str(config.get("UserPoolId"))
        pool = self.deployment.user_pools.pools.get(pool_id)
        if pool is None:
            raise TemplateError(
                f"{pool_id!r} is no user pool of this template", property_path="UserPoolConfig.UserPoolId"
            )
        pattern = config.get("AppIdClientRegex")
        return UserPool(
            pool.issuer,
            pool.verifier(),
            re.compile(str(pattern)) if pattern else None,
            str(config.get("DefaultAction", "ALLOW")),
        )

    def _api_keys(self) -> dict[str, float]:
        keys: dict[str, float] = {}
        for resource in self._mine("AWS::AppSync::ApiKey"):
            named = Named(resource.logical_id, "", dict, self.deployment.stack.environment)
            key = str(ATTRIBUTES["AWS::AppSync::ApiKey"]["ApiKey"](named))
            expires = resource.properties.get("Expires")
            # Local keys are not renewed by a deployment every week, so one without an expiry lasts a start.
            keys[key] = float(expires) if expires is not None else self.deployment.clock() + 365 * 24 * 3600
        return keys

    def _module(self, resource: Resource) -> JsModule | None:
        if "Code" in resource.properties:
            code = str(resource.properties["Code"])
        elif "CodeS3Location" in resource.properties:
            code = self._read(resource, "CodeS3Location")
        else:
            return None
        name = str(resource.properties.get("CodeS3Location", resource.logical_id)).rsplit("/", 1)[-1]
        return self.deployment.compiled.module(code, name)

    def _source(self, resource: Resource) -> Any:
        name = str(resource.properties.get("DataSourceName", ""))
        if name not in self._sources:
            fault = f"there is no data source {name!r}; the API has {sorted(self._sources)}"
            raise self._faults.missing(fault, name, property_path="DataSourceName")
        return self._sources[name]

    def _functions(self) -> dict[str, Step]:
        functions: dict[str, Step] = {}
        for resource in self._mine("AWS::AppSync::FunctionConfiguration"):
            named = Named(resource.logical_id, "", dict, self.deployment.stack.environment)
            function_id = str(ATTRIBUTES["AWS::AppSync::FunctionConfiguration"]["FunctionId"](named))
            with self._faults.collecting(resource.logical_id, function_id):
                functions[function_id] = Step(
                    str(resource.properties["Name"]),
                    self._module(resource),
                    self._source(resource),
                    max_batch_size=int(resource.properties.get("MaxBatchSize", 0)),
                )
        return functions

    def _resolvers(self, schema: ApiSchema) -> dict[tuple[str, str], FieldResolver]:
        functions = self._functions()
        resolvers: dict[tuple[str, str], FieldResolver] = {}
        for resource in self._mine("AWS::AppSync::Resolver"):
            with self._faults.collecting(resource.logical_id):
                key = (str(resource.properties["TypeName"]), str(resource.properties["FieldName"]))
                if key in resolvers:
                    raise TemplateError(f"{key[0]}.{key[1]} has two resolvers")
                # Compiled before the field is looked for, so that both faults are told.
                resolver = self._resolver(resource, ".".join(key), functions)
                if not schema.has_field(*key):
                    fault = f"the schema has no field {key[0]}.{key[1]}"
                    raise self._faults.missing(fault, self._schema_name, property_path="FieldName")
                resolvers[key] = resolver
        return resolvers

    def _resolver(self, resource: Resource, name: str, functions: dict[str, Step]) -> FieldResolver:
        properties = resource.properties
        module = self._module(resource)
        if properties.get("Kind", "UNIT") == "PIPELINE":
            ids = (properties.get("PipelineConfig") or {}).get("Functions") or []
            unknown = [one for one in ids if one not in functions]
            if unknown:
                raise self._faults.missing(f"{unknown[0]!r} is no function of this API", unknown[0])
            steps = [functions[one] for one in ids]
            return PipelineResolver(module, steps, name=name, settings=self._settings)
        source, batch = self._source(resource), int(properties.get("MaxBatchSize", 0))
        if module is None:
            if not isinstance(source, LambdaSource):
                raise TemplateError("missing: only a Lambda resolver may have none", property_path="Code")
            return DirectLambdaResolver(source, name=name, max_batch_size=batch, settings=self._settings)
        return UnitResolver(module, source, name=name, max_batch_size=batch, settings=self._settings)


class _ApiCalls:
    """The callables that HTTP and real time ask for."""

    def __init__(
        self,
        deployment: Deployment,
        engine: GraphQLEngine,
        authenticator: AppSyncAuthenticator,
        *,
        has_authorizer: bool,
    ) -> None:
        self._deployment = deployment
        self._engine = engine
        self._authenticator = authenticator
        self._has_authorizer = has_authorizer
        self.realtime: AppSyncRealtime | None = None

    async def authenticate_http(self, request: HttpRequest) -> GraphQLCaller:
        authenticator = self._authenticator
        if self._has_authorizer:
            # Only an authorizer function is told what is asked for.
            asked = _readable(request)
            attempt = authenticator.http_attempt(
                request,
                request_id=str(uuid.uuid4()),
                query=asked.query,
                operation_name=asked.operation_name,
                variables=asked.variables,
            )
        else:
            attempt = authenticator.http_attempt(request, request_id="")
        return await authenticator.authenticate(attempt, now=self._deployment.clock())

    async def authenticate_realtime(
        self, header: Mapping[str, str], kind: Literal["connect", "start"], body: str, source_ip: tuple[str, ...]
    ) -> GraphQLCaller:
        request_id = str(uuid.uuid4())
        if kind == "connect":
            attempt = self._authenticator.connect_attempt(header, request_id=request_id, source_ip=source_ip)
        else:
            asked = _data(body) if self._has_authorizer else {}
            attempt = self._authenticator.start_attempt(
                header,
                body,
                request_id=request_id,
                source_ip=source_ip,
                query=str(asked.get("query", "")),
                variables=asked.get("variables"),
            )
        return await self._authenticator.authenticate(attempt, now=self._deployment.clock())

    def prepare(
        self, query: str, variables: Mapping[str, Any], operation_name: str | None, caller: GraphQLCaller
    ) -> PreparedSubscription:
        request = GraphQLRequest(query, dict(variables), operation_name)
        return self._engine.prepare_subscription(request, caller)

    async def run_resolver(self, prepared: Any, caller: GraphQLCaller, headers: Mapping[str, str | list[str]]) -> Any:
        if prepared.resolver is None:
            return None
        context = RequestContext(
            caller, headers=dict(headers), request_id=str(uuid.uuid4()), now=self._deployment.clock()
        )
        return await prepared.resolver.run_subscription(prepared.field_call(context))

    def publish(self, published: PublishedMutation, context: RequestContext) -> None:
        assert self.realtime is not None, "set when the API is built"
        self.realtime.publish(published)

    def invalidate(self, context: RequestContext) -> None:
        assert self.realtime is not None, "set when the API is built"
        for invalidation in context.invalidations:
            self.realtime.invalidate(str(invalidation["subscriptionField"]), invalidation.get("payload") or {})


def _readable(request: HttpRequest) -> GraphQLRequest:
    """What a request asks for; nothing if it cannot be read, which is answered after authentication."""
    try:
        return read_request(request)
    except RequestError:
        return GraphQLRequest("")


def _data(body: str) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def page_token_secret(secret: str) -> bytes:
    """64 bytes derived from the instance's secret, so that page tokens survive a restart."""
    return hashlib.sha512(f"page tokens/{secret}".encode()).digest()
