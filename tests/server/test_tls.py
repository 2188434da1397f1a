"""https of the service's own: a certificate that can be used, and all that cannot."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from background import free_port
from commands import Inside
from mien.errors import InputError
from mien.pipeline import Analyzer
from mien.server import ServerSettings
from mien.server.tls import check_pair

from .harness import Listening, with_gallery

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def openssl(*args: object) -> None:
    subprocess.run([str(OPENSSL), *map(str, args)], check=True, capture_output=True)


@dataclass(frozen=True)
class Pair:
    cert: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A certificate authority that somebody made at home."""

    folder: Path

    @property
    def cert(self) -> Path:
        return self.folder / "ca.crt"

    def issue(self, name: str, *, days: int = 90) -> Pair:
        made = Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        order, names = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl(
            "req", "-new", *EC, "-keyout", made.key, "-out", order, "-subj", "/CN=mien"
        )
        by = ["-CA", self.cert, "-CAkey", self.folder / "ca.key", "-CAcreateserial"]
        openssl(
            "x509",
            "-req",
            "-in",
            order,
            *by,
            "-days",
            days,
            "-extfile",
            names,
            "-out",
            made.cert,
        )
        return made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("authority"))
    key = made.folder / "ca.key"
    openssl("req", "-x509", *EC, "-keyout", key, "-out", made.cert, "-subj", "/CN=home")
    return made


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("mien")


@pytest.fixture
def secure(models: Analyzer, tmp_path: Path, pair: Pair) -> Iterator[Listening]:
    """The service, speaking https."""
    settings = ServerSettings(
        data=tmp_path, port=free_port(), tls_cert=pair.cert, tls_key=pair.key
    )
    listening = Listening(settings, with_gallery(models, tmp_path / "people.db"))
    yield listening.start()
    listening.stop()


@pytest.mark.slow
def test_it_is_spoken_to_by_who_trusts_the_authority_only(
    secure: Listening, authority: Authority
) -> None:
    place = f"https://127.0.0.1:{secure.port}"
    trusting = ssl.create_default_context(cafile=authority.cert)
    with httpx.Client(verify=trusting) as client:
        assert client.get(f"{place}/v1/server").status_code == 200
        page = client.get(place)
        assert "<title>mien</title>" in page.text
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(place, timeout=5)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{secure.port}", timeout=5)


def test_a_good_pair_is_taken(pair: Pair) -> None:
    check_pair(pair.cert, pair.key)


def test_one_that_ends_soon_is_told(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    soon = authority.issue("soon", days=3)
    check_pair(soon.cert, soon.key)
    assert "is valid for 2 more days; renew it" in caplog.text


def test_what_cannot_be_used_is_said(authority: Authority, pair: Pair) -> None:
    other, old = authority.issue("other"), authority.issue("old", days=-1)
    nothing = authority.folder / "nothing.pem"
    nothing.write_text("hello")
    locked = authority.folder / "locked.key"
    openssl("pkey", "-in", pair.key, "-aes256", "-passout", "pass:x", "-out", locked)
    wrong = {
        (pair.cert, other.key): "is not the key of",
        (old.cert, old.key): "certificate has expired; make or fetch a new one",
        (nothing, pair.key): "holds no certificate in PEM form",
        (pair.cert, nothing): "holds no private key in PEM form",
        (pair.key, pair.cert): "holds no certificate in PEM form",
        (pair.cert, locked): "locked with a passphrase; unlock a copy",
        (authority.folder / "none.crt", pair.key): "No such file",
    }
    for (cert, key), message in wrong.items():
        with pytest.raises(InputError, match=message):
            check_pair(cert, key)


def test_a_key_of_a_curve_that_no_browser_takes_is_said(tmp_path: Path) -> None:
    cert, key = tmp_path / "odd.crt", tmp_path / "odd.key"
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1", "-nodes")
    made = ("-keyout", key, "-out", cert, "-subj", "/CN=odd")
    openssl("req", "-x509", *new, *made)
    with pytest.raises(InputError, match="cannot be used"):
        check_pair(cert, key)


def test_one_without_the_other_is_no_pair(inside: Inside, pair: Pair) -> None:
    told = inside("serve", "--tls-cert", str(pair.cert))
    assert told.returncode == 2, told.stderr
    assert "give --tls-key too" in told.stderr
