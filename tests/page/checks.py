"""What the page has to show and to do; each is a function of the browser and the place."""

import json
import time
import urllib.request

from place import BUSY, HOSTILE

CONTRAST_MIN = 4.5
PHONE = 390
# A log can have no such name; a page that trusts in that would be open to a server that is not
# ours, or to a fault in it.
HOSTILE_LOG = HOSTILE + "<script>document.title='owned'</script>"


class Wrong(Exception):
    """The page is not as it should be."""


def check(fact, text):
    if not fact:
        raise Wrong(text)


def number(text):
    """The number that a figure such as `3,012/s` begins with."""
    return float(text.split("/")[0].split()[0].replace(",", ""))


def figures_live(browser, place):
    """Figures move, and every log has its row."""
    browser.until("parseFloat(looks.figure('Records appended')) > 0", "appended records")
    seen = set()
    for _ in range(4):
        text = browser.value("looks.figure('Records appended')")
        check(number(text) > 0, f"records are appended, and the page says {text}")
        seen.add((text, browser.value("looks.cells('logs', 'End').join()")))
        time.sleep(1)
    check(len(seen) > 2, f"the figures stand still: {seen}")
    names = browser.value("looks.cells('logs', 'Log')")
    wanted = ["_audit", "default", "quiet", *(f"busy-{n}" for n in range(1, BUSY + 1))]
    check(sorted(names) == sorted(wanted), f"the table has {names}")
    rates = browser.value("looks.cells('logs', 'Records/s')")
    busy = [number(rate) for name, rate in zip(names, rates) if name.startswith("busy")]
    check(all(rate > 0 for rate in busy), f"busy logs have the rates {busy}")
    readers = browser.value("looks.cells('readers', 'Reader')")
    check(readers == ["billing"], f"the readers are {readers}")
    subjects = browser.value("looks.cells('streams', 'Subject')")
    check("root" in subjects and HOSTILE in subjects, f"streams are of {subjects}")
    return f"{text} and {len(names)} logs"


def sorts_by_mouse(browser, place):
    """A click sorts, another turns the order round."""
    head = "looks.head('logs', 'Segments')"
    orders = []
    for wanted in ("descending", "ascending"):
        browser.click(head)
        order = browser.value("looks.sorted('logs', 'Segments')")
        check(order == wanted, f"a click gives {order}, not {wanted}")
        cells = [number(cell) for cell in browser.value("looks.cells('logs', 'Segments')")]
        check(cells == sorted(cells, reverse=wanted == "descending"), f"{wanted}: {cells}")
        orders.append(cells)
    check(orders[0] != orders[1], "both orders are the same")
    others = browser.value("looks.sorted('logs', 'Log')")
    check(others == "none", f"another column is {others}")
    return "both ways"


def sorts_by_keyboard(browser, place):
    """Tab leads to a heading, Enter and Space sort by it."""
    browser.value("document.activeElement.blur()")
    head = "document.activeElement === looks.head('logs', 'Stored')"
    for presses in range(1, 30):
        browser.press("Tab")
        if browser.value(head):
            break
    else:
        raise Wrong("Tab does not lead to the heading")
    orders = []
    for key in ("Enter", "Space"):
        browser.press(key)
        orders.append(browser.value("looks.sorted('logs', 'Stored')"))
        check(browser.value(head), f"{key} takes the focus away")
    check(orders == ["descending", "ascending"], f"the keys give {orders}")
    browser.click("looks.head('logs', 'Log')")
    check(browser.value("looks.sorted('logs', 'Log')") == "ascending", "names go up first")
    return f"after {presses} times Tab"


def keyboard_reaches_all(browser, place):
    """Tab comes to everything that can be used, and shows where it is."""
    browser.value("document.activeElement.blur()")
    wanted = browser.value("looks.interactive().length")
    reached = set()
    for _ in range(wanted + 3):
        browser.press("Tab")
        focused = browser.value("looks.focused()")
        if focused["at"] >= 0:
            reached.add(focused["at"])
            check(focused["ring"], f"the focus on {focused['name']} is not to be seen")
    check(len(reached) == wanted, f"{len(reached)} of {wanted} are reached")
    return f"{wanted} elements"


