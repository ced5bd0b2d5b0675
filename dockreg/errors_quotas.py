"""What is told of quotas; the rest is in :mod:`dockreg.errors`."""

from attrs import frozen

from dockreg.errors import RegistryError


@frozen
class QuotaExceeded(RegistryError):
    """A namespace may not have so much. Sizes in bytes."""

    namespace: str
    limit: int
    used: int
    reserved: int
    wanted: int

    def __str__(self) -> str:
        others = f" and {self.reserved} are reserved for uploads" if self.reserved else ""
        return (
            f"the quota of namespace {self.namespace} is {self.limit} bytes, of which {self.used} are used{others}:"
            f" there is no room for {self.wanted} more"
        )
