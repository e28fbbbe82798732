"""The data sources beside DynamoDB: none, Lambda, HTTP and EventBridge."""
