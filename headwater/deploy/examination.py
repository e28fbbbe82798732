"""Judge a whole template before anything of it runs: every fault at once, not the first one."""

from dataclasses import dataclass, field

from headwater.deploy.faults import Faults
from headwater.deploy.loading import LoadedTemplate
from headwater.errors import TemplateError
from headwater.template.attributes import StackEnvironment
from headwater.template.cycles import circular_dependencies
from headwater.template.intrinsics import Resource, Stack
from headwater.template.verdicts import Finding, judge


@dataclass(slots=True)
class Examination:
    """The stack with its resolved resources, the verdicts, and what is wrong."""

    stack: Stack
    faults: Faults
    resources: list[Resource] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


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
    return examination


def _refuse(faults: Faults, finding: Finding) -> None:
    faults.broken.add(finding.logical_id)
    message = f"{finding.type}: {finding.why}"
    faults.add(TemplateError(message, logical_id=finding.logical_id, property_path=finding.path))
