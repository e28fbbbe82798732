"""Schemas and resolver modules, compiled once although a template is rehearsed before it is deployed."""

from dataclasses import dataclass, field

from headwater.appsync_js import JsModule, compile_module
from headwater.engine import ApiSchema, load_schema


@dataclass(slots=True)
class Compiled:
    """What a start has compiled, by its text."""

    _schemas: dict[str, ApiSchema] = field(default_factory=dict)
    _modules: dict[tuple[str, str], JsModule] = field(default_factory=dict)

    def schema(self, sdl: str) -> ApiSchema:
        """Raises: TemplateError, one line for each fault."""
        if sdl not in self._schemas:
            self._schemas[sdl] = load_schema(sdl)
        return self._schemas[sdl]

    def module(self, code: str, name: str) -> JsModule:
        """Raises: TemplateError, one line for each construct that is refused."""
        key = (code, name)
        if key not in self._modules:
            self._modules[key] = compile_module(code, name)
        return self._modules[key]
