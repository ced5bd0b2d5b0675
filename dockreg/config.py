"""
The configuration file: TOML, read once, into frozen values.

Every key has a default; ``etc/dockreg.toml`` shows them all. Nothing here opens, makes or imports anything.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from dockreg import configvalues as valid
from dockreg.configchecks import ScrubSettings
from dockreg.configcollection import CollectionSettings
from dockreg.configkeeping import QuotaSettings, RetentionSettings
from dockreg.configpeople import (
    AttemptSettings,
    AuthSettings,
    CertificateSettings,
    LDAPSettings,
    TokenServerSettings,
    idle_keys,
)

_KIB = 1024
_MIB = 1024 * _KIB
_GIB = 1024 * _MIB


@frozen
class ConfigError(Exception):
    """A configuration that can not be used: which file, which key, and what to change."""

    file: str
    key: str
    reason: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.key, self.reason) if part)


# The tables of the file, in its order.


@frozen
class HTTPSettings:
    """``[http]``: what a connection may ask of the server. The meaning of each is that of ``dockreg.web.limits``."""

    header_seconds: float = field(default=30.0, validator=valid.seconds(0.1))
    header_bytes: int = field(default=16 * _KIB, validator=valid.number(_KIB))
    keep_alive_seconds: float = field(default=60.0, validator=valid.seconds(0.1))
    body_idle_seconds: float = field(default=60.0, validator=valid.seconds(0.1))
    minimum_rate: int = field(default=1024, validator=valid.number(0))
    rate_window_seconds: float = field(default=60.0, validator=valid.seconds(1))
    unasked_seconds: float = field(default=300.0, validator=valid.seconds(1))
    window_bytes: int = field(default=512 * _KIB, validator=valid.number(4 * _KIB))
    unasked_bytes: int = field(default=16 * _KIB, validator=valid.number(1))
    response_idle_seconds: float = field(default=300.0, validator=valid.seconds(1))
    drain_bytes: int = field(default=64 * _KIB, validator=valid.number(0))
    linger_seconds: float = field(default=30.0, validator=valid.seconds(0.1))
    linger_idle_seconds: float = field(default=5.0, validator=valid.seconds(0.1))
    url_bytes: int = field(default=8 * _KIB, validator=valid.number(512))
    name_characters: int = field(default=255, validator=valid.number(1, 255))
    requests_per_second: float = field(default=500.0, validator=valid.number(0, kind=int | float, what="a number"))
    request_burst: int = field(default=10_000, validator=valid.number(1))
    connections_per_address: int = field(default=256, validator=valid.number(1))
    half_read_total: int = field(default=2048, validator=valid.number(1))
    exempt_addresses: tuple[str, ...] = field(default=(), validator=valid.networks)
    sweep_seconds: float = field(default=1.0, validator=valid.seconds(0.05, 60))
    trusted_proxies: tuple[str, ...] = field(default=(), validator=valid.networks)
    cors_origins: tuple[str, ...] = field(default=(), validator=valid.origins)
    proxy_headers: str = field(default="auto", validator=valid.one_of("auto", "forwarded", "x-forwarded"))


@frozen
class TLSSettings:
    """``[tls]``: listeners that speak TLS, and with which certificate."""

    listen: tuple[str, ...] = field(default=(), validator=valid.texts)
    certificate: str = field(default="", validator=valid.text)
    key: str = field(default="", validator=valid.text)
    client_ca: str = field(default="", validator=valid.text)
    minimum: str = field(default="1.2", validator=valid.one_of("1.2", "1.3"))
    hsts_seconds: int = field(default=86400, validator=valid.number(0))


@frozen
class V1Settings:
    """``[v1]``: the v1 registry and hub."""

    listen: tuple[str, ...] = field(default=(), validator=valid.texts)
    endpoints: tuple[str, ...] = field(default=(), validator=valid.endpoints)
    max_json_bytes: int = field(default=4 * _MIB, validator=valid.number(_KIB))
    max_list_bytes: int = field(default=16 * _MIB, validator=valid.number(_KIB))
    max_list_entries: int = field(default=10_000, validator=valid.number(1))
    max_layer_bytes: int = field(default=0, validator=valid.number(0))
    max_uncompressed_bytes: int = field(default=100 * _GIB, validator=valid.number(1))
    max_layer_entries: int = field(default=250_000, validator=valid.number(1))
    staging_seconds: float = field(default=86400.0, validator=valid.seconds(60))
    announcement_seconds: float = field(default=86400.0, validator=valid.seconds(60))
    max_ancestry: int = field(default=1024, validator=valid.number(1))


@frozen
class V2Settings:
    """``[v2]``: the v2 registry and OCI Distribution."""

    listen: tuple[str, ...] = field(default=(), validator=valid.texts)
    base_url: str = field(default="", validator=valid.url)
    max_manifest_bytes: int = field(default=4 * _MIB, validator=valid.number(_KIB))
    max_blob_bytes: int = field(default=0, validator=valid.number(0))
    session_seconds: float = field(default=604800.0, validator=valid.seconds(60))
    max_list_entries: int = field(default=1000, validator=valid.number(1, 100_000))
    max_referrers: int = field(default=1000, validator=valid.number(1, 10_000))
    sparse: str = field(default="indexes", validator=valid.one_of("none", "indexes", "all"))
    platform: str = field(default="linux/amd64", validator=valid.platform)


@frozen
class IndexSettings:
    """``[index]``: the index that a registry of its own asks."""

    url: str = field(default="", validator=valid.url)
    cache_seconds: float = field(default=60.0, validator=valid.seconds(0, 60))


@frozen
class MetadataSettings:
    """``[metadata]``: where everything but the bytes of blobs is kept. A URL may hold a password: it is never shown."""

    provider: str = field(default="sql", validator=valid.provider("sql"))
    url: str = field(default="", validator=valid.text, repr=False)
    options: Mapping[str, Any] = field(factory=dict, validator=valid.options, repr=False)


@frozen
class BlobSettings:
    """``[blobs]``: where the bytes are kept."""

    provider: str = field(default="files", validator=valid.provider("files"))
    folder: str = field(default="", validator=valid.text)
    reserve_bytes: int = field(default=256 * _MIB, validator=valid.number(0))
    verify_reads: bool = field(default=False, validator=valid.flag)
    small_bytes: int = field(default=16384, validator=valid.number(0, 65536))
    direct_io: bool = field(default=True, validator=valid.flag)
    options: Mapping[str, Any] = field(factory=dict, validator=valid.options, repr=False)


@frozen
class LogSettings:
    """``[log]``: files of the access log, the structured log and the audit log, ``-`` being standard output."""

    access: str = field(default="", validator=valid.text)
    json: str = field(default="", validator=valid.text)
    audit: str = field(default="", validator=valid.text)
    audit_reads: bool = field(default=False, validator=valid.flag)


@frozen
class MetricsSettings:
    """``[metrics]``: listeners of its own for ``/metrics``, ``/healthz`` and ``/readyz``."""

    listen: tuple[str, ...] = field(default=(), validator=valid.texts)


@frozen
class Config:
    """Every setting. ``Config()`` is what dockreg does without a configuration file."""

    data_dir: Path = field(default=Path("dockreg-data"), validator=valid.path)
    listen: tuple[str, ...] = field(default=("tcp:5000:interface=127.0.0.1",), validator=valid.texts)
    role: str = field(default="standalone", validator=valid.one_of("standalone", "index", "registry"))
    workers: int | str = field(default=1, validator=valid.workers)
    allow_unauthenticated: bool = field(default=False, validator=valid.flag)
    grace_seconds: float = field(default=30.0, validator=valid.seconds(0))
    http: HTTPSettings = field(factory=HTTPSettings)
    tls: TLSSettings = field(factory=TLSSettings)
    v1: V1Settings = field(factory=V1Settings)
    v2: V2Settings = field(factory=V2Settings)
    index: IndexSettings = field(factory=IndexSettings)
    auth: AuthSettings = field(factory=AuthSettings)
    metadata: MetadataSettings = field(factory=MetadataSettings)
    blobs: BlobSettings = field(factory=BlobSettings)
    scrub: ScrubSettings = field(factory=ScrubSettings)
    retention: RetentionSettings = field(factory=RetentionSettings)
    collection: CollectionSettings = field(factory=CollectionSettings)
    quotas: QuotaSettings = field(factory=QuotaSettings)
    log: LogSettings = field(factory=LogSettings)
    metrics: MetricsSettings = field(factory=MetricsSettings)

    @property
    def metadata_url(self) -> str:
        """The database: the one configured, else a SQLite file in the data folder."""
        return self.metadata.url or f"sqlite:///{self.data_dir / 'metadata.sqlite3'}"

    @property
    def blob_folder(self) -> Path:
        """The folder of blobs: the one configured, else one in the data folder."""
        return self.data_dir / (self.blobs.folder or "blobs")


#: The tables of the file and what they become.
TABLES: Mapping[str, type] = {
    "http": HTTPSettings,
    "tls": TLSSettings,
    "v1": V1Settings,
    "v2": V2Settings,
    "index": IndexSettings,
    "auth": AuthSettings,
    "auth.attempts": AttemptSettings,
    "auth.ldap": LDAPSettings,
    "auth.certificates": CertificateSettings,
    "auth.token_server": TokenServerSettings,
    "metadata": MetadataSettings,
    "blobs": BlobSettings,
    "scrub": ScrubSettings,
    "retention": RetentionSettings,
    "collection": CollectionSettings,
    "quotas": QuotaSettings,
    "log": LogSettings,
    "metrics": MetricsSettings,
}


def read_config(text: str, file: str = "") -> Config:
    """
    The configuration that ``text`` holds.

    :param file: how messages call it.
    :raises ConfigError: it is not TOML, has an unknown key or a bad value, or keys that do not fit together.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file, "", f"not TOML: {error}") from None
    config = _make(Config, document, file, "")
    assert isinstance(config, Config)
    _check_together(config, file)
    return config


