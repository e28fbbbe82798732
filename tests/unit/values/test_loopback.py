"""What counts as this machine."""

import pytest

from headwater.values.loopback import is_loopback, is_own_host, is_own_origin


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", "bucket.localhost"])
def test_loopback_addresses_and_names_are_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "10.0.0.1", "::2", "localhost.evil.example", "127.0.0.1.evil.example", "evil"])
def test_everything_else_is_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("origin", [None, "", "http://localhost:3000", "https://127.0.0.1", "http://[::1]:8080"])
def test_programs_and_local_pages_are_own_origins(origin: str | None) -> None:
    assert is_own_origin(origin)


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "http://localhost@evil.example", "http://[", "file://"]
)
def test_foreign_and_opaque_origins_are_not(origin: str) -> None:
    assert not is_own_origin(origin)


def test_a_foreign_name_that_resolves_here_is_no_own_host() -> None:
    assert is_own_host("localhost:8080")
    assert is_own_host("[::1]:8080")
    assert not is_own_host("evil.example:8080")
    assert not is_own_host("[")
