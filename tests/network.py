"""Networks between a client and a server in tests, which can be cut: packets are lost, and nobody is told."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

_ATTACH, _DETACH = 26, 27  # SO_ATTACH_FILTER and SO_DETACH_FILTER of Linux
_DROPS = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # the program "keep 0 bytes"
_FILTER = struct.pack("HL", 1, ctypes.addressof(_DROPS))
_PATIENCE = 60  # seconds; what takes longer hangs
_numbers = itertools.count(os.getpid() % 200)


class Network(Protocol):
    """The way to a server's port, which the server has at `host` and `port`."""

    host: str
    port: int

    def join(self) -> None:
        """Let this thread, or the process of which it is the only one, use the network."""

    def cut(self) -> None:
        """Lose all packets, both ways."""

    def heal(self) -> None: ...


class Proxy:
    """A relay on loopback whose sockets throw packets away while it is cut, before the system acknowledges them."""

    def __init__(self, server: int) -> None:
        self.server = server
        self.speaks = threading.Event()
        self.speaks.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self.listener.getsockname()
        self.sockets = [self.listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def join(self) -> None:
        pass

    def cut(self) -> None:
        for each in self.sockets:
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, _ATTACH, _FILTER)

    def hush(self) -> None:
        """Accept and acknowledge everything, and pass nothing on."""
        self.speaks.clear()

    def heal(self) -> None:
        self.speaks.set()
        for each in self.sockets:
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, _DETACH, 0)

    def close(self) -> None:
        self.speaks.set()
        for each in self.sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server))
                self.sockets += [client, server]
                threading.Thread(target=self._relay, args=(client, server), daemon=True).start()

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        to = {client: server, server: client}
        with suppress(OSError, ValueError), client, server:
            while True:
                for source in select.select([*to], [], [])[0]:
                    if not (some := source.recv(1 << 16)):
                        raise OSError
                    self.speaks.wait()
                    to[source].sendall(some)


class Namespace:
    """A network namespace of its own, which a pair of virtual interfaces joins to the server's; Linux, as root."""

    def __init__(self, server: int) -> None:
        self.home = ThreadPoolExecutor(1)  # where the link is, whatever thread cuts it
        self.home.submit(int).result()
        number = next(_numbers) % 250
        self.name, self.ours, self.theirs = (f"{kind}{number}" for kind in ("ragkit", "rko", "rkt"))
        self.host, self.port = f"10.213.{number}.1", server
        try:
            _ip("netns", "add", self.name)
            _ip("link", "add", self.ours, "type", "veth", "peer", "name", self.theirs, "netns", self.name)
            _ip("addr", "add", f"{self.host}/24", "dev", self.ours)
            _ip("link", "set", self.ours, "up")
            _ip("-n", self.name, "addr", "add", f"10.213.{number}.2/24", "dev", self.theirs)
            _ip("-n", self.name, "link", "set", self.theirs, "up")
        except BaseException:
            self.close()
            raise

    def join(self) -> None:
        with Path("/var/run/netns", self.name).open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
                raise OSError(ctypes.get_errno(), "setns")

    def cut(self) -> None:
        self.home.submit(_ip, "link", "set", self.ours, "down").result()

    def heal(self) -> None:
        self.home.submit(_ip, "link", "set", self.ours, "up").result()

    def close(self) -> None:
        for command in (("link", "del", self.ours), ("netns", "del", self.name)):
            with suppress(subprocess.CalledProcessError, FileNotFoundError):
                _ip(*command)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


WAYS: dict[str, Callable[[int], Any]] = {"a proxy": Proxy, "a namespace": Namespace}


def missing(way: str) -> str | None:
    """Why there is no network of this kind here; None if there is."""
    if sys.platform != "linux":
        return f"not run: {way} that loses packets needs Linux"
    try:
        WAYS[way](1).close()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"not run: {way} is not allowed here ({error})"
    return None


class Far:
    """Calls in a thread that is at the far end of a network; one that hangs is a `TimeoutError`."""

    def __init__(self, network: Network) -> None:
        self.thread = ThreadPoolExecutor(1, initializer=network.join)

    def begin(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self.thread.submit(call, *arguments)

    def __call__(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return self.begin(call, *arguments).result(_PATIENCE)


@contextmanager
def between(way: str, server: int) -> Iterator[Network]:
    with contextlib.closing(WAYS[way](server)) as network:
        yield network
