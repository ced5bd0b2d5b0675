"""nginx with the same bytes as files: how fast a pull could be."""

import getpass
import grp
import os
from collections.abc import Sequence

from benchmarks.contenders.base import Ability, Command, Contender, Place, first_line

_SETTINGS = """\
{user}daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    {sending}
    keepalive_requests 1000000000;
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port}{ssl};
        {certificate}
        root {data};
        location = /v2/ {{ return 200 "{{}}"; }}
    }}
}}
"""


class Nginx(Contender):
    """As most people have it, with sendfile."""

    name = "nginx"
    programs = ("nginx",)
    abilities = frozenset({Ability.TLS})
    sending = "sendfile on; tcp_nopush on;"

    def version(self) -> str:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        return first_line(self.program, "-v").removeprefix("nginx version: ")

    def configuration(self, place: Place) -> str:
        """The configuration file."""
        pair = f"ssl_certificate {place.certificate}; ssl_certificate_key {place.key};"
        tls = place.situation.tls
        return _SETTINGS.format(
            user=_user(),
            folder=place.folder,
            sending=self.sending,
            port=place.port,
            ssl=" ssl" if tls else "",
            certificate=pair if tls else "",
            data=place.data,
        )

    def prepare(self, place: Place) -> Command:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        file = place.folder / "nginx.conf"
        file.write_text(self.configuration(place))
        place.data.mkdir(exist_ok=True)
        return Command([self.program, "-p", str(place.folder), "-c", str(file), "-e", "stderr"])

    def place_blob(self, place: Place, repository: str, digest: str, content: bytes) -> None:
        """A file where the URL points to."""
        _write(place, f"{repository}/blobs/{digest}", content)

    def place_manifest(self, place: Place, repository: str, references: Sequence[str], content: bytes) -> None:
        """A file for each reference."""
        for reference in references:
            _write(place, f"{repository}/manifests/{reference}", content)


class NginxCopying(Nginx):
    """Without sendfile and with large buffers, which is faster where the network is the memory of one machine."""

    name = "nginx-copying"
    sending = "sendfile off; output_buffers 2 512k;"


def _user() -> str:
    # The workers of root's nginx are others, who may not read its files.
    return f"user {getpass.getuser()} {grp.getgrgid(os.getegid()).gr_name};\n" if os.geteuid() == 0 else ""


def _write(place: Place, name: str, content: bytes) -> None:
    file = place.data / "v2" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
