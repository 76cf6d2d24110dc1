"""The examples against the real server: who is deactivated is refused at login, and a running session ends
within a second, also when support does it with a command, when it happened while the application was down,
and when a webhook says it.

    python3 .ci/examples.py BINARY

Needs the packages of requirements.txt. An example whose language is not here is said to be not run.
"""

import base64
import glob
import hmac
import http.cookiejar
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
from plumm import Client, Server, command, not_run, patch, user  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENDS_SECONDS_MAX = 1
PATIENCE_SECONDS = 30
BUILD_SECONDS_MAX = 300
ANN, BOB = "ann@example.com", "bob@example.com"
KEY = os.urandom(24)


class Browser:
    """Somebody with a session of their own."""

    def __init__(self, application):
        self.application = application
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def status(self, path, **form):
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            return self.opener.open(self.application.base + path, data, timeout=PATIENCE_SECONDS).status
        except urllib.error.HTTPError as error:
            return error.code

    def log_in(self, name=ANN):
        return self.status("/login", userName=name)

    def is_in(self):
        return self.status("/") == 200


class Application:
    """An example that can be started again. Its file with position and sessions stays."""

    def __init__(self, name, command, folder, environment):
        self.name, self.command, self.folder = name, command, folder
        self.environment = {**environment, "STATE_FILE": os.path.join(folder, "sessions.json"), "PORT": "0",
                            "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, cwd=self.folder, env=self.environment, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        watchdog = threading.Timer(PATIENCE_SECONDS, self.process.kill)
        watchdog.start()
        printed = []
        for line in self.process.stdout:
            printed.append(line)
            found = re.search(r"(?:Running|listening) on (http://127\.0\.0\.1:\d+)", line)
            if found:
                watchdog.cancel()
                self.base = found.group(1)
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return
        raise SystemExit(f"{self.name}: the example did not start: " + "".join(printed))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def send_webhook(self, event, key=KEY, late=0, body=None, sign="{}"):
        """How a webhook is answered; what is sent may be forged."""
        at, number = str(int(time.time()) - late), "msg_1"
        told = json.dumps({"type": event["type"], "timestamp": event["time"], "data": event}).encode()
        signed = f"{number}.{at}.".encode() + told
        signature = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        fields = {"Content-Type": "application/json", "webhook-id": number, "webhook-timestamp": at,
                  "webhook-signature": sign.format(signature)}
        request = urllib.request.Request(self.base + "/webhook", body or told, fields)
        try:
            return urllib.request.urlopen(request, timeout=PATIENCE_SECONDS).status
        except urllib.error.HTTPError as error:
            return error.code


def ends(browser):
    """How long it takes until a session has ended."""
    begun = time.monotonic()
    while browser.is_in():
        assert time.monotonic() - begun < ENDS_SECONDS_MAX, "the session goes on"
        time.sleep(0.01)
    return time.monotonic() - begun


def begins(browser):
    """Waits until somebody is in: an application that has just been started asks before it says so."""
    begun = time.monotonic()
    while not browser.is_in():
        assert time.monotonic() - begun < PATIENCE_SECONDS, "the session is lost"
        time.sleep(0.01)


def play(application, client, support, database):
    """The life of two people; returns the longest time that a session took to end."""
    ann = client.call("POST", "/Users", user(ANN, "Boss"), [201])[1]
    bob = client.call("POST", "/Users", user(BOB, "Boss"), [201])[1]
    at, took = f"/Users/{ann['id']}", []

    def set_active(active):
        client.call("PATCH", at, patch({"op": "replace", "value": {"active": active}}), [200])

    application.start()
    first, second, other = Browser(application), Browser(application), Browser(application)
    # The first sync ends whatever was there before it.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while other.status("/") != 401:
        assert time.monotonic() < deadline, "the feed is not read"
        time.sleep(0.05)
    assert other.log_in(BOB) == 200 and other.is_in()
    assert not first.is_in() and first.log_in("nobody@example.com") == 403
    for off, on in [
        (lambda: set_active(False), lambda: set_active(True)),
        (lambda: client.call("DELETE", at, None, [204]), lambda: support("user", "restore", "acme", ANN)),
    ]:
        for browser in [first, second]:
            assert browser.log_in() == 200 and browser.is_in()
        off()
        took += [ends(first), ends(second)]
        assert first.log_in() == 403 and not first.is_in()
        on()

    # A restart loses no session, and misses nothing that happened meanwhile.
    assert first.log_in() == 200 and first.is_in()
    application.kill()
    application.start()
    begins(first)
    application.kill()
    set_active(False)
    application.start()
    while other.status("/") == 503:
        assert not first.is_in(), "nobody has asked who was deactivated meanwhile"
    begins(other)
    assert not first.is_in(), "what happened during a restart was missed"
    set_active(True)

    # A webhook is believed when it is signed, and not otherwise.
    event = {"id": "evt_1_0", "sequence": 1, "type": "user.deactivated", "time": "2026-01-31T08:12:45Z",
             "by": {"kind": "command"}, "userId": bob["id"], "user": {**bob, "active": False}, "changed": {}}
    signatures = "v1,{} v1a,{}".format(base64.b64encode(os.urandom(32)).decode(), "AAAA")
    for forged in [{"key": os.urandom(24)}, {"key": b""}, {"late": 1000}, {"late": -1000}, {"sign": ""},
                   {"sign": signatures}, {"body": json.dumps({"data": event}).encode()}]:
        assert application.send_webhook(event, **forged) == 401, forged
        assert other.is_in(), forged
    unknown = {**event, "type": "something.else", "user": bob}
    assert application.send_webhook(unknown) == 204 and other.is_in()
    assert application.send_webhook(event, sign=signatures + " {}") == 204 and not other.is_in()
    assert other.log_in(BOB) == 200 and other.is_in()

    # Where something is not kept any more, whoever was logged in has to log in again.
    assert first.log_in() == 200 and first.is_in()
    application.kill()
    set_active(False)
    with sqlite3.connect(database) as file:
        file.execute("UPDATE org SET trimmed = (SELECT max(seq) FROM provisioning_log)")
    file.close()
    application.start()
    begun = time.monotonic()
    while other.status("/") != 401:
        assert time.monotonic() - begun < PATIENCE_SECONDS, "the sync does not end"
        time.sleep(0.05)
    assert not first.is_in() and first.log_in() == 403 and other.log_in(BOB) == 200 and other.is_in()
    set_active(True)

    assert first.log_in() == 200 and first.is_in()
    support("user", "purge", "acme", ANN, "--yes")
    took.append(ends(first))
    assert other.is_in(), "somebody else's session goes on"
    client.call("DELETE", f"/Users/{bob['id']}", None, [204])
    return max(took)


def run(arguments, **more):
    ran = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=BUILD_SECONDS_MAX, **more)
    assert ran.returncode == 0, (arguments, ran.stdout)
    return ran.stdout


