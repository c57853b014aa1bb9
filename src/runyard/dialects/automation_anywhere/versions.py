"""How the values of versions are read and written, made once for each version."""

from runyard.dialects.automation_anywhere.quick import QuickInputs
from runyard.dialects.automation_anywhere.reading import Inputs
from runyard.dialects.automation_anywhere.writing import Link, Outputs
from runyard.engine.engine import Engine
from runyard.model.ids import VersionId
from runyard.web.responses import ENCODER

MOST_VERSIONS = 10_000


class Values:
    """How the input of one version is read and its output written."""

    __slots__ = ("inputs", "outputs", "quick")

    def __init__(self, inputs: Inputs, quick: QuickInputs, outputs: Outputs) -> None:
        self.inputs = inputs
        self.quick = quick
        self.outputs = outputs

    def written(self, returned: bytes | None, link: Link) -> bytes:
        """The answer to an execution that returned this. `link`: the address of a file."""
        outputs = self.outputs.write(returned, link)
        return ENCODER.encode({"hotBotResult": {"botOutput": outputs}})


class Versions:
    """Those that were asked for lately."""

    def __init__(self) -> None:
        self._values: dict[VersionId, Values] = {}

    def at_hand(self, version: VersionId) -> Values | None:
        """For a version that was asked for before."""
        return self._values.get(version)

    async def of(self, engine: Engine, version: VersionId) -> Values:
        """For any version; raises VersionNotFound."""
        return self._values.get(version) or await self._made(engine, version)

    async def _made(self, engine: Engine, version: VersionId) -> Values:
        declared = (await engine.directory.version(version)).declaration
        if len(self._values) >= MOST_VERSIONS:
            self._values.clear()
        inputs = Inputs(declared.inputs, declared.outputs)
        values = Values(inputs, QuickInputs(declared.inputs), Outputs(declared.outputs))
        self._values[version] = values
        return values
