"""Secrets at rest are read only with the secret, for their purpose, and in their place."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.errors import GatewayError
from asgi_gateway.storage import vault as module
from asgi_gateway.storage.records import Secret
from asgi_gateway.storage.vault import CHANNEL_KEYS, CHANNEL_SETTINGS, LOOKUPS, SIGNING, Sealing, Unreadable, Vault

pytest.importorskip("cryptography")

PLACE = 'channel "main"'
OLD, NEW, OTHER = Secret("an old secret"), Secret("a new secret"), Secret("somebody else's")


def sealed(text: str = "sk-key", vault: Vault | None = None) -> str:
    return (vault or Vault(OLD)).seal(CHANNEL_KEYS, PLACE, text)


@given(st.text(), st.text(), st.text(min_size=1))
def test_what_is_sealed_opens(text: str, place: str, secret: str) -> None:
    """Whatever it is, wherever it stands, and in no other place."""
    vault = Vault(Secret(secret))
    stored = vault.seal(CHANNEL_KEYS, place, text)
    assert vault.open(CHANNEL_KEYS, place, stored) == text
    with pytest.raises(Unreadable):
        vault.open(CHANNEL_KEYS, place + ".", stored)


def test_the_same_text_is_sealed_differently_each_time() -> None:
    """Nobody sees that two channels have one key."""
    assert sealed() != sealed()
    assert sealed().split(":")[:2] == sealed().split(":")[:2]


def test_the_form_is_the_documented_one() -> None:
    """A key that another implementation derives by RFC 5869 opens a text; so does this one what it sealed before."""
    stored = "v1:993124ca5a42:AAECAwQFBgcICQoLU6aBY3fr3FJp1KEr3pHOHfRcYJJa3w=="
    assert Vault(OLD).derived("documented") == bytes.fromhex(
        "feb3543991595694f0d78b499b102b3301368368c598a49208e593b8b3f5a5bc"
    )
    assert Vault(OLD).open("documented", "place", stored) == "sk-key"


@pytest.mark.parametrize(
    ("purpose", "place", "secret"),
    [(CHANNEL_SETTINGS, PLACE, OLD), (CHANNEL_KEYS, 'channel "other"', OLD), (CHANNEL_KEYS, PLACE, OTHER)],
)
def test_it_does_not_open_elsewhere(purpose: str, place: str, secret: Secret) -> None:
    """For another purpose, in another row, with another secret."""
    with pytest.raises(Unreadable) as refused:
        Vault(secret).open(purpose, place, sealed())
    assert str(refused.value).startswith(place)
    assert "sk-key" not in str(refused.value)


@pytest.mark.parametrize("at", [0, 10, -2])
def test_a_changed_text_does_not_open(at: int) -> None:
    """Nor one that was cut."""
    head, _, data = sealed().rpartition(":")
    letters = list(data.rstrip("="))
    letters[at] = "A" if letters[at] != "A" else "B"
    padding = "=" * (len(data) - len(letters))
    with pytest.raises(Unreadable, match="changed"):
        Vault(OLD).open(CHANNEL_KEYS, PLACE, f"{head}:{''.join(letters)}{padding}")
    with pytest.raises(Unreadable, match="changed"):
        Vault(OLD).open(CHANNEL_KEYS, PLACE, f"{head}:AAAA")
    with pytest.raises(Unreadable, match="damaged"):
        Vault(OLD).open(CHANNEL_KEYS, PLACE, f"{head}:?")


def test_an_error_tells_the_operator_which_and_a_caller_nothing() -> None:
    """What a caller sees names no channel."""
    with pytest.raises(Unreadable) as refused:
        Vault().open(CHANNEL_KEYS, PLACE, sealed())
    assert isinstance(refused.value, GatewayError)
    assert str(refused.value) == 'channel "main": it is encrypted, and CRYPTO_SECRET is not set'
    assert refused.value.message == "The gateway's secrets cannot be read."
    assert refused.value.status == 503


def test_without_a_secret_texts_stay_as_they_are() -> None:
    """And are read with one, too."""
    clear = Vault()
    assert not clear.seals
    assert clear.seal(CHANNEL_KEYS, PLACE, "sk-key") == "sk-key"
    assert clear.seal_bytes(LOOKUPS, PLACE, b"record") == clear.open_bytes(LOOKUPS, PLACE, b"record") == b"record"
    assert clear.derived(SIGNING) is None
    assert Vault(OLD).open(CHANNEL_KEYS, PLACE, "sk-key") == "sk-key"


def test_former_secrets_only_read() -> None:
    """What is written is under the current one, by which a vault with that alone reads it."""
    both = Vault(NEW, [OTHER, OLD])
    assert both.open(CHANNEL_KEYS, PLACE, sealed()) == "sk-key"
    assert Vault(NEW).open(CHANNEL_KEYS, PLACE, sealed(vault=both)) == "sk-key"


def test_it_is_known_how_a_text_is_sealed() -> None:
    """In clear, under the current secret, under a former one, or not to be read."""
    vault = Vault(NEW, [OLD])
    texts = ["sk-key", sealed(vault=vault), sealed(), sealed(vault=Vault(OTHER))]
    assert [vault.sealing(CHANNEL_KEYS, PLACE, text) for text in texts] == [
        Sealing.CLEAR,
        Sealing.CURRENT,
        Sealing.PREVIOUS,
        Sealing.UNREADABLE,
    ]
    assert vault.sealing(CHANNEL_KEYS, "elsewhere", texts[1]) is Sealing.UNREADABLE
    assert Vault(None, [OLD]).sealing(CHANNEL_KEYS, PLACE, sealed()) is Sealing.PREVIOUS


def test_what_is_soon_forgotten_is_opened_by_the_current_secret_alone() -> None:
    """In clear it is not taken."""
    vault = Vault(NEW, [OLD])
    stored = vault.seal_bytes(LOOKUPS, PLACE, b"record")
    assert vault.open_bytes(LOOKUPS, PLACE, stored) == b"record"
    for wrong in (b"record", b"", Vault(OLD).seal_bytes(LOOKUPS, PLACE, b"record")):
        with pytest.raises(Unreadable):
            vault.open_bytes(LOOKUPS, PLACE, wrong)


def test_each_purpose_has_a_key_of_its_own() -> None:
    """The same on every node."""
    keys = [Vault(OLD).derived(purpose) for purpose in (CHANNEL_KEYS, CHANNEL_SETTINGS, LOOKUPS, SIGNING)]
    assert len(set(keys)) == 4
    assert Vault(OLD).derived(SIGNING) == keys[3]
    assert Vault(NEW).derived(SIGNING) != keys[3]


def test_no_repr_shows_a_secret() -> None:
    """How many there are."""
    assert repr(Vault(NEW, [OLD])) == "Vault(secrets=2, seals=True)"


def test_without_the_extra_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where there is a secret."""
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert not Vault().seals
    with pytest.raises(ValueError, match=r"asgi-gateway\[crypto\]"):
        Vault(OLD)
    assert "cryptography" in sys.modules
