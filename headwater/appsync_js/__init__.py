"""APPSYNC_JS: AppSync's JavaScript runtime, its utilities and its language subset."""

from headwater.appsync_js.evaluation import evaluate
from headwater.appsync_js.module import HandlerName, JsModule, compile_module
from headwater.appsync_js.outcome import HandlerOutcome, PlainOutcome
from headwater.appsync_js.subset import Violation, check_subset
from headwater.appsync_js.usage import ContextUsage

__all__ = [
    "ContextUsage",
    "HandlerName",
    "HandlerOutcome",
    "JsModule",
    "PlainOutcome",
    "Violation",
    "check_subset",
    "compile_module",
    "evaluate",
]
