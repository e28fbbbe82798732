"""schema.graphql as a schema any GraphQL library can read: with AppSync's scalars and directives declared."""

from tests.template.template_file import ROOT

APPSYNC_DEFINITIONS = """
directive @aws_subscribe(mutations: [String!]!) on FIELD_DEFINITION
directive @aws_api_key on OBJECT | FIELD_DEFINITION
directive @aws_iam on OBJECT | FIELD_DEFINITION
directive @aws_lambda on OBJECT | FIELD_DEFINITION
directive @aws_cognito_user_pools(cognito_groups: [String!]) on OBJECT | FIELD_DEFINITION
scalar AWSDateTime
scalar AWSJSON
"""


def schema_text() -> str:
    return APPSYNC_DEFINITIONS + (ROOT / "schema.graphql").read_text(encoding="utf-8")
