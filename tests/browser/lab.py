"""A real JupyterLab with nobody's settings, and a notebook in it as a reader sees it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page, seen or not
}
NOTEBOOK = ".jp-NotebookPanel:not(.lm-mod-hidden)"
ERROR = f"{NOTEBOOK} [data-mime-type='application/vnd.jupyter.error']"
IDLE = f"{NOTEBOOK} .jp-Notebook-ExecutionIndicator[data-status='idle']"
READY = f"""() => !document.querySelector("{NOTEBOOK} .jp-KernelName").textContent.includes("No Kernel")
    && document.querySelector("{IDLE}")"""
PROMPTS = f"{NOTEBOOK} .jp-CodeCell .jp-InputArea-prompt"
FINISHED = f"""() => {{
    const prompts = [...document.querySelectorAll("{PROMPTS}")].map(prompt => prompt.textContent)
    const failed = document.querySelector("{ERROR}")
    const waiting = prompts.some(text => text.includes("[*]") || (text.includes("[ ]") && !failed))
    return document.querySelector(".jp-Dialog") || (!waiting && document.querySelector("{IDLE}"))
}}"""


def find_chromium() -> str | None:
    """A Chromium or Chrome on this machine."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def running_lab(folder: Path, home: Path, theme: str = "Light") -> Iterator[str]:
    """JupyterLab on a folder, everything it writes under home; gives its address."""
    for name, values in (SETTINGS | {"apputils-extension/themes": {"theme": f"JupyterLab {theme}"}}).items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    variables = ("SETTINGS", "WORKSPACES")
    places = {f"JUPYTERLAB_{name}_DIR": str(home / name.lower()) for name in variables}
    places |= {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    port = _free_port()
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0", "--allow-root"]
    options += ["--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"]
    log = home / "lab.log"
    with log.open("w") as output:
        lab = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env=os.environ | places | {"IPYTHONDIR": str(home / "ipython")},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(lab, f"{address}/api/status", log)
        yield address
    finally:
        lab.terminate()
        lab.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(lab: subprocess.Popen, address: str, log: Path, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and lab.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


class OpenNotebook:
    """A notebook in a tab of the browser. errors collects what the page's console complains about."""

    def __init__(self, browser: Browser, lab: str, name: str) -> None:
        self.errors: list[str] = []
        self.page: Page = browser.new_page(viewport={"width": 1300, "height": 1000})
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.errors.append(error.stack or str(error)))
        self.page.goto(f"{lab}/lab/tree/{name}?reset", wait_until="domcontentloaded")
        self.page.wait_for_selector(f"{NOTEBOOK} .jp-Cell", timeout=90_000)
        self.page.wait_for_function(READY, timeout=90_000)

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def run_all(self, seconds: float = 180) -> None:
        """Run all cells and wait for the last one, or for the one that fails."""
        self.page.click("#jp-MainMenu >> text=Run")
        self.page.click(".lm-Menu-item[data-command='runmenu:run-all']")
        self.page.wait_for_function(FINISHED, timeout=seconds * 1000)

    def wait_for_explorers(self, seconds: float = 60) -> int:
        """Wait until every explorer of the notebook has painted; how many there are."""
        unpainted = f"() => !document.querySelector(\"{NOTEBOOK} .wt[data-drawn='0']\")"
        self.page.wait_for_function(unpainted, timeout=seconds * 1000)
        return self.page.locator(f"{NOTEBOOK} .wt").count()

    def prompts(self) -> list[str]:
        """What stands before each code cell: "[3]:" once it ran, "[ ]:" where it did not."""
        return self.page.locator(PROMPTS).all_text_contents()

    def failures(self) -> list[str]:
        """The last lines of the tracebacks that are shown, and of a dialog that waits for an answer."""
        shown = self.page.locator(f"{ERROR}, .jp-Dialog")
        return [text[-500:] for text in shown.all_text_contents()]

    def broken_pictures(self) -> int:
        """How many pictures are there that the browser could not draw."""
        broken = "all => all.filter(image => image.complete && image.naturalWidth === 0).length"
        return self.page.eval_on_selector_all(f"{NOTEBOOK} .jp-OutputArea img", broken)

    def close(self) -> None:
        """Close the tab."""
        self.page.close()
