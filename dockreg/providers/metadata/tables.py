"""
The tables, for SQLite and PostgreSQL.

Times are seconds since 1970. Names of accounts are empty where nobody was logged in (anonymous), so that they can be
part of unique keys. Text is compared byte by byte in both databases. Keys that are numbers are never used again
(AUTOINCREMENT), so that an old key finds nothing rather than something else. What refers to a blob is a foreign key
with RESTRICT: a blob in use can not be removed, whoever tries. ``sqlite_where`` holds for both databases. Where a column
is nearly always NULL, only rows that have it are in its index: each index that gets a row is a page that a commit writes.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    text,
    true,
)

#: The revision of the migration that makes what stands here.
SCHEMA = "0018"

#: PostgreSQL would order by the language of the database.
TEXT = String().with_variant(String(collation="C"), "postgresql")
#: SQLite counts only a column of type INTEGER by itself.
KEY = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _key() -> Column[int]:
    return Column("key", KEY, primary_key=True, autoincrement=True)


def _refers(name: str, target: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, KEY, ForeignKey(target, ondelete="RESTRICT"), nullable=nullable)


def _of_blob(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, TEXT, ForeignKey("blobs.digest", ondelete="RESTRICT"), nullable=nullable)


def _part_of(name: str, target: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, KEY, ForeignKey(target, ondelete="CASCADE"), nullable=nullable)


# A derived blob has no object: its bytes are the decompressed bytes of ``source_digest``. ``condition``: what is wrong
# with the object, NULL when nothing is known to be. ``content``: the bytes of a small object that is kept here. It is the last
# column, for SQLite reads a row as far as it is asked for.
blobs = Table(
    "blobs",
    metadata,
    Column("digest", TEXT, primary_key=True),
    Column("generation", TEXT),
    Column("size", BigInteger, nullable=False),
    Column("leased_until", Double, nullable=False),
    Column("compression", TEXT),
    Column("diff_id", TEXT),
    Column("uncompressed_size", BigInteger),
    Column("entries", BigInteger),
    _of_blob("source_digest", nullable=True),
    Column("condition", TEXT),
    Column("condition_at", Double),
    Column("content", LargeBinary),
    CheckConstraint("generation IS NOT NULL OR source_digest IS NOT NULL", name="has_bytes"),
)
Index(None, blobs.c.source_digest, sqlite_where=blobs.c.source_digest.is_not(None))
Index(
    "ix_blobs_lost",
    blobs.c.digest,
    sqlite_where=blobs.c.condition.is_not(None),
)

repositories = Table(
    "repositories",
    metadata,
    _key(),
    Column("name", TEXT, nullable=False, unique=True),
    Column("owner", TEXT, nullable=False),
    Column("private", Boolean, nullable=False),
    Column("description", TEXT, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("deleted_at", Double),
    sqlite_autoincrement=True,
)

repository_blobs = Table(
    "repository_blobs",
    metadata,
    _refers("repository_key", "repositories.key"),
    _of_blob("digest"),
    PrimaryKeyConstraint("repository_key", "digest"),
    Index(None, "digest", "repository_key"),
    sqlite_with_rowid=False,
)

# v1 images

# ``summed``: whether ``tarsums`` says all, or nobody has computed them. ``unannounced``: completed for no repository, and so its pusher's own.
v1_images = Table(
    "v1_images",
    metadata,
    _key(),
    Column("image_id", TEXT, nullable=False),
    Column("json", LargeBinary, nullable=False),
    _refers("parent_key", "v1_images.key", nullable=True),
    _of_blob("layer_digest"),
    Column("payload", TEXT, nullable=False),
    Column("tarsums", TEXT, nullable=False),
    Column("summed", Boolean, nullable=False, server_default=true()),
    Column("pushed_by", TEXT, nullable=False),
    Column("unannounced", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Index(None, "image_id"),
    Index(None, "parent_key"),
    Index(None, "layer_digest"),
    sqlite_autoincrement=True,
)
Index(
    "uq_v1_images_unannounced",
    v1_images.c.pushed_by,
    v1_images.c.image_id,
    unique=True,
    sqlite_where=text("unannounced"),
)

# What makes an image reachable. With an image, all its ancestors are linked.
repository_v1_images = Table(
    "repository_v1_images",
    metadata,
    _refers("repository_key", "repositories.key"),
    Column("image_id", TEXT, nullable=False),
    _refers("image_key", "v1_images.key"),
    PrimaryKeyConstraint("repository_key", "image_id"),
    Index(None, "image_key"),
)

# One entry for each image id that was announced to or linked with a repository, in the order in which it came.
v1_image_list = Table(
    "v1_image_list",
    metadata,
    _refers("repository_key", "repositories.key"),
    Column("image_id", TEXT, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("checksum", TEXT),
    PrimaryKeyConstraint("repository_key", "image_id"),
    UniqueConstraint("repository_key", "position"),
)

v1_announcements = Table(
    "v1_announcements",
    metadata,
    _refers("repository_key", "repositories.key"),
    Column("image_id", TEXT, nullable=False),
    Column("principal", TEXT, nullable=False),
    Column("announced_at", Double, nullable=False),
    PrimaryKeyConstraint("repository_key", "image_id", "principal"),
    Index(None, "image_id", "principal"),
)

# ``repository`` is a name, empty for none: a repository need not exist while an image is pushed to it.
v1_staged_images = Table(
    "v1_staged_images",
    metadata,
    _key(),
    Column("repository", TEXT, nullable=False),
    Column("principal", TEXT, nullable=False),
    Column("image_id", TEXT, nullable=False),
    Column("json", LargeBinary, nullable=False),
    Column("json_digest", TEXT, nullable=False),
    _refers("parent_key", "v1_images.key", nullable=True),
    Column("staged_at", Double, nullable=False),
    UniqueConstraint("image_id", "repository", "principal", "json_digest"),
    Index(None, "parent_key"),
    Index(None, "staged_at"),
    sqlite_autoincrement=True,
)

v1_staged_layers = Table(
    "v1_staged_layers",
    metadata,
    _key(),
    _part_of("staged_image_key", "v1_staged_images.key"),
    _of_blob("digest"),
    Column("payload", TEXT, nullable=False),
    Column("tarsums", TEXT, nullable=False),
    Column("summed", Boolean, nullable=False, server_default=true()),
    Column("staged_at", Double, nullable=False),
    UniqueConstraint("staged_image_key", "digest"),
    Index(None, "digest"),
    sqlite_autoincrement=True,
)

# Manifests and tags

# ``view_of``: another form of the same image, which lives and dies with the manifest that it was made from. ``derived``:
# made by the registry, not pushed. ``v1_view``: whether it can be a v1 image at all, NULL until a v1 client asks.
# ``untagged_at``: when a tag last left it, NULL when none did.
manifests = Table(
    "manifests",
    metadata,
    _key(),
    _refers("repository_key", "repositories.key"),
    Column("digest", TEXT, nullable=False),
    Column("media_type", TEXT, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("config_digest", TEXT),
    Column("artifact_type", TEXT),
    Column("subject", TEXT),
    Column("annotations", TEXT),
    _part_of("view_of", "manifests.key", nullable=True),
    Column("derived", Boolean, nullable=False),
    Column("v1_view", Boolean),
    Column("created_at", Double, nullable=False),
    Column("pushed_by", TEXT, nullable=False),
    Column("untagged_at", Double),
    Column("leased_until", Double, nullable=False, server_default=text("0")),
    UniqueConstraint("repository_key", "digest"),
    Index(None, "config_digest"),
    sqlite_autoincrement=True,
)
Index(
    None,
    manifests.c.repository_key,
    manifests.c.subject,
    manifests.c.digest,
    sqlite_where=manifests.c.subject.is_not(None),
)
Index(None, manifests.c.view_of, sqlite_where=manifests.c.view_of.is_not(None))

# ``held_digest`` is the same digest, once the repository has the blob: foreign layers and those of sparse manifests need
# not be there.
manifest_blobs = Table(
    "manifest_blobs",
    metadata,
    _part_of("manifest_key", "manifests.key"),
    Column("position", Integer, nullable=False),
    Column("role", TEXT, nullable=False),
    Column("digest", TEXT, nullable=False),
    _of_blob("held_digest", nullable=True),
    Column("media_type", TEXT, nullable=False),
    Column("size", BigInteger, nullable=False),
    PrimaryKeyConstraint("manifest_key", "position"),
    Index(None, "held_digest"),
)
# What is looked for when a blob arrives.
Index(
    "ix_manifest_blobs_missing",
    manifest_blobs.c.digest,
    sqlite_where=manifest_blobs.c.held_digest.is_(None),
)

# The children of an image index; a child need not be there.
manifest_children = Table(
    "manifest_children",
    metadata,
    _part_of("manifest_key", "manifests.key"),
    Column("position", Integer, nullable=False),
    Column("digest", TEXT, nullable=False),
    Column("media_type", TEXT, nullable=False),
    Column("size", BigInteger, nullable=False),
    PrimaryKeyConstraint("manifest_key", "position"),
    Index(None, "digest"),
)

manifest_v1_images = Table(
    "manifest_v1_images",
    metadata,
    _part_of("manifest_key", "manifests.key"),
    _refers("image_key", "v1_images.key"),
    PrimaryKeyConstraint("manifest_key", "image_key"),
    Index(None, "image_key"),
)

# ``schema1_key``: the schema1 manifest that the tag was pushed with, of whose image ``manifest_key`` is another form.
tags = Table(
    "tags",
    metadata,
    _refers("repository_key", "repositories.key"),
    Column("name", TEXT, nullable=False),
    _refers("manifest_key", "manifests.key", nullable=True),
    _refers("schema1_key", "manifests.key", nullable=True),
    _refers("image_key", "v1_images.key", nullable=True),
    Column("updated_at", Double, nullable=False),
    Column("last_update", BigInteger),
    Column("docker_version", TEXT),
    Column("docker_go_version", TEXT),
    Column("arch", TEXT, nullable=False),
    Column("os", TEXT, nullable=False),
    Column("kernel", TEXT),
    PrimaryKeyConstraint("repository_key", "name"),
    CheckConstraint("manifest_key IS NOT NULL OR image_key IS NOT NULL", name="points_somewhere"),
    Index(None, "manifest_key"),
)
Index(None, tags.c.schema1_key, sqlite_where=tags.c.schema1_key.is_not(None))
Index(None, tags.c.image_key, sqlite_where=tags.c.image_key.is_not(None))

# Upload sessions that outlive a request. ``received_digest`` is that of the first ``size`` bytes of the staging file, by
# ``algorithm``. ``repository`` is a name: it need not exist while a blob is pushed to it. ``reserved``: bytes that its
# namespace has no room for otherwise.
uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", TEXT, primary_key=True),
    Column("repository", TEXT, nullable=False),
    Column("principal", TEXT, nullable=False),
    Column("door", TEXT, nullable=False),
    Column("algorithm", TEXT, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("received_digest", TEXT),
    Column("started_at", Double, nullable=False),
    Column("last_write", Double, nullable=False),
    Column("leased_until", Double, nullable=False),
    Column("reserved", BigInteger, nullable=False, server_default=text("0")),
    Index(None, "leased_until"),
)

# Accounts and keys

# ``owner``: whose robot it is. ``deleted_at``: nothing is left but the name, so that no stranger takes it.
# ``renewed_at``: when somebody was given such a name again.
accounts = Table(
    "accounts",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("password_hash", TEXT, nullable=False),
    Column("email", TEXT, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("admin", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("owner", TEXT),
    Column("deleted_at", Double),
    Column("renewed_at", Double),
    Index(None, "owner"),
)
Index(
    "uq_accounts_email",
    accounts.c.email,
    unique=True,
    sqlite_where=accounts.c.email != "",
)

signing_keys = Table(
    "signing_keys",
    metadata,
    _key(),
    Column("purpose", TEXT, nullable=False),
    Column("key_id", TEXT, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("purpose", "key_id"),
    sqlite_autoincrement=True,
)
