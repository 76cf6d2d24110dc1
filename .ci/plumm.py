"""A running plumm and a client of it, for the scripts beside this file. Standard library only."""

import http.client
import json
import os
import re
import subprocess
import threading
import urllib.parse

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
SECONDS_MAX = 30
# Until a server listens, also where something that slows it down runs it.
START_SECONDS_MAX = 120


# The settings of the host do not count.
os.environ["PLUMM_ENV_FILE"] = ""


class Cut(Exception):
    """The connection ended without an answer: nobody knows whether the request was done."""


class Server:
    """`plumm serve` on a file, on a port of its own; `before` is called in its process first, and
    `under` is a program with its arguments that runs it."""

    def __init__(self, binary, database, arguments=(), before=None, under=()):
        command = [*under, binary, "--db", database, "serve", "--listen", "127.0.0.1:0", *arguments]
        environment = {**os.environ, "PLUMM_LOG": "info"}
        self.process = subprocess.Popen(command, env=environment, text=True,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        preexec_fn=before)
        self.complaints = []
        watchdog = threading.Timer(START_SECONDS_MAX, self.process.kill)
        watchdog.start()
        for line in self.process.stderr:
            found = re.search(r"listening on https?://(\S+):(\d+)", line)
            if found:
                watchdog.cancel()
                self.address = (found.group(1), int(found.group(2)))
                self.complaints = []
                threading.Thread(target=self._read, daemon=True).start()
                return
            self.complaints.append(line)
        watchdog.cancel()
        raise SystemExit("the server ended before it listened: " + "".join(self.complaints))

    def _read(self):
        for line in self.process.stderr:
            if "ERROR" in line or "panicked" in line:
                self.complaints.append(line)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=SECONDS_MAX) == 0, self.process.returncode


class Client:
    """One connection with a token."""

    def __init__(self, address, token):
        self.connection = http.client.HTTPConnection(*address, timeout=SECONDS_MAX)
        self.token = token

    def call(self, method, path, body=None, expected=None):
        """The answer as status and JSON; fails when the status is not one of `expected`."""
        data = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/scim+json",
                   "Content-Type": "application/scim+json"}
        try:
            self.connection.request(method, "/scim/v2" + path, data, headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise Cut(error) from error
        value = json.loads(text) if text else None
        if answer.status >= 400:
            assert value["schemas"] == [ERROR] and value["status"] == str(answer.status), value
        if expected is not None:
            assert answer.status in expected, (method, path, answer.status, value)
        return answer.status, value

    def lookup(self, name):
        """The resources with this userName."""
        query = urllib.parse.urlencode({"filter": f'userName eq "{name}"'})
        return self.call("GET", f"/Users?{query}", expected=[200])[1]["Resources"]

    def everything(self, kind):
        """Every resource of a type, as an import reads them."""
        found, start = [], 1
        while True:
            page = self.call("GET", f"/{kind}?startIndex={start}&count=200", expected=[200])[1]
            found += page["Resources"]
            # A page may have fewer than were asked for (RFC 7644 section 3.4.2.4).
            start += page["itemsPerPage"]
            if start > page["totalResults"] or not page["Resources"]:
                return found, page["totalResults"]


def listening(server):
    """The base URL of a server that was started with its standard error as a pipe of text."""
    for line in server.stderr:
        found = re.search(r"listening on (http://\S+)", line)
        if found:
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return found.group(1)
    raise SystemExit("the server ended before it listened")


def command(binary, database, *arguments):
    """What a command prints, as JSON."""
    ran = subprocess.run([binary, "--db", database, "--json", *arguments],
                         capture_output=True, text=True, timeout=SECONDS_MAX)
    assert ran.returncode == 0, (arguments, ran.stderr)
    return json.loads(ran.stdout)


def has_command(binary, name):
    """Whether this plumm has a command."""
    return subprocess.run([binary, name, "--help"], capture_output=True).returncode == 0


def user(name, title, active=True):
    return {"schemas": [USER], "userName": name, "title": title, "active": active,
            "name": {"givenName": "Test", "familyName": "User"},
            "emails": [{"primary": True, "value": name, "type": "work"}]}


def patch(*operations):
    return {"schemas": [PATCH], "Operations": list(operations)}


def not_run(sentence):
    """Says loudly what a step could not run, here and in the summary of .ci/run."""
    print("**", sentence)
    if os.environ.get("CI_NOT_RUN"):
        with open(os.environ["CI_NOT_RUN"], "a") as file:
            file.write(sentence + "\n")
