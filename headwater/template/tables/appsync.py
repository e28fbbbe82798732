"""Verdicts on GraphQL APIs."""

from collections.abc import Iterable, Mapping
from typing import Any

from headwater.template.tables.type_table import TypeTable, one_of, required, table

_VTL = "VTL does not run here; write the resolver in APPSYNC_JS (Code or CodeS3Location with Runtime)"


def _runtime_is_appsync_js(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    runtime = properties.get("Runtime")
    name = runtime.get("Name") if isinstance(runtime, Mapping) else None
    if runtime is not None and name != "APPSYNC_JS":
        yield "Runtime.Name", f"{name!r}: handlers run in APPSYNC_JS"
    has_code = "Code" in properties or "CodeS3Location" in properties
    if has_code and runtime is None:
        yield "Runtime", "missing: code needs Runtime {Name: APPSYNC_JS, RuntimeVersion: 1.0.0}"


APPSYNC: dict[str, TypeTable] = {
    "AWS::AppSync::GraphQLApi": table(
        live="""Name AuthenticationType UserPoolConfig OpenIDConnectConfig LambdaAuthorizerConfig
            AdditionalAuthenticationProviders QueryDepthLimit ResolverCountLimit IntrospectionConfig
            EnvironmentVariables LogConfig.FieldLogLevel LogConfig.ExcludeVerboseContent""",
        deploy_only="Tags XrayEnabled LogConfig.CloudWatchLogsRoleArn EnhancedMetricsConfig OwnerContact",
        refused={
            "ApiType": "merged APIs do not run here",
            "MergedApiExecutionRoleArn": "merged APIs do not run here",
            "Visibility": "private APIs need a VPC",
        },
        checks=(required("Name", "AuthenticationType"),),
    ),
    "AWS::AppSync::GraphQLSchema": table(live="ApiId Definition DefinitionS3Location", checks=(required("ApiId"),)),
    "AWS::AppSync::ApiKey": table(live="ApiId Description Expires ApiKeyId", checks=(required("ApiId"),)),
    "AWS::AppSync::DataSource": table(
        live="""ApiId Name Type Description ServiceRoleArn LambdaConfig HttpConfig EventBridgeConfig
            DynamoDBConfig.TableName DynamoDBConfig.AwsRegion DynamoDBConfig.UseCallerCredentials""",
        deploy_only="MetricsConfig",
        refused={
            "DynamoDBConfig.Versioned": "conflict detection and sync do not run here",
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
        checks=(required("ApiId", "Name", "DataSourceName"), _runtime_is_appsync_js),
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
        ),
    ),
    "AWS::AppSync::DomainName": TypeTable(verdict="deploy-only"),
    "AWS::AppSync::DomainNameApiAssociation": TypeTable(verdict="deploy-only"),
}
