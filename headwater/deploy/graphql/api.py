"""Flow 7/8 and 8/8: a template's GraphQL APIs: schema, data sources, resolvers, authorization and real time."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from headwater.appsync_js import JsModule
from headwater.datasource.resolvers import (
    DirectLambdaResolver,
    PipelineResolver,
    ResolverSettings,
    Step,
    UnitResolver,
)
from headwater.datasource.sources.lambda_source import LambdaSource
from headwater.deploy.deployment import Deployment
from headwater.deploy.faults import Faults, FollowUpError
from headwater.deploy.graphql.access import ApiAccess, FieldPolicies
from headwater.deploy.graphql.caching import ResolverCaching
from headwater.deploy.graphql.calls import ApiCalls
from headwater.deploy.graphql.data_sources import data_source
from headwater.deploy.graphql.logs import api_log
from headwater.deploy.loading import read_bounded
from headwater.engine import ApiSchema, FieldResolver, GraphQLEngine, Limits
from headwater.errors import TemplateError
from headwater.realtime.connection import RealtimeLimits
from headwater.server.appsync.api_log import ApiLog
from headwater.server.appsync.http import AppSyncHttp
from headwater.server.appsync.log import SubscriptionLog, TracedResolver
from headwater.server.appsync.realtime import AppSyncRealtime
from headwater.server.appsync.request_ids import RequestIds
from headwater.template.attributes import ATTRIBUTES, Named
from headwater.template.intrinsics import Resource

# The service refuses starts beyond some rate on a connection without saying which; this is more than clients do.
_STARTS_PER_S: Final = 100
# AppSync takes schemas of 1 MB, and code of less.
_MAX_FILE_BYTES: Final = 1 << 20
# AWS General Reference, "AppSync endpoints and quotas".
_CONNECTS_PER_S: Final = 2_000
_INBOUND_PER_S: Final = 10_000
_INVALIDATIONS_PER_S: Final = 100


@dataclass(slots=True)
class GraphQLApi:
    """A running API."""

    logical_id: str
    api_id: str
    engine: GraphQLEngine
    http: AppSyncHttp
    realtime: AppSyncRealtime
    api_keys: tuple[str, ...]
    takes_iam: bool
    log: ApiLog | None = None


API_PARTS = (
    "AWS::AppSync::GraphQLSchema",
    "AWS::AppSync::DataSource",
    "AWS::AppSync::FunctionConfiguration",
    "AWS::AppSync::Resolver",
)


async def deploy_api(deployment: Deployment, resource: Resource) -> None:
    """Bring one API up with everything of the template that names its id."""
    builder = _ApiBuilder(deployment, resource)
    builder.load_sources()
    deployment.apis[resource.logical_id] = await builder.build()
    deployment.report(resource, deployment.stack.environment.api_url(resource.logical_id))


async def check_api_part(deployment: Deployment, resource: Resource) -> None:
    """Raises: TemplateError for a part of no API of the template, which nobody else would look at."""
    kinds = deployment.loaded.document.resources.items()
    apis = {deployment.stack.physical_id(name) for name, body in kinds if body["Type"] == "AWS::AppSync::GraphQLApi"}
    api_id = resource.properties["ApiId"]
    if api_id not in apis:
        raise TemplateError(f"{api_id!r} is no API of this template, so it would not be used", property_path="ApiId")


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
        self._caching = ResolverCaching(self._mine("AWS::AppSync::ApiCache"))
        cache = self._caching.cache
        self._log = api_log(self.properties, self.arn, deployment.clock)
        self._settings = ResolverSettings(
            environment=environment, evict=cache.evict if cache is not None else None, observer=self._log
        )

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

    async def build(self) -> GraphQLApi:
        """Raises: TemplateError for a fault of the API itself; those of its parts are collected."""
        deployment = self.deployment
        schema = self._schema()
        access = ApiAccess(deployment, self.resource, self.api_id, self._mine("AWS::AppSync::ApiKey"))
        authenticator, keys = await access.authenticator()
        engine = GraphQLEngine(
            schema,
            self._resolvers(schema),
            default_mode=self.properties["AuthenticationType"],
            modes=access.additional_modes,
            limits=Limits(
                max_depth=int(self.properties.get("QueryDepthLimit", 0)),
                max_resolvers=int(self.properties.get("ResolverCountLimit") or 10_000),
                is_introspection_enabled=self.properties.get("IntrospectionConfig", "ENABLED") == "ENABLED",
            ),
            iam_policies=FieldPolicies(deployment.roles, self.arn),
            default_action=access.default_action,
            clock=deployment.clock if self._log is not None else None,
        )
        new_request_id = RequestIds()
        calls = ApiCalls(
            engine,
            authenticator,
            clock=deployment.clock,
            new_request_id=new_request_id,
            has_authorizer=access.has_authorizer,
            log=self._log,
        )
        realtime = AppSyncRealtime(
            authenticate=calls.authenticate_realtime,
            prepare=calls.prepare,
            run_resolver=calls.run_resolver,
            limits=RealtimeLimits(
                max_subscriptions=deployment.options.max_subscriptions,
                max_starts_per_s=_STARTS_PER_S,
                enforces_rates=deployment.options.enforces_quotas,
                max_connects_per_s=_CONNECTS_PER_S,
                max_inbound_per_s=_INBOUND_PER_S,
                max_invalidations_per_s=_INVALIDATIONS_PER_S,
            ),
            following=schema.publishing,
            wall_clock=deployment.clock,
            log=self._subscription_log(new_request_id),
        )
        calls.realtime = realtime
        http = AppSyncHttp(
            engine,
            calls.authenticate_http,
            clock=deployment.clock,
            new_request_id=new_request_id,
            publish=calls.publish,
            invalidate=calls.invalidate,
            api_id=self.api_id,
            log=self._log,
        )
        takes_iam = "AWS_IAM" in (self.properties["AuthenticationType"], *access.additional_modes)
        return GraphQLApi(self.resource.logical_id, self.api_id, engine, http, realtime, keys, takes_iam, self._log)

    def _schema(self) -> ApiSchema:
        """The API's schema; one that is at fault is reported and stands for an empty one."""
        schemas = self._mine("AWS::AppSync::GraphQLSchema")
        if not schemas and self._faults.has_broken("AWS::AppSync::GraphQLSchema", self.deployment.loaded.document):
            raise FollowUpError("the API's schema is at fault")
        if len(schemas) != 1:
            raise TemplateError(f"the API has {len(schemas)} GraphQLSchema resources; it needs one")
        schema = schemas[0]
        with self._faults.collecting(schema.logical_id, self._schema_name):
            found = self._compiled_schema(schema)
            self.deployment.warnings.extend(f"{schema.logical_id}: {note}" for note in found.notes)
            return found
        return self.deployment.compiled.schema("type Query { nothing: ID }", "")

    def _compiled_schema(self, schema: Resource) -> ApiSchema:
        if "Definition" in schema.properties:
            return self.deployment.compiled.schema(str(schema.properties["Definition"]), "")
        sdl = self._read(schema, "DefinitionS3Location")
        file = self.deployment.loaded.shown_path(schema.properties["DefinitionS3Location"])
        return self.deployment.compiled.schema(sdl, file)

    def _read(self, resource: Resource, name: str) -> str:
        uri = resource.properties.get(name)
        if not isinstance(uri, str):
            raise TemplateError(f"expected a path, found {uri!r}", property_path=name)
        path = self.deployment.loaded.path(uri)
        if path.exists() and not path.is_file():
            raise TemplateError(f"{path} is no file", property_path=name)
        try:
            text = read_bounded(path, _MAX_FILE_BYTES)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise TemplateError(f"cannot read {path}: {reason}", property_path=name) from error
        if len(text.encode()) > _MAX_FILE_BYTES:
            raise TemplateError(f"{path} has more than {_MAX_FILE_BYTES:,} bytes", property_path=name)
        return text

    def _module(self, resource: Resource) -> JsModule | None:
        if "Code" in resource.properties:
            return self.deployment.compiled.module(str(resource.properties["Code"]), resource.logical_id)
        if "CodeS3Location" not in resource.properties:
            return None
        code = self._read(resource, "CodeS3Location")
        file = self.deployment.loaded.shown_path(resource.properties["CodeS3Location"])
        return self.deployment.compiled.module(code, file)

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
                resolver = self._caching.cached(self._resolver(resource, ".".join(key), functions), resource)
                if not schema.has_field(*key):
                    fault = f"the schema has no field {key[0]}.{key[1]}"
                    raise self._faults.missing(fault, self._schema_name, property_path="FieldName")
                resolvers[key] = self._traced(resolver, key, schema)
        return resolvers

    def _subscription_log(self, new_request_id: RequestIds) -> SubscriptionLog | None:
        if self._log is None:
            return None
        return SubscriptionLog(self.api_id, self._log, clock=self.deployment.clock, new_request_id=new_request_id)

    def _traced(self, resolver: FieldResolver, key: tuple[str, str], schema: ApiSchema) -> FieldResolver:
        if self._log is None or not self._log.wants_traces:
            return resolver
        return TracedResolver(
            resolver,
            api_id=self.api_id,
            resolver_arn=self._log.resolver_arn(*key),
            return_type=schema.return_type(*key),
            log=self._log,
            clock=self.deployment.clock,
        )

    def _resolver(self, resource: Resource, name: str, functions: dict[str, Step]) -> UnitResolver | PipelineResolver:
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


def page_token_secret(secret: str) -> bytes:
    """64 bytes derived from the instance's secret, so that page tokens survive a restart."""
    return hashlib.sha512(f"page tokens/{secret}".encode()).digest()
