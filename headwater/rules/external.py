"""Functions of IoT SQL that ask another service, without asking it here.

Evaluation is synchronous: where an answer is not known yet it is broken off with `AnswerNeeded`; whoever owns the
services gets the answer, gives it, and evaluates again from the start. Rules without such functions never notice.
Source: AWS IoT Core Developer Guide, "Functions": aws_lambda, get_dynamodb, get_thing_shadow.
"""

from dataclasses import dataclass
from typing import Any, Final

from headwater.rules.values import UNDEFINED

# Function -> how many arguments it takes. The last argument is a role, except for aws_lambda.
EXTERNAL_FUNCTIONS: Final = {"aws_lambda": (2,), "get_dynamodb": (4, 6), "get_thing_shadow": (2, 3)}
REFUSED_FUNCTIONS: Final = frozenset(("get_secret", "get_registry_data", "machinelearning_predict"))
MAXIMUM_CALLS: Final = 50


@dataclass(frozen=True, slots=True)
class ExternalCall:
    """One question to another service; no argument is Undefined."""

    function: str
    arguments: tuple[Any, ...]


class AnswerNeeded(Exception):
    """Evaluation cannot go on without the answer to `call`."""

    def __init__(self, call: ExternalCall) -> None:
        super().__init__(f"{call.function}() has no answer yet")
        self.call = call


class Answers:
    """What other services answered to one publish, in the order in which its evaluation asks.

    Answers are known by that order and not by their question, since a question may hold newuuid().
    """

    __slots__ = ("_asked", "_known")

    def __init__(self) -> None:
        self._known: list[Any] = []
        self._asked = 0

    def restart(self) -> None:
        """Evaluation begins again."""
        self._asked = 0

    def give(self, value: Any) -> None:
        """The answer to the question that was raised last."""
        self._known.append(value)

    def ask(self, call: ExternalCall) -> Any:
        """The answer. Raises: AnswerNeeded."""
        if any(argument is UNDEFINED for argument in call.arguments):
            return UNDEFINED
        self._asked += 1
        if self._asked <= len(self._known):
            return self._known[self._asked - 1]
        if self._asked > MAXIMUM_CALLS:
            raise ValueError(f"a statement may ask other services {MAXIMUM_CALLS} times")
        raise AnswerNeeded(call)
