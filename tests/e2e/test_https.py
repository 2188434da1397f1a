"""The page over https of the service's own: somebody films themselves to be known, and the live camera names them."""

from __future__ import annotations

import pytest

from server.harness import Listening
from server.test_tls import OPENSSL, authority, pair, secure

from .test_page import CHROMIUM, Page, browser, camera_clip

__all__ = ["authority", "browser", "camera_clip", "pair", "secure"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed"),
]


class Secure(Page):
    """A page that trusts the certificate, whoever made it."""

    def __init__(self, browser: object, service: Listening) -> None:
        super().__init__(browser, service, ignore_https_errors=True)
        self.base = f"https://127.0.0.1:{service.port}"


def test_who_films_themselves_is_named_in_the_live_picture(
    browser: object, secure: Listening
) -> None:
    page = Secure(browser, secure)
    page.go("people")
    page.page.click("#people-add")
    page.page.fill("dialog input[name=name]", "Eileen")
    page.page.click("dialog button:has-text('Film some seconds')")
    page.page.wait_for_selector("dialog .picked video")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector("h2:text-is('Eileen')")
    page.go("live")
    page.page.click("#live-start")
    page.page.wait_for_selector("#live-overlay .face b:text-is('Eileen')")
    page.close()
