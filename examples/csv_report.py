"""Adds up a CSV file of orders: figures as outputs, and a report as a file."""

import csv
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated

from runyard import File, Input, log, task

COLUMNS = {"ordered", "region", "product", "quantity", "price"}


@dataclass
class Region:
    """What one region ordered."""

    region: str
    orders: int
    revenue: Decimal


@dataclass
class Report:
    """What the file says in all."""

    orders: int
    skipped: int
    first: date
    last: date
    revenue: Decimal
    regions: list[Region]
    report: File


@dataclass
class Order:
    """One row of the file."""

    ordered: date
    region: str
    amount: Decimal


@task("CSV report", path="Reports/CSV report", timeout="5m", retries=1)
def csv_report(
    orders: Annotated[File, Input(title="Orders", help=f"CSV with {', '.join(sorted(COLUMNS))}")],
    delimiter: Annotated[str, Input(title="Delimiter")] = ",",
) -> Report:
    """Adds up a file of orders by region, and writes a report about it."""
    kept, skipped = read(orders, delimiter)
    if not kept:
        raise ValueError(f"{orders.name} has no order that can be read")
    regions = by_region(kept)
    revenue = sum((region.revenue for region in regions), Decimal(0))
    log.info("added up", orders=len(kept), skipped=skipped)
    return Report(
        orders=len(kept),
        skipped=skipped,
        first=min(order.ordered for order in kept),
        last=max(order.ordered for order in kept),
        revenue=revenue,
        regions=regions,
        report=File.write("report.md", text_of(regions, revenue)),
    )


def read(file: File, delimiter: str) -> tuple[list[Order], int]:
    """The orders that can be read, and how many cannot."""
    kept, skipped = [], 0
    with file.open("r", encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines, delimiter=delimiter)
        missing = COLUMNS - set(rows.fieldnames or ())
        if missing:
            raise ValueError(f"{file.name} has no column {', '.join(sorted(missing))}")
        for row in rows:
            try:
                kept.append(order_of(row))
            except ValueError as error:
                skipped += 1
                log.warning(f"line {rows.line_num} skipped: {error}")
    return kept, skipped


def order_of(row: dict[str, str]) -> Order:
    """An order, from one row."""
    try:
        quantity, price = int(row["quantity"]), Decimal(row["price"])
    except InvalidOperation:
        raise ValueError(f"the price {row['price']!r}") from None
    if quantity <= 0:
        raise ValueError(f"a quantity of {quantity}")
    return Order(date.fromisoformat(row["ordered"]), row["region"].strip(), quantity * price)


def by_region(orders: list[Order]) -> list[Region]:
    """What each region ordered, the largest revenue first."""
    amounts: dict[str, list[Decimal]] = defaultdict(list)
    for order in orders:
        amounts[order.region].append(order.amount)
    regions = [Region(name, len(parts), sum(parts, Decimal(0))) for name, parts in amounts.items()]
    return sorted(regions, key=lambda region: (-region.revenue, region.region))


def text_of(regions: list[Region], revenue: Decimal) -> str:
    """The report, as Markdown."""
    lines = ["# Orders by region", "", "| region | orders | revenue |", "|---|---:|---:|"]
    lines += [f"| {r.region} | {r.orders} | {r.revenue:,.2f} |" for r in regions]
    lines += ["", f"Revenue in all: {revenue:,.2f}", ""]
    return "\n".join(lines)
