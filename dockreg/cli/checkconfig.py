"""``dockreg check-config``: would the daemon start with this configuration, and with which settings?"""

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import attrs
import click
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory

from dockreg.checkers import make_directory
from dockreg.cli.running import run
from dockreg.cli.settings import config_options, configured
from dockreg.config import Config, ConfigError
from dockreg.configpeople import shown_checkers
from dockreg.identity import judge_for
from dockreg.providers.auth.htpasswd import read_htpasswd
from dockreg.providers.auth.ldapwire import DirectoryTrouble
from dockreg.providers.auth.trustedkeys import KeysInvalid, read_files
from dockreg.providers.blobs.disk import free_bytes
from dockreg.providers.listening import Judge, ListenFailed, read_endpoint, without_proxy
from dockreg.room import in_words
from dockreg.service import open_registry
from dockreg.sites import tls_files

#: The endpoints of Twisted that say in their text where they listen.
_PORTS = ("tcp:", "tcp6:", "ssl:", "tls:")
_HIDDEN = "(not shown)"
_PASSWORD = re.compile(r"(?<=://)([^/?#]*?):[^/?#]*@")
_QUERY = re.compile(r"\?.*", re.DOTALL)


@click.command("check-config")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.option("--connect", is_flag=True, help="Ask the directory of [auth.ldap] as well.")
@config_options
def check_config(as_json: bool, connect: bool, config_file: str | None, data_dir: str | None) -> None:
    """
    Check the configuration, and show every setting that would be used.

    Nothing is opened, made or changed. The exit status is 1 when the daemon would not start, as far as that can be
    known before: whether a port is free, and who can reach it when it is named by a host name, a socket of systemd or
    an endpoint of somebody else, is decided when it is bound, at the start.
    """

    async def work(reactor: Any) -> None:
        try:
            config = configured(config_file, data_dir)
            notes = check(config, reactor, connect=connect)
        except ConfigError as error:
            file = error.file or config_file or ""
            if not as_json:
                raise attrs.evolve(error, file=file) from None
            outcome = {"ok": False, "file": file, "key": error.key, "reason": error.reason}
            click.echo(json.dumps(outcome))
            raise SystemExit(1) from None
        shown = shown_settings(config)
        if as_json:
            click.echo(json.dumps({"ok": True, "file": config_file, "settings": shown, "notes": notes}))
            return
        for line in _lines(shown):
            click.echo(line)
        for note in notes:
            click.echo(f"note: {note}", err=True)
        click.echo(f"{config_file or 'the configuration without a file'} can be used")

    run(work)


def check(config: Config, reactor: Any, *, connect: bool = False) -> Sequence[str]:
    """
    Look at what the configuration names; return what an operator should know although it does not prevent a start.

    :param connect: whether to ask servers that it names.
    :raises ConfigError: a provider can not be imported or made, an endpoint is none or may not be served, a folder or
        file can not be used, or a server does not answer.
    """
    open_registry(config, reactor)
    listeners = {
        "listen": config.listen,
        "tls.listen": config.tls.listen,
        "v1.listen": config.v1.listen,
        "v2.listen": config.v2.listen,
    }
    for key, descriptions in {**listeners, "metrics.listen": config.metrics.listen}.items():
        for description in descriptions:
            _check_endpoint(config, key, description, reactor)
    for key, descriptions in listeners.items():
        for description in descriptions:
            _check_reach(key, description, judge_for(config))
    _check_folder("data_dir", config.data_dir)
    if config.blobs.provider == "files":
        _check_folder("blobs.folder", config.blob_folder)
    try:
        read_files([Path(each) for each in config.auth.token_server.key_files])
    except (OSError, KeysInvalid) as error:
        raise ConfigError("", "auth.token_server.key_files", str(error)) from None
    return [*_check_checkers(config, reactor, connect), *_check_tls(config, reactor), *_check_room(config)]


def _check_room(config: Config) -> Iterator[str]:
    reserve = config.blobs.reserve_bytes
    if config.blobs.provider != "files" or not reserve:
        return
    free = free_bytes(config.blob_folder)
    if free <= reserve:
        yield (
            f"uploads would be refused: {in_words(free)} are free at {config.blob_folder}, and blobs.reserve_bytes keeps "
            f"{in_words(reserve)} of them; make room, or lower it"
        )


def _check_checkers(config: Config, reactor: Any, connect: bool) -> Iterator[str]:
    for entry in config.auth.checkers:
        kind, _, argument = entry.partition(":")
        if kind == "htpasswd":
            yield from _check_htpasswd(argument)
        elif kind == "ldap":
            yield from _check_directory(config, reactor, connect)
        elif kind == "certificates" and not config.tls.client_ca:
            yield "no listener asks clients for certificates: set tls.client_ca"


