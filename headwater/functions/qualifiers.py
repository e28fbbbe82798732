"""Which version of a function a qualifier means: `$LATEST`, a number, or an alias that may share calls between two.

Source: Lambda developer guide, "Manage Lambda function versions" and "Implement Lambda canary deployments".
"""

from collections.abc import Callable

from headwater.functions.config import LATEST, FunctionConfig


def resolve_version(latest: FunctionConfig, qualifier: str | None, random_unit: Callable[[], float]) -> str:
    """The version behind a qualifier; what is no alias is taken for a version, which may not exist.

    `random_unit` gives 0 to 1, and decides for an alias with a second version.
    """
    if qualifier is None:
        return LATEST
    version = latest.aliases.get(qualifier)
    if version is None:
        return qualifier
    shared = latest.alias_weights.get(qualifier)
    if shared is not None and random_unit() < shared[1]:
        return shared[0]
    return version
