"""Callers' keys."""

from hashlib import sha256

import pytest

from asgi_gateway.storage.keys import digest_of, generate_key, hint_of


def test_a_new_key_is_sk_and_48_letters_and_digits() -> None:
    """Keys are of one form, and never the same twice."""
    first, second = generate_key(), generate_key()

    assert first != second
    assert first.startswith("sk-")
    assert len(first) == 51
    assert first[3:].isalnum()
    assert first.isascii()


@pytest.mark.parametrize("key", ["sk-abc", "abc", b"sk-abc", b"abc"])
def test_a_key_is_found_with_and_without_its_prefix(key: str | bytes) -> None:
    """The digest is that of what follows `sk-`, as text and as bytes."""
    assert digest_of(key) == sha256(b"abc").digest()


def test_only_the_prefix_itself_is_left_out() -> None:
    """A key that repeats the prefix keeps the second."""
    assert digest_of("sk-sk-a") == sha256(b"sk-a").digest()


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("sk-abcdefghijklmnop", "sk-abc…mnop"),
        ("abcdefghijklmnop", "sk-abc…mnop"),
        ("sk-abcdefghijklmno", "sk-…"),
        ("sk-", "sk-…"),
    ],
)
def test_a_hint_shows_little_of_a_long_key_and_nothing_of_a_short_one(key: str, hint: str) -> None:
    """What is shown is no help in guessing the rest."""
    assert hint_of(key) == hint
