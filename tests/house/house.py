#!/usr/bin/env python3
"""Is the house in order: what the README says exists, the top level is closed, packages are listed, files are short,
scripts pass shellcheck (where it is installed).

    house.py SOURCE_DIR BIN_DIR
"""
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(sys.argv[1])
BIN = pathlib.Path(sys.argv[2])
LONGEST = 450
CODE = (".c", ".h", ".cu", ".cuh", ".py", ".js", ".sql", ".bash")
TOP = {"CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE", "search", "trainer", "server",
       "sql", "clients", "tests"}


def git_files():
    """Tracked and new files, not ignored ones; every file when this is no git checkout."""
    asked = None
    if shutil.which("git"):
        asked = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
                               capture_output=True, text=True, check=False)
    if not asked or asked.returncode:
        names = (p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*") if p.is_file())
        return [n for n in names if not n.startswith(("build/", ".git/"))]
    return [n for n in asked.stdout.splitlines() if (ROOT / n).is_file()]


FILES = git_files()


def run(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def is_script(name):
    if name.endswith((".sh", ".bash")):
        return True
    with open(ROOT / name, "rb") as file:
        return bool(re.match(rb"#!.*\b(ba)?sh\b", file.readline()))


class House(unittest.TestCase):
    def test_top_level_is_closed(self):
        top = {n.split("/")[0] for n in FILES}
        self.assertEqual({n for n in top if not n.startswith(".")} - TOP, set())

    def test_files_are_short(self):
        code = [n for n in FILES if n.endswith(CODE) and not n.startswith("tests/")]
        lines = {n: (ROOT / n).read_bytes().count(b"\n") for n in code}
        self.assertEqual({n: k for n, k in lines.items() if k > LONGEST}, {})

    def test_readme_names_what_exists(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        missing = []
        for path, function in re.findall(r"`([\w./-]+/[\w.-]+)(?::(\w+))?`", text):
            if path.split("/")[0] not in TOP:
                continue
            found = ROOT / path
            if not found.exists() or (function and function not in found.read_text(encoding="utf-8")):
                missing.append(f"{path}:{function}")
        self.assertEqual(missing, [])

    def test_readme_links_lead_somewhere(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        links = [x for x in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in x]
        self.assertEqual([x for x in links if not (ROOT / x).exists()], [])

    def test_readme_commands_exist(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        lines = [line.strip().lstrip("$ ") for block in re.findall(r"```(?:sh)?\n(.*?)```", text, re.S)
                 for line in block.splitlines()]
        commands = [line.split() for line in lines if re.match(r"(lathe|clients/|tests/)", line)]
        self.assertGreater(len(commands), 2)
        for words in commands:
            if words[0] == "lathe":
                options = [w.split("=")[0] for w in words if w.startswith("--")]
                verb = [w for w in words[1:3] if re.fullmatch(r"[a-z]+", w)]
                code, text = run(BIN / "lathe", *verb, "--help")
                self.assertEqual(code, 0, f"{words}: {text}")
                if len(verb) == 1:  # a group that may be called without a verb lists
                    text += run(BIN / "lathe", *verb, "list", "--help")[1]
                self.assertEqual([o for o in options if o + " " not in text], [], words)
            elif not words[0].startswith("lathe"):
                self.assertTrue((ROOT / words[0]).stat().st_mode & 0o111, words)

    @unittest.skipUnless(shutil.which("dpkg"), "this is not Debian")
    def test_packages_hold_what_cmake_looks_for(self):
        listed = (ROOT / "clients/packages.bash").read_text(encoding="utf-8")
        cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
        modules = re.findall(r"pkg_check_modules\(\w+\s+REQUIRED IMPORTED_TARGET ([\w.+-]+)\)", cmake)
        self.assertGreater(len(modules), 5)
        folders = [run("pkg-config", "--variable=pcfiledir", m)[1].strip() for m in modules]
        files = [str((pathlib.Path(f) / f"{m}.pc").resolve()) for m, f in zip(modules, folders)]
        owners = {line.split(":")[0].replace("-pthread", "") for line in run("dpkg", "-S", *files)[1].splitlines()}
        self.assertEqual({o for o in owners if not re.search(rf"\b{re.escape(o)}\b", listed)}, set())

    @unittest.skipUnless(shutil.which("shellcheck"), "shellcheck is not installed")
    def test_scripts_pass_shellcheck(self):
        scripts = [n for n in FILES if is_script(n)]
        code, text = run("shellcheck", "-x", "-S", "warning", *scripts)
        self.assertEqual(code, 0, text)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
