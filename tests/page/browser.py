"""A headless Chromium with one tab, driven by the DevTools protocol over a pipe."""

import base64
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ANSWER_SECONDS_MAX = 20
# A key as the protocol wants it: its code, its number, and the text that it types.
KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Space": ("Space", 32, " "),
}


class Failed(Exception):
    """The browser could not do what was asked."""


class Browser:
    """The browser as a process. What its page logs and asks for is kept."""

    def __init__(self):
        self.profile = tempfile.TemporaryDirectory(prefix="varve-page-")
        self.process, self.to, self.back = launch(self.profile.name)
        self.answers, self.arrived = {}, threading.Condition()
        self.said, self.asked = [], []
        self.forged = {}
        self.number = 0
        threading.Thread(target=self._read, daemon=True).start()
        target = self._send("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = {"targetId": target, "flatten": True}
        self.session = self._send("Target.attachToTarget", attached)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def close(self):
        """Ends the browser."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.to.close()
        self.profile.cleanup()

    def do(self, method, **parameters):
        """What the page's side of the protocol answers."""
        return self._send(method, parameters, self.session)

    def _send(self, method, parameters, session=None):
        with self.arrived:
            self.number += 1
            number = self.number
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self.to.write(json.dumps(message).encode() + b"\0")
        self.to.flush()
        with self.arrived:
            if not self.arrived.wait_for(lambda: number in self.answers, ANSWER_SECONDS_MAX):
                raise Failed(f"no answer to {method}")
            answer = self.answers.pop(number)
        if "error" in answer:
            raise Failed(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _read(self):
        rest = b""
        while chunk := os.read(self.back, 1 << 16):
            *whole, rest = (rest + chunk).split(b"\0")
            for message in whole:
                self._take(json.loads(message))

    def _take(self, message):
        if "id" in message:
            with self.arrived:
                self.answers[message["id"]] = message
                self.arrived.notify_all()
            return
        method, told = message["method"], message["params"]
        if method == "Runtime.consoleAPICalled":
            words = [word.get("value", word.get("description")) for word in told["args"]]
            self.said.append((told["type"], " ".join(map(str, words))))
        elif method == "Runtime.exceptionThrown":
            self.said.append(("exception", json.dumps(told["exceptionDetails"])[:500]))
        elif method == "Log.entryAdded":
            entry = told["entry"]
            self.said.append((f"{entry['source']} {entry['level']}", entry["text"]))
        elif method == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])
        elif method == "Fetch.requestPaused":
            # Not from this thread, which has to read the answer.
            threading.Thread(target=self._forge, args=(told,), daemon=True).start()

    def _forge(self, paused):
        url = paused["request"]["url"]
        body = next((body for part, body in self.forged.items() if part in url), None)
        if body is None:
            self.do("Fetch.continueRequest", requestId=paused["requestId"])
            return
        self.do("Fetch.fulfillRequest", requestId=paused["requestId"], responseCode=200,
                body=base64.b64encode(body.encode()).decode())

    def forge(self, part, body):
        """Answers requests whose address has this part with this body, in the server's place."""
        self.forged[part] = body
        self.do("Fetch.enable")

    def open(self, url):
        self.do("Page.navigate", url=url)

    def look(self, dark=False, width=1280, height=900):
        """How the page is looked at; a narrow one is a phone's."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.do("Emulation.setEmulatedMedia", features=[scheme])
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height,
                deviceScaleFactor=1, mobile=width < 600)

    def value(self, expression):
        """The value of an expression of JavaScript in the page."""
        answer = self.do("Runtime.evaluate", expression=expression, returnByValue=True,
                         awaitPromise=True)
        if "exceptionDetails" in answer:
            raise Failed(f"{expression[:80]}: {json.dumps(answer['exceptionDetails'])[:500]}")
        return answer["result"].get("value")

    def until(self, expression, what, seconds=15):
        """Waits until the expression is true."""
        began = time.monotonic()
        while not (value := self.value(expression)):
            if time.monotonic() - began > seconds:
                raise Failed(f"waited {seconds} s for {what}")
            time.sleep(0.05)
        return value

    def press(self, key):
        code, number, text = KEYS[key]
        name = " " if key == "Space" else code
        both = {"key": name, "code": code, "windowsVirtualKeyCode": number}
        kind = "keyDown" if text else "rawKeyDown"
        self.do("Input.dispatchKeyEvent", type=kind, text=text, **both)
        self.do("Input.dispatchKeyEvent", type="keyUp", **both)

    def click(self, expression):
        """Clicks on the middle of an element."""
        x, y = self.value(f"""(() => {{
            const element = {expression};
            element.scrollIntoView({{block: 'center'}});
            const box = element.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def shoot(self, path):
        """A picture of the whole page."""
        picture = self.do("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(picture["data"]))


def launch(profile):
    """The process, and the two ends of its pipes: it reads from 3 and writes to 4."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    # Not 3 or 4 on this side, so that neither covers the other.
    command = [os.environ.get("CHROMIUM", "chromium"), "--headless=new", "--remote-debugging-pipe",
               f"--user-data-dir={profile}", "--no-first-run", "--disable-gpu",
               "--disable-background-networking", "--disable-dev-shm-usage", "--hide-scrollbars"]
    if os.geteuid() == 0:
        # Its sandbox does not work for root; what it opens here is our own page.
        command.append("--no-sandbox")
    shell = ["sh", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "sh", *command]
    process = subprocess.Popen(shell, pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(theirs_in)
    os.close(theirs_out)
    return process, os.fdopen(ours_out, "wb"), ours_in
