"""The keys file: what it may say, and one sentence for each mistake."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http import keys
from service.http.keys import Key, KeysRefused, find_key, load_keys, new_key, parse_keys
from service.settings import QuotaSettings


def line(secret: str, name: str = "alice", rest: str = "") -> str:
    return f"{name}:{sha256(secret.encode()).hexdigest()} {rest}\n"


def test_a_line_is_a_name_a_hash_and_options() -> None:
    text = f"# ours\n\n{line('a')}  {line('b', 'Bob.2-x_', 'admin rows_per_minute=60 burst=7 # night')}"
    alice, bob = parse_keys(text, "keys", QuotaSettings(requests_per_second=5, rows_per_minute=100))
    assert (alice.name, alice.admin, alice.quota.rows_per_minute) == ("alice", False, 100)
    assert (bob.name, bob.admin) == ("Bob.2-x_", True)
    assert (bob.quota.rows_per_minute, bob.quota.burst, bob.quota.requests_per_second) == (60, 7, 5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no key; `winnow keys new NAME` makes one"),
        ("# nothing\n", "holds no key"),
        ("sesame", "line 1: a line begins with name:sha256"),
        (":sesame", "line 1: a line begins with name:sha256"),
        ("a b:sesame", "line 1: a line begins with name:sha256"),
        (f"{'a' * 65}:{'0' * 64}", "line 1: a line begins with name:sha256"),
        ("\nalice:sesame", "line 2: after alice: must stand the sha256 of the secret in 64 hex digits"),
        (f"alice:{'0' * 63}", "64 hex digits"),
        (f"alice:{'0' * 63}g", "64 hex digits"),
        (line("a") + line("b"), "line 2: the name alice is taken"),
        (line("a") + line("a", "bob"), "line 2: bob has the secret of alice"),
        (line("a", rest="root"), "line 1: after name:sha256 may stand admin and OPTION=NUMBER"),
        (line("a", rest="rows=5"), "with an option of requests_per_second, burst, rows_per_minute, concurrent"),
        (line("a", rest="rows_per_minute=many"), "line 1: rows_per_minute: Input should be a valid integer"),
        (line("a", rest="requests_per_second=nan"), "requests_per_second: "),
        (line("a", rest="concurrent=0"), "concurrent: Input should be greater than or equal to 1"),
        (line("a", rest="burst=3"), "alice: burst needs requests_per_second"),
        (line("a", rest="concurrent=1 concurrent=2"), "an option of alice is given twice"),
        (line("a", rest="admin admin"), "an option of alice is given twice"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_line_and_no_secret(text: str, says: str) -> None:
    with pytest.raises(KeysRefused) as refusal:
        parse_keys(text, "the file")
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "sesame" not in str(refusal.value)


def test_too_many_keys_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MAX_KEYS", 2)
    with pytest.raises(KeysRefused, match="holds 3 keys; at most 2"):
        parse_keys("".join(line(name, name) for name in "abc"), "the file")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(KeysRefused, match=says):
            load_keys(path, QuotaSettings())
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(KeysRefused, match="is not text"):
        load_keys(tmp_path / "binary", QuotaSettings())


@given(st.text())
def test_no_text_gets_anything_but_keys_or_a_refusal(text: str) -> None:
    try:
        assert parse_keys(text, "the file")
    except KeysRefused as error:
        assert str(error)


def test_a_secret_finds_its_key_and_nothing_else_does() -> None:
    found = parse_keys("".join(line(f"secret {name}", name) for name in "abc"), "the file")
    for key in found:
        assert find_key(found, f"secret {key.name}".encode()) is key
    for wrong in (b"", b"secret", b"secret a ", found[0].digest, found[0].digest.hex().encode()):
        assert find_key(found, wrong) is None


def test_every_key_is_compared_whichever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr(keys, "compare_digest", compare)
    known = tuple(Key(name, sha256(name.encode()).digest()) for name in "abc")
    for secret in (b"a", b"c", b"nobody"):
        compared.clear()
        find_key(known, secret)
        assert compared == [key.digest for key in known]


def test_a_new_key_is_long_fresh_and_fits_its_line() -> None:
    secret, text = new_key("bob", admin=True)
    (key,) = parse_keys(text, "the file")
    assert (key.name, key.admin, find_key((key,), secret.encode())) == ("bob", True, key)
    assert secret not in text
    assert len(secret) == 43
    assert len({new_key("x")[0] for _ in range(20)}) == 20
    with pytest.raises(KeysRefused):
        new_key("no name")
