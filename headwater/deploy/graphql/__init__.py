"""GraphQL APIs of a template."""
