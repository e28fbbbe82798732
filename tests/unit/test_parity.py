"""docs/parity.md says what the verdict tables say."""

from docs.build_parity import TARGET, parity_text


def test_the_parity_document_is_made_from_the_tables() -> None:
    assert TARGET.read_text() == parity_text(), "run `python -m docs.build_parity`"
