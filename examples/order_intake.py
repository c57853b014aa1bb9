"""A task as systems made for ELMA RPA create it: the seven inputs of the vendor's example, and its outputs.

Takes an order with its scan and enclosures, and returns a receipt.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from runyard import File, Input, Output, log, task


@dataclass
class Taken:
    """What became of the order."""

    text: Annotated[str | None, Output(name="StringValue_out", title="What was taken")]
    receipt: Annotated[File | None, Output(name="FileValue_out", title="Receipt")]
    due_at: Annotated[datetime | None, Output(name="DateTimeValue_out", title="Due")]
    is_urgent: Annotated[bool | None, Output(name="BoolValue_out", title="Urgent")]
    total: Annotated[float | None, Output(name="DoubleValue_out", title="Total")]
    pages: Annotated[int | None, Output(name="IntValue_out", title="Pages")]


@task("Order intake", path="Bots/Order intake", timeout="5m", retries=1)
def order_intake(  # noqa: PLR0913 - one parameter for each input of the vendor's example
    customer: Annotated[str, Input(name="StringParam_in", title="Customer")],
    scan: Annotated[File | None, Input(name="FileParam_in", title="Scan of the order")] = None,
    due_at: Annotated[datetime | None, Input(name="DateTimeParam_in", title="Due")] = None,
    is_urgent: Annotated[bool, Input(name="BoolParam_in", title="Urgent")] = False,  # noqa: FBT002
    price: Annotated[float, Input(name="DoubleParam_in", title="Price of a page")] = 0.0,
    pages: Annotated[int, Input(name="IntParam_in", title="Pages")] = 0,
    enclosures: Annotated[
        list[File] | None, Input(name="ArrayParam_in", title="Enclosures")
    ] = None,
) -> Taken:
    """Takes an order and returns a receipt for it."""
    files = [file for file in (scan, *(enclosures or ())) if file is not None]
    for file in files:
        log.info("received", name=file.name, size=file.size)
    total = round(price * pages, 2)
    return Taken(
        text=f"{customer} (taken)",
        receipt=File.write("receipt.txt", receipt(customer, files, total, due_at)),
        due_at=due_at - timedelta(days=1) if due_at and is_urgent else due_at,
        is_urgent=is_urgent,
        total=total,
        pages=pages,
    )


def receipt(customer: str, files: list[File], total: float, due_at: datetime | None) -> str:
    """The text of a receipt."""
    lines = [
        f"Order of {customer}",
        f"Due on {due_at:%d %B %Y}" if due_at else "Due when it suits",
        f"Total {total:,.2f}",
        *(f"Enclosed: {file.name}, {file.size:,} bytes" for file in files),
    ]
    return "\n".join((*lines, ""))
