"""A registry that runs inside the test, on a real socket and real files."""

import datetime as dt
import ipaddress
from functools import cache
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from dockreg.config import Config, MetadataSettings, read_config
from dockreg.identity import make_accounts, make_hasher
from dockreg.providing import make_metadata_store
from dockreg.service import make_registry_service
from tests.databases import write_database
from tests.passwords import weaken
from tests.processes import LOGS


@frozen
class RunningRegistry:
    """Where it listens, and how to trust it."""

    scheme: str
    port: int
    config: Config
    tls: IOpenSSLClientConnectionCreator

    @property
    def host(self) -> str:
        """Host and port, as a user of an engine types them."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://{self.host}"


async def start_registry(
    test: TestCase, *, tls: bool = False, settings: str = "", only_v1: bool = False
) -> RunningRegistry:
    """
    Start dockreg on 127.0.0.1 with a data folder of its own; it is stopped when the test ends.

    :param tls: https with a certificate made for this test.
    :param settings: lines of the configuration file; top-level keys first, then tables.
    :param only_v1: the listener is limited to v1, so that engines that know v2 use v1 as well.
    """
    from twisted.internet import reactor

    folder = Path(test.mktemp()).absolute()
    folder.mkdir()
    write_certificate(folder)
    listen, pem = "tcp:0:interface=127.0.0.1", folder / "server.pem"
    lines = f'listen = ["{listen}"]\n'
    if tls and only_v1:
        lines = f'listen = ["ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}"]\n'
    elif tls:
        lines = f'listen = []\ntls.listen = ["{listen}"]\ntls.certificate = "{pem}"\n'
    config = logging_to(folder, read_config(f'data_dir = "{folder / "data"}"\n{lines}{settings}'))
    if only_v1:
        config = evolve(config, listen=(), v1=evolve(config.v1, listen=config.listen))
    weaken(test.patch)
    if config.metadata == MetadataSettings():
        write_database(config.data_dir / "metadata.sqlite3")
    service = make_registry_service(config, reactor)
    service.startService()
    test.addCleanup(service.stopService)
    await service.when_started()
    address = service.addresses[0]
    assert isinstance(address, IPv4Address)
    return RunningRegistry("https" if tls else "http", address.port, config, _trust())


def logging_to(folder: Path, config: Config) -> Config:
    """The same configuration with each log in a folder, where ``tests.logscan`` finds it."""
    files: dict[str, Any] = {name: f"{folder}/{name}.log" for name in LOGS if not getattr(config.log, name)}
    return evolve(config, log=evolve(config.log, **files))


async def deactivate(registry: RunningRegistry, username: str) -> None:
    """Make an account inactive, as ``dockreg user disable`` does beside a running daemon."""
    from twisted.internet import reactor

    metadata = make_metadata_store(registry.config, deferToThread, reactor)
    await metadata.open()
    try:
        hasher = make_hasher(registry.config, deferToThread)
        await make_accounts(registry.config, metadata, hasher, reactor).set_active(username, active=False)
    finally:
        await metadata.close()


def write_certificate(folder: Path) -> Certificate:
    """Write ``server.pem``: a key of this process, and a certificate for 127.0.0.1 that it signed itself."""
    private, certificate = _certificate()
    (folder / "server.pem").write_bytes(private + certificate.dumpPEM())
    return certificate


@cache
def _certificate() -> tuple[bytes, Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dockreg test")])
    day = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(day)
        .not_valid_after(day.replace(year=2120))
        .add_extension(addresses, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, Certificate.loadPEM(pem)


@cache
def _trust() -> IOpenSSLClientConnectionCreator:
    return optionsForClientTLS("127.0.0.1", trustRootFromCertificates([_certificate()[1]]))
