"""Stage a function as it is deployed: the modules its handler imports, and the distributions these import.

Standard library alone, because `sam build` runs it with whatever Python it finds:
`python infra/stage.py stage IngestFunction DIRECTORY` or `python infra/stage.py package arm64 dist/arm64`.
"""

import argparse
import ast
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "infra" / "template.yaml"
REQUIREMENTS = ROOT / "infra" / "requirements.txt"
OWN_PACKAGES = ("streams", "iot", "resolvers")
# Import name → distributions with all they need; Lambda's runtime has boto3 and botocore.
DISTRIBUTIONS = {"aws_lambda_powertools": ("aws-lambda-powertools", "jmespath", "typing-extensions")}
IN_RUNTIME = frozenset({"boto3", "botocore"})
PLATFORMS = {"arm64": "manylinux2014_aarch64", "x86_64": "manylinux2014_x86_64"}
LAMBDA_PYTHON = "3.13"
# What pip writes about an installation, and what differs from one to the next.
_NOT_DEPLOYED = shutil.ignore_patterns("__pycache__", "*.pyc", "*.dist-info", "bin", "py.typed")
_FUNCTION = re.compile(r"^  (\w+):\n    Type: AWS::Serverless::Function\n((?:    .*\n|\n)+)", re.MULTILINE)
_HANDLER = re.compile(r"^      Handler: ([\w.]+)$", re.MULTILINE)
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


class StagingError(Exception):
    """A function cannot be staged; the message names it and what is missing."""


def handlers() -> dict[str, str]:
    """Handler by logical id, read from the template's text: PyYAML is not everywhere `sam build` runs."""
    text = TEMPLATE.read_text(encoding="utf-8")
    found = {}
    for logical_id, properties in _FUNCTION.findall(text):
        handler = _HANDLER.search(properties)
        if handler is None:
            raise StagingError(f"{logical_id} has no Handler")
        found[logical_id] = handler[1]
    return found


def closure(module: str) -> tuple[list[Path], set[str]]:
    """Follow imports from a module, those inside functions too: own files, and top-level names of everything else."""
    files: dict[str, Path] = {}
    outside: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in files:
            continue
        path = _file_of(name)
        if path is None:
            raise StagingError(f"module {name!r} is imported and is no file of {', '.join(OWN_PACKAGES)}")
        files[name] = path
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        for imported in _imports(path):
            top = imported.partition(".")[0]
            if top not in OWN_PACKAGES:
                outside.add(top)
            elif _file_of(imported) is not None:
                waiting.append(imported)
    return sorted(files.values()), outside - set(sys.stdlib_module_names)


def _imports(path: Path) -> Iterator[str]:
    """Yield what a file imports; `from package import name` also as package.name, which may be a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise StagingError(f"{path}:{node.lineno}: relative imports are not followed")
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


def stage(logical_id: str, directory: Path, *, architecture: str) -> None:
    """Fill `directory` with the function's code and dependencies."""
    known = handlers()
    if logical_id not in known:
        raise StagingError(f"{logical_id} is no function of {TEMPLATE.name}; there are {', '.join(sorted(known))}")
    files, outside = closure(known[logical_id].rpartition(".")[0])
    unknown = outside - set(DISTRIBUTIONS) - IN_RUNTIME
    if unknown:
        raise StagingError(f"{logical_id} imports {', '.join(sorted(unknown))}, of no distribution in {__file__}")
    for path in files:
        target = directory / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    wanted = sorted({name for top in outside & set(DISTRIBUTIONS) for name in DISTRIBUTIONS[top]})
    if wanted:
        installed = _installed(wanted, architecture)
        shutil.copytree(installed, directory, dirs_exist_ok=True, ignore=_NOT_DEPLOYED)


def _installed(distributions: Sequence[str], architecture: str) -> Path:
    """Install the pinned distributions once; fourteen functions share most of them."""
    pinned = REQUIREMENTS.read_text(encoding="utf-8")
    requirements = _pins(pinned, distributions)
    digest = hashlib.sha256(f"{architecture} {LAMBDA_PYTHON} {requirements}".encode()).hexdigest()[:16]
    target = ROOT / "build" / "dependencies" / digest
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        chosen = Path(scratch, "requirements.txt")
        chosen.write_text(requirements, encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        command += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--requirement", str(chosen)]
        command += ["--python-version", LAMBDA_PYTHON, "--platform", PLATFORMS[architecture]]
        done = subprocess.run([*command, "--target", f"{scratch}/site"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise StagingError(f"pip could not install {', '.join(distributions)}:\n{done.stderr.strip()}")
        # Whoever comes second finds the folder complete or not at all.
        if not target.is_dir():
            Path(scratch, "site").rename(target)
    return target


def _pins(requirements: str, distributions: Sequence[str]) -> str:
    """Pick the lines of some distributions, each with its hashes (lines continued by a backslash)."""
    blocks = re.findall(r"^([a-z0-9\-]+)==(?:.*\\\n)*.*$", requirements, re.MULTILINE)
    texts = [match[0] for match in re.finditer(r"^[a-z0-9\-]+==(?:.*\\\n)*.*$", requirements, re.MULTILINE)]
    by_name = dict(zip(blocks, texts, strict=True))
    missing = [name for name in distributions if name not in by_name]
    if missing:
        raise StagingError(f"{REQUIREMENTS.name} pins no {', '.join(missing)}")
    return "\n".join(by_name[name] for name in distributions) + "\n"


def write_zip(directory: Path, archive: Path) -> None:
    """Zip a folder so that equal files give equal bytes: sorted, with one date and one mode."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as written:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(directory).as_posix(), _ZIP_DATE)
                entry.create_system = 3
                entry.external_attr = 0o100644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                written.writestr(entry, path.read_bytes(), compresslevel=9)


def package(architecture: str, directory: Path) -> None:
    """Write `<LogicalId>.zip` for every function, and SHA256SUMS over them."""
    directory.mkdir(parents=True, exist_ok=True)
    sums = []
    for logical_id in sorted(handlers()):
        archive = directory / f"{logical_id}.zip"
        with tempfile.TemporaryDirectory() as scratch:
            stage(logical_id, Path(scratch), architecture=architecture)
            write_zip(Path(scratch), archive)
        sums.append(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n")
    Path(directory, "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Run one command; 2 when a function cannot be staged."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    staging = commands.add_parser("stage")
    staging.add_argument("logical_id")
    staging.add_argument("directory", type=Path)
    staging.add_argument("--architecture", choices=PLATFORMS, default="arm64")
    packaging = commands.add_parser("package")
    packaging.add_argument("architecture", choices=PLATFORMS)
    packaging.add_argument("directory", type=Path)
    given = parser.parse_args(arguments)
    try:
        if given.command == "stage":
            stage(given.logical_id, given.directory, architecture=given.architecture)
        else:
            package(given.architecture, given.directory)
    except StagingError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
