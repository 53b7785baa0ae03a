"""Headless Chromium by the WebDriver protocol, with Python's standard library only.

    with Browser() as b:
        b.open("http://127.0.0.1:7878/")
        b.type("input[name=token]", "abc"); b.click("button[type=submit]")
        b.wait("return document.querySelector('h1')?.textContent === 'Searches'")
"""
import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def missing():
    """What is not there to run a browser, or None."""
    if not any(map(shutil.which, CHROMIUM)):
        return "chromium"
    return None if shutil.which("chromedriver") else "chromedriver (Debian: chromium-driver)"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# Frames a second over 120 frames, in each of which a slider (its selector, its largest value) jumps elsewhere.
FRAMES = """
    const slider = document.querySelector(arguments[0]), most = arguments[1];
    slider.closest('section').scrollIntoView();
    return new Promise((resolve) => {
        let start = 0, i = 0;
        const step = (now) => {
            start ||= now;
            if (i++ === 120) return resolve(120000 / (now - start));
            slider.value = String(Math.round(most * (0.5 + 0.49 * Math.sin(i * 1.7))));
            slider.dispatchEvent(new Event('input', { bubbles: true }));
            requestAnimationFrame(step);
        };
        requestAnimationFrame(step);
    })"""


# Counts what a page is waiting for, answers to their last byte; but for its stream of events, which has none.
PENDING = """
    window.pendingRequests = 0;
    const fetched = window.fetch;
    window.fetch = (what, ...more) => {
        if (String(what).includes('/v1/events')) return fetched(what, ...more);
        window.pendingRequests++;
        const answer = fetched(what, ...more);
        answer.then((a) => a.clone().arrayBuffer()).catch(() => {}).finally(() => setTimeout(() => { window.pendingRequests--; }));
        return answer;
    };"""


class ScriptError(AssertionError):
    pass


class Browser:
    def __init__(self, width=1280, height=900):
        self.home = tempfile.mkdtemp(prefix="lathe-browser-")
        self.port = free_port()
        self.driver = subprocess.Popen(["chromedriver", f"--port={self.port}", "--silent"], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, start_new_session=True)
        self.session = None
        try:
            self._start(width, height)
        except BaseException:
            self.close()
            raise

    def _start(self, width, height):
        arguments = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--force-color-profile=srgb",
                     f"--window-size={width},{height}", f"--user-data-dir={self.home}/profile"]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")
        binary = next(filter(None, map(shutil.which, CHROMIUM)))
        options = {"binary": binary, "args": arguments, "prefs": {"download.default_directory": self.home}}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options,
                                                   "goog:loggingPrefs": {"browser": "ALL"}}}}
        for _ in range(100):
            try:
                self.session = self._call("POST", "/session", wanted)["sessionId"]
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        else:
            raise RuntimeError("chromedriver did not start")
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=PENDING)

    def _call(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise ScriptError(f'{value["error"]}: {value["message"].splitlines()[0]}') from None

    def _in_session(self, method, path, body=None):
        return self._call(method, f"/session/{self.session}{path}", body)

    def open(self, url):
        self._in_session("POST", "/url", {"url": url})

    def url(self):
        return self._in_session("GET", "/url")

    def new_tab(self):
        """Opens a tab and works in it; returns its name for use()."""
        name = self._in_session("POST", "/window/new", {"type": "tab"})["handle"]
        self.use(name)
        return name

    def tab(self):
        return self._in_session("GET", "/window")

    def use(self, tab):
        self._in_session("POST", "/window", {"handle": tab})

    def close_tab(self, then):
        self._in_session("DELETE", "/window")
        self.use(then)

    def js(self, script, *args):
        """The value of a script's `return`; a promise is waited for."""
        return self._in_session("POST", "/execute/sync", {"script": script, "args": list(args)})

    def wait(self, script, *args, seconds=40, what=None):
        """Runs the script until it returns something true, and returns that."""
        end, last = time.monotonic() + seconds, None
        while time.monotonic() < end:
            try:
                last = self.js(script, *args)
                if last:
                    return last
            except ScriptError as error:
                last = error
            time.sleep(0.05)
        raise AssertionError(f"waited {seconds} s for: {what or script} (last: {last}); page says: {self.text()[:600]}")

    def settled(self):
        """The page has its heading and waits for nothing, twice in a row."""
        self.wait("""const still = document.querySelector('h1') && !document.querySelector('.loading, [aria-busy]') && !window.pendingRequests, before = window.wasStill;
                     window.wasStill = still ? location.hash : null; return still && before === location.hash""", what="a page that is complete")

    def text(self, selector="body"):
        return self.js("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def see(self, text, selector="body", seconds=40):
        self.wait("return (document.querySelector(arguments[0])?.innerText ?? '').includes(arguments[1])", selector, text,
                  seconds=seconds, what=f"{text!r} in {selector}")

    def _element(self, selector):
        self.wait("return Boolean(document.querySelector(arguments[0]))", selector, what=f"an element {selector}")
        found = self._in_session("POST", "/element", {"using": "css selector", "value": selector})
        return next(iter(found.values()))

    def click(self, selector):
        self._in_session("POST", f"/element/{self._element(selector)}/click", {})

    def click_text(self, text, selector="button, a", seconds=40):
        """Clicks the first visible element of that text, by a real click; again where it was redrawn between."""
        end = time.monotonic() + seconds
        while True:
            self.wait("""const e = [...document.querySelectorAll(arguments[0])].find((x) => x.textContent.trim() === arguments[1] && x.offsetParent && !x.disabled);
                         document.querySelectorAll('[data-clicked]').forEach((x) => x.removeAttribute('data-clicked'));
                         if (e) e.dataset.clicked = '1'; return Boolean(e)""", selector, text, what=f"{selector} {text!r}")
            try:
                found = self._in_session("POST", "/element", {"using": "css selector", "value": "[data-clicked]"})
                return self._in_session("POST", f"/element/{next(iter(found.values()))}/click", {})
            except ScriptError:
                if time.monotonic() > end:
                    raise

    def type(self, selector, text, clear=True):
        element = self._element(selector)
        if clear:
            self._in_session("POST", f"/element/{element}/clear", {})
        self._in_session("POST", f"/element/{element}/value", {"text": text})

    def keys(self, *keys):
        """Keys to whatever has the focus."""
        actions = [a for k in keys for a in ({"type": "keyDown", "value": k}, {"type": "keyUp", "value": k})]
        self._in_session("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def cdp(self, command, **parameters):
        return self._in_session("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def scheme(self, dark):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def size(self, width, height=900, mobile=False):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def console(self):
        """What the page complained about since the last call, as lines."""
        return [f'{e["level"]} {e["message"]}' for e in self._in_session("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path, whole=True):
        if whole:
            high = self.js("return Math.min(4000, document.documentElement.scrollHeight)")
            wide = self.js("return innerWidth")
            self.cdp("Emulation.setDeviceMetricsOverride", width=wide, height=max(high, 400), deviceScaleFactor=1, mobile=False)
            time.sleep(0.3)
        with open(path, "wb") as out:
            out.write(base64.b64decode(self._in_session("GET", "/screenshot")))

    def close(self):
        if self.session:
            try:
                self._in_session("DELETE", "")
            except (OSError, ScriptError):
                pass
        self.driver.terminate()
        self.driver.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
