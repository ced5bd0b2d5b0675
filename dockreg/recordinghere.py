"""What notes in the database what was made durable, in the thread that did that."""

from collections.abc import Callable

from dockreg.model.blobs import Received, Recorded, StoredBlob
from dockreg.registry import Registry


class RecordingHere:
    """Records a blob where it was made durable, and keeps what came of it for the thread of the reactor."""

    def __init__(self, record: Callable[[StoredBlob], Recorded], limit: int) -> None:
        self._record = record
        self._limit = limit
        self._found: Recorded | None = None
        self._problem: Exception | None = None
        # Whether nothing is left to do, for it was recorded as it is.
        self._is_settled = False

    def __call__(self, blob: StoredBlob) -> bool:
        """Record; whether the object is the blob from now on. See :meth:`.IUpload.commit`."""
        if self._limit and blob.size > self._limit:
            return False
        try:
            self._found = self._record(blob)
        except Exception as problem:  # noqa: BLE001 - it is raised where somebody waits for it
            self._problem = problem
            return False
        self._is_settled = self._found == Recorded(blob)
        return self._is_settled

    async def recorded(self, registry: Registry, committed: StoredBlob, upload_id: str | None) -> StoredBlob:
        """As :meth:`.Registry.keep_blob`."""
        if self._problem is not None:
            await registry.not_recorded(committed, self._problem, upload_id)
            raise self._problem
        assert self._found is not None
        if not self._is_settled:
            registry.recorded(committed, self._found)
        return self._found.blob


class NotingHere:
    """Notes what a session has received where that was made durable, and keeps what came of it."""

    def __init__(self, record: Callable[[Received], None]) -> None:
        self._record = record
        self.called = False
        self.problem: Exception | None = None

    def __call__(self, received: Received) -> None:
        """Note. See :meth:`.IUpload.suspend`."""
        self.called = True
        try:
            self._record(received)
        except Exception as problem:  # noqa: BLE001 - it is raised where somebody waits for it
            self.problem = problem
