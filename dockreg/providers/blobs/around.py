"""A store in front of another one."""

from typing import Any

from zope.interface import implementer

from dockreg.interfaces import IBlobStore


@implementer(IBlobStore)
class AroundBlobStore:
    """
    Another store, but for what a subclass does itself. Whoever asks for the rest gets to the other one at once: each request of
    an upload does.
    """

    start_upload: Any
    resume_upload: Any
    upload_size: Any
    drop_upload: Any
    open: Any
    confirm: Any
    reopen: Any
    free: Any
    delete: Any
    examine: Any
    quarantine: Any
    stored: Any
    recover: Any
    check: Any
    close: Any

    def __init__(self, store: IBlobStore) -> None:
        self._store = store
        for name in IBlobStore.names(all=True):
            if not hasattr(type(self), name):
                setattr(self, name, getattr(store, name))
