"""The first schema."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    UniqueConstraint,
    text,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = String().with_variant(String(collation="C"), "postgresql")
KEY = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make every table; what refers to another one comes after it."""
    _accounts()
    _blobs()
    _repositories()
    _signing_keys()
    _manifests()
    _repository_blobs()
    _uploads()
    _v1_announcements()
    _v1_image_list()
    _v1_images()
    _manifest_blobs()
    _manifest_children()
    _manifest_v1_images()
    _repository_v1_images()
    _tags()
    _v1_staged_images()
    _v1_staged_layers()


def _accounts() -> None:
    op.create_table(
        "accounts",
        Column("name", TEXT, nullable=False),
        Column("password_hash", TEXT, nullable=False),
        Column("email", TEXT, nullable=False),
        Column("active", Boolean, nullable=False),
        Column("admin", Boolean, nullable=False),
        Column("created_at", Double, nullable=False),
        PrimaryKeyConstraint("name", name=op.f("pk_accounts")),
    )
    op.create_index(
        "uq_accounts_email",
        "accounts",
        ["email"],
        unique=True,
        sqlite_where=text("email != ''"),
        postgresql_where=text("email != ''"),
    )


def _blobs() -> None:
    op.create_table(
        "blobs",
        Column("digest", TEXT, nullable=False),
        Column("generation", TEXT),
        Column("size", BigInteger, nullable=False),
        Column("leased_until", Double, nullable=False),
        Column("compression", TEXT),
        Column("diff_id", TEXT),
        Column("uncompressed_size", BigInteger),
        Column("entries", BigInteger),
        Column("source_digest", TEXT),
        CheckConstraint("generation IS NOT NULL OR source_digest IS NOT NULL", name=op.f("ck_blobs_has_bytes")),
        _refers("blobs", "source_digest", "blobs.digest"),
        PrimaryKeyConstraint("digest", name=op.f("pk_blobs")),
    )
    op.create_index(op.f("ix_blobs_leased_until"), "blobs", ["leased_until"])
    op.create_index(op.f("ix_blobs_source_digest"), "blobs", ["source_digest"])


def _repositories() -> None:
    op.create_table(
        "repositories",
        Column("key", KEY, autoincrement=True, nullable=False),
        Column("name", TEXT, nullable=False),
        Column("owner", TEXT, nullable=False),
        Column("private", Boolean, nullable=False),
        Column("description", TEXT, nullable=False),
        Column("created_at", Double, nullable=False),
        Column("deleted_at", Double),
        PrimaryKeyConstraint("key", name=op.f("pk_repositories")),
        UniqueConstraint("name", name=op.f("uq_repositories_name")),
        sqlite_autoincrement=True,
    )


def _signing_keys() -> None:
    op.create_table(
        "signing_keys",
        Column("key", KEY, autoincrement=True, nullable=False),
        Column("purpose", TEXT, nullable=False),
        Column("key_id", TEXT, nullable=False),
        Column("secret", LargeBinary, nullable=False),
        Column("created_at", Double, nullable=False),
        PrimaryKeyConstraint("key", name=op.f("pk_signing_keys")),
        UniqueConstraint("purpose", "key_id", name=op.f("uq_signing_keys_purpose_key_id")),
        sqlite_autoincrement=True,
    )


