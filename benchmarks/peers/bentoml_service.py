"""The BentoML service: two processes, as many as Runyard has children."""

import bentoml  # type: ignore[import-not-found]


@bentoml.service(workers=2)  # type: ignore[untyped-decorator]
class Adder:
    """Adds two numbers."""

    @bentoml.api  # type: ignore[untyped-decorator]
    def add(self, a: float, b: float) -> float:
        """Their sum."""
        return a + b
