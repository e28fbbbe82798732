"""One table a resource type: which properties are live, deploy-only or refused here."""

from headwater.template.tables.appsync import APPSYNC
from headwater.template.tables.compute import COMPUTE
from headwater.template.tables.data import DATA
from headwater.template.tables.events import EVENTS
from headwater.template.tables.identity import IDENTITY
from headwater.template.tables.iot import IOT
from headwater.template.tables.operations import OPERATIONS
from headwater.template.tables.type_table import TypeTable

TYPE_TABLES: dict[str, TypeTable] = {**DATA, **COMPUTE, **EVENTS, **APPSYNC, **IOT, **IDENTITY, **OPERATIONS}

__all__ = ["TYPE_TABLES", "TypeTable"]
