"""A headless Chromium that tests talk to through its debugging pipe: no server, no port, no further package."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_LONGEST_S = 60.0
# The shell gives the pipes the numbers that Chromium reads (3) and writes (4).
_WITH_PIPES = 'exec "$@" 3<&"$DOWN" 4>&"$UP"'


class Browser:
    """One tab. asked: addresses of what its pages have loaded; errors: what the console has said of these."""

    def __init__(self):
        self._folder = tempfile.mkdtemp(prefix="circuitsbi-chromium-")
        down, self._write = os.pipe()
        self._read, up = os.pipe()
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--remote-debugging-pipe", f"--user-data-dir={self._folder}", "--window-size=1100,1400", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            ["bash", "-c", _WITH_PIPES, "bash", *command],
            env=os.environ | {"DOWN": str(down), "UP": str(up)},
            pass_fds=(down, up),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(down)
        os.close(up)
        self._count, self._rest, self._session = 0, b"", None
        self.asked, self.errors = [], []
        target = next(t for t in self("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self(f"{domain}.enable")

    def __call__(self, method, **parameters):
        """The result of a command of the DevTools protocol. Raises RuntimeError where there is none."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _message(self):
        """The next thing that the browser says; what is no answer is noted."""
        end = time.monotonic() + _LONGEST_S
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], max(0.0, end - time.monotonic()))[0]:
                raise RuntimeError("the browser says nothing")
            chunk = os.read(self._read, 1 << 20)
            if not chunk:
                raise RuntimeError("the browser has stopped")
            self._rest += chunk
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        parameters = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.asked.append(parameters["request"]["url"])
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(parameters["exceptionDetails"])[:600])
        if message.get("method") == "Log.entryAdded":
            self.errors.append(parameters["entry"]["text"])
        return message

    def open(self, path):
        """Show a file, and wait until it is there."""
        self.asked, self.errors = [], []
        self("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def evaluate(self, expression):
        """The value of a JavaScript expression. Raises RuntimeError where it throws."""
        done = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise RuntimeError(json.dumps(done["exceptionDetails"])[:600])
        return done["result"].get("value")

    def wait(self, condition):
        """Until it holds. Raises RuntimeError where it never does."""
        end = time.monotonic() + _LONGEST_S
        while not self.evaluate(condition):
            if time.monotonic() > end:
                raise RuntimeError(f"never: {condition}")
            time.sleep(0.05)

    def press(self, key, code, text=""):
        """A real key, such as "ArrowRight" with the code 39. text: what it types, "\\r" for Enter."""
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text)

    def close(self):
        """End it, and remove what it has written."""
        with contextlib.suppress(RuntimeError, OSError):
            self("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._folder, ignore_errors=True)
