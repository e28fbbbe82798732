import pytest

from headwater.functions.runtimes import find_runtime, handler_files


def nothing(program: str) -> None:
    return None


def everything(program: str) -> str:
    return f"/bin/{program}"


def test_every_python_is_the_running_one() -> None:
    assert find_runtime("python3.13", find_program=nothing) == "python"


def test_node_is_used_where_it_is_installed() -> None:
    assert find_runtime("nodejs24.x", find_program=everything) == "node"


def test_missing_node_is_named() -> None:
    with pytest.raises(ValueError, match="no `node` on the PATH"):
        find_runtime("nodejs24.x", find_program=nothing)


@pytest.mark.parametrize("name", ["java21", "provided.al2023", "nodejs", "ruby3.4", ""])
def test_other_runtimes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"python3\.x and nodejs\*\.x"):
        find_runtime(name, find_program=everything)


def test_python_handler_is_a_module_or_a_package() -> None:
    assert handler_files("streams.ingest.handler", "python") == ["streams/ingest.py", "streams/ingest/__init__.py"]


def test_node_handler_is_any_kind_of_module() -> None:
    assert handler_files("src/app.inner.handler", "node") == ["src/app.js", "src/app.mjs", "src/app.cjs"]


@pytest.mark.parametrize("handler", ["app", ".handler", "app."])
def test_text_that_names_no_function_has_no_files(handler: str) -> None:
    assert handler_files(handler, "node") == []
    assert handler_files(handler, "python") == []
