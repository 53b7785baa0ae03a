"""Is a page fit for everybody? Chromium's own accessibility tree always; axe-core too, where it is found
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


def axe_findings(browser, only):
    if not browser.js("return Boolean(window.axe)"):
        browser.js(AXE + "; return true")
    return browser.js("""return axe.run(document, { runOnly: arguments[0] }).then((r) => r.violations.map((v) =>
        v.impact + ' ' + v.id + ': ' + v.help + ' @ ' + v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' {' + (n.any[0]?.message ?? '') + '}').join(' | ')))""", only)


def findings(browser):
    return nameless(browser) + (axe_findings(browser, {"type": "tag", "values": TAGS}) if AXE else [])


def contrast(browser):
    return axe_findings(browser, {"type": "rule", "values": ["color-contrast"]}) if AXE else []
