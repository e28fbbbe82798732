"""Strawberry's schema over the generated types."""

from collections.abc import Mapping
from typing import Any

import strawberry
from strawberry.schema.config import StrawberryConfig

from tests.strawberry_api import types
from tests.strawberry_api.scalars import SCALARS


def _member(source: Any, name: str) -> Any:
    return source.get(name) if isinstance(source, Mapping) else getattr(source, name)


def strawberry_schema() -> strawberry.Schema:
    """Fields without a resolver are members of their source, as in AppSync."""
    return strawberry.Schema(
        types.Query,
        types.Mutation,
        types.Subscription,
        config=StrawberryConfig(auto_camel_case=False, scalar_map=SCALARS, default_resolver=_member),
    )