def _check_htpasswd(path: str) -> Iterator[str]:
    _stamp, outcome = read_htpasswd(Path(path))
    if isinstance(outcome, str):
        raise ConfigError("", "auth.checkers", f"{path} {outcome}")
    for number, reason in outcome.refused:
        yield f"line {number} of {path} is not used: {reason}"


def _check_directory(config: Config, reactor: Any, connect: bool) -> Iterator[str]:
    directory = make_directory(config, reactor)
    try:
        directory.check_files()
        if connect:
            directory.probe()
    except DirectoryTrouble as trouble:
        raise ConfigError("", "auth.ldap", str(trouble)) from trouble
    secret = config.auth.ldap.bind_password_file
    if secret and Path(secret).stat().st_mode & stat.S_IROTH:
        yield f"{secret} can be read by everybody"


def _check_tls(config: Config, clock: IReactorTime) -> Sequence[str]:
    if not config.tls.listen:
        return []
    from dockreg.providers.tls import TLSInvalid  # noqa: PLC0415  # as at the start

    try:
        credentials = tls_files(config).read()
        credentials.context()
    except TLSInvalid as error:
        raise ConfigError("", error.key, error.reason) from error
    return [f"{key}: {doubt}" for key, doubt in credentials.doubts(clock.seconds())]


def _check_endpoint(config: Config, key: str, description: str, reactor: Any) -> None:
    place, proxied = without_proxy(description)
    if proxied and not config.http.trusted_proxies and not place.startswith(("unix:", "systemd:")):
        raise ConfigError("", "http.trusted_proxies", f"must name the proxies that may connect to {description}")
    if place.startswith("systemd:"):
        # The sockets are there only when systemd starts the daemon.
        return
    try:
        read_endpoint(description, reactor)
    except ListenFailed as error:
        raise ConfigError("", key, str(error)) from error


class _Binding:
    """Stands in for a reactor: is told where an endpoint would listen, and opens nothing."""

    address: IPv4Address | IPv6Address | None = None

    def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> None:
        """As ``IReactorTCP`` has it. A host name leads to no address, for it is looked up only when the port is bound."""
        with suppress(ValueError):
            host = ip_address(interface or "0.0.0.0")  # noqa: S104  # what an empty interface means
            kind = IPv4Address if host.version == 4 else IPv6Address
            self.address = kind("TCP", str(host), port)

    def listenSSL(
        self, port: int, factory: object, contextFactory: object, backlog: int = 50, interface: str = ""
    ) -> None:
        """As ``IReactorSSL`` has it."""
        self.listenTCP(port, factory, backlog, interface)


def _check_reach(key: str, description: str, judge: Judge) -> None:
    place, _ = without_proxy(description)
    if not place.startswith(_PORTS):
        # What the endpoints of others do when they listen is not known.
        return
    binding: Any = _Binding()
    _ = serverFromString(binding, place).listen(Factory())
    if binding.address is None:
        return
    try:
        judge(description, binding.address)
    except ListenFailed as error:
        raise ConfigError("", key, str(error)) from None


def _check_folder(key: str, folder: Path) -> None:
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if not existing.is_dir():
        raise ConfigError("", key, f"{existing} is no folder")
    if not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        what = "can not be written" if existing == folder else f"can not be made: {existing} can not be written"
        raise ConfigError("", key, f"{folder} {what} by this user")


def shown_settings(config: Config) -> Mapping[str, Any]:
    """Every setting by its key in the file, secrets left out."""
    members = attrs.asdict(config, value_serializer=_plain)
    members["auth"]["checkers"] = shown_checkers(config.auth.checkers)
    if config.auth.ldap.bind_password:
        members["auth"]["ldap"]["bind_password"] = _HIDDEN
    members["metadata"]["url"] = _without_password(config.metadata_url)
    members["blobs"]["folder"] = str(config.blob_folder)
    for table in ("metadata", "blobs"):
        members[table]["options"] = dict.fromkeys(members[table]["options"], _HIDDEN)
    return members


def _plain(_owner: object, _attribute: object, value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _without_password(url: str) -> str:
    # A query may hold one too: libpq takes "password=" there.
    return _QUERY.sub(f"?{_HIDDEN}", _PASSWORD.sub(r"\1:***@", url))


def _lines(settings: Mapping[str, Any], table: str = "") -> Iterator[str]:
    for key, value in settings.items():
        if not value or not isinstance(value, Mapping):
            yield f"{table}{key} = {_spelled(value)}"
    for key, value in settings.items():
        if value and isinstance(value, Mapping):
            yield from _lines(value, f"{table}{key}.")


def _spelled(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_spelled, value)) + "]"
    return json.dumps(value)
