"""What may be asked of the web, and what would reach this machine or its network."""

import pytest

from storage.images.statuses import RefusedError
from storage.images.url_policy import follow_redirect, is_on_the_web, is_public, require_allowed, url_of


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


@pytest.mark.parametrize("place", REFUSED)
def test_what_is_never_asked(place: str) -> None:
    with pytest.raises(RefusedError, match="forbidden"):
        url_of(place)


@pytest.mark.parametrize("place", PRIVATE)
def test_private_addresses_are_asked_for_a_local_dataset_alone(place: str) -> None:
    require_allowed(url_of(place), local=True)
    with pytest.raises(RefusedError, match="forbidden"):
        require_allowed(url_of(place), local=False)


@pytest.mark.parametrize("place", ["http://example.org/a.jpg", "https://8.8.8.8/a.jpg", "HTTPS://m.example/a"])
def test_names_and_public_addresses_may_be_asked(place: str) -> None:
    require_allowed(url_of(place), local=False)


SIGNED = "https://a.test/img/blue%3Alarge.jpg?type=image%2Fjpeg&c=x%40y&%2b+%2B&Signature=a%2Fb~c"


@pytest.mark.parametrize(
    ("place", "asked"),
    [
        (SIGNED, SIGNED),
        ("http://a.test/it%27s%28a%29%2c.jpg", "http://a.test/it%27s%28a%29%2c.jpg"),
        ("http://a.test/a/../b//c.jpg", "http://a.test/a/../b//c.jpg"),
        ("http://a.test/41++pw,BO2,204_.jpg", "http://a.test/41++pw,BO2,204_.jpg"),
        ("  http://a.test/a.jpg\n", "http://a.test/a.jpg"),
        ("http://a.test/a\n.jpg", "http://a.test/a.jpg"),
        ("//a.test/a.jpg", "https://a.test/a.jpg"),
        ("http://a.test/my pic.jpg", "http://a.test/my%20pic.jpg"),
        ("http://a.test/50%pp.jpg", "http://a.test/50%25pp.jpg"),
        ("http://a.test/caf\u00e9.jpg", "http://a.test/caf%C3%A9.jpg"),
        ("http://a.test/a|b{c}\\d.jpg", "http://a.test/a%7Cb%7Bc%7D%5Cd.jpg"),
        ("http://A.Test/A.jpg", "http://a.test/A.jpg"),
        ("HTTP://a.test", "http://a.test/"),
        ("http://a.test?w=1", "http://a.test/?w=1"),
        ("http://a.test/a.jpg#top", "http://a.test/a.jpg"),
        ("http://b\u00fccher.test:81/a", "http://xn--bcher-kva.test:81/a"),
        ("http://a_b.test/a", "http://a_b.test/a"),
        ("http://[::1]:81/a", "http://[::1]:81/a"),
        ("http://us%20er:p@ss@a.test/a", "http://us%20er:p@ss@a.test/a"),
    ],
)
def test_a_url_is_asked_as_it_stands_but_for_what_cannot_be_sent(place: str, asked: str) -> None:
    assert str(url_of(place)) == asked


@pytest.mark.parametrize(
    "place",
    [
        "http://][@", "http://a/\ud83c", "http://[", "http://[]/", "http://[::1", "http://a:99999/", "http://a:b/",
        "http://a b/",
        "http:a", "https:\\\\x\\a.jpg", "http://a%2eb/", "http://\u200b/", "http://" + "\u00e9" * 100_000 + "/",
        "http://" + "a" * 300 + "/", "http://a/" + "b" * 10_000, "http://" + "[" * 5_000, "http://" + "@" * 5_000,
        "//",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused_at_once(place: str) -> None:
    with pytest.raises(RefusedError, match=r"bad_url|forbidden"):
        url_of(place)


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("/b%3Ac.jpg?x=%2F", "http://a.test/b%3Ac.jpg?x=%2F"),
        ("b.jpg", "http://a.test/dir/b.jpg"),
        ("//b.test/c", "http://b.test/c"),
        (SIGNED, SIGNED),
        ("/caf\udce9.jpg", "http://a.test/caf%E9.jpg"),  # as a header of Latin-1 comes in
    ],
)
def test_a_redirect_leads_where_it_says(location: str, asked: str) -> None:
    assert str(follow_redirect(url_of("http://a.test/dir/a.jpg"), location)) == asked


def test_a_place_is_a_url_if_it_begins_with_a_scheme() -> None:
    assert [
        is_on_the_web(place) for place in ("http://a/b", "FILE:x", "images/a.jpg", "//cdn.example/a", " http://a", "")
    ] == [
        True,
        True,
        False,
        True,
        True,
        False,
    ]
