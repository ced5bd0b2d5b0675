"""The tables of what people and programs log in with, beside accounts; see :mod:`dockreg.providers.metadata.tables`."""

from sqlalchemy import Column, Double, ForeignKey, Index, Integer, LargeBinary, Table

from dockreg.providers.metadata.tables import TEXT, metadata

# ``scopes`` as people write them, with blanks between them.
access_tokens = Table(
    "access_tokens",
    metadata,
    Column("token_id", TEXT, primary_key=True),
    Column("account", TEXT, ForeignKey("accounts.name", ondelete="CASCADE"), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("description", TEXT, nullable=False),
    Column("scopes", TEXT, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("used_at", Double),
    Index(None, "account"),
)

# An invitation whose account was deleted stays used.
invitations = Table(
    "invitations",
    metadata,
    Column("invitation_id", TEXT, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("name", TEXT),
    Column("email", TEXT, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_by", TEXT),
)

# ``trusted_at`` where somebody has logged in; after ``expires_at`` the row means nothing.
login_attempts = Table(
    "login_attempts",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", Double, nullable=False),
    Column("until", Double, nullable=False),
    Column("trusted_at", Double),
    Column("expires_at", Double, nullable=False),
    Index(None, "expires_at"),
)
