"""Signs what a run wrote, with Ed25519, and checks it: who has the public key can tell that nothing was changed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from paygo_core.draft import Draft
from paygo_core.errors import DeviceError, PaygoError

SIGNATURE = "signature.json"
SIGNED = ("results.json", "certificate.html", "junit.xml")
_PURPOSE = b"paygo conform 1\n"
_LARGEST = 2**26


def keygen(path: Path) -> Path:
    """Makes a key pair: the private key at `path` (mode 0600), the public one beside it as .pub, which is returned."""
    key = Ed25519PrivateKey.generate()
    public = path.with_name(path.name + ".pub")
    if path.exists() or public.exists():
        raise PaygoError(f"{path} is there already", "a key is never overwritten; name another file")
    with Draft(path) as draft:
        draft.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        draft.publish()
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public


def sign(folder: Path, key_file: Path) -> Path:
    """Signs the results and reports in a folder; returns the signature's path."""
    try:
        key = load_pem_private_key(_read(key_file), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise PaygoError(f"{key_file} is no private key", "'paygo conform keygen FILE' makes one")
    hashes = _hashes(folder, [name for name in SIGNED if (folder / name).exists()])
    signature = base64.b64encode(key.sign(_message(hashes))).decode()
    path = folder / SIGNATURE
    with Draft(path) as draft:
        draft.write(json.dumps({"files": hashes, "ed25519": signature}, indent=1).encode() + b"\n")
        draft.publish()
    return path


def verify(folder: Path, public_file: Path) -> list[str]:
    """The files that the signature covers.

    Raises DeviceError when one was changed, or signed by another key, PaygoError when there is no signature or no key.
    """
    try:
        key = load_pem_public_key(_read(public_file))
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise PaygoError(f"{public_file} is no public key", "it is the .pub file of 'paygo conform keygen'")
    wrong = PaygoError(f"{folder / SIGNATURE} is no signature", "it is written by a run with --sign-key")
    try:
        said = json.loads(_read(folder / SIGNATURE))
        hashes = {str(name): str(digest) for name, digest in said["files"].items()}
        signature = base64.b64decode(said["ed25519"], validate=True)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise wrong from None
    if "results.json" not in hashes or not set(hashes) <= set(SIGNED):
        raise wrong
    try:
        key.verify(signature, _message(hashes))
    except InvalidSignature:
        raise DeviceError("the signature is not by this key, or was changed", "ask who signed for their key") from None
    for name, digest in _hashes(folder, hashes).items():
        if digest != hashes[name]:
            raise DeviceError(f"{folder / name} was changed after it was signed", "ask for the original")
    return list(hashes)


def _hashes(folder: Path, names: Sequence[str] | dict[str, str]) -> dict[str, str]:
    return {name: hashlib.sha256(_read(folder / name)).hexdigest() for name in names}


def _message(hashes: dict[str, str]) -> bytes:
    return _PURPOSE + json.dumps(hashes, sort_keys=True, separators=(",", ":")).encode()


def _read(path: Path) -> bytes:
    try:
        if os.stat(path).st_size > _LARGEST:
            raise PaygoError(f"{path} is too large", "name a file that a run wrote, or a key")
        return path.read_bytes()
    except OSError as error:
        raise PaygoError(f"{path}: {error.strerror}", "name a file that can be read") from None
