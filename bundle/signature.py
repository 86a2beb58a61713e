"""The signature of a bundle: who vouches for its manifest, and through the manifest's hashes for every file.

``signature.json`` lies beside the manifest. Signed (Ed25519, RFC 8032) is a fixed first line followed by the other
fields of that file as canonical JSON, the SHA-256 of the manifest's bytes among them. Both files are read as bytes, not
as values: a changed space breaks the signature as a changed figure does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ..core.errors import TemperError
from .keys import fingerprint, public_bytes, public_key_from_bytes
from .manifest import SIGNATURE_NAME, Label, Sha256

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

#: A longer signature file is not read.
MAX_SIGNATURE_BYTES = 4096
#: Keeps a signature of a bundle from being one of anything else.
_CONTEXT = b"temper bundle signature 1\n"


class Signature(BaseModel):
    """What ``signature.json`` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    algorithm: Literal["ed25519"] = "ed25519"
    manifest_sha256: Sha256 = Field(description="of the bytes of manifest.json")
    public_key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="the 32 bytes of the signer's key"
    )
    signer: Label | None = Field(None, description="the name the signer goes by; signed, but anyone may claim it")
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the signer's public key (its SubjectPublicKeyInfo in DER), in hexadecimal."""
        return fingerprint(bytes.fromhex(self.public_key))

    def to_bytes(self) -> bytes:
        """The only content of the file that is accepted for these values."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False)
        return (text + "\n").encode("utf-8")

    def message(self) -> bytes:
        """What is signed."""
        fields = self.model_dump(mode="json", exclude={"signature"})
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return _CONTEXT + canonical.encode("utf-8")


def sign_manifest(manifest: bytes, key: Ed25519PrivateKey, signer: str | None = None) -> Signature:
    """Sign the bytes of a manifest.

    Raises:
        TemperError: if the signer's name is empty, too long or holds control characters.
    """
    try:
        unsigned = Signature(
            manifest_sha256=hashlib.sha256(manifest).hexdigest(),
            public_key=public_bytes(key.public_key()).hex(),
            signer=signer,
            signature="0" * 128,
        )
    except ValidationError as error:
        raise TemperError("A signer's name has 1 to 100 characters and no control characters among them.") from error
    return unsigned.model_copy(update={"signature": key.sign(unsigned.message()).hex()})


def parse_signature(content: bytes, source: Path) -> Signature:
    """A signature from the bytes of its file.

    Raises:
        TemperError: if these are not the very bytes that Temper writes for some signature.
    """
    try:
        signature = Signature.model_validate_json(content[: MAX_SIGNATURE_BYTES + 1], strict=True)
        intact = signature.to_bytes() == content
    except ValueError:  # pydantic's own, and lone surrogates
        intact = False
    if not intact:
        raise TemperError(
            f"The {SIGNATURE_NAME} of the bundle {source} is not as it was written: it was damaged or changed. "
            "Copy the bundle again, or sign it again."
        )
    return signature


def require_signed(
    manifest: bytes, signature: Signature | None, source: Path, keys: Sequence[Ed25519PublicKey]
) -> None:
    """Check a bundle's signature.

    Args:
        manifest: the bytes of its manifest.
        signature: of the bundle; None if it has none.
        source: the bundle, for messages.
        keys: whose signature is asked for: any of these. None given takes anyone's, and none at all.

    Raises:
        TemperError: if there is no signature and one is asked for, it is someone else's, or it does not fit.
    """
    if signature is None:
        if keys:
            raise TemperError(
                f"The bundle {source} is not signed, and a signature is asked for. Have it signed with 'temper bundle "
                "sign', or take one that is."
            )
        return
    key = public_key_from_bytes(bytes.fromhex(signature.public_key))
    known = {public_bytes(one) for one in keys}
    if known and public_bytes(key) not in known:
        named = f" by '{signature.signer}'" if signature.signer else ""
        raise TemperError(
            f"The bundle {source} is signed{named} with the key {signature.fingerprint[:16]}, which is not one of "
            "those asked for. Take a bundle of the signer you trust, or give the right public key."
        )
    if not _fits(signature, key) or signature.manifest_sha256 != hashlib.sha256(manifest).hexdigest():
        raise TemperError(
            f"The bundle {source} was changed after it was signed: its signature does not fit its manifest. "
            "Copy it again from where it was signed."
        )


def _fits(signature: Signature, key: Ed25519PublicKey) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(bytes.fromhex(signature.signature), signature.message())
    except InvalidSignature:
        return False
    return True
