"""What the tests of the dashboard share: Chromium and the made-up service, once for each file of them.

    test_X.py SOURCE_DIR [unittest arguments]; exit code 77 when there is no Chromium
"""
import pathlib
import sys
import time
import unittest

import browser
import fake

HERE = pathlib.Path(__file__).resolve().parent
ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parents[1])
LONG = 10000


class Base(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.service = fake.Service(ROOT / "clients/web", removals=LONG)
        cls.addClassCleanup(cls.service.close)
        cls.b = browser.Browser()
        cls.addClassCleanup(cls.b.close)

    def setUp(self):
        self.b.size(1280, 900)
        self.b.open(self.service.url + "web/icon.svg")  # of the same origin, and light
        self.b.js("sessionStorage.clear(); localStorage.clear()")
        self.b.console()

    def sign_in(self, place="#/searches"):
        self.b.js("sessionStorage.setItem('lathe.token', arguments[0])", fake.TOKEN)
        self.b.open("about:blank")
        self.b.open(self.service.url + place)
        self.settled()

    def settled(self):
        self.b.settled()

    def go(self, place):
        self.b.js("location.hash = arguments[0]", place)
        self.settled()

    def delay(self, latency):
        """Answers take latency(path, query) seconds from now to the end of this test."""
        world = self.service.world
        self.addCleanup(setattr, world, "latency", world.latency)
        world.latency = latency

    def refuse_complaints(self):
        severe = [line for line in self.b.console() if "Content Security" in line or "Refused" in line or "Error" in line]
        self.assertEqual(severe, [])

    def refuse_complaints_but_404(self):
        lines = [line for line in self.b.console() if "Content Security" in line or "Refused" in line]
        self.assertEqual(lines, [])

    def until(self, true, what):
        end = time.monotonic() + 20
        while not true():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.1)

    def press_until(self, name, most=60):
        """Tab until the focus is at what is called so; returns how many it took."""
        where = "const e = document.activeElement; return e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent.trim()"
        for i in range(most):
            self.b.keys("\ue004")
            if self.b.js(where) == name:
                self.assertEqual(self.b.js("return getComputedStyle(document.activeElement).outlineStyle"), "solid", f"no outline at {name}")
                return
        self.fail(f"{name} is not reached by Tab")


def main():
    absent = browser.missing()
    if absent:
        print(f"skipped: {absent} is not installed")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
