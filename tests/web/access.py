"""Is a page fit for everybody? Names by Chromium's own accessibility tree and the contrast of all text always; axe-core too, where it is found
(LATHE_AXE names axe.min.js, or a Python package that brings one is installed)."""
import importlib.util
import os
import pathlib

NEEDS_NAME = {"button", "link", "textbox", "searchbox", "combobox", "slider", "checkbox", "spinbutton", "tab", "img", "image",
              "progressbar", "region", "dialog", "radio", "columnheader"}
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


def axe():
    """The source of axe-core, or None."""
    if os.environ.get("LATHE_AXE"):
        return pathlib.Path(os.environ["LATHE_AXE"]).read_text(encoding="utf-8")
    for package in ("axe_playwright_python", "axe_selenium_python", "axe_core_python"):
        found = importlib.util.find_spec(package)
        for folder in found.submodule_search_locations if found else ():
            for file in sorted(pathlib.Path(folder).rglob("axe.min.js")):
                return file.read_text(encoding="utf-8")
    return None


AXE = axe()


def nameless(browser):
    """Controls and pictures that a screen reader cannot name."""
    bad = []
    for node in browser.cdp("Accessibility.getFullAXTree")["nodes"]:
        role = node.get("role", {}).get("value")
        if not node.get("ignored") and role in NEEDS_NAME and not node.get("name", {}).get("value", "").strip():
            bad.append(f"{role} without a name (node {node['backendDOMNodeId']})")
    return bad


# Text that stands out too little from what is behind it (WCAG 1.4.3), by the computed colours.
CONTRAST = """
    const parse = (text) => { const n = (text.match(/[\\d.]+(?:e-?\\d+)?/g) || []).map(Number), unit = text.startsWith('color(') ? 255 : 1;
        return [n[0] * unit, n[1] * unit, n[2] * unit, n.length > 3 ? n[3] : 1]; };
    const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
    const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const behind = (e) => { const layers = []; for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); layers.push(c); if (c[3] === 1) break; }
        return layers.reduceRight((under, c) => over(c, under), [255, 255, 255, 1]); };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = new Set();
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const e = node.parentElement, style = getComputedStyle(e);
        if (!node.data.trim() || !e.checkVisibility({ visibilityProperty: true }) || e.closest('option, :disabled, .skip, .hidden, script, noscript')) continue;
        let opacity = 1;
        for (let up = e; up; up = up.parentElement) opacity *= Number(getComputedStyle(up).opacity);
        const ground = behind(e), c = parse(style.color), ink = over([c[0], c[1], c[2], c[3] * opacity], ground);
        const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05), size = parseFloat(style.fontSize);
        if (ratio < (size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5)) found.add(`contrast ${ratio.toFixed(2)}: "${node.data.trim().slice(0, 30)}" in ${e.tagName.toLowerCase()}.${e.className}`);
    }
    return [...found]"""


def axe_findings(browser, only):
    if not browser.js("return Boolean(window.axe)"):
        browser.js(AXE + "; return true")
    return browser.js("""return axe.run(document, { runOnly: arguments[0] }).then((r) => r.violations.map((v) =>
        v.impact + ' ' + v.id + ': ' + v.help + ' @ ' + v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' {' + (n.any[0]?.message ?? '') + '}').join(' | ')))""", only)


def findings(browser):
    return nameless(browser) + browser.js(CONTRAST) + (axe_findings(browser, {"type": "tag", "values": TAGS}) if AXE else [])


def contrast(browser):
    return browser.js(CONTRAST) + (axe_findings(browser, {"type": "rule", "values": ["color-contrast"]}) if AXE else [])
