"""What may be asked of the web, and what would reach this machine or its network."""

import pytest
from yarl import URL

from storage.statuses import RefusedError
from storage.web import is_on_the_web, is_public, require_allowed


@pytest.mark.parametrize("address", ["8.8.8.8", "52.84.1.2", "2606:4700::6810:84e5", "2a00:1450:4001::1"])
def test_addresses_of_the_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1", "192.0.2.1",
        "192.168.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "100::1", "2001::1",
        "2001:db8::1", "2002:7f00:1::", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_of_the_internet(address: str) -> None:
    assert not is_public(address)


REFUSED = [
    "file:///etc/passwd",
    "ftp://example.org/a.jpg",
    "data:image/png;base64,AAAA",
    "http:///a.jpg",
]
PRIVATE = [
    "http://127.0.0.1:9/a.jpg",
    "http://[::1]:9/a.jpg",
    "http://10.1.2.3/a.jpg",
    "https://169.254.169.254/latest/meta-data",
    "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460:9/a.jpg",  # 127.0.0.1 in circled digits
    "http://127\u30020\u30020\u30021:9/a.jpg",  # with ideographic full stops
    "http://2130706433:9/a.jpg",  # as one number
    "http://0x7f.1:9/a.jpg",
    "http://127.1.:9/a.jpg",
    "http://[::ffff:127.0.0.1]:9/a.jpg",
    "http://user@127.0.0.1/a.jpg",
]


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("place", REFUSED)
def test_what_is_never_asked(place: str, local: bool) -> None:
    with pytest.raises(RefusedError, match="forbidden"):
        require_allowed(URL(place), local)


@pytest.mark.parametrize("place", PRIVATE)
def test_private_addresses_are_asked_for_a_local_dataset_alone(place: str) -> None:
    require_allowed(URL(place), local=True)
    with pytest.raises(RefusedError, match="forbidden"):
        require_allowed(URL(place), local=False)


@pytest.mark.parametrize("place", ["http://example.org/a.jpg", "https://8.8.8.8/a.jpg", "HTTPS://m.example/a"])
def test_names_and_public_addresses_may_be_asked(place: str) -> None:
    require_allowed(URL(place), local=False)


def test_a_place_is_a_url_if_it_begins_with_a_scheme() -> None:
    assert [is_on_the_web(place) for place in ("http://a/b", "FILE:x", "images/a.jpg", "//cdn.example/a", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]
