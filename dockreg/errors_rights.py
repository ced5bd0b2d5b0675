"""What can go wrong with groups, namespaces and grants; the rest is in :mod:`dockreg.errors`."""

from attrs import frozen

from dockreg.errors import RegistryError


@frozen
class RightsInvalid(RegistryError):
    """A name, role, subject or action that can not be stored; the reason says what to change."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class GroupUnknown(RegistryError):
    """There is no such group."""

    name: str

    def __str__(self) -> str:
        return f"there is no group {self.name}"


@frozen
class GroupExists(RegistryError):
    """There is a group of this name."""

    name: str

    def __str__(self) -> str:
        return f"group {self.name} exists"


@frozen
class NamespaceUnknown(RegistryError):
    """Nothing is stored about this namespace."""

    name: str

    def __str__(self) -> str:
        return f"there is no namespace {self.name}"


@frozen
class NamespaceExists(RegistryError):
    """There is a namespace of this name."""

    name: str

    def __str__(self) -> str:
        return f"namespace {self.name} exists"


@frozen
class MemberUnknown(RegistryError):
    """A group or namespace has no such member."""

    where: str
    member: str

    def __str__(self) -> str:
        return f"{self.member} is no member of {self.where}"


@frozen
class GrantUnknown(RegistryError):
    """Nothing of this was granted."""

    subject: str
    repositories: str

    def __str__(self) -> str:
        return f"nothing of this is granted to {self.subject} in {self.repositories}"
