"""What images are called in archives."""

from attrs import frozen

from dockreg.errors import NameInvalid, TagInvalid
from dockreg.model.names import RepositoryName, Tag

#: The tag, as tools that read OCI layouts want it (OCI Image specification, "Pre-Defined Annotation Keys").
REF_NAME = "org.opencontainers.image.ref.name"
#: The whole name, as containerd and docker write and read it.
IMAGE_NAME = "io.containerd.image.name"
#: Ours, for what the others can not say: the exact repository, also of what has no tag.
REPOSITORY = "org.dockreg.repository"
TAG = "org.dockreg.tag"
#: The digest of the schema2 manifest, also in the layout, that this one is another form of: for programs that find OCI
#: types only.
VIEW_OF = "org.dockreg.view-of"
#: Beside index.json: what is to be known of repositories.
SIDECAR = "dockreg.json"


@frozen
class Name:
    """A repository and a tag, as far as an archive tells them."""

    repository: RepositoryName | None = None
    tag: Tag | None = None


def parse_repository(text: str) -> RepositoryName:
    """
    The name of a repository of either protocol.

    :raises NameInvalid: there can be no such repository.
    """
    try:
        return RepositoryName.parse_oci(text)
    except NameInvalid:
        return RepositoryName.parse_v1(text)


def parse_reference(text: str) -> Name:
    """
    What docker calls an image, ``[HOST/]NAME[:TAG]``; the host is left out, and ``latest`` is no tag that is implied.

    :raises NameInvalid: it names no repository. :raises TagInvalid: there can be no such tag.
    """
    text = text.partition("@")[0]
    first, slash, rest = text.partition("/")
    if slash and (set(".:") & set(first) or first == "localhost"):
        text = rest
    name, colon, tag = text.partition(":")
    return Name(parse_repository(name), Tag.parse(tag) if colon else None)


def told_name(annotations: object) -> Name:
    """
    The name in the annotations of an entry of an index; without a repository where they do not tell one.

    :raises NameInvalid: they tell one that can not be. :raises TagInvalid: the same of the tag.
    """
    told = (
        {key: value for key, value in annotations.items() if isinstance(value, str)}
        if isinstance(annotations, dict)
        else {}
    )
    if REPOSITORY in told:
        return Name(parse_repository(told[REPOSITORY]), Tag.parse(told[TAG]) if TAG in told else None)
    if IMAGE_NAME in told:
        return parse_reference(told[IMAGE_NAME])
    short = told.get(REF_NAME)
    if short is None:
        return Name()
    if ":" in short or "/" in short:
        return parse_reference(short)
    try:
        return Name(None, Tag.parse(short))
    except TagInvalid:
        return Name()


def full_name(repository: RepositoryName, tag: Tag, host: str) -> str:
    """What containerd calls an image: with a host always, docker's where there is no other."""
    if host:
        return f"{host}/{repository}:{tag}"
    return f"docker.io/{repository.v1}:{tag}"


def short_name(repository: RepositoryName, tag: Tag, host: str) -> str:
    """What docker calls an image."""
    return f"{host}/{repository}:{tag}" if host else f"{repository}:{tag}"
