"""AWS IoT topic rules: the SQL language and the actions of a rule."""

from headwater.rules.message import Message
from headwater.rules.rule import NOT_FIRED, Rule, SubstitutionTemplate, compile_rule, compile_template
from headwater.rules.values import UNDEFINED, to_json

__all__ = [
    "NOT_FIRED",
    "UNDEFINED",
    "Message",
    "Rule",
    "SubstitutionTemplate",
    "compile_rule",
    "compile_template",
    "to_json",
]