def segments_to_scale(browser, place):
    """A log's segments have the widths of their bytes."""
    browser.click("[...document.querySelectorAll('#logs td button')]"
                  ".find(button => button.textContent === 'quiet')")
    browser.until("document.querySelector('#segments-title').textContent === 'Segments of quiet'",
                  "the segments of the log")
    with urllib.request.urlopen(f"{place.origin}/status.json?log=quiet", timeout=10) as answer:
        stored = [one["stored_bytes"] for one in json.load(answer)["segments"]["list"]]
    widths = browser.value("looks.bands()")
    check(len(widths) == len(stored) >= 3, f"{len(widths)} bands for {len(stored)} segments")
    shares = [width / sum(widths) for width in widths]
    for share, size in zip(shares, stored):
        check(abs(share - size / sum(stored)) < 0.005, f"{shares} for {stored}")
    check(max(shares) > 1.2 * min(shares), f"segments that differ look the same: {shares}")
    return f"{len(stored)} segments"


def contrast(browser, place):
    """Every text stands out from what is behind it."""
    found = browser.value("[...looks.contrasts(), ...looks.states()]")
    check(len(found) > 50, f"{len(found)} texts only")
    weak = [one for one in found if one["contrast"] < CONTRAST_MIN]
    check(not weak, f"less than {CONTRAST_MIN}: {weak}")
    least = min(one["contrast"] for one in found)
    return f"{len(found)} texts, at least {least:.2f}"


def fits_a_phone(browser, place):
    """Nothing is wider than the screen."""
    width = browser.value("innerWidth")
    check(width == PHONE, f"the screen is {width} wide")
    over = browser.value("looks.overflow()")
    check(over <= 0, f"the page is {over} pixels too wide")
    wide = browser.value("looks.wideTables()")
    check(not wide, f"tables are wider than the screen: {wide}")
    return f"{width} pixels"


def tells_that_the_server_is_gone(browser, place):
    """Without a server the page says so and keeps the last figures."""
    place.server.stop()
    browser.until("document.querySelector('#health').textContent === 'No answer from the server'",
                  "the news that the server is gone")
    check(browser.value("looks.cells('logs', 'Log').length") > 0, "the figures are gone too")
    news = browser.value("document.querySelector('#news').textContent")
    check("last figures" in news, f"the news are {news!r}")
    return contrast(browser, place)


def recovers(browser, place):
    """With a server again the page goes on by itself."""
    place.serve()
    browser.until("document.querySelector('#health').textContent === 'All is well'", "recovery")
    browser.until("document.querySelector('#news').textContent === ''", "the news to go")
    return "by itself"


def shows_names_as_text(browser, place):
    """What would like to be markup is text: in a subject, in the address, in a log's name."""
    check(browser.value("document.title") == "Varve", "a subject was taken for markup")
    with urllib.request.urlopen(f"{place.origin}/status.json", timeout=10) as answer:
        status = json.load(answer)
    status["logs"] = [{**status["logs"][0], "name": HOSTILE_LOG}]
    status["readers"] = [{"log": HOSTILE_LOG, "reader": HOSTILE, "lag_records": 1, "lag_s": 1.0}]
    status["health"] = {"state": "degraded", "reasons": [HOSTILE_LOG]}
    status["openssl"] = HOSTILE_LOG
    browser.forge("/status.json", json.dumps(status))
    browser.until(f"looks.cells('logs', 'Log').join() === {json.dumps(HOSTILE_LOG)}",
                  "the forged name")
    browser.click("document.querySelector('#logs td button')")
    browser.until(f"document.querySelector('#segments-note').textContent.includes("
                  f"{json.dumps(HOSTILE_LOG)})", "the name in the note")
    check(browser.value("document.title") == "Varve", "a name was taken for markup")
    check(browser.value("document.images.length + document.scripts.length") == 1,
          "a name made an element")
    return "in five places"
