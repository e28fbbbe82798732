"""Deployment packages: what is unpacked, and that every damaged one is the client's error."""

import io
import random
import zipfile
from pathlib import Path

import pytest

from headwater.errors import ServiceError
from headwater.functions.admin.code_store import CodeStore, unpack_archive


def package(compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("app.py", "def run(event, context): return 1\n" * 20)
        archive.writestr("größe/a.py", "x = 1\n" * 20)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("offset_from_end", "value"),
    [(22 - 16, b"\xff\xff\xff\x7f"), (22 - 12, b"\xff\xff\xff\x7f")],
    ids=["a directory that begins behind the file", "a directory larger than the file"],
)
def test_a_directory_that_is_nowhere_is_refused(tmp_path: Path, offset_from_end: int, value: bytes) -> None:
    archive = bytearray(package())
    position = len(archive) - offset_from_end
    archive[position : position + 4] = value

    with pytest.raises(ServiceError, match="Could not unzip"):
        unpack_archive(bytes(archive), tmp_path / "code")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_whatever_is_damaged_is_unpacked_or_refused(tmp_path: Path, compression: int) -> None:
    choice = random.Random(compression)
    refused = 0
    inside = tmp_path / "inside"
    for number in range(400):
        archive = bytearray(package(compression))
        for _ in range(choice.randint(1, 4)):
            # Most faults are found in the directory, which is at the end.
            archive[-choice.randint(1, min(300, len(archive)))] = choice.choice((0, 0x7F, 0xFF, choice.randrange(256)))
        try:
            unpack_archive(bytes(archive), inside / str(number))
        except ServiceError:
            refused += 1
    assert 0 < refused < 400
    assert {path.name for path in tmp_path.iterdir()} == {"inside"}


def test_what_a_killed_run_left_half_unpacked_goes(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    store.save("made", {"name": "made"})
    left = tmp_path / "made" / "0123.4567.partial"
    left.mkdir()

    assert store.load() == [{"name": "made"}]
    assert not left.exists()
