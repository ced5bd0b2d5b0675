"""Tags of a locked repository, and where they point."""

from collections.abc import Collection, Mapping

from sqlalchemy import (
    Connection,
    Double,
    LargeBinary,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)

from dockreg.errors import Denied
from dockreg.model.manifest import Manifest
from dockreg.model.names import RepositoryName, Tag
from dockreg.providers.metadata.collectionqueue import queue_untagged
from dockreg.providers.metadata.rows import AnyRow
from dockreg.providers.metadata.tables import TEXT, manifest_v1_images, manifests, repositories, tags
from dockreg.providers.metadata.tagged import leave

_CURRENT = (
    select(tags.c.repository_key, tags.c.manifest_key, tags.c.schema1_key, tags.c.image_key, manifests.c.digest)
    .outerjoin(manifests, manifests.c.key == tags.c.manifest_key)
    .where(tags.c.repository_key == bindparam("repository"), tags.c.name == bindparam("tag"))
)
_ADD_TAG = insert(tags)
# What a tag is that no client of v1 has said more of.
_PLAIN_TAG = {
    "last_update": None,
    "docker_version": None,
    "docker_go_version": None,
    "arch": "amd64",
    "os": "linux",
    "kernel": None,
}
# All that is to be done for what is done most: a tag that is not there, for a manifest that was pushed before with these bytes.
# Adds nothing where anything else is to be done. PostgreSQL judges what a repository has by how it was before it waited for the
# lock: what is wrong then violates a key, and is tried again.
_TAG_KNOWN = insert(tags).from_select(
    ["repository_key", "name", "manifest_key", "image_key", "updated_at", "arch", "os"],
    select(
        repositories.c.key,
        bindparam("new_tag", type_=TEXT),
        manifests.c.key,
        select(func.max(manifest_v1_images.c.image_key))
        .where(manifest_v1_images.c.manifest_key == manifests.c.key)
        .scalar_subquery(),
        bindparam("now", type_=Double),
        literal_column("'amd64'"),
        literal_column("'linux'"),
    )
    .join(manifests, manifests.c.repository_key == repositories.c.key)
    .where(
        repositories.c.name == bindparam("repository_name"),
        repositories.c.deleted_at.is_(None),
        manifests.c.digest == bindparam("wanted"),
        manifests.c.derived.is_(False),
        manifests.c.content == bindparam("pushed_content", type_=LargeBinary),
        ~exists().where(tags.c.repository_key == repositories.c.key, tags.c.name == bindparam("new_tag", type_=TEXT)),
    )
    .with_for_update(key_share=True, of=repositories),
    include_defaults=False,
)
_MOVE_TAG = update(tags).where(tags.c.repository_key == bindparam("repository"), tags.c.name == bindparam("tag"))


def tag_known(connection: Connection, name: RepositoryName, manifest: Manifest, tag: Tag, now: float) -> bool:
    """Point a new tag to a manifest that is there; False when something else is to be done, and nothing was."""
    values = {
        "new_tag": tag.value,
        "now": now,
        "repository_name": name.value,
        "wanted": str(manifest.digest),
        "pushed_content": manifest.content,
    }
    return connection.execute(_TAG_KNOWN, values).rowcount > 0


def current_tag(connection: Connection, repository: int, tag: Tag) -> AnyRow | None:
    """Where a tag points, None when there is no such tag."""
    return connection.execute(_CURRENT, {"repository": repository, "tag": tag.value}).one_or_none()


def is_expected(current: AnyRow | None, only_if: Collection[str]) -> bool:
    """Whether a tag points to one of ``only_if``: digests, or ``*`` for any; when empty, it must not be there."""
    if current is None:
        return not only_if
    return "*" in only_if or current.digest in only_if


def point_tag(
    connection: Connection,
    repository: int,
    tag: Tag,
    targets: Mapping[str, int | None],
    current: AnyRow | None,
    *,
    image_key: int | None,
    now: float,
    overwrite: bool,
) -> None:
    """
    Point a tag to the manifests of ``targets``, from where ``current`` says that it points now.

    :param overwrite: whether it may be moved.
    :raises Denied: it would have to be moved, and may not.
    """
    key, schema1 = targets["manifest_key"], targets["schema1_key"]
    if current is not None and (current.manifest_key, current.schema1_key) == (key, schema1):
        # What is pushed again is wanted still.
        connection.execute(_MOVE_TAG, {"repository": repository, "tag": tag.value, "updated_at": now})
        return
    if current is not None and not overwrite:
        if current.manifest_key == key and schema1 is None:
            return  # It is what it is already; the form that old engines get stays, too.
        raise Denied(f"tag {tag} exists, and the caller may not move it")
    values = {
        **targets,
        "image_key": image_key,
        "updated_at": now,
        **_PLAIN_TAG,
    }
    if current is None:
        connection.execute(_ADD_TAG, {"repository_key": repository, "name": tag.value, **values})
    else:
        connection.execute(_MOVE_TAG, {"repository": repository, "tag": tag.value, **values})
        leave(connection, (current.manifest_key, current.schema1_key), targets, now)
        queue_untagged(connection, current)
