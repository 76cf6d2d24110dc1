"""The examples against the real server: who is deactivated is refused at login, and a running session ends
within a second, also when support does it with a command.

    python3 .ci/examples.py BINARY

Needs the packages of requirements.txt.
"""

import http.cookiejar
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
from plumm import Client, Server, command, patch, user  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENDS_SECONDS_MAX = 1
PATIENCE_SECONDS = 30
ANN = "ann@example.com"


class Browser:
    """Somebody with a session of their own."""

    def __init__(self, base):
        self.base = base
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def status(self, path, **form):
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            return self.opener.open(self.base + path, data, timeout=PATIENCE_SECONDS).status
        except urllib.error.HTTPError as error:
            return error.code

    def log_in(self, name=ANN):
        return self.status("/login", userName=name)

    def is_in(self):
        return self.status("/") == 200


def flask(environment):
    """The example in Flask, on a port of its own."""
    arguments = ["-m", "flask", "--app", os.path.join(ROOT, "examples/flask_app.py"), "run", "--port", "0"]
    process = subprocess.Popen([sys.executable, *arguments], env=environment, text=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    for line in process.stderr:
        found = re.search(r"Running on (http://\S+)", line)
        if found:
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, found.group(1)
    raise SystemExit("the example did not start")


def ends(browser):
    """How long it takes until a session has ended."""
    begun = time.monotonic()
    while browser.is_in():
        assert time.monotonic() - begun < ENDS_SECONDS_MAX, "the session goes on"
        time.sleep(0.01)
    return time.monotonic() - begun


def play(base, client, binary, database):
    ann = client.call("POST", "/Users", user(ANN, "Boss"), [201])[1]
    at, took = f"/Users/{ann['id']}", []
    first, second, other = Browser(base), Browser(base), Browser(base)
    client.call("POST", "/Users", user("bob@example.com", "Boss"), [201])
    assert other.log_in("bob@example.com") == 200 and other.is_in()
    assert not first.is_in() and first.log_in("nobody@example.com") == 403
    for off, on in [
        (lambda: client.call("PATCH", at, patch({"op": "replace", "value": {"active": False}}), [200]),
         lambda: client.call("PATCH", at, patch({"op": "replace", "value": {"active": True}}), [200])),
        (lambda: client.call("DELETE", at, None, [204]),
         lambda: command(binary, database, "user", "restore", "acme", ANN)),
        (lambda: command(binary, database, "user", "purge", "acme", ANN, "--yes"), None),
    ]:
        for browser in [first, second]:
            assert browser.log_in() == 200 and browser.is_in()
        off()
        took += [ends(first), ends(second)]
        assert first.log_in() == 403 and not first.is_in()
        if on:
            on()
    assert other.is_in(), "somebody else's session goes on"
    return max(took)


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        database = os.path.join(folder, "plumm.db")
        command(binary, database, "org", "create", "acme", "--activate")
        write = command(binary, database, "token", "create", "acme")["token"]
        read = command(binary, database, "token", "create", "acme", "--scope", "read")["token"]
        server = Server(binary, database)
        host, port = server.address
        environment = {**os.environ, "PLUMM_URL": f"http://{host}:{port}", "PLUMM_TOKEN": read}
        try:
            process, base = flask(environment)
            try:
                longest = play(base, Client(server.address, write), binary, database)
            finally:
                process.kill()
                process.wait()
            server.stop()
            assert not server.complaints, server.complaints
        finally:
            server.kill()
    print(f"examples: sessions ended after {longest * 1000:.0f} ms at most")


main()
