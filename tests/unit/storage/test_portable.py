"""Exports as hostile or broken files: refused in one line, and nothing is left behind."""

import base64
import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from headwater.storage.data_directory import FORMAT_VERSION, DataDirectoryError
from headwater.storage.portable import export_data, import_data

HEADER = {"format": "headwater-export", "version": FORMAT_VERSION}


def line(name: str, key: bytes, value: bytes = b"v") -> list[str]:
    return [name, base64.b64encode(key).decode(), base64.b64encode(value).decode()]


def written(path: Path, *lines: Any) -> Path:
    with gzip.open(path, "wb") as out:
        for one in lines:
            out.write(orjson.dumps(one) + b"\n")
    return path


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([{**HEADER, "version": FORMAT_VERSION + 1}], "no export this version reads"),
        ([{**HEADER, "version": "1"}], "no export this version reads"),
        ([HEADER, [1, 2, 3]], "no export this version reads"),
        ([HEADER, 5], "no export this version reads"),
        ([HEADER, ["kinesis", "%", "%"]], "no export this version reads"),
        ([HEADER, line("@file", b"s3/../../evil")], "file name"),
        ([HEADER, line("@file", b"/etc/evil")], "file name"),
        ([HEADER, line("@file", b"s3/a\x00b")], "file name"),
        ([HEADER, line("@file", b"s3"), line("@file", b"s3/a/b")], "Not a directory"),
        ([HEADER, line("@file", b"s3/a"), line("@file", b"s3/a")], "File exists"),
        ([HEADER, line("kinesis", b"k"), line("kinesis", b"k")], "a key of kinesis is there twice"),
        ([HEADER, line("kinesis", b"k" * 600)], "MDB_BAD_VALSIZE"),
        ([HEADER, line("kinesis", b"")], "MDB_BAD_VALSIZE"),
        ([HEADER, line("", b"k")], "MDB_BAD_VALSIZE"),
        ([HEADER, *(line(f"d{n}", b"k") for n in range(300))], "MDB_DBS_FULL"),
    ],
)
def test_a_file_that_is_no_export_leaves_nothing_behind(tmp_path: Path, lines: list[Any], reason: str) -> None:
    file, data_dir = written(tmp_path / "x.gz", *lines), tmp_path / "new"

    with pytest.raises(DataDirectoryError, match=reason):
        import_data(file, data_dir)
    count = import_data(written(tmp_path / "right.gz", HEADER, line("kinesis", b"k")), data_dir)

    assert count == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "right.gz", "x.gz"]


def test_a_file_that_is_cut_off_leaves_nothing_behind(tmp_path: Path) -> None:
    whole = written(tmp_path / "x.gz", HEADER, *(line("kinesis", bytes([n])) for n in range(100))).read_bytes()
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(DataDirectoryError, match="no export this version reads"):
        import_data(tmp_path / "cut.gz", tmp_path / "new")

    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["store", "s3", "secret"])
def test_a_directory_that_holds_something_is_not_imported_into(tmp_path: Path, name: str) -> None:
    held = tmp_path / "used" / name
    held.mkdir(parents=True)

    with pytest.raises(DataDirectoryError, match="holds data already"):
        import_data(written(tmp_path / "x.gz", HEADER), tmp_path / "used")

    assert held.is_dir()


def test_what_was_exported_is_imported(tmp_path: Path) -> None:
    lines = [line("kinesis", b"k", b"\x00"), line("sqs", b"q", b"\xff"), line("@file", b"s3/b/key", b"object")]
    import_data(written(tmp_path / "x.gz", HEADER, *lines), tmp_path / "one")

    exported = export_data(tmp_path / "one", tmp_path / "y.gz")
    imported = import_data(tmp_path / "y.gz", tmp_path / "two")

    assert (exported, imported) == (3, 3)
    assert (tmp_path / "two" / "s3" / "b" / "key").read_bytes() == b"object"
    assert gzip.decompress((tmp_path / "x.gz").read_bytes()) == gzip.decompress((tmp_path / "y.gz").read_bytes())
