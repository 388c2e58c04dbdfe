"""A browser for tests of pages."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ANSWER_SECONDS = 30


class Browser:
    """Headless Chromium, controlled through its DevTools pipe: JSON messages that end in a zero byte.

    Args:
        folder: For its profile.
        options: More command line options.
        ready: JavaScript expression that is true once a page is complete.
    """

    def __init__(self, folder, *options: str, ready: str = "document.readyState === 'complete'"):
        self.ready = ready
        there, self.write_end = os.pipe()
        self.read_end, back = os.pipe()
        command = [PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
                   f"--user-data-dir={folder}", *options]  # fmt: skip

        def place():  # Chromium reads from 3 and writes to 4
            copies = os.dup(there), os.dup(back)
            os.dup2(copies[0], 3)
            os.dup2(copies[1], 4)

        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=place,
                                        pass_fds=(3, 4), start_new_session=True)  # fmt: skip
        os.close(there)
        os.close(back)
        self.number, self.rest, self.events, self.session = 0, b"", [], None

    def close(self) -> None:
        """Ends Chromium."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.read_end)
        os.close(self.write_end)

    def call(self, method: str, **params):
        """Sends a command and returns its result; events that come in between are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session and not method.startswith("Target."):
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                if not select.select([self.read_end], [], [], ANSWER_SECONDS)[0]:
                    raise TimeoutError(f"Chromium has not answered {method} within {ANSWER_SECONDS} s")
                part = os.read(self.read_end, 1 << 20)
                if not part:
                    raise RuntimeError("Chromium has ended")
                self.rest += part
            answer, _, self.rest = self.rest.partition(b"\0")
            answer = json.loads(answer)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(answer["error"]["message"])
                return answer["result"]
            self.events.append(answer)

    def open(self, url: str, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Opens a page in a new tab of a given size."""
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)  # fmt: skip
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.events.clear()
        self.call("Runtime.enable")
        self.call("Log.enable")
        self.call("Network.enable")
        self.call("Page.enable")
        self.call("Page.navigate", url=url)
        self.until(self.ready)

    def run(self, code: str):
        """Value of a JavaScript expression; promises are awaited, and clicks count as clicks of a user."""
        answer = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True, userGesture=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", code))
        return answer["result"].get("value")

    def until(self, code: str, seconds: float = 30) -> None:
        """Waits for a JavaScript expression to become true."""
        end = time.monotonic() + seconds
        while not self.run(code):
            assert time.monotonic() < end, f"not within {seconds} s: {code}"
            time.sleep(0.05)

    def complaints(self) -> list[str]:
        """Errors and warnings of the page so far."""
        self.run("0")
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
            elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
        return found

    def requests(self) -> set[str]:
        """Addresses that the page has asked for."""
        self.run("0")
        return {e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"}
