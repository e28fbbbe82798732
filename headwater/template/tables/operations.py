"""Types that watch, guard or roll out a deployment and cannot change what code or clients see."""

from headwater.template.tables.type_table import TypeTable

_DEPLOY_ONLY = """
    AWS::CloudWatch::Alarm AWS::CloudWatch::CompositeAlarm AWS::CloudWatch::Dashboard AWS::CloudWatch::AnomalyDetector
    AWS::Logs::LogGroup AWS::Logs::MetricFilter AWS::Logs::SubscriptionFilter AWS::Logs::QueryDefinition
    AWS::CodeDeploy::Application AWS::CodeDeploy::DeploymentGroup AWS::CodeDeploy::DeploymentConfig
    AWS::WAFv2::WebACL AWS::WAFv2::WebACLAssociation AWS::WAFv2::IPSet AWS::WAFv2::LoggingConfiguration
    AWS::XRay::Group AWS::XRay::SamplingRule AWS::ApplicationInsights::Application AWS::ResourceGroups::Group
    AWS::ApplicationAutoScaling::ScalableTarget AWS::ApplicationAutoScaling::ScalingPolicy
    AWS::CloudFormation::WaitConditionHandle AWS::Backup::BackupPlan AWS::Backup::BackupVault
    AWS::Backup::BackupSelection AWS::Synthetics::Canary AWS::CDK::Metadata
"""

OPERATIONS: dict[str, TypeTable] = {name: TypeTable(verdict="deploy-only") for name in _DEPLOY_ONLY.split()}
