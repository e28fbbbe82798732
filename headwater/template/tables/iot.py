"""Verdicts on topic rules, policies and things."""

from collections.abc import Iterable, Mapping
from typing import Any

from headwater.template.tables.type_table import TypeTable, one_of, required, table

_ACTIONS = (
    *("Lambda", "Kinesis", "Republish", "Sqs", "Sns", "DynamoDB", "DynamoDBv2", "S3"),
    *("CloudwatchLogs", "CloudwatchMetric"),
)
_ACTION_LIVE = " ".join(
    f"TopicRulePayload.{place}.{action}" for place in ("Actions", "ErrorAction") for action in _ACTIONS
)

_NO_CERTIFICATES = "certificates are made while the instance runs: `headwater device add NAME` makes and attaches one"


def _actions_are_few(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    payload = properties.get("TopicRulePayload")
    actions = payload.get("Actions") if isinstance(payload, Mapping) else None
    if not isinstance(actions, list):
        yield "TopicRulePayload.Actions", "missing: a rule has a list of 0 to 10 actions"
    elif len(actions) > 10:
        yield "TopicRulePayload.Actions", f"{len(actions)} actions: a rule has at most 10"


IOT: dict[str, TypeTable] = {
    "AWS::IoT::TopicRule": table(
        live=f"""RuleName TopicRulePayload.Sql TopicRulePayload.AwsIotSqlVersion TopicRulePayload.RuleDisabled
            TopicRulePayload.Description {_ACTION_LIVE}""",
        deploy_only="Tags",
        checks=(required("TopicRulePayload"), _actions_are_few),
    ),
    "AWS::IoT::Policy": table(
        live="PolicyName PolicyDocument", deploy_only="Tags", checks=(required("PolicyDocument"),)
    ),
    "AWS::IoT::Thing": table(live="ThingName AttributePayload"),
    "AWS::IoT::ThingType": table(
        live="""ThingTypeName DeprecateThingType ThingTypeProperties.SearchableAttributes
            ThingTypeProperties.ThingTypeDescription""",
        deploy_only="Tags",
        refused={"ThingTypeProperties.Mqtt5Configuration": "attributes are not propagated to publishes here"},
    ),
    "AWS::IoT::ThingGroup": table(
        live="""ThingGroupName ParentGroupName ThingGroupProperties.ThingGroupDescription
            ThingGroupProperties.AttributePayload.Attributes""",
        deploy_only="Tags",
        refused={"QueryString": "dynamic groups need fleet indexing, which does not run here; name the things instead"},
    ),
    "AWS::IoT::ProvisioningTemplate": table(
        live="""TemplateName TemplateBody ProvisioningRoleArn Description Enabled TemplateType
            PreProvisioningHook.PayloadVersion PreProvisioningHook.TargetArn""",
        deploy_only="Tags",
        checks=(
            required("TemplateBody", "ProvisioningRoleArn"),
            one_of("TemplateType", ("FLEET_PROVISIONING",), "just-in-time provisioning needs a CA registered with AWS"),
        ),
    ),
    "AWS::IoT::Authorizer": table(
        live="""AuthorizerName AuthorizerFunctionArn Status SigningDisabled TokenKeyName TokenSigningPublicKeys
            EnableCachingForHttp""",
        deploy_only="Tags",
        checks=(required("AuthorizerFunctionArn"),),
    ),
    "AWS::IoT::DomainConfiguration": table(
        live="""DomainConfigurationName DomainName ServiceType DomainConfigurationStatus AuthenticationType
            ApplicationProtocol AuthorizerConfig.DefaultAuthorizerName AuthorizerConfig.AllowAuthorizerOverride""",
        deploy_only="Tags ServerCertificateArns ValidationCertificateArn TlsConfig ServerCertificateConfig",
        refused={"ClientCertificateConfig": "functions are not asked about clients that show certificates here"},
        checks=(
            one_of("ServiceType", ("DATA",), "credentials and jobs have no endpoint here, DATA has"),
            one_of("AuthenticationType", ("DEFAULT", "CUSTOM_AUTH"), "DEFAULT and CUSTOM_AUTH work here"),
        ),
    ),
    "AWS::IoT::BillingGroup": TypeTable(verdict="refused", why="there are no bills here; leave it out locally"),
    "AWS::IoT::PolicyPrincipalAttachment": TypeTable(verdict="refused", why=_NO_CERTIFICATES),
    "AWS::IoT::ThingPrincipalAttachment": TypeTable(verdict="refused", why=_NO_CERTIFICATES),
    "AWS::IoT::Certificate": TypeTable(verdict="refused", why=_NO_CERTIFICATES),
    "AWS::IoT::Logging": TypeTable(verdict="deploy-only"),
    "AWS::IoT::AccountAuditConfiguration": TypeTable(verdict="deploy-only"),
}
