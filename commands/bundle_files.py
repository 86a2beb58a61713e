"""The commands of ``temper bundle`` that make files or compare them: keys, signatures, one-file bundles, schemas."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .bundle_describe import shown
from .options import Choice

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ..bundle.difference import Difference

ANY_PATH = click.Path(path_type=Path)
#: The names of ``bundle.schema.SCHEMAS``, which is not imported for a help text.
SCHEMA_NAMES = ("manifest", "signature", "answers")
_MOST_PASSPHRASE_BYTES = 4096
_LONGEST_VALUE = 60

passphrase_file_option = click.option(
    "--passphrase-file", type=ANY_PATH, help="File whose first line is the passphrase of the private key."
)


@click.command()
@click.argument("name", type=ANY_PATH)
@click.option("--passphrase", is_flag=True, help="Ask for a passphrase that encrypts the private key.")
@passphrase_file_option
def keygen(name: Path, passphrase: bool, passphrase_file: Path | None) -> None:
    """Make a pair of keys: NAME.key, to sign with and to be kept secret, and NAME.pub, for every device.

    Both are PEM files (Ed25519). Nothing that is there is overwritten.
    """
    from ..bundle.keys import generate_key_files

    secret = _read_passphrase(passphrase_file)
    if secret is None and passphrase:
        secret = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True).encode("utf-8")
    made = generate_key_files(name, secret)
    click.echo(f"{made.private}  private: whoever has it can sign; keep it off the devices")
    click.echo(f"{made.public}  public, key {made.fingerprint}")


@click.command()
@click.argument("bundle", type=ANY_PATH)
@click.option("--key", required=True, type=ANY_PATH, help="The private key, NAME.key.")
@click.option("--signer", help="The name you go by; it is signed too.")
@click.option("--replace", is_flag=True, help="Put your signature in the place of another's.")
@passphrase_file_option
def sign(bundle: Path, key: Path, signer: str | None, replace: bool, passphrase_file: Path | None) -> None:
    """Sign BUNDLE, a folder or a single file, where it lies."""
    from ..bundle.pack import sign_bundle

    signature = sign_bundle(bundle, _private_key(key, passphrase_file), signer, replace=replace)
    click.echo(f"{bundle}  signed with the key {signature.fingerprint}")


@click.command()
@click.argument("bundle", type=ANY_PATH)
@click.option("--out", type=ANY_PATH, help="The file to write.  [default: BUNDLE with .zip after it]")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def pack(bundle: Path, out: Path | None, force: bool) -> None:
    """Make one file of BUNDLE: a zip, stored, that every command takes as it takes the folder.

    The same bundle gives the same bytes.
    """
    from ..bundle.pack import pack_bundle

    click.echo(pack_bundle(bundle, out, force=force))


@click.command()
@click.argument("first", type=ANY_PATH)
@click.argument("second", type=ANY_PATH)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, one for each difference.")
def diff(first: Path, second: Path, as_json: bool) -> None:
    """Say what differs between two bundles: fields of the manifest, graphs by their hash, figures, signatures.

    Exits 0 if nothing does, 1 if something does, 2 if one of them cannot be read.
    """
    from ..bundle.difference import compare_bundles
    from ..bundle.loader import open_bundle
    from ..core.errors import TemperError, UsageError

    try:
        with open_bundle(first) as ours, open_bundle(second) as theirs:
            differences = compare_bundles(ours, theirs)
    except TemperError as error:
        raise UsageError(str(error)) from error  # 1 would say that they differ
    for one in differences:
        click.echo(json.dumps(_as_json(one), ensure_ascii=False) if as_json else _as_line(one))
    if differences:
        sys.exit(1)


@click.command()
@click.argument("name", type=Choice(SCHEMA_NAMES), default="manifest")
def schema(name: str) -> None:
    """Print the JSON Schema of a bundle's manifest, its signature, or the answers to its golden pictures."""
    from ..bundle.schema import json_schema

    click.echo(json.dumps(json_schema(name), indent=2, ensure_ascii=False))


def _as_json(one: Difference) -> dict[str, object]:
    sides = {"first": (one.in_first, one.first), "second": (one.in_second, one.second)}
    return {"field": one.field, **{side: value for side, (there, value) in sides.items() if there}}


def _as_line(one: Difference) -> str:
    from ..bundle.difference import ABSENT

    first = _short(one.first) if one.in_first else ABSENT
    second = _short(one.second) if one.in_second else ABSENT
    change = f" ({one.change:+.4g})" if one.change is not None else ""
    return f"{shown(one.field)}: {first} -> {second}{change}"


def _short(value: object) -> str:
    text = shown(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _private_key(path: Path, passphrase_file: Path | None) -> Ed25519PrivateKey:
    from ..bundle.keys import PassphraseNeededError, read_private_key

    secret = _read_passphrase(passphrase_file)
    try:
        return read_private_key(path, secret)
    except PassphraseNeededError:
        if not sys.stdin.isatty():
            raise
    return read_private_key(path, click.prompt("Passphrase", hide_input=True, err=True).encode("utf-8"))


def _read_passphrase(path: Path | None) -> bytes | None:
    from ..core.errors import TemperError
    from ..core.files import read_bytes

    if path is None:
        return None
    try:
        lines = read_bytes(path, _MOST_PASSPHRASE_BYTES).splitlines()
    except OSError as error:
        raise TemperError(f"The passphrase file {path} cannot be read: {error.strerror}.") from error
    return lines[0] if lines else b""
