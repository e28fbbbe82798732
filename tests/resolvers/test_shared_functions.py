"""AppSync runs one file a field and takes no imports from others: what files share is written in each, the same."""

import re
from collections import defaultdict
from pathlib import Path

RESOLVERS = Path(__file__).parents[2] / "resolvers"
_FUNCTION = re.compile(r"^function (\w+)\(.*?^}$", re.MULTILINE | re.DOTALL)


def test_functions_of_one_name_are_the_same_in_every_file() -> None:
    texts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(RESOLVERS.glob("*.js")):
        for function in _FUNCTION.finditer(path.read_text()):
            texts[function[1]][function[0]].append(path.name)

    assert len(texts["callerTenant"]) == 1
    assert {name: list(copies.values()) for name, copies in texts.items() if len(copies) > 1} == {}
