"""Runs README's first command as a new user would, and is Okta for a minute.

The command is run as it stands, with a database in an empty folder and a free port. Everything it prints
for the user is used as printed: the base URL and the token.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SECONDS_MAX = 60


def main():
    command = sys.argv[1].split()
    command[2:2] = ["--locked"]
    with tempfile.TemporaryDirectory() as folder:
        database = os.path.join(folder, "plumm.db")
        environment = {**os.environ, "PLUMM_LISTEN": "127.0.0.1:0", "PLUMM_DB": database,
                       "PLUMM_ENV_FILE": ""}
        # In the package's own folder, where its settings for cargo are.
        server = subprocess.Popen(command, cwd=ROOT, env=environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        watchdog = threading.Timer(SECONDS_MAX, server.kill)
        watchdog.start()
        try:
            base = listening(server)
            token = printed_token(server)
            okta(base + "/scim/v2", token)
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=15) == 0, f"exit code {server.returncode}"
            assert os.listdir(folder) == ["plumm.db"], os.listdir(folder)
        finally:
            watchdog.cancel()
            server.kill()
    print("smoke: all as Okta expects it")


def listening(server):
    for line in server.stderr:
        sys.stdout.write(line)
        found = re.search(r"listening on (http://\S+)", line)
        if found:
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return found.group(1)
    raise SystemExit("the server ended before it listened")


def printed_token(server):
    for line in server.stdout:
        found = re.search(r"plm_\w+", line)
        if found:
            return found.group(0)
    raise SystemExit("no token was printed")


def okta(base, token):
    user = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "test.user@okta.local",
        "name": {"givenName": "Test", "familyName": "User"},
        "emails": [{"primary": True, "value": "test.user@okta.local", "type": "work"}],
        "externalId": "00ujl29u0le5T6Aj10h7", "password": "1mz050nq", "active": True,
    }
    lookup = "/Users?filter=" + urllib.parse.quote('userName eq "Test.User@okta.local"')

    def call(method, path, body=None, expected=200, key=token):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(base + path, data, method=method, headers={
            "Accept": "application/scim+json", "Authorization": f"Bearer {key}",
            "Content-Type": "application/scim+json; charset=utf-8"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        print(f"smoke: {method} {path.split('?')[0]} -> {status}")
        assert status == expected, (method, path, status, text)
        return json.loads(text) if text else None

    assert call("GET", "/Users?startIndex=1&count=2")["Resources"] == []
    assert call("GET", lookup)["totalResults"] == 0
    created = call("POST", "/Users", user, 201)
    at = "/Users/" + created["id"]
    assert call("POST", "/Users", user, 409)["scimType"] == "uniqueness"
    assert call("GET", lookup)["Resources"] == [created]
    created["name"]["givenName"] = "Changed"
    assert call("PUT", at, created)["name"]["givenName"] == "Changed"
    for active in (False, True):
        patch = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                 "Operations": [{"op": "replace", "value": {"active": active}}]}
        assert call("PATCH", at, patch)["active"] is active
        assert call("GET", at)["active"] is active
    assert call("PUT", at, {**created, "userName": "x@y.z"}, 400)["scimType"] == "mutability"
    assert call("GET", "/Users", expected=401, key=token[:-1])["status"] == "401"


main()
