"""The metadata store in SQL: SQLite, the embedded default, and PostgreSQL."""

from collections.abc import Callable

from sqlalchemy import Connection, select
from zope.interface import implementer

from dockreg.callables import InThread
from dockreg.interfaces import IBlobIndex, IManifestStore, IMetadataStore, IRepositoryStore
from dockreg.interfaces_access import IAccountStore, IKeyStore
from dockreg.interfaces_blobs import IConditionStore, IReferenceStore
from dockreg.interfaces_collection import ICollection, ILeaseStore
from dockreg.interfaces_people import IAccessTokenStore, IAttemptStore, IInvitationStore
from dockreg.interfaces_quotas import IQuotaStore
from dockreg.interfaces_retention import IRetentionStore
from dockreg.interfaces_rights import IRightsStore
from dockreg.interfaces_uploads import IUploadStore
from dockreg.interfaces_v1 import IV1ImageStore
from dockreg.providers.metadata.accesstokens import SQLAccessTokenStore
from dockreg.providers.metadata.accounts import SQLAccountStore
from dockreg.providers.metadata.attempts import SQLAttemptStore
from dockreg.providers.metadata.blobs import SQLBlobIndex
from dockreg.providers.metadata.collection import SQLCollection
from dockreg.providers.metadata.conditions import SQLConditionStore
from dockreg.providers.metadata.invitations import SQLInvitationStore
from dockreg.providers.metadata.keys import SQLKeyStore
from dockreg.providers.metadata.leases import SQLLeaseStore
from dockreg.providers.metadata.ledger import Accounting
from dockreg.providers.metadata.links import NewRepositories
from dockreg.providers.metadata.manifests import SQLManifestStore
from dockreg.providers.metadata.quotas import SQLQuotaStore
from dockreg.providers.metadata.references import SQLReferenceStore
from dockreg.providers.metadata.repositories import SQLRepositoryStore
from dockreg.providers.metadata.retention import SQLRetentionStore
from dockreg.providers.metadata.rights import SQLRightsStore
from dockreg.providers.metadata.schema import prepare
from dockreg.providers.metadata.tables import repositories
from dockreg.providers.metadata.transactions import Database
from dockreg.providers.metadata.uploads import SQLUploadStore
from dockreg.providers.metadata.v1images import SQLV1ImageStore


@implementer(IMetadataStore)
class SQLMetadataStore:
    """
    Everything but the bytes of blobs, in one database.

    :param url: ``sqlite:////var/lib/dockreg/dockreg.sqlite`` (its folder is made with mode 0700, the file with 0600;
        ``?timeout=`` says how many seconds to wait for writers in other processes, else 15) or
        ``postgresql+psycopg://user@host/database``.
    :param private: whether new repositories are private where no namespace says otherwise.
    :param quota: how many bytes a namespace may have that has no quota of its own; 0 for any amount.
    """

    blobs: IBlobIndex
    conditions: IConditionStore
    references: IReferenceStore
    repositories: IRepositoryStore
    manifests: IManifestStore
    uploads: IUploadStore
    images: IV1ImageStore
    accounts: IAccountStore
    keys: IKeyStore
    access_tokens: IAccessTokenStore
    rights: IRightsStore
    invitations: IInvitationStore
    attempts: IAttemptStore
    retention: IRetentionStore
    leases: ILeaseStore
    collection: ICollection
    quotas: IQuotaStore

    # See IMoments. Every request asks these some times: it gets to who answers at once. PostgreSQL does not tell.
    begin_moment: Callable[[], None]
    end_moment: Callable[[], None]
    version: Callable[[], object | None]
    lasting_version: Callable[[], object | None]

    def __init__(self, url: str, in_thread: InThread, *, private: bool = False, quota: int = 0) -> None:
        accounting = Accounting(quota)
        self._database = Database(url, in_thread, accounting.around)
        near = self._database.near
        self.begin_moment, self.end_moment = near.begin_moment, near.end_moment
        self.version, self.lasting_version = near.version, near.lasting_version
        new = NewRepositories(private)
        self.blobs = SQLBlobIndex(self._database, new)
        self.conditions = SQLConditionStore(self._database)
        self.references = SQLReferenceStore(self._database)
        self.repositories = SQLRepositoryStore(self._database, new)
        self.manifests = SQLManifestStore(self._database, new)
        self.uploads = SQLUploadStore(self._database, accounting)
        self.images = SQLV1ImageStore(self._database)
        self.accounts = SQLAccountStore(self._database)
        self.keys = SQLKeyStore(self._database)
        self.access_tokens = SQLAccessTokenStore(self._database)
        self.rights = SQLRightsStore(self._database)
        self.invitations = SQLInvitationStore(self._database)
        self.attempts = SQLAttemptStore(self._database)
        self.retention = SQLRetentionStore(self._database)
        self.leases = SQLLeaseStore(self._database)
        self.collection = SQLCollection(self._database)
        self.quotas = SQLQuotaStore(self._database, accounting)

    async def open(self) -> None:
        """See :class:`~dockreg.interfaces.IMetadataStore`."""
        await self._database.open(prepare)

    async def close(self) -> None:
        """See :class:`~dockreg.interfaces.IMetadataStore`."""
        await self._database.close()

    async def check(self) -> None:
        """See :class:`~dockreg.interfaces.IMetadataStore`."""
        await self._database.read(_look)


def _look(connection: Connection) -> None:
    connection.execute(select(repositories.c.key).limit(1)).all()
