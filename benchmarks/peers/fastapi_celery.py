"""FastAPI in front of Celery: an endpoint that has a worker process do it and waits for the result."""

import os

from celery import Celery  # type: ignore[import-not-found]
from fastapi import FastAPI  # type: ignore[import-not-found]
from pydantic import BaseModel  # type: ignore[import-not-found]

_URL = os.environ["BENCH_REDIS"]  # noqa: TID251 - both programs are told where by whoever starts them
celery = Celery("bench", broker=f"{_URL}/0", backend=f"{_URL}/1")
celery.conf.update(result_expires=3600, broker_connection_retry_on_startup=True)
app = FastAPI()


class Numbers(BaseModel):  # type: ignore[misc]
    """What is added."""

    a: float
    b: float


@celery.task(name="add")  # type: ignore[untyped-decorator]
def add(a: float, b: float) -> float:
    """Their sum."""
    return a + b


@app.post("/add")  # type: ignore[untyped-decorator]
def call(numbers: Numbers) -> dict[str, float]:
    """Their sum, once a worker has it. A function and no coroutine: FastAPI gives it a thread."""
    return {"result": add.delay(numbers.a, numbers.b).get(timeout=30)}
