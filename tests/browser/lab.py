"""A real JupyterLab with nobody's settings, and a notebook in it as a reader sees it."""

import json
import os
import re
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

from playwright.sync_api import Browser, ConsoleMessage, Error, Page

from walkthrough.lab import lab_environment

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

# Two errors of Notebook 7.6 itself, on the page of an empty notebook too: its shortcuts, and a command that it lacks.
OF_NOTEBOOK_7 = re.compile(
    r"(reading 'schema'\)|'filebrowser:open-path' not registered\.)\n.*/static/notebook/notebook_core"
)
END_KERNEL = """address => {
    const token = document.cookie.match(/_xsrf=([^;]+)/)[1]
    return fetch(address, { method: "DELETE", headers: { "X-XSRFToken": token } }).then(() => null)
}"""


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
            env=lab_environment(os.environ) | places | {"IPYTHONDIR": str(home / "ipython")},
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
    """A notebook in a tab of the browser. errors collects what the page's console complains about.

    app is "lab/tree", or "notebooks" for Notebook 7, which the same server offers where it is installed.
    """

    def __init__(self, browser: Browser, lab: str, name: str, app: str = "lab/tree", kernel: bool = True) -> None:
        self._lab, self._name = lab, name
        self.errors: list[str] = []
        self.page: Page = browser.new_page(viewport={"width": 1300, "height": 1000})
        self.page.on("console", self._listen)
        self.page.on("pageerror", self._listen_to_error)
        reset = "?reset" if app == "lab/tree" else ""  # of the tabs that were open
        self.page.goto(f"{lab}/{app}/{name}{reset}", wait_until="domcontentloaded")
        self.page.wait_for_selector(f"{NOTEBOOK} .jp-Cell", timeout=90_000)
        if kernel:
            self.page.wait_for_function(READY, timeout=90_000)
        else:  # it is asked which one to start
            self.page.locator(".jp-Dialog").get_by_role("button", name="No Kernel").click()

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _listen_to_error(self, error: Error) -> None:
        if not OF_NOTEBOOK_7.search(error.stack or ""):
            self.errors.append(error.stack or str(error))

    def run_all(self, seconds: float = 180) -> None:
        """Run all cells and wait for the last one, or for the one that fails."""
        self.page.click("#jp-MainMenu >> text=Run")
        self.page.click(".lm-Menu-item[data-command='runmenu:run-all']")
        self.page.wait_for_function(FINISHED, timeout=seconds * 1000)

    def save(self) -> None:
        """Save, and wait until it is done."""
        with self.page.expect_response(lambda reply: reply.request.method == "PUT" and "/api/contents/" in reply.url):
            self.page.keyboard.press("Control+s")
        self.page.wait_for_timeout(200)

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

    @property
    def kernel_id(self) -> str:
        """What the server calls the kernel of this notebook."""
        with urllib.request.urlopen(f"{self._lab}/api/sessions", timeout=10) as reply:
            sessions = json.load(reply)
        return next(session["kernel"]["id"] for session in sessions if session["path"] == self._name)

    def end_kernel(self) -> None:
        """Shut the kernel down, as the end of the server does."""
        self.page.evaluate(END_KERNEL, f"{self._lab}/api/kernels/{self.kernel_id}")

    def close(self) -> None:
        """Close the tab."""
        self.page.close()
