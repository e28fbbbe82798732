"""An API's schema: its SDL as the service reads it, AppSync's scalars and directives, `@aws_subscribe` links."""

from headwater.engine.schema.api_schema import ApiSchema, load_schema, string_list_argument

__all__ = ["ApiSchema", "load_schema", "string_list_argument"]
