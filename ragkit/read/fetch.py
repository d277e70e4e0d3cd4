"""Fetches the file at an address that the user names, and nothing from the user's own network.

Only http and https, only public addresses, of which the very one that was checked is connected to, at each
redirect anew; without cookies, proxies or credentials; with limits on time and size.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from email.utils import formatdate
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, NamedTuple

from ragkit import __version__
from ragkit.errors import LoadError

if TYPE_CHECKING:
    import httpx2

_REDIRECTS = 5
_PORTS = {"http": 80, "https": 443}
_NOT_MODIFIED = 304
_UNKNOWN = (404, 410)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: its last 32 bits are an IPv4 address


class NoSuchFile(LoadError):
    """The server is there and has no such file."""


class Fetched(NamedTuple):
    """A file, and its media type as the server states it, such as `text/html`."""

    content: bytes
    kind: str


@dataclass(frozen=True)
class Fetcher:
    """How files are fetched.

    `seconds` limits a fetch as a whole, `megabytes` the file.  `allow_private` also admits loopback and private
    networks; it is for tests, and no pipeline file can set it.
    """

    seconds: float = 120.0
    megabytes: float = 200.0
    allow_private: bool = False

    def fetch(self, url: str, since: float | None = None) -> Fetched | None:
        """The file at *url*; None if it has not changed *since* then (seconds since 1970).

        Raises `LoadError` with the reason.
        """
        import httpx2
        from anyio.from_thread import start_blocking_portal

        try:
            # An event loop of its own: a limit on the whole holds for names, connections and slow servers alike.
            with start_blocking_portal() as portal:
                return portal.call(self._within_limit, url, since)
        except TimeoutError:
            raise LoadError(f"fetching it took longer than {self.seconds:g} s") from None
        except httpx2.InvalidURL as error:
            raise LoadError(f"it is no address that can be fetched: {error}") from None
        except httpx2.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise LoadError(f"it cannot be fetched: {reason}; check the connection and try again") from None

    async def _within_limit(self, url: str, since: float | None) -> Fetched | None:
        import anyio

        with anyio.fail_after(self.seconds):
            return await self._followed(url, since)

    async def _followed(self, written: str, since: float | None) -> Fetched | None:
        import httpx2

        url = httpx2.URL(written)
        for _ in range(_REDIRECTS + 1):
            reply = await self._reply(url, since)
            if not isinstance(reply, httpx2.URL):
                return reply
            url = url.join(reply)
        raise LoadError(f"it is redirected more than {_REDIRECTS} times")

    async def _reply(self, url: httpx2.URL, since: float | None) -> Fetched | httpx2.URL | None:
        """The file, or where it is instead."""
        import httpx2

        headers = {"host": url.netloc.decode("ascii"), "user-agent": f"ragkit/{__version__}"}
        headers |= {"accept-encoding": "identity"}  # what is compressed could swell
        if since is not None:
            headers["if-modified-since"] = formatdate(since, usegmt=True)
        checked = await self._addresses(url)
        # The environment names certificates (SSL_CERT_FILE), but no proxy, which would choose the address.
        trusted = httpx2.create_ssl_context()
        async with httpx2.AsyncClient(trust_env=False, verify=trusted, timeout=self.seconds) as client:
            for n, address in enumerate(checked, 1):
                request = client.build_request(
                    "GET",
                    url.copy_with(host=address),
                    headers=headers,
                    extensions={"sni_hostname": url.raw_host.decode("ascii")},  # whose certificate is checked
                )
                try:
                    reply = await client.send(request, stream=True)
                except httpx2.ConnectError as error:
                    if n < len(checked):
                        continue
                    raise LoadError(f"{url.host} cannot be reached ({error}); check the connection") from None
                try:
                    return await self._read(url, reply)
                finally:
                    await reply.aclose()
        raise AssertionError("a name has an address")

    async def _read(self, url: httpx2.URL, reply: httpx2.Response) -> Fetched | httpx2.URL | None:
        import httpx2

        if reply.status_code == _NOT_MODIFIED:
            return None
        if reply.has_redirect_location:
            return httpx2.URL(reply.headers["location"])
        if reply.status_code in _UNKNOWN:
            raise NoSuchFile(f"{url.host} has no such file (HTTP {reply.status_code})")
        if not reply.is_success:
            raise LoadError(f"{url.host} answered with HTTP {reply.status_code}")
        if reply.headers.get("content-encoding", "identity") != "identity":
            raise LoadError(f"{url.host} sends it compressed, which ragkit does not ask for; save the file")
        content = bytearray()
        async for piece in reply.aiter_raw():
            content += piece
            if len(content) > self.megabytes * 1e6:
                raise LoadError(f"it is larger than {self.megabytes:g} MB; save the file and ingest that")
        return Fetched(
            bytes(content), reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        )

    async def _addresses(self, url: httpx2.URL) -> list[str]:
        """The addresses of a host, all of which are public."""
        import anyio

        if url.scheme not in _PORTS or not url.host:
            raise LoadError(f"'{url}' is no http or https address")
        if url.userinfo:
            raise LoadError("its address has a user name or password, which ragkit does not send")
        port = url.port or _PORTS[url.scheme]
        try:
            found = await anyio.getaddrinfo(url.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise LoadError(f"{url.host} is not found; check the address and the connection") from None
        addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
        private = [each for each in addresses if not is_public(each)]
        if private and not self.allow_private:
            raise LoadError(
                f"{url.host} is not on the public internet ({private[0]}); save the file and ingest that"
            )
        return addresses


def is_public(address: str) -> bool:
    """Is an IP address one of the public internet?  Tunnels, which lead to another one, are not."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip.sixtofour or ip.teredo or ip.is_site_local:
            return False
        ip = IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip.ipv4_mapped or ip
    return ip.is_global and not ip.is_multicast
