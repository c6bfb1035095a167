"""Every record of a raw file comes out with its line number, or is told as lost."""

import gzip
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import InputError
from storage.raw import gzip_reader
from storage.raw.gzip_reader import DAMAGED, TRUNCATED
from storage.raw.lines import MAX_RECORD_BYTES, NOT_JSON, NOT_UTF8, OPEN_ARRAY, TOO_LONG, read_records
from storage.raw.rejects import DUPLICATE, KEPT_OF_A_REASON, RAW_CHARACTERS, RejectCounts, Rejects


def read(path: Path, content: bytes) -> tuple[list[tuple[int, str]], list[dict]]:
    """The records that are not blank, and the rejects."""
    path.write_bytes(content)
    rejects = Rejects()
    rows = [row for batch in read_records(path, rejects) for row in batch.to_pylist()]
    records = [(row["line"], row["raw"].strip()) for row in rows if row["raw"].strip()]
    return records, rejects.table().to_pylist()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dump"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few bytes, so that a small file has many seams."""
    for name, size in (("READ_BYTES", 7), ("STEP_BYTES", 5), ("BLOCK_BYTES", 11)):
        monkeypatch.setattr(gzip_reader, name, size)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_keep_their_numbers_across_blank_lines_and_a_last_line_without_end(path, pack):
    assert read(path, pack(b"\xef\xbb\xbfone\n\ntwo\r\nthree")) == ([(1, "one"), (3, "two"), (4, "three")], [])


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0), b"\n\n"])
def test_an_empty_file_has_no_records(path, content):
    assert read(path, content) == ([], [])


def test_members_of_a_gzip_file_follow_each_other_with_padding_between(path, small_blocks):
    content = gzip.compress(b"one\ntw") + bytes(20) + gzip.compress(b"o\nthree\n") + bytes(3)
    assert read(path, content) == ([(1, "one"), (2, "two"), (3, "three")], [])


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=40), max_size=30))
def test_whatever_the_seams_the_lines_are_those_of_the_text(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("seams") / "dump"
    content = "".join(line + "\n" for line in ["{", *lines]).encode()
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("READ_BYTES", 7), ("STEP_BYTES", 5), ("BLOCK_BYTES", 11)):
            patch.setattr(gzip_reader, name, size)
        expected = [(n, line.strip()) for n, line in enumerate(["{", *lines], 1) if line.strip()]
        assert read(path, gzip.compress(content)) == (expected, [])
        assert read(path, content) == (expected, [])


def test_a_line_that_is_not_utf8_is_rejected_alone(path):
    records, rejects = read(path, b"one\ncaf\xe9\nthree\n")
    assert records == [(1, "one"), (3, "three")]
    assert rejects == [{"line": 2, "reason": NOT_UTF8, "raw": "caf\\xe9"}]


@pytest.mark.parametrize("size", [MAX_RECORD_BYTES, 5 * MAX_RECORD_BYTES])
def test_a_line_that_is_too_long_is_rejected_alone(path, size):
    records, rejects = read(path, b"one\n" + b"x" * size + b"\nthree\n")
    assert records == [(1, "one"), (3, "three")]
    assert rejects == [{"line": 2, "reason": TOO_LONG, "raw": "x" * RAW_CHARACTERS}]


def numbered_lines(count: int) -> bytes:
    """Lines that differ and do not compress well: numbers and digests."""
    return b"".join(b"%d %08x%08x\n" % (n, zlib.crc32(b"%d" % n), zlib.adler32(b"%d" % n)) for n in range(1, count + 1))


def inflated_prefix(content: bytes) -> bytes:
    """What zlib gives of a broken stream when it is fed byte by byte."""
    member, out = zlib.decompressobj(wbits=31), b""
    try:
        for byte in content:
            out += member.decompress(bytes([byte]))
    except zlib.error:
        pass
    return out


@pytest.mark.parametrize("cut", [1, 5, 9, 2_000, 30_000])
def test_of_a_truncated_gzip_every_whole_line_is_kept(path, cut):
    packed = gzip.compress(numbered_lines(5_000), mtime=0)
    content = packed[:-cut]
    whole = inflated_prefix(content).decode().split("\n")[:-1]
    records, rejects = read(path, content)
    assert records[: len(whole)] == list(enumerate(whole, 1))
    assert len(records) - len(whole) in (0, 1)  # and what there is of the next line
    assert rejects == [{"line": len(records), "reason": TRUNCATED, "raw": ""}]


