"""A TLS server of pictures that is a round trip away: the far end of `benchmarks.fetch`, in a process of its own.

Latency is that of a network, paid once a round trip: what a client sends arrives only after `--latency-ms`, and opening
a connection is a round trip too. Nothing is lost, and bandwidth is that of the loopback; both spare whoever opens many
connections. It prints its port, and serves until its standard input ends.
"""

import argparse
import asyncio
import io
import re
import ssl
import sys
from pathlib import Path

import numpy as np
from PIL import Image

REQUEST = re.compile(rb"GET /(\d+)\.jpg HTTP/1\.1\r\n")
DISTINCT = 40
SIDE = 500  # pixels; a picture takes about 35 KB, as the "large" ones of Amazon do


def pictures() -> list[bytes]:
    """JPEGs of blurred noise."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(DISTINCT):
        noise = Image.fromarray(rng.integers(0, 256, (SIDE // 12, SIDE // 12, 3), dtype=np.uint8))
        content = io.BytesIO()
        noise.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(content, "JPEG", quality=80)
        made.append(content.getvalue())
    return made


def picture(number: int, made: list[bytes]) -> bytes:
    """One of the pictures with a comment of its own, so that no two are the same file."""
    content = made[number % DISTINCT]
    comment = str(number).encode()
    return content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]


class Pictures(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, and just enough of it."""

    def __init__(self, made: list[bytes]):
        self._made = made
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            head, self._waiting = self._waiting[: end + 4], self._waiting[end + 4 :]
            asked = REQUEST.match(head)
            assert asked is not None
            body = picture(int(asked[1]), self._made)
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            if b"connection: close" in head.lower():
                self._transport.close()


class Far(asyncio.Protocol):
    """The client's side of a connection: what it sends reaches the server late."""

    def __init__(self, port: int, latency_s: float):
        self._port, self._latency_s = port, latency_s
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._opens_at = self._loop.time() + self._latency_s
        self._server = self._loop.create_task(
            self._loop.create_connection(lambda: Near(transport), "127.0.0.1", self._port)
        )

    def data_received(self, data: bytes) -> None:
        arrives_at = max(self._loop.time(), self._opens_at) + self._latency_s
        self._loop.call_at(arrives_at, self._server.add_done_callback, lambda server: server.result()[0].write(data))

    def connection_lost(self, error: Exception | None) -> None:
        self._server.add_done_callback(lambda server: server.result()[0].close())


class Near(asyncio.Protocol):
    """The server's side of a connection: what it sends is passed on at once."""

    def __init__(self, client: asyncio.Transport):
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._client.close()


async def serve(certificate: Path, latency_s: float) -> None:
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    made = pictures()
    server = await loop.create_server(lambda: Pictures(made), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    far = await loop.create_server(lambda: Far(port, latency_s), "127.0.0.1", 0, backlog=1024)
    print(far.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--latency-ms", type=float, required=True)
    given = parser.parse_args()
    asyncio.run(serve(given.certificate, given.latency_ms / 1000))
