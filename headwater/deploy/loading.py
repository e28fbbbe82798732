"""A template file becomes a transformed document; the transform is remembered by the text's hash."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from headwater import __version__
from headwater.deploy.options import DEFAULT_TEMPLATE
from headwater.errors import TemplateError
from headwater.template.document import MAXIMUM_SIZE_BYTES, TemplateDocument, parse_template
from headwater.template.sam import LocalCode, transform_sam

_CACHE_FOLDER = "transforms"
# Raised whenever the transform's outcome changes for the same template.
_CACHE_FORMAT = "1"


@dataclass(frozen=True, slots=True)
class LoadedTemplate:
    """A template ready to be resolved; relative paths in it start at `folder`."""

    document: TemplateDocument
    code: LocalCode
    folder: Path
    parameters: dict[str, str]
    key: str = ""

    @property
    def fleet(self) -> dict[str, Any]:
        """The template's `Metadata.Headwater.Fleet`, which AWS ignores."""
        found: dict[str, Any] = _headwater_metadata(self.document).get("Fleet") or {}
        return found

    @property
    def plan(self) -> dict[str, Any]:
        """The template's `Metadata.Headwater.Plan`: what its functions use for a message, for `headwater plan`."""
        found: dict[str, Any] = _headwater_metadata(self.document).get("Plan") or {}
        return found

    @property
    def examples(self) -> dict[str, str]:
        """Commands to print when ready, by heading; `${apiKey}` and the like are the ready file's members."""
        found = _headwater_metadata(self.document).get("Examples") or {}
        return {str(name): str(text) for name, text in found.items()}

    def path(self, uri: str) -> Path:
        """The local file or folder behind a code or schema address. Raises: TemplateError for a real S3 address."""
        local = self.code.path_of_uri(uri)
        if local.startswith("s3://"):
            raise TemplateError(f"{uri} lies in S3; give a path beside the template")
        return (self.folder / local).resolve()

    def shown_path(self, uri: str) -> str:
        """The local file behind an address as messages name it: from the working directory, for editors to open."""
        path = self.path(uri)
        return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _headwater_metadata(document: TemplateDocument) -> dict[str, Any]:
    metadata = document.body.get("Metadata")
    found = metadata.get("Headwater") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def read_bounded(path: Path, limit_bytes: int) -> str:
    """The text of a file, or a little more than `limit_bytes` of it: a device has no end.

    Raises: OSError, UnicodeDecodeError.
    """
    with open(path, "rb") as file:
        data = file.read(limit_bytes + 1)
    # What is too long is refused by its length; a character that was cut is not its fault.
    return data.decode("utf-8", "strict" if len(data) <= limit_bytes else "ignore")


def load_template(path: Path, parameters: dict[str, str], region: str, cache_dir: Path | None) -> LoadedTemplate:
    """Read, parse and transform a template.

    Parameters that are not given come from `Metadata.Headwater.Parameters` before the template's own defaults.
    `remember_transform` keeps the transform in `cache_dir`, once the template has proved to be sound.
    Raises: TemplateError, also for a file that cannot be read.
    """
    try:
        text = read_bounded(path, MAXIMUM_SIZE_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        hint = "; give yours with --template" if path == DEFAULT_TEMPLATE else ""
        raise TemplateError(f"cannot read the template {path}: {reason}{hint}") from error
    key = _cache_key(text, parameters, region)
    cached = _read_cache(cache_dir, key)
    if cached is None:
        document = parse_template(text)
        local = _headwater_metadata(document).get("Parameters") or {}
        parameters = {**{str(name): _text(value) for name, value in local.items()}, **parameters}
        document, code = transform_sam(document, parameters, region)
    else:
        (document, code, parameters), key = cached, ""
    return LoadedTemplate(document, replace(code, assets=_cdk_assets(path)), path.parent, parameters, key)


def _cdk_assets(template: Path) -> dict[str, str]:
    """What `cdk synth` wrote beside `<stack>.template.json`: the S3 key of each asset -> its path in that folder.

    Source: AWS CDK, "Cloud assembly schema", `AssetManifest`.
    """
    if not template.name.endswith(".template.json"):
        return {}
    manifest = template.with_name(template.name.removesuffix(".template.json") + ".assets.json")
    try:
        files = orjson.loads(manifest.read_bytes())["files"].values()
        return {
            str(place["objectKey"]): str(asset["source"]["path"])
            for asset in files
            if "path" in asset["source"]
            for place in asset["destinations"].values()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TemplateError(f"cannot read CDK's list of assets {manifest}: {error}") from error


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _cache_key(text: str, parameters: dict[str, str], region: str) -> str:
    seed = orjson.dumps([_CACHE_FORMAT, __version__, text, sorted(parameters.items()), region])
    return hashlib.sha256(seed).hexdigest()


_Cached = tuple[TemplateDocument, LocalCode, dict[str, str]]


def _read_cache(cache_dir: Path | None, key: str) -> _Cached | None:
    if cache_dir is None:
        return None
    try:
        stored = orjson.loads((cache_dir / _CACHE_FOLDER / f"{key}.json").read_bytes())
        document = TemplateDocument(stored["body"], stored["lines"])
        return document, LocalCode(stored["paths"]), stored["parameters"]
    except (OSError, ValueError, KeyError, TypeError):
        # Missing, or half written by a process that died: transform again.
        return None


def remember_transform(loaded: LoadedTemplate, cache_dir: Path) -> None:
    """Keep a transform that was made by this start for the next ones."""
    if not loaded.key:
        return
    document = loaded.document
    folder = cache_dir / _CACHE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    stored = {
        "body": document.body,
        "lines": document.lines,
        "paths": loaded.code.paths,
        "parameters": loaded.parameters,
    }
    temporary = folder / f"{loaded.key}.tmp"
    temporary.write_bytes(orjson.dumps(stored, option=orjson.OPT_NON_STR_KEYS))
    temporary.replace(folder / f"{loaded.key}.json")
