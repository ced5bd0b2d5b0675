"""An image and its ancestors."""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, bindparam, literal, select

from dockreg.providers.metadata.rows import IMAGE_COLUMNS, IMAGE_TABLES
from dockreg.providers.metadata.tables import v1_images


def _chain(*columns: ColumnElement[Any], tables: FromClause) -> Any:
    links = (v1_images.c.key, v1_images.c.parent_key)
    chain = (
        select(*links, literal(0).label("depth"))
        .where(v1_images.c.key == bindparam("start"))
        .cte("chain", recursive=True)
    )
    chain = chain.union_all(select(*links, chain.c.depth + 1).join(chain, v1_images.c.key == chain.c.parent_key))
    found = select(*columns).select_from(tables.join(chain, chain.c.key == v1_images.c.key))
    return found.order_by(chain.c.depth)


#: The image of the key ``start`` and its ancestors, base last, with the columns of ``rows.IMAGE_COLUMNS``.
CHAIN = _chain(*IMAGE_COLUMNS, tables=IMAGE_TABLES)
#: The ids of the same images.
ANCESTRY = _chain(v1_images.c.image_id, tables=v1_images)
