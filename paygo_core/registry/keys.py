"""Secret keys at rest: plain, or encrypted under a passphrase or a key file, each bound to its serial."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from paygo_core.errors import PaygoError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PLAIN = "plain"
SEALED = "aes-256-gcm"
NO_KEY = "none"
"""How a row's key is stored; the last is a device that takes no tokens."""

NONCE_BYTES = 12
SEALED_BYTES = NONCE_BYTES + 16 + 16
"""Nonce, key, tag."""

SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 15, 8, 1
"""32 MB and about 0.1 s: paid once per opening, and for each guess at a passphrase."""
_LARGEST_N = 1 << 20
_CHECK = b"paygo registry"

Passphrase = str | Callable[[], str]
"""A passphrase, or what asks for it once it is needed."""

_KEY_FILE_BYTES = range(16, 4097)
_NAMES = {True: "key file", False: "passphrase"}


@dataclass(frozen=True)
class KeyFile:
    """A file of random bytes in place of a passphrase, for programs that start by themselves. Read once it is needed.

    make: makes it, with 32 bytes of the operating system's randomness and mode 0600.
    """

    path: str

    def read(self) -> bytes:
        """Its bytes, 16 to 4096, all of them. Raises PaygoError when it cannot be one."""
        right = "it is 16 to 4096 bytes that nobody can guess"
        try:
            with open(self.path, "rb") as file:
                content = file.read(_KEY_FILE_BYTES.stop)
        except OSError as error:
            raise PaygoError(f"the key file {self.path} cannot be read: {error.strerror}", right) from None
        if len(content) not in _KEY_FILE_BYTES:
            size = f"{len(content)}" if len(content) < _KEY_FILE_BYTES.stop else "too many"
            raise PaygoError(f"the key file {self.path} has {size} bytes", right)
        return content

    def make(self) -> None:
        """Raises PaygoError when there is a file already, or none can be made."""
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise PaygoError(f"the key file {self.path} cannot be made: {error.strerror}", "name a new file") from None
        with open(file, "wb") as stream:
            stream.write(secrets.token_bytes(32))
            stream.flush()
            os.fsync(stream.fileno())


@dataclass
class Secrets:
    """What whoever opens a registry has to open its keys with: a passphrase, a key file, both or neither."""

    passphrase: Passphrase | None = field(default=None, repr=False)
    key_file: KeyFile | None = None

    @property
    def given(self) -> str | bytes | None:
        """What a new registry is encrypted with: the key file, or a passphrase that is a text. None for neither."""
        if self.key_file is not None:
            return self.key_file.read()
        return self.passphrase if isinstance(self.passphrase, str) and self.passphrase else None

    def box(self, parameters: str) -> KeyBox:
        """The box of a registry. Raises PaygoError when what it needs was not given, or is another's."""
        if not parameters:
            return KeyBox()
        if wants_key_file(parameters):
            if self.key_file is None:
                hint = "set PAYGO_REGISTRY_KEY_FILE, or name it with --registry-key-file"
                raise PaygoError("the registry's keys are encrypted with a key file, and none was given", hint)
            return KeyBox.of(parameters, self.key_file.read())
        if self.key_file is not None and not self.passphrase:
            raise PaygoError(
                "the registry's keys are encrypted with a passphrase, and a key file was given",
                "set PAYGO_PASSPHRASE, or name a file with --passphrase-file",
            )
        self.passphrase = ask(self.passphrase)
        return KeyBox.of(parameters, self.passphrase)


@dataclass(frozen=True)
class KeyBox:
    """Seals and opens keys. Without a cipher they are stored plain. The repr shows nothing of them."""

    parameters: str = ""
    """For the registry's record: how the cipher follows from the passphrase. Empty: keys are plain."""
    _cipher: AESGCM | None = field(default=None, repr=False)

    @classmethod
    def new(cls, secret: str | bytes) -> KeyBox:
        """A box for a passphrase, or the bytes of a key file, that is set now."""
        facts = {"kdf": "scrypt", "salt": secrets.token_hex(16), "n": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P}
        if isinstance(secret, bytes):
            facts["secret"] = _NAMES[True]
        cipher = _derived(secret, facts)
        nonce = secrets.token_bytes(NONCE_BYTES)
        facts["check"] = (nonce + cipher.encrypt(nonce, b"", _CHECK)).hex()
        return cls(json.dumps(facts, sort_keys=True), cipher)

    @classmethod
    def of(cls, parameters: str, secret: str | bytes) -> KeyBox:
        """The box of a registry. Raises PaygoError when the passphrase, or the key file, is another one."""
        from cryptography.exceptions import InvalidTag

        try:
            facts = json.loads(parameters)
            check = bytes.fromhex(facts["check"])
            cipher = _derived(secret, facts)
            cipher.decrypt(check[:NONCE_BYTES], check[NONCE_BYTES:], _CHECK)
        except InvalidTag:
            name = _NAMES[isinstance(secret, bytes)]
            raise PaygoError(f"the {name} is not this registry's", "nothing was read or changed") from None
        except (ValueError, KeyError, TypeError):
            raise PaygoError("the registry's record of its encryption is damaged", "restore it from a copy") from None
        return cls(parameters, cipher)

    def seal(self, serial: str, key: bytes) -> tuple[str, bytes]:
        """The format and the blob of a device's key."""
        if self._cipher is None:
            return PLAIN, key
        nonce = secrets.token_bytes(NONCE_BYTES)
        return SEALED, nonce + self._cipher.encrypt(nonce, key, serial.encode("utf-8"))

    def unseal(self, serial: str, stored_as: str, blob: bytes | None) -> bytes:
        """The key of a device. Raises PaygoError when it has none, or the blob is damaged or another device's."""
        from cryptography.exceptions import InvalidTag

        if stored_as == PLAIN and blob is not None:
            return blob
        if stored_as == NO_KEY:
            raise PaygoError(
                f"{serial} takes no tokens: it is a device without a key", "its output is switched instead"
            )
        if stored_as == SEALED and blob is not None and self._cipher is not None:
            try:
                return self._cipher.decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], serial.encode("utf-8"))
            except (InvalidTag, ValueError):
                raise PaygoError(
                    f"the key of {serial} is damaged, or was another device's", "restore the registry from a copy"
                ) from None
        raise PaygoError(f"the key of {serial} is stored as {stored_as!r}", "a newer version of this program reads it")


def ask(passphrase: Passphrase | None) -> str:
    """The passphrase of a registry that is encrypted. Raises PaygoError when none is known."""
    text = passphrase() if callable(passphrase) else passphrase
    if not text:
        raise PaygoError(
            "the registry's keys are encrypted, and no passphrase was given",
            "set PAYGO_PASSPHRASE, or name a file with --passphrase-file",
        )
    return text


def wants_key_file(parameters: str) -> bool:
    """Whether a registry's keys are encrypted with a key file."""
    try:
        facts = json.loads(parameters)
        return bool(facts.get("secret") == _NAMES[True])
    except (ValueError, AttributeError):  # damaged, as `of` will say
        return False


def _derived(secret: str | bytes, facts: dict[str, object]) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    n, r, p = (int(str(facts[name])) for name in ("n", "r", "p"))
    if facts["kdf"] != "scrypt" or n > _LARGEST_N or r > 32 or p > 16:
        raise ValueError
    kdf = Scrypt(salt=bytes.fromhex(str(facts["salt"])), length=32, n=n, r=r, p=p)
    return AESGCM(kdf.derive(secret if isinstance(secret, bytes) else secret.encode("utf-8", "surrogateescape")))
