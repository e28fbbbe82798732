"""Verdicts on GraphQL APIs."""

from collections.abc import Iterable, Mapping
from typing import Any

from headwater.template.tables.type_table import TypeTable, one_of, required, table, whole_number

_VTL = "VTL does not run here; write the resolver in APPSYNC_JS (Code or CodeS3Location with Runtime)"


def _runtime_is_appsync_js(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    runtime = properties.get("Runtime")
    name = runtime.get("Name") if isinstance(runtime, Mapping) else None
    if runtime is not None and name != "APPSYNC_JS":
        yield "Runtime.Name", f"{name!r}: handlers run in APPSYNC_JS"
    has_code = "Code" in properties or "CodeS3Location" in properties
    version = runtime.get("RuntimeVersion") if isinstance(runtime, Mapping) else None
    if version is not None and str(version) != "1.0.0":
        yield "Runtime.RuntimeVersion", f"{version!r}: there is 1.0.0"
    if has_code and runtime is None:
        yield "Runtime", "missing: code needs Runtime {Name: APPSYNC_JS, RuntimeVersion: 1.0.0}"


_MODES = ("API_KEY", "AWS_IAM", "AWS_LAMBDA", "AMAZON_COGNITO_USER_POOLS", "OPENID_CONNECT")
_ONCE = ("API_KEY", "AWS_IAM", "AWS_LAMBDA")
_SETTINGS = {
    "AWS_LAMBDA": "LambdaAuthorizerConfig",
    "AMAZON_COGNITO_USER_POOLS": "UserPoolConfig",
    "OPENID_CONNECT": "OpenIDConnectConfig",
}
_MAX_ADDITIONAL = 49


def _authorization_modes(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Source: AppSync Developer Guide, "Configuring authorization and authentication"."""
    additional = properties.get("AdditionalAuthenticationProviders") or []
    if not isinstance(additional, list) or not all(isinstance(one, Mapping) for one in additional):
        yield "AdditionalAuthenticationProviders", f"{additional!r}: expected a list of providers"
        return
    seen: set[str] = set()
    for place, provider in (
        ("AuthenticationType", properties),
        *(("AdditionalAuthenticationProviders", one) for one in additional),
    ):
        mode = provider.get("AuthenticationType")
        if mode not in _MODES:
            yield place, f"{mode!r}: expected one of {', '.join(_MODES)}"
            continue
        if mode in _ONCE and mode in seen:
            yield place, f"{mode} may be given once"
        seen.add(mode)
        settings = _SETTINGS.get(mode)
        if settings is not None and not isinstance(provider.get(settings), Mapping):
            yield place, f"{mode} needs {settings}"
    if len(additional) > _MAX_ADDITIONAL:
        yield "AdditionalAuthenticationProviders", f"{len(additional)} providers: AppSync takes {_MAX_ADDITIONAL}"
    pool = properties.get("UserPoolConfig")
    if additional and isinstance(pool, Mapping) and pool.get("DefaultAction") == "DENY":
        yield "UserPoolConfig", "DefaultAction DENY cannot be used with additional providers"


APPSYNC: dict[str, TypeTable] = {
    "AWS::AppSync::GraphQLApi": table(
        live="""Name AuthenticationType UserPoolConfig OpenIDConnectConfig LambdaAuthorizerConfig
            AdditionalAuthenticationProviders QueryDepthLimit ResolverCountLimit IntrospectionConfig
            EnvironmentVariables LogConfig.FieldLogLevel LogConfig.ExcludeVerboseContent ApiType Visibility""",
        deploy_only="Tags XrayEnabled LogConfig.CloudWatchLogsRoleArn EnhancedMetricsConfig OwnerContact",
        refused={"MergedApiExecutionRoleArn": "merged APIs do not run here"},
        checks=(
            required("Name", "AuthenticationType"),
            one_of("ApiType", ("GRAPHQL",), "merged APIs do not run here"),
            # A private API is reached from one network only, here from this machine; requests and answers are the same.
            one_of("Visibility", ("GLOBAL", "PRIVATE"), "expected GLOBAL or PRIVATE"),
            one_of("IntrospectionConfig", ("ENABLED", "DISABLED"), "expected ENABLED or DISABLED"),
            one_of(
                "LogConfig.FieldLogLevel",
                ("NONE", "ERROR", "INFO", "DEBUG", "ALL"),
                "expected NONE, ERROR, INFO, DEBUG or ALL",
            ),
            whole_number("QueryDepthLimit", 0, 75),
            whole_number("ResolverCountLimit", 0, 10_000),
            _authorization_modes,
        ),
    ),
    "AWS::AppSync::GraphQLSchema": table(live="ApiId Definition DefinitionS3Location", checks=(required("ApiId"),)),
    "AWS::AppSync::ApiKey": table(
        live="ApiId Description Expires ApiKeyId",
        checks=(required("ApiId"), whole_number("Expires", 0, 10**11)),
    ),
    "AWS::AppSync::DataSource": table(
        live="""ApiId Name Type Description ServiceRoleArn LambdaConfig HttpConfig EventBridgeConfig
            DynamoDBConfig.TableName DynamoDBConfig.AwsRegion DynamoDBConfig.UseCallerCredentials
            DynamoDBConfig.Versioned""",
        deploy_only="MetricsConfig",
        refused={
            "DynamoDBConfig.DeltaSyncConfig": "conflict detection and sync do not run here",
            "ElasticsearchConfig": "OpenSearch does not run here",
            "OpenSearchServiceConfig": "OpenSearch does not run here",
            "RelationalDatabaseConfig": "RDS does not run here",
        },
        checks=(
            required("ApiId", "Name", "Type"),
            one_of(
                "Type",
                ("AMAZON_DYNAMODB", "AWS_LAMBDA", "NONE", "HTTP", "AMAZON_EVENTBRIDGE"),
                "this data source does not run here",
            ),
            one_of("DynamoDBConfig.Versioned", ("false",), "conflict detection and sync do not run here"),
            one_of(
                "DynamoDBConfig.UseCallerCredentials", ("false",), "the caller's credentials are not passed on here"
            ),
        ),
    ),
    "AWS::AppSync::FunctionConfiguration": table(
        live="ApiId Name Description DataSourceName Code CodeS3Location Runtime MaxBatchSize FunctionVersion",
        refused={
            "RequestMappingTemplate": _VTL,
            "ResponseMappingTemplate": _VTL,
            "RequestMappingTemplateS3Location": _VTL,
            "ResponseMappingTemplateS3Location": _VTL,
            "SyncConfig": "conflict detection and sync do not run here",
        },
        checks=(
            required("ApiId", "Name", "DataSourceName"),
            _runtime_is_appsync_js,
            whole_number("MaxBatchSize", 0, 2000),
        ),
    ),
    "AWS::AppSync::Resolver": table(
        live="""ApiId TypeName FieldName Kind DataSourceName Code CodeS3Location Runtime MaxBatchSize
            PipelineConfig CachingConfig""",
        deploy_only="MetricsConfig",
        refused={
            "RequestMappingTemplate": _VTL,
            "ResponseMappingTemplate": _VTL,
            "RequestMappingTemplateS3Location": _VTL,
            "ResponseMappingTemplateS3Location": _VTL,
            "SyncConfig": "conflict detection and sync do not run here",
        },
        checks=(
            required("ApiId", "TypeName", "FieldName"),
            one_of("Kind", ("UNIT", "PIPELINE"), "a resolver is UNIT or PIPELINE"),
            _runtime_is_appsync_js,
            whole_number("MaxBatchSize", 0, 2000),
            whole_number("CachingConfig.Ttl", 1, 3600),
        ),
    ),
    "AWS::AppSync::ApiCache": table(
        live="ApiId ApiCachingBehavior Ttl Type",
        deploy_only="AtRestEncryptionEnabled TransitEncryptionEnabled HealthMetricsConfig",
        checks=(
            one_of(
                "ApiCachingBehavior",
                ("FULL_REQUEST_CACHING", "PER_RESOLVER_CACHING"),
                "this caching behaviour does not run here",
            ),
            whole_number("Ttl", 1, 3600),
        ),
    ),
    "AWS::AppSync::DomainName": TypeTable(verdict="deploy-only"),
    "AWS::AppSync::DomainNameApiAssociation": TypeTable(verdict="deploy-only"),
}