@pytest.mark.parametrize("small", [True, False])
def test_of_a_gzip_damaged_in_the_middle_all_up_to_the_damage_and_the_next_members_are_kept(path, small, monkeypatch):
    if small:
        monkeypatch.setattr(gzip_reader, "READ_BYTES", 1_000)
        monkeypatch.setattr(gzip_reader, "STEP_BYTES", 700)
    first, second = (gzip.compress(numbered_lines(3_000), mtime=0) for _ in range(2))
    broken = first[: len(first) // 2] + b"\xff" * (len(first) // 2)
    prefix = inflated_prefix(broken + second).split(b"\n")
    records, rejects = read(path, broken + second)
    assert [raw for _, raw in records[:1_000]] == numbered_lines(1_000).decode().splitlines()
    assert [raw for _, raw in records[-3_000:]] == numbered_lines(3_000).decode().splitlines()
    assert [row["reason"] for row in rejects if row["reason"] != NOT_UTF8] == [DAMAGED]
    assert len(records) + sum(row["reason"] == NOT_UTF8 for row in rejects) == sum(map(bool, prefix)) + 3_000


def test_a_wrong_checksum_is_told_and_no_line_is_lost(path):
    packed = bytearray(gzip.compress(b"one\ntwo\n"))
    packed[-8] ^= 1
    assert read(path, bytes(packed)) == (
        [(1, "one"), (2, "two")],
        [{"line": 2, "reason": DAMAGED, "raw": ""}],
    )


def test_what_is_no_gzip_after_a_member_is_told(path):
    records, rejects = read(path, gzip.compress(b"one\n") + b"rubbish" * 5)
    assert records == [(1, "one")]
    assert [row["reason"] for row in rejects] == [DAMAGED]


def test_a_little_gzip_that_inflates_to_much_passes_in_blocks(path):
    path.write_bytes(gzip.compress(b"\n" * 100_000_000))
    rejects = Rejects()
    assert max(batch.nbytes for batch in read_records(path, rejects)) < 400_000_000
    assert len(rejects) == 0


ARRAY = b'[{"a": 1},\n{"a": "x]}"}, {"a": 3},\n\n{\n "a": {"b": [4]}\n}\n]\n'


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_elements_of_an_array_keep_the_line_on_which_they_begin(path, pack, small_blocks):
    records, rejects = read(path, pack(ARRAY))
    assert [(line, json.loads(raw)["a"]) for line, raw in records] == [(1, 1), (2, "x]}"), (2, 3), (4, {"b": [4]})]
    assert rejects == []


def test_a_broken_element_of_an_array_is_rejected_alone(path):
    records, rejects = read(path, b'[{"a": 1},\n{"a": oops},\n{"a": "caf\xe9"},\n{"a": 4}]')
    assert records == [(1, '{"a": 1}'), (4, '{"a": 4}')]
    assert [(row["line"], row["reason"]) for row in rejects] == [(2, NOT_JSON), (3, NOT_UTF8)]
    assert rejects[1]["raw"] == '{"a": "caf\\xe9"}'


def test_an_array_that_breaks_off_says_so(path):
    records, rejects = read(path, b'[{"a": 1},\n{"a": 2},\n{"a": ')
    assert records == [(1, '{"a": 1}'), (2, '{"a": 2}')]
    assert [(row["line"], row["reason"]) for row in rejects] == [(3, NOT_JSON), (3, OPEN_ARRAY)]


def test_an_array_larger_than_a_block_streams(path):
    elements = [json.dumps({"n": n, "pad": "x" * 300}) for n in range(80_000)]
    path.write_bytes(b"[" + ",\n".join(elements).encode() + b"]")
    rejects = Rejects()
    batches = list(read_records(path, rejects))
    assert len(batches) > 1
    lines = [line for batch in batches for line in batch["line"].to_pylist()]
    assert lines == list(range(1, 80_001))
    assert [raw for batch in batches for raw in batch["raw"].to_pylist()] == elements
    assert len(rejects) == 0


def test_rejects_count_all_and_keep_the_first_of_each_reason(tmp_path):
    rejects = Rejects()
    for line in range(1, 3 * KEPT_OF_A_REASON + 1):
        rejects.add(line, "common", "x" * (RAW_CHARACTERS + 1))
    rejects.add(7, "rare", "y\r\n")
    rejects.add(8, DUPLICATE, "z")
    table = rejects.table()
    assert len(table) == KEPT_OF_A_REASON + 2
    assert table["line"].to_pylist()[6:9] == [7, 7, 8]
    assert set(table["raw"].to_pylist()) == {"x" * RAW_CHARACTERS, "y", "z"}
    rejects.write(tmp_path / "rejects.parquet")
    counts = RejectCounts(tmp_path / "rejects.parquet")
    assert counts.by_reason == {"common": 15_000, "rare": 1, DUPLICATE: 1}
    assert (counts.rejected, counts.duplicates, counts.damaged) == (15_001, 1, False)
    assert counts.rate(kept=5_000) == 15_001 / 20_002


NEVER_CLOSED = {
    "objects in objects": b'{"a":\n',
    "an array each": b'{"a":[1,\n',
    "a long array each": b'{"a":[' + b"1," * 20_000 + b"\n",
    "a text each": b'{"a":"\n',
    "brackets": b"{[[[[[[[[\n",
}


@pytest.mark.parametrize("element", NEVER_CLOSED.values(), ids=NEVER_CLOSED)
def test_elements_that_are_never_closed_end_in_one_sentence_or_in_rejects_in_linear_time(path, element):
    path.write_bytes(b"[\n" + element * (1_500_000 // len(element)))
    rejects = Rejects()
    try:
        found = [row for batch in read_records(path, rejects) for row in batch.to_pylist()]
    except InputError as error:
        assert str(error) == (
            f"{path.name} is one JSON array in which element after element cannot be read; mend it, or write one JSON "
            "object a line"
        )
    else:
        assert found == []
        assert rejects.by_reason()[NOT_JSON] > 30


@pytest.mark.parametrize("run", [b"\n", b" ", b"[", b",", b"]", b"\n ", b"{\n"])
def test_runs_of_what_stands_between_elements_are_read_in_linear_time(path, run):
    path.write_bytes(b'[{"a": 1}x' + run * (1_000_000 // len(run)) + b'\n{"a": 2}]')
    rejects = Rejects()
    try:
        found = [row["raw"] for batch in read_records(path, rejects) for row in batch.to_pylist()]
    except InputError as error:
        assert run == b"{\n"
        assert "cannot be read" in str(error)
        return
    assert found[0] == '{"a": 1}'
    assert found[-1] == '{"a": 2}'


def test_a_few_elements_that_are_not_closed_are_rejected_alone(path):
    path.write_bytes(b"[\n" + b'{"a": [1,\n{"b": 2},\n' * 50 + b"]")
    rejects = Rejects()
    found = [row["raw"] for batch in read_records(path, rejects) for row in batch.to_pylist()]
    assert found == ['{"b": 2}'] * 50
    assert rejects.by_reason() == {NOT_JSON: 50}
