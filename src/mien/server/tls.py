"""A certificate and its key, looked at before anything is served with them."""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path

from mien.errors import InputError

log = logging.getLogger(__name__)

_SOON_DAYS = 14


def check_pair(cert: Path, key: Path) -> None:
    """Tries a certificate and its key out, and warns of one that expires soon.

    Raises:
        InputError: One cannot be read, they do not belong together, or the certificate is not valid today.
    """
    for file in (cert, key):
        try:
            file.read_bytes()
        except OSError as exc:
            raise InputError(f"cannot read {file}: {exc.strerror or exc}") from exc
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(cert, key, password=lambda: _no_passphrase(key))
    except ssl.SSLError as exc:
        raise InputError(_why_not(cert, key, exc)) from exc
    days = (_valid_until(server, cert) - datetime.now(UTC)).days
    if days < _SOON_DAYS:
        log.warning("%s is valid for %d more days; renew it", cert, days)


def _no_passphrase(key: Path) -> str:
    raise InputError(
        f"{key} is locked with a passphrase; unlock a copy: "
        f"openssl pkey -in {key} -out open.key, and chmod 600 open.key"
    )


def _why_not(cert: Path, key: Path, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{key} is not the key of {cert}; name the two that were made together"
    for file, what in ((cert, "CERTIFICATE"), (key, "PRIVATE KEY")):
        if f"{what}-----" not in file.read_text("latin-1"):
            return (
                f"{file} holds no {what.lower()} in PEM form (-----BEGIN …{what}-----)"
            )
    return f"{cert} and {key} cannot be used: {error.reason or error}"


def _valid_until(server: ssl.SSLContext, cert: Path) -> datetime:
    """When the certificate ends, as a client of our own is told that trusts it and nothing else."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trusting.load_verify_locations(cert)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = trusting.wrap_bio(back, there)
    theirs = server.wrap_bio(there, back, server_side=True)
    try:
        for side in (ours, theirs, ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLCertVerificationError as exc:
        why = exc.verify_message
        raise InputError(f"{cert}: {why}; make or fetch a new one") from exc
    except ssl.SSLError as exc:  # a curve that no client takes
        raise InputError(
            f"{cert} cannot be used: {exc.reason or exc}; make or fetch a new one"
        ) from exc
    told = ours.getpeercert() or {}
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(told["notAfter"])), UTC)
