"""CloudFormation and SAM templates as values: parse, transform, resolve, and judge every property."""

from headwater.template.document import TemplateDocument, parse_template
from headwater.template.intrinsics import Stack, StackEnvironment
from headwater.template.sam import transform_sam
from headwater.template.verdicts import Verdict, judge

__all__ = [
    "Stack",
    "StackEnvironment",
    "TemplateDocument",
    "Verdict",
    "judge",
    "parse_template",
    "transform_sam",
]