def _manifests() -> None:
    op.create_table(
        "manifests",
        Column("key", KEY, autoincrement=True, nullable=False),
        Column("repository_key", KEY, nullable=False),
        Column("digest", TEXT, nullable=False),
        Column("media_type", TEXT, nullable=False),
        Column("content", LargeBinary, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("config_digest", TEXT),
        Column("artifact_type", TEXT),
        Column("subject", TEXT),
        Column("annotations", TEXT),
        Column("view_of", KEY),
        Column("derived", Boolean, nullable=False),
        Column("v1_view", Boolean),
        Column("created_at", Double, nullable=False),
        Column("pushed_by", TEXT, nullable=False),
        _refers("manifests", "repository_key", "repositories.key"),
        _refers("manifests", "view_of", "manifests.key", ondelete="CASCADE"),
        PrimaryKeyConstraint("key", name=op.f("pk_manifests")),
        UniqueConstraint("repository_key", "digest", name=op.f("uq_manifests_repository_key_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_manifests_config_digest"), "manifests", ["config_digest"])
    op.create_index(
        op.f("ix_manifests_repository_key_subject_digest"), "manifests", ["repository_key", "subject", "digest"]
    )
    op.create_index(op.f("ix_manifests_view_of"), "manifests", ["view_of"])


def _repository_blobs() -> None:
    op.create_table(
        "repository_blobs",
        Column("repository_key", KEY, nullable=False),
        Column("digest", TEXT, nullable=False),
        _refers("repository_blobs", "digest", "blobs.digest"),
        _refers("repository_blobs", "repository_key", "repositories.key"),
        PrimaryKeyConstraint("repository_key", "digest", name=op.f("pk_repository_blobs")),
    )
    op.create_index(op.f("ix_repository_blobs_digest_repository_key"), "repository_blobs", ["digest", "repository_key"])


def _uploads() -> None:
    op.create_table(
        "uploads",
        Column("upload_id", TEXT, nullable=False),
        Column("repository", TEXT, nullable=False),
        Column("principal", TEXT, nullable=False),
        Column("door", TEXT, nullable=False),
        Column("algorithm", TEXT, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("received_digest", TEXT),
        Column("started_at", Double, nullable=False),
        Column("last_write", Double, nullable=False),
        Column("leased_until", Double, nullable=False),
        PrimaryKeyConstraint("upload_id", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_leased_until"), "uploads", ["leased_until"])


def _v1_announcements() -> None:
    op.create_table(
        "v1_announcements",
        Column("repository_key", KEY, nullable=False),
        Column("image_id", TEXT, nullable=False),
        Column("principal", TEXT, nullable=False),
        Column("announced_at", Double, nullable=False),
        _refers("v1_announcements", "repository_key", "repositories.key"),
        PrimaryKeyConstraint("repository_key", "image_id", "principal", name=op.f("pk_v1_announcements")),
    )
    op.create_index(op.f("ix_v1_announcements_image_id_principal"), "v1_announcements", ["image_id", "principal"])


def _v1_image_list() -> None:
    op.create_table(
        "v1_image_list",
        Column("repository_key", KEY, nullable=False),
        Column("image_id", TEXT, nullable=False),
        Column("position", BigInteger, nullable=False),
        Column("checksum", TEXT),
        _refers("v1_image_list", "repository_key", "repositories.key"),
        PrimaryKeyConstraint("repository_key", "image_id", name=op.f("pk_v1_image_list")),
        UniqueConstraint("repository_key", "position", name=op.f("uq_v1_image_list_repository_key_position")),
    )


def _v1_images() -> None:
    op.create_table(
        "v1_images",
        Column("key", KEY, autoincrement=True, nullable=False),
        Column("image_id", TEXT, nullable=False),
        Column("json", LargeBinary, nullable=False),
        Column("parent_key", KEY),
        Column("layer_digest", TEXT, nullable=False),
        Column("payload", TEXT, nullable=False),
        Column("tarsums", TEXT, nullable=False),
        Column("pushed_by", TEXT, nullable=False),
        Column("unannounced", Boolean, nullable=False),
        Column("created_at", Double, nullable=False),
        _refers("v1_images", "layer_digest", "blobs.digest"),
        _refers("v1_images", "parent_key", "v1_images.key"),
        PrimaryKeyConstraint("key", name=op.f("pk_v1_images")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_v1_images_image_id"), "v1_images", ["image_id"])
    op.create_index(op.f("ix_v1_images_layer_digest"), "v1_images", ["layer_digest"])
    op.create_index(op.f("ix_v1_images_parent_key"), "v1_images", ["parent_key"])
    op.create_index(
        "uq_v1_images_unannounced",
        "v1_images",
        ["pushed_by", "image_id"],
        unique=True,
        sqlite_where=text("unannounced"),
        postgresql_where=text("unannounced"),
    )


def _manifest_blobs() -> None:
    op.create_table(
        "manifest_blobs",
        Column("manifest_key", KEY, nullable=False),
        Column("position", Integer, nullable=False),
        Column("role", TEXT, nullable=False),
        Column("digest", TEXT, nullable=False),
        Column("held_digest", TEXT),
        Column("media_type", TEXT, nullable=False),
        Column("size", BigInteger, nullable=False),
        _refers("manifest_blobs", "held_digest", "blobs.digest"),
        _refers("manifest_blobs", "manifest_key", "manifests.key", ondelete="CASCADE"),
        PrimaryKeyConstraint("manifest_key", "position", name=op.f("pk_manifest_blobs")),
    )
    op.create_index(
        "ix_manifest_blobs_missing",
        "manifest_blobs",
        ["digest"],
        sqlite_where=text("held_digest IS NULL"),
        postgresql_where=text("held_digest IS NULL"),
    )
    op.create_index(op.f("ix_manifest_blobs_held_digest"), "manifest_blobs", ["held_digest"])


def _manifest_children() -> None:
    op.create_table(
        "manifest_children",
        Column("manifest_key", KEY, nullable=False),
        Column("position", Integer, nullable=False),
        Column("digest", TEXT, nullable=False),
        Column("media_type", TEXT, nullable=False),
        Column("size", BigInteger, nullable=False),
        _refers("manifest_children", "manifest_key", "manifests.key", ondelete="CASCADE"),
        PrimaryKeyConstraint("manifest_key", "position", name=op.f("pk_manifest_children")),
    )
    op.create_index(op.f("ix_manifest_children_digest"), "manifest_children", ["digest"])


def _manifest_v1_images() -> None:
    op.create_table(
        "manifest_v1_images",
        Column("manifest_key", KEY, nullable=False),
        Column("image_key", KEY, nullable=False),
        _refers("manifest_v1_images", "image_key", "v1_images.key"),
        _refers("manifest_v1_images", "manifest_key", "manifests.key", ondelete="CASCADE"),
        PrimaryKeyConstraint("manifest_key", "image_key", name=op.f("pk_manifest_v1_images")),
    )
    op.create_index(op.f("ix_manifest_v1_images_image_key"), "manifest_v1_images", ["image_key"])


def _repository_v1_images() -> None:
    op.create_table(
        "repository_v1_images",
        Column("repository_key", KEY, nullable=False),
        Column("image_id", TEXT, nullable=False),
        Column("image_key", KEY, nullable=False),
        _refers("repository_v1_images", "image_key", "v1_images.key"),
        _refers("repository_v1_images", "repository_key", "repositories.key"),
        PrimaryKeyConstraint("repository_key", "image_id", name=op.f("pk_repository_v1_images")),
    )
    op.create_index(op.f("ix_repository_v1_images_image_key"), "repository_v1_images", ["image_key"])


def _tags() -> None:
    op.create_table(
        "tags",
        Column("repository_key", KEY, nullable=False),
        Column("name", TEXT, nullable=False),
        Column("manifest_key", KEY),
        Column("schema1_key", KEY),
        Column("image_key", KEY),
        Column("updated_at", Double, nullable=False),
        Column("last_update", BigInteger),
        Column("docker_version", TEXT),
        Column("docker_go_version", TEXT),
        Column("arch", TEXT, nullable=False),
        Column("os", TEXT, nullable=False),
        Column("kernel", TEXT),
        CheckConstraint("manifest_key IS NOT NULL OR image_key IS NOT NULL", name=op.f("ck_tags_points_somewhere")),
        _refers("tags", "image_key", "v1_images.key"),
        _refers("tags", "manifest_key", "manifests.key"),
        _refers("tags", "schema1_key", "manifests.key"),
        _refers("tags", "repository_key", "repositories.key"),
        PrimaryKeyConstraint("repository_key", "name", name=op.f("pk_tags")),
    )
    op.create_index(op.f("ix_tags_image_key"), "tags", ["image_key"])
    op.create_index(op.f("ix_tags_manifest_key"), "tags", ["manifest_key"])
    op.create_index(op.f("ix_tags_schema1_key"), "tags", ["schema1_key"])


def _v1_staged_images() -> None:
    op.create_table(
        "v1_staged_images",
        Column("key", KEY, autoincrement=True, nullable=False),
        Column("repository", TEXT, nullable=False),
        Column("principal", TEXT, nullable=False),
        Column("image_id", TEXT, nullable=False),
        Column("json", LargeBinary, nullable=False),
        Column("json_digest", TEXT, nullable=False),
        Column("parent_key", KEY),
        Column("staged_at", Double, nullable=False),
        _refers("v1_staged_images", "parent_key", "v1_images.key"),
        PrimaryKeyConstraint("key", name=op.f("pk_v1_staged_images")),
        UniqueConstraint(
            "image_id",
            "repository",
            "principal",
            "json_digest",
            name=op.f("uq_v1_staged_images_image_id_repository_principal_json_digest"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_v1_staged_images_parent_key"), "v1_staged_images", ["parent_key"])
    op.create_index(op.f("ix_v1_staged_images_staged_at"), "v1_staged_images", ["staged_at"])


def _v1_staged_layers() -> None:
    op.create_table(
        "v1_staged_layers",
        Column("key", KEY, autoincrement=True, nullable=False),
        Column("staged_image_key", KEY, nullable=False),
        Column("digest", TEXT, nullable=False),
        Column("payload", TEXT, nullable=False),
        Column("tarsums", TEXT, nullable=False),
        Column("staged_at", Double, nullable=False),
        _refers("v1_staged_layers", "digest", "blobs.digest"),
        _refers("v1_staged_layers", "staged_image_key", "v1_staged_images.key", ondelete="CASCADE"),
        PrimaryKeyConstraint("key", name=op.f("pk_v1_staged_layers")),
        UniqueConstraint("staged_image_key", "digest", name=op.f("uq_v1_staged_layers_staged_image_key_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_v1_staged_layers_digest"), "v1_staged_layers", ["digest"])


def _refers(table: str, column: str, target: str, ondelete: str = "RESTRICT") -> ForeignKeyConstraint:
    return ForeignKeyConstraint([column], [target], name=op.f(f"fk_{table}_{column}"), ondelete=ondelete)
