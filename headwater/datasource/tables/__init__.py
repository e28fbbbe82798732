"""The DynamoDB data source."""
