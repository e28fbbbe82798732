"""`headwater plan`: what a load needs of AWS, and what a month of it costs."""

import sys
from pathlib import Path

import orjson

from headwater.cli import EXIT_OK
from headwater.deploy.loading import load_template
from headwater.deploy.options import UpOptions
from headwater.plan.chain import read_chain
from headwater.plan.load import Load
from headwater.plan.prices import load_prices
from headwater.plan.report import document, text


def run_plan(template: Path, parameters: dict[str, str], load: Load, prices: Path | None, *, as_json: bool) -> int:
    """Print the plan. Raises: TemplateError, PriceListError."""
    chain = read_chain(load_template(template, parameters, UpOptions().region, None))
    planned = document(load, chain, load_prices(prices))
    if as_json:
        sys.stdout.write(orjson.dumps(planned, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        sys.stdout.write(text(planned))
    return EXIT_OK
