"""The price list: one dated file, and what a bill of quantities costs by it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path

from headwater.errors import HeadwaterError

# What is used, by the names of the price list: units, requests, hours, minutes, GB-seconds, GB-months.
Quantities = Mapping[str, float]

# Every design for the same devices and clients pays these alike.
PAID_BY_ANY_DESIGN = frozenset(
    (
        "iot_connection_minutes",
        "iot_messages",
        "iot_rules",
        "iot_actions",
        "appsync_updates",
        "appsync_connection_minutes",
    )
)


class PriceListError(HeadwaterError):
    """The price list cannot be used: the message names the file and the entry."""


@dataclass(frozen=True, slots=True)
class PriceList:
    """Dollars for one unit of everything that is paid for."""

    as_of: date
    region: str
    dollars: Mapping[str, float]

    def cost(self, used: Quantities) -> dict[str, float]:
        """Dollars by quantity, in the order of `used`. Raises: PriceListError for one without a price."""
        missing = sorted(set(used) - set(self.dollars))
        if missing:
            raise PriceListError(f"the price list of {self.as_of} has no {', '.join(missing)}")
        return {name: amount * self.dollars[name] for name, amount in used.items()}


def load_prices(path: Path | None = None) -> PriceList:
    """Read a price list; without a path the one that comes with the program. Raises: PriceListError."""
    try:
        text = (path or files(__package__) / "prices.toml").read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PriceListError(f"cannot read the price list {path}: {reason}") from error
    as_of, region = document.pop("as_of", None), document.pop("region", None)
    if type(as_of) is not date or not isinstance(region, str):
        raise PriceListError(f"{path}: as_of is a date and region a text; found {as_of!r} and {region!r}")
    return PriceList(as_of, region, {name: _unit_price(path, name, entry) for name, entry in document.items()})


def _unit_price(path: Path | None, name: str, entry: object) -> float:
    if not isinstance(entry, dict) or set(entry) != {"dollars", "per"}:
        raise PriceListError(f"{path}: {name} is not a table of dollars and per: {entry!r}")
    dollars, per = entry["dollars"], entry["per"]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (dollars, per))
    # `not >=` and `not >` refuse NaN as well, which TOML can write.
    if not numbers or not 0 <= dollars < 1e9 or not 0 < per < 1e15:
        raise PriceListError(f"{path}: {name}: dollars is at least 0 and per above 0; found {dollars!r} and {per!r}")
    return float(dollars) / float(per)
