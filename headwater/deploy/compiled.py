"""Schemas and resolver modules, compiled once although a template is rehearsed before it is deployed."""

from dataclasses import dataclass, field

from headwater.appsync_js import JsModule, compile_module
from headwater.engine import ApiSchema, load_schema


@dataclass(slots=True)
class Compiled:
    """What a start has compiled, by its text."""

    _schemas: dict[tuple[str, str], ApiSchema] = field(default_factory=dict)
    _modules: dict[tuple[str, str], JsModule] = field(default_factory=dict)

    def schema(self, sdl: str, file: str) -> ApiSchema:
        """A schema read from `file`, or from the template itself where that is empty.

        Raises: TemplateError, one line for each fault.
        """
        key = (sdl, file)
        if key not in self._schemas:
            self._schemas[key] = load_schema(sdl, file)
        return self._schemas[key]

    def module(self, code: str, name: str) -> JsModule:
        """Raises: TemplateError, one line for each construct that is refused."""
        key = (code, name)
        if key not in self._modules:
            self._modules[key] = compile_module(code, name)
        return self._modules[key]
