"""Judge a whole template before anything of it runs: every fault at once, not the first one."""

from dataclasses import dataclass, field

from headwater.deploy.loading import LoadedTemplate
from headwater.errors import TemplateError
from headwater.template.attributes import StackEnvironment
from headwater.template.intrinsics import Resource, Stack
from headwater.template.verdicts import Finding, judge


@dataclass(slots=True)
class Examination:
    """The stack with its resolved resources, the verdicts, and what could not be resolved."""

    stack: Stack
    resources: list[Resource] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def refusals(self) -> list[str]:
        """One readable line for each fault and each refusal."""
        lines = list(self.faults)
        for finding in self.findings:
            if finding.verdict == "refused":
                place = f"{finding.logical_id}.{finding.path}" if finding.path else finding.logical_id
                line = self.stack.document.lines.get(finding.logical_id)
                where = f" (line {line})" if line else ""
                lines.append(f"{place}{where}: {finding.type}: {finding.why}")
        return lines

    def raise_refusals(self) -> None:
        """Raises: TemplateError with all refusals, one a line."""
        lines = self.refusals()
        if lines:
            raise TemplateError("\n".join(lines))


def first_of(loaded: LoadedTemplate, kind: str) -> str:
    """The first resource of a type, by template order; empty if there is none."""
    return next((name for name, body in loaded.document.resources.items() if body["Type"] == kind), "")


def examine(loaded: LoadedTemplate, environment: StackEnvironment) -> Examination:
    """Resolve and judge every resource whose condition holds."""
    stack = Stack(loaded.document, environment, loaded.parameters)
    examination = Examination(stack)
    for logical_id in stack.logical_ids():
        body = loaded.document.resources[logical_id]
        try:
            resource = stack.resource(logical_id)
        except TemplateError as error:
            examination.faults.append(str(error))
            continue
        examination.resources.append(resource)
        examination.findings.extend(judge(logical_id, body, resource.properties))
    return examination
