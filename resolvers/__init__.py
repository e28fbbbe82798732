"""Deployed field resolvers: APPSYNC_JS files named after their field, and Lambda resolvers where work needs code."""