def load_config(
    file: str | None,
    data_dir: str | None = None,
    listen: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Config:
    """
    Read the configuration file, if there is one, and put what the command line says over it.

    Without ``data_dir`` the state folder of systemd (``STATE_DIRECTORY``) is used, else ``dockreg-data`` right here.

    :raises ConfigError: the file can not be read or used.
    """
    text = ""
    if file is not None:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror or str(error) if isinstance(error, OSError) else "not UTF-8"
            raise ConfigError(file, "", f"can not be read: {reason}") from None
    config = read_config(text, file or "")
    state = (environ or {}).get("STATE_DIRECTORY", "").split(":")[0]
    if data_dir is not None:
        config = _changed(config, "--data-dir", data_dir=Path(data_dir))
    elif state and "data_dir" not in tomllib.loads(text):
        config = _changed(config, "STATE_DIRECTORY", data_dir=Path(state))
    if listen:
        config = _changed(config, "--listen", listen=tuple(listen))
    return attrs.evolve(config, data_dir=Path(os.path.abspath(config.data_dir)))  # noqa: PTH100  # without following links


def _make(kind: type, values: Mapping[str, Any], file: str, prefix: str) -> Any:
    known = attrs.fields_dict(kind)
    kept: dict[str, Any] = {}
    for key, given in values.items():
        if key not in known:
            raise ConfigError(file, prefix + key, "there is no such key")
        if prefix + key in TABLES:
            kept[key] = _make_table(prefix + key, given, file)
            continue
        value = _as_kept(key, given)
        check = known[key].validator
        if check is not None:
            try:
                check(None, known[key], value)
            except ValueError as error:
                raise ConfigError(file, prefix + key, str(error)) from None
        kept[key] = value
    return kind(**kept)


def _make_table(name: str, value: Any, file: str) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(file, name, f"must be a table: write [{name}]")
    return _make(TABLES[name], value, file, f"{name}.")


def _as_kept(key: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return Path(value) if key == "data_dir" and isinstance(value, str) else value


def _changed(config: Config, option: str, **values: Any) -> Config:
    try:
        return attrs.evolve(config, **values)
    except ValueError as error:
        raise ConfigError("", option, str(error)) from None


def _idle_settings(config: Config) -> Iterator[tuple[str, Sequence[str]]]:
    """What makes settings idle in this configuration, and their keys."""
    v1, auth = [f"v1.{name}" for name in attrs.fields_dict(V1Settings)], config.auth
    if config.role == "registry":
        yield "when role is registry: its index decides", [f"auth.{name}" for name in attrs.fields_dict(AuthSettings)]
        yield "when role is registry", ["v1.endpoints", "v1.max_list_entries", "v1.announcement_seconds"]
    else:
        yield "unless role is registry", ["index.url", "index.cache_seconds"]
    if config.role == "index":
        lists = ("v1.listen", "v1.endpoints", "v1.max_list_bytes", "v1.max_list_entries")
        kept = [key for key in v1 if key not in lists]
        kept += [f"v2.{name}" for name in attrs.fields_dict(V2Settings)]
        kept += ["retention.rules", "quotas.default_bytes"]
        kept += [f"collection.{name}" for name in attrs.fields_dict(CollectionSettings)]
        yield "when role is index: images are not kept there", kept
        bearers = ("challenge", "bearer_seconds", "refresh_seconds", "token_server")
        yield "when role is index: it has no v2", [f"auth.{name}" for name in bearers]
    if auth.authorizer:
        yield "beside auth.authorizer, which decides", ["auth.anonymous", "auth.rules"]
    if config.role == "registry" or auth.authorizer or auth.anonymous != "push":
        yield "unless everybody may push by the rules of dockreg", ["allow_unauthenticated"]
    yield from idle_keys(auth.checkers)
    yield from auth.token_server.idle_keys()
    for table, own, place in (("metadata", "sql", "url"), ("blobs", "files", "folder")):
        if getattr(config, table).provider == own:
            yield f"with provider {own}: options are for other providers", [f"{table}.options"]
        else:
            yield f"beside another provider than {own}", [f"{table}.{place}"]
    yield from _idle_connection_settings(config)


def _idle_connection_settings(config: Config) -> Iterator[tuple[str, Sequence[str]]]:
    if not config.tls.listen:
        others = [f"tls.{name}" for name in attrs.fields_dict(TLSSettings) if name != "listen"]
        yield "unless tls.listen names an endpoint", others
    if not config.http.trusted_proxies:
        yield "unless http.trusted_proxies names somebody", ["http.proxy_headers"]
    if not config.http.requests_per_second:
        yield "while http.requests_per_second is 0", ["http.request_burst"]
    if not config.scrub.enabled:
        yield "while scrub.enabled is false", ["scrub.bytes_per_second", "scrub.every_seconds"]
    if not config.retention.rules:
        yield "unless there are [[retention.rules]]", ["retention.interval_seconds", "retention.most_per_run"]
    if not config.log.audit:
        yield "while log.audit is empty", ["log.audit_reads"]
    if not config.collection.enabled:
        yield "while collection.enabled is false", ["collection.interval_seconds", "collection.tick_items"]
    if not config.http.minimum_rate:
        yield "while http.minimum_rate is 0", ["http.rate_window_seconds"]


def _check_tls(config: Config, file: str) -> None:
    if config.tls.listen and not config.tls.certificate:
        raise ConfigError(file, "tls.certificate", "must name a file in PEM when tls.listen names an endpoint")
    for each in config.tls.listen:
        if each.lower().removeprefix("haproxy:").startswith(("ssl:", "tls:")):
            raise ConfigError(file, "tls.listen", f"{each!r} has TLS of its own: write 'tcp:' and the address")


def _check_together(config: Config, file: str) -> None:
    if not (config.listen or config.tls.listen or config.v1.listen or config.v2.listen):
        raise ConfigError(file, "listen", "must name at least one endpoint, such as 'tcp:5000:interface=127.0.0.1'")
    _check_tls(config, file)
    if config.role == "registry" and not config.index.url:
        raise ConfigError(file, "index.url", "must name the index when role is registry")
    if config.role == "index" and not config.auth.checkers:
        raise ConfigError(file, "auth.checkers", "must not be empty when role is index")
    for key, reason in config.auth.problems():
        raise ConfigError(file, key, reason)
    if config.collection.untagged and any(rule.expire_untagged_seconds for rule in config.retention.parsed()):
        raise ConfigError(
            file, "collection.untagged", "must be empty beside expire_untagged_seconds in retention.rules"
        )
    # Only what differs from its default is refused, so that a file may show every key.
    for reason, keys in _idle_settings(config):
        for key in keys:
            if attrgetter(key)(config) != attrgetter(key)(Config()):
                raise ConfigError(file, key, f"has no effect {reason}")
    if "accounts" in config.auth.checkers and len(config.auth.checkers) > 1 and config.auth.registration != "closed":
        raise ConfigError(file, "auth.registration", "must be closed, or strangers take names that other checkers know")
