"""
The media types of manifests and of what they refer to.

Sources: the OCI Image specification, "OCI Image Media Types"; docker's "Image Manifest V2 Schema 2", "Media Types", and
"Image Manifest V2 Schema 1". Types that are not here are fine for configs, layers and children of an index; a manifest
itself is of one of these.
"""

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"
OCI_FOREIGN_LAYER_GZIP = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
OCI_FOREIGN_LAYER_ZSTD = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"

#: Only the first release candidates of OCI 1.1 had it; tools of 2022 and 2023 pushed some.
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"

SCHEMA2_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
SCHEMA2_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
SCHEMA2_CONFIG = "application/vnd.docker.container.image.v1+json"
SCHEMA2_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
SCHEMA2_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
SCHEMA2_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"
SCHEMA2_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar"
SCHEMA2_FOREIGN_LAYER_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
#: The name that docker has for the layers of schema1, which do not state a type themselves.
SCHEMA1_LAYER = "application/vnd.docker.container.image.rootfs.diff+x-gtar"

#: One image: a config and its layers.
MANIFEST_TYPES = frozenset({SCHEMA2_MANIFEST, OCI_MANIFEST})
#: A list of manifests.
INDEX_TYPES = frozenset({SCHEMA2_LIST, OCI_INDEX})
SCHEMA1_TYPES = frozenset({SCHEMA1, SCHEMA1_SIGNED})
#: All that a manifest can be.
ALL_MANIFEST_TYPES = MANIFEST_TYPES | INDEX_TYPES | SCHEMA1_TYPES | {OCI_ARTIFACT}
#: Layers that may not be given away, and so need not be in a registry.
FOREIGN_LAYERS = frozenset(
    {
        OCI_FOREIGN_LAYER,
        OCI_FOREIGN_LAYER_GZIP,
        OCI_FOREIGN_LAYER_ZSTD,
        SCHEMA2_FOREIGN_LAYER,
        SCHEMA2_FOREIGN_LAYER_GZIP,
    }
)
