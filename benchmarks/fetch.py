"""Fetching pictures over TLS from a server that is 50 ms away: `python -m benchmarks.fetch --pictures 2000`.

Compared are one picture after the other, 16 threads, and the project's fetcher with as many places. The first two open
a connection for each picture, as the common tools do, with one TLS context for all. Each way decodes every picture
with the same function and keeps the bytes: the first two as files, the project in its shards, flushed to disk. The
server (see `benchmarks.slow_server`) and each way run in processes of their own; no time has the imports in it.
"""

import argparse
import hashlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.resource_usage import in_own_process
from storage.images.attempts import Attempts
from storage.images.client import FetchLimits
from storage.images.decoding import decode_picture
from storage.images.fetch import Source, Wanted, fetch_pictures
from storage.images.store import PictureStore
from storage.progress import Progress

CONCURRENCY = 16
LATENCY_MS = 50
REPEATS = 3  # of the two that are compared; one after the other is waiting alone, and done once
TIMEOUT_S = 20.0
MAX_PIXELS = 50_000_000

Way = Callable[[Sequence[str], Path], set[str]]


def save(url: str, folder: Path, context: ssl.SSLContext) -> str:
    """Fetch a picture over a connection of its own, and give its SHA-256."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S, context=context) as answer:
        content = answer.read()
    decode_picture(content, MAX_PIXELS)
    key = hashlib.sha256(content).hexdigest()
    (folder / key).write_bytes(content)
    return key


def sequential(urls: Sequence[str], folder: Path) -> set[str]:
    context = ssl.create_default_context()
    return {save(url, folder, context) for url in urls}


def threads(urls: Sequence[str], folder: Path) -> set[str]:
    context = ssl.create_default_context()
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        return set(pool.map(lambda url: save(url, folder, context), urls))


def ours(urls: Sequence[str], folder: Path) -> set[str]:
    """What the asset `item_images` does, without Dagster around it."""
    limits = FetchLimits(TIMEOUT_S, 20 * 2**20, MAX_PIXELS, CONCURRENCY, CONCURRENCY, retries=2)
    wanted = (Wanted(url, [[url]]) for url in urls)
    source = Source(folder=None, local=True)
    fetched = fetch_pictures(wanted, source, Attempts(PictureStore(folder)), limits, Progress("ours"))
    return set(fetched.table["sha256"].to_pylist())


def timed(way: Way, urls: Sequence[str], folder: Path) -> tuple[float, set[str]]:
    started = time.perf_counter()
    found = way(urls, folder)
    return time.perf_counter() - started, found


def by_itself(way: Way, urls: Sequence[str]) -> tuple[float, set[str]]:
    with tempfile.TemporaryDirectory() as folder:
        return in_own_process(timed, way, urls, Path(folder))


@contextmanager
def far_server(folder: Path) -> Iterator[str]:
    """The URL of a server with a certificate that this process and its children trust."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=far"
    extension = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *extension], check=True, stderr=subprocess.DEVNULL)
    os.environ["SSL_CERT_FILE"] = str(certificate)
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    given = ["--certificate", str(both), "--latency-ms", str(LATENCY_MS)]
    command = [sys.executable, "-m", "benchmarks.slow_server", *given]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield f"https://127.0.0.1:{int(server.stdout.readline())}"
        server.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=int, default=2_000)
    count = parser.parse_args().pictures
    with tempfile.TemporaryDirectory() as folder, far_server(Path(folder)) as server:
        urls = [f"{server}/{number}.jpg" for number in range(count)]
        rounds = [(by_itself(threads, urls), by_itself(ours, urls)) for _ in range(REPEATS)]
        sequential_s, expected = by_itself(sequential, urls)
    if len(expected) != count or any(found != expected for ways in rounds for _, found in ways):
        sys.exit("the ways brought different pictures")
    threads_s, ours_s = (median(way[0] for way in ways) for ways in zip(*rounds, strict=True))
    for what, seconds in (("one by one", sequential_s), ("16 threads", threads_s), ("project", ours_s)):
        print(f"{what:<12} {seconds:>8.2f} s {count / seconds:>8.1f} pictures/s")
    figures = {
        "sequential_s": round(sequential_s, 3),
        "threads_s": round(threads_s, 3),
        "ours_s": round(ours_s, 3),
        "speedup_vs_threads": round(threads_s / ours_s, 2),
        "pictures": count,
        "concurrency": CONCURRENCY,
        "latency_ms": LATENCY_MS,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
