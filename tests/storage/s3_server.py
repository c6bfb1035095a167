"""An S3-compatible server over HTTP on this machine, and a wire to it that breaks at a given byte."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

KEY_ID, SECRET = "AKIDEXAMPLE", "open-sesame"
HOST = "127.0.0.1"


class S3Server(logging.Handler):
    """What it holds outlives `stop`; `start` is then on the same port. It remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self._asked: list[str] = []
        self._buckets = 0
        log = logging.getLogger("werkzeug")
        log.propagate, log.handlers = False, [self]
        log.setLevel(logging.INFO)
        self.start()

    def start(self) -> None:
        self._server = ThreadedMotoServer(HOST, self.port)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def client(self):
        return boto3.client("s3", endpoint_url=self.url, aws_access_key_id=KEY_ID, aws_secret_access_key=SECRET)

    def bucket(self) -> str:
        """The name of a new one."""
        self._buckets += 1
        name = f"bucket{self._buckets}"
        self.client.create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str) -> list[str]:
        return [found["Key"] for found in self.client.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def content(self, bucket: str, key: str) -> bytes:
        return self.client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def emit(self, record: logging.LogRecord) -> None:
        self._asked.append(record.getMessage())

    @contextmanager
    def asked(self, method: str) -> Iterator[list[str]]:
        """The objects that are asked for with a method meanwhile, in the order of their names."""
        before, found = len(self._asked), []
        yield found
        for line in self._asked[before:]:
            told, path = line.split('"')[1].split()[:2]
            if told == method and "?" not in path and path.count("/") > 1:
                found.append(path.split("/", 2)[2])
        found.sort()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server that AWS's environment variables lead to, with one try for every request."""
    S3FileSystem.clear_instance_cache()  # fsspec keeps what led to the server of another module
    server = S3Server()
    requests.post(f"{server.url}/moto-api/reset", timeout=10)  # the buckets of an earlier server in this process
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        patch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield server
    server.stop()


@contextmanager
def stalling_wire(port: int, after: int) -> Iterator[tuple[str, threading.Event]]:
    """Yield a URL behind which a server is heard until so many bytes went either way, and an event that says so."""
    stalled, ended = threading.Event(), threading.Event()
    sockets: list[socket.socket] = []

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(1 << 14):
                passed += len(data)
                if passed > after:
                    stalled.set()
                    ended.wait()
                    return
                target.sendall(data)

    def accept(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, server = listening.accept()[0], socket.create_connection((HOST, port))
                sockets.extend((client, server))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()

    with socket.create_server((HOST, 0)) as listening:
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
        yield f"http://{HOST}:{listening.getsockname()[1]}", stalled
        ended.set()
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
