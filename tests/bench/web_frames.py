#!/usr/bin/env python3
"""The dashboard's figures in headless Chromium (software rendering) against the made-up service of tests/web:
the first view's size and time, and the time machine's frames a second with 10,000 removals.

    web_frames.py [REMOVALS]
"""
import gzip
import pathlib
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/web"))
import browser  # noqa: E402
import fake  # noqa: E402

USABLE = """return performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation')).map((e) => [new URL(e.name).pathname, e.responseEnd])"""


def first_view(b, url):
    """Milliseconds from the navigation to the first row of the list, and the files that took."""
    b.open("about:blank")
    b.open(url + "#/searches")
    ready = b.wait("return document.querySelector('tbody th') && performance.now()")
    names = {name for name, _ in b.js(USABLE) if not name.startswith("/v1/")}
    files = [ROOT / "clients/web" / ("index.html" if n == "/" else n.removeprefix("/web/")) for n in names]
    return ready, sum(len(gzip.compress(f.read_bytes(), 9)) for f in files), len(files)


def main(removals):
    service = fake.Service(ROOT / "clients/web", removals=removals)
    with browser.Browser() as b:
        b.open(service.url)
        b.js("sessionStorage.setItem('lathe.token', arguments[0])", fake.TOKEN)
        views = [first_view(b, service.url) for _ in range(5)]
        print(f"first view: {views[0][2]} files, {views[0][1] / 1024:.1f} KiB in gzip; first rows after {statistics.median(v[0] for v in views):.0f} ms (median of {len(views)}, polled every 50)")
        b.js("location.hash = '#/searches/srch_5?tab=machine'")
        b.wait("return document.querySelector('#scrub')?.max === String(arguments[0])", removals, seconds=60)
        for mode in ("survivors", "widths"):
            b.js("const m = document.querySelector('#mode'); m.value = arguments[0]; m.dispatchEvent(new Event('change'))", mode)
            rates = [b.js(browser.FRAMES, "#scrub", removals) for _ in range(5)]
            print(f"time machine, {removals} removals, 24 layers, {mode}, jumping at random: {', '.join(f'{r:.0f}' for r in rates)} frames/s")
    service.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10000)
