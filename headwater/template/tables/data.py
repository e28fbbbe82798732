"""Verdicts on tables, streams, queues, topics and buckets."""

from headwater.template.tables.type_table import TypeTable, required, table

DATA: dict[str, TypeTable] = {
    "AWS::DynamoDB::Table": table(
        live="""TableName KeySchema AttributeDefinitions GlobalSecondaryIndexes LocalSecondaryIndexes
            StreamSpecification.StreamViewType TimeToLiveSpecification BillingMode ProvisionedThroughput""",
        deploy_only="""Tags SSESpecification PointInTimeRecoverySpecification DeletionProtectionEnabled TableClass
            ContributorInsightsSpecification OnDemandThroughput WarmThroughput StreamSpecification.ResourcePolicy""",
        refused={
            "ImportSourceSpecification": "import the data after the start, with boto3",
            "KinesisStreamSpecification": "use the table's own stream, or a rule that writes the Kinesis stream",
            "ResourcePolicy": "grant the access in the policies of the roles",
        },
        checks=(required("KeySchema", "AttributeDefinitions"),),
    ),
    "AWS::Kinesis::Stream": table(
        live="Name ShardCount RetentionPeriodHours StreamModeDetails",
        deploy_only="Tags StreamEncryption DesiredShardLevelMetrics",
        refused={"MaxRecordSizeInKiB": "records are held to 1 MiB here"},
    ),
    "AWS::Kinesis::StreamConsumer": table(
        live="ConsumerName StreamARN", deploy_only="Tags", checks=(required("ConsumerName", "StreamARN"),)
    ),
    "AWS::SQS::Queue": table(
        live="""QueueName FifoQueue ContentBasedDeduplication DeduplicationScope FifoThroughputLimit DelaySeconds
            MaximumMessageSize MessageRetentionPeriod ReceiveMessageWaitTimeSeconds RedrivePolicy
            RedriveAllowPolicy VisibilityTimeout""",
        deploy_only="Tags KmsMasterKeyId KmsDataKeyReusePeriodSeconds SqsManagedSseEnabled",
    ),
    "AWS::S3::Bucket": table(
        live="BucketName",
        deploy_only="""Tags BucketEncryption PublicAccessBlockConfiguration OwnershipControls LifecycleConfiguration
            VersioningConfiguration LoggingConfiguration IntelligentTieringConfigurations MetricsConfigurations""",
        refused={"NotificationConfiguration": "bucket events do not run here"},
    ),
    "AWS::S3::BucketPolicy": TypeTable(verdict="deploy-only"),
    "AWS::SQS::QueuePolicy": TypeTable(verdict="deploy-only"),
    "AWS::SNS::TopicPolicy": TypeTable(verdict="deploy-only"),
    "AWS::KMS::Key": TypeTable(verdict="deploy-only"),
    "AWS::KMS::Alias": TypeTable(verdict="deploy-only"),
}