def flask(folder):
    source = os.path.join(ROOT, "examples/flask/app.py")
    return [sys.executable, "-m", "flask", "--app", source, "run", "--port", "0"]


def express(folder):
    for path in glob.glob(os.path.join(ROOT, "examples/express/*.js*")):
        shutil.copy(path, folder)
    run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder)
    return ["node", "app.js"]


def go(folder):
    source = os.path.join(ROOT, "examples/go")
    assert run(["gofmt", "-l", source]) == ""
    run(["go", "vet", "."], cwd=source)
    program = os.path.join(folder, "example")
    run(["go", "build", "-o", program, "."], cwd=source)
    return [program]


def main():
    binary = os.path.abspath(sys.argv[1])
    for name, make, needed in [("flask", flask, []), ("express", express, ["node", "npm"]), ("go", go, ["go", "gofmt"])]:
        missing = [it for it in needed if not shutil.which(it)]
        if missing:
            not_run(f"the example in examples/{name}: there is no {' and no '.join(missing)} here")
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            database = os.path.join(folder, "plumm.db")
            home = os.path.join(folder, "example")
            os.mkdir(home)

            def support(*arguments):
                return command(binary, database, *arguments)

            support("org", "create", "acme", "--activate", "--rate", "100000")
            write = support("token", "create", "acme")["token"]
            read = support("token", "create", "acme", "--scope", "read")["token"]
            server = Server(binary, database)
            try:
                environment = {**os.environ, "PLUMM_URL": "http://{}:{}".format(*server.address),
                               "PLUMM_TOKEN": read,
                               "PLUMM_WEBHOOK_SECRET": "whsec_" + base64.b64encode(KEY).decode()}
                application = Application(name, make(home), home, environment)
                try:
                    longest = play(application, Client(server.address, write), support, database)
                finally:
                    if application.process:
                        application.kill()
                server.stop()
                assert not server.complaints, server.complaints
            finally:
                server.kill()
        print(f"{name}: sessions ended after {longest * 1000:.0f} ms at most "
              f"({time.monotonic() - begun:.0f} s)")


main()
