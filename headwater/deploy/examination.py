"""Judge a whole template before anything of it runs: every fault at once, not the first one."""

from dataclasses import dataclass, field
from typing import Any

from headwater.deploy.faults import Faults
from headwater.deploy.loading import LoadedTemplate
from headwater.errors import TemplateError
from headwater.template.attributes import StackEnvironment
from headwater.template.cycles import circular_dependencies
from headwater.template.intrinsics import Resource, Stack
from headwater.template.verdicts import Finding, judge


@dataclass(slots=True)
class Examination:
    """The stack with its resolved resources and outputs, the verdicts, and what is wrong."""

    stack: Stack
    faults: Faults
    resources: list[Resource] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def first_of(loaded: LoadedTemplate, kind: str) -> str:
    """The first resource of a type, by template order; empty if there is none."""
    return next((name for name, body in loaded.document.resources.items() if body["Type"] == kind), "")


def examine(loaded: LoadedTemplate, environment: StackEnvironment) -> Examination:
    """Resolve and judge every resource whose condition holds."""
    stack = Stack(loaded.document, environment, loaded.parameters)
    faults = Faults(loaded.document.lines)
    examination = Examination(stack, faults)
    for cycle in circular_dependencies(stack):
        faults.broken.update(cycle)
        faults.add(TemplateError(f"circular dependency: {' -> '.join(cycle)}", logical_id=cycle[0]))
    for logical_id in stack.logical_ids():
        if logical_id in faults.broken:
            continue
        body = loaded.document.resources[logical_id]
        resource: Resource | None = None
        with faults.collecting(logical_id):
            resource = stack.resource(logical_id)
        if resource is not None:
            examination.resources.append(resource)
            findings = judge(logical_id, body, resource.properties)
            examination.findings.extend(findings)
            for finding in findings:
                if finding.verdict == "refused":
                    _refuse(faults, finding)
    _look_at_outputs(examination)
    return examination


def _look_at_outputs(examination: Examination) -> None:
    """Resolve the outputs; nothing here depends on one, so what one lacks is told and no fault."""
    stack = examination.stack
    for name, output in (stack.document.body.get("Outputs") or {}).items():
        try:
            if isinstance(output, dict) and ("Condition" not in output or stack.condition(str(output["Condition"]))):
                examination.outputs[str(name)] = stack.output(name)
        except TemplateError as error:
            # With a fault elsewhere nothing starts, and that fault is why most outputs lack their value.
            if not examination.faults.found:
                examination.warnings.append(f"Outputs.{name} has no value here: {error.message}")
    # What could not be resolved may be what asks for them.
    if not examination.faults.found:
        with examination.faults.collecting(""):
            stack.refuse_unused_names()


def _refuse(faults: Faults, finding: Finding) -> None:
    faults.broken.add(finding.logical_id)
    message = f"{finding.type}: {finding.why}"
    faults.add(TemplateError(message, logical_id=finding.logical_id, property_path=finding.path))
