"""The price list: dated, complete, and refused where it is wrong."""

from datetime import date
from pathlib import Path

import pytest

from headwater.plan.prices import PAID_BY_ANY_DESIGN, PriceListError, load_prices


def test_the_programs_own_list_is_dated_and_prices_a_million_units() -> None:
    prices = load_prices()

    assert prices.as_of <= date.today()
    assert prices.region == "us-east-1"
    assert prices.cost({"dynamodb_write_units": 1e6}) == {"dynamodb_write_units": pytest.approx(0.625)}
    assert set(prices.dollars) >= PAID_BY_ANY_DESIGN


def test_another_list_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('as_of = 2026-01-02\nregion = "eu-west-1"\n[x]\ndollars = 3\nper = 1000\n')

    assert load_prices(path).cost({"x": 500.0}) == {"x": 1.5}


def test_what_has_no_price_is_named() -> None:
    with pytest.raises(PriceListError, match="no unknown_units"):
        load_prices().cost({"unknown_units": 1.0})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "as_of"),
        ('as_of = "2026"\nregion = "x"', "as_of"),
        ("as_of = 2026-01-02", "region"),
        ("not toml", "cannot read"),
        ('as_of = 2026-01-02\nregion = "x"\ny = 1', "y is not a table"),
        ('as_of = 2026-01-02\nregion = "x"\n[y]\ndollars = 1', "y is not a table"),
        ('as_of = 2026-01-02\nregion = "x"\n[y]\ndollars = -1\nper = 1', "y: dollars"),
        ('as_of = 2026-01-02\nregion = "x"\n[y]\ndollars = nan\nper = 1', "y: dollars"),
        ('as_of = 2026-01-02\nregion = "x"\n[y]\ndollars = 1\nper = 0', "y: dollars"),
        ('as_of = 2026-01-02\nregion = "x"\n[y]\ndollars = true\nper = 1', "y: dollars"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_by_its_entry(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)

    with pytest.raises(PriceListError, match=named):
        load_prices(path)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    for name in ("absent", "binary"):
        with pytest.raises(PriceListError, match=name):
            load_prices(tmp_path / name)
