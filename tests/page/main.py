"""Runs the checks of the status page one after the other; see tests/page/run."""

import sys
import tempfile
import time
from pathlib import Path

import checks
from browser import Browser, Failed
from place import Place

LOOKS = Path(__file__).with_name("looks.js")


def main():
    began = time.monotonic()
    shots = Path(sys.argv[1])
    shots.mkdir(parents=True, exist_ok=True)
    failures = []
    with tempfile.TemporaryDirectory(prefix="varve-page-") as folder:
        place = Place(Path(folder))
        try:
            place.serve()
            place.fill()
            place.load()
            browser = Browser()
            try:
                failures = look(browser, place, shots)
            finally:
                browser.close()
        finally:
            place.end()
    took = time.monotonic() - began
    print(f"page: {len(failures)} failures in {took:.0f} s; the pictures are in {shots}")
    sys.exit(1 if failures else 0)


def look(browser, place, shots):
    """All checks in order; the names of those that failed."""
    failures = []

    def one(function, name=None):
        name = name or function.__name__.replace("_", " ")
        try:
            print(f"ok      {name}: {function(browser, place)}", flush=True)
        except (checks.Wrong, Failed) as wrong:
            print(f"FAILED  {name}: {wrong}", flush=True)
            browser.shoot(shots / f"failed-{len(failures)}.png")
            failures.append(name)

    browser.do("Page.addScriptToEvaluateOnNewDocument", source=LOOKS.read_text())
    browser.look()
    browser.open(place.origin)
    browser.until("document.querySelectorAll('#logs tbody tr').length > 0", "the table")
    for function in (checks.figures_live, checks.sorts_by_mouse, checks.sorts_by_keyboard,
                     checks.segments_to_scale, checks.keyboard_reaches_all):
        one(function)
    browser.value("document.activeElement.blur()")
    for dark, width in ((False, 1280), (True, 1280), (False, checks.PHONE), (True, checks.PHONE)):
        browser.look(dark, width)
        name = f"{'phone' if width == checks.PHONE else 'desk'}-{'dark' if dark else 'light'}"
        if width == checks.PHONE:
            one(checks.fits_a_phone, f"{name} fits")
        one(checks.contrast, f"{name} contrast")
        browser.shoot(shots / f"{name}.png")
    browser.look()
    one(quiet_so_far, "console and requests")
    one(checks.tells_that_the_server_is_gone)
    browser.shoot(shots / "gone.png")
    one(checks.recovers)
    forget_what_a_missing_server_costs(browser)
    one(checks.shows_names_as_text)
    browser.shoot(shots / "hostile.png")
    one(quiet_so_far, "console and requests to the end")
    return failures


def quiet_so_far(browser, place):
    """Nothing was logged, and nothing was asked of anybody else."""
    checks.check(not browser.said, f"the console has {browser.said[:5]}")
    away = [url for url in browser.asked
            if not url.startswith((f"{place.origin}/", "data:", "about:"))]
    checks.check(not away, f"requests went to {away[:5]}")
    checks.check(len(browser.asked) > 5, f"{browser.asked} is all that was asked")
    return f"nothing logged, {len(browser.asked)} requests, all to the server"


def forget_what_a_missing_server_costs(browser):
    """The browser itself logs each request that nobody answers; the page cannot help that."""
    refused = "Failed to load resource: net::ERR_"
    browser.said[:] = [(kind, text) for kind, text in browser.said
                       if not (kind == "network error" and text.startswith(refused))]


if __name__ == "__main__":
    main()
