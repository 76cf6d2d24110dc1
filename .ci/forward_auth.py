"""nginx and Caddy, configured as in deploy/, in front of an application: who is active gets through and is named,
nobody else does, whatever a client sends and whatever becomes of plumm.

    forward_auth.py PLUMM_BINARY FOLDER

FOLDER is where .ci/debian has unpacked the proxies; those of the host will do too. One that is not there is
said to be not run. Everything listens on loopback, and the proxies are nobody's where that is possible.
"""

import base64
import http.client
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from plumm import Client, Server, command, not_run, patch, user  # noqa: E402
from proxy import SECONDS_MAX, Proxy, caddy_alone, configured, found, nginx_alone, write  # noqa: E402

ANN, BOB, EVE = "ann@example.com", "bob@example.com", "eve@example.com"
PASSWORD = "right"
NAMES = ["X-Forwarded-User", "X-Auth-Request-User", "X-Auth-Request-Email", "Remote-User", "X-Plumm-User-Id"]


class Echo(http.server.BaseHTTPRequestHandler):
    """The application: it answers with the header fields that it was sent."""

    def do_GET(self):
        self.server.asked += 1
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def nginx(program, plumm, application, token):
    hashed = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], capture_output=True, text=True, check=True)

    def make(folder, port):
        people = write(folder, "people", "".join(f"{it}:{hashed.stdout.strip()}\n" for it in (ANN, BOB, EVE)))
        site = write(folder, "site.conf", configured("nginx-auth.conf", {
            "127.0.0.1:8000": f"127.0.0.1:{port}", "127.0.0.1:8080": plumm, "127.0.0.1:3000": application,
            "plm_REPLACE_ME": token, "/etc/nginx/people.htpasswd": people}))
        return nginx_alone(program, folder, site)

    return make


def caddy(program, plumm, application, token):
    hashed = subprocess.run([program, "hash-password", "--plaintext", PASSWORD], capture_output=True, text=True,
                            check=True).stdout.strip()
    people = "\n".join(f"\t\t{it} {hashed}" for it in (ANN, BOB, EVE))

    def make(folder, port):
        return caddy_alone(program, folder, configured("Caddyfile", {
            "app.example.com {": f"http://127.0.0.1:{port} {{", "127.0.0.1:8080": plumm,
            "127.0.0.1:3000": application, "\t\tmara.novak@example.com $2a$14$REPLACE_ME": people}))

    return make


def ask(proxy, name, password=PASSWORD, fields=None):
    """The answer to a request of this person: its status, and what the application was sent."""
    fields = dict(fields or {})
    if name:
        fields["Authorization"] = "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=SECONDS_MAX)
    connection.request("GET", "/page", headers=fields)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {it.lower(): value for it, value in json.loads(body).items()} if answer.status == 200 else {}


def play(proxy, application, client, revoke, server):
    ann = client.lookup(ANN) or [client.call("POST", "/Users", user(ANN, "Boss"), [201])[1]]
    ann = ann[0]
    if not client.lookup(BOB):
        client.call("POST", "/Users", user(BOB, "Boss", active=False), [201])

    def passes():
        status, seen = ask(proxy, ANN)
        assert status == 200 and seen["x-plumm-user-id"] == ann["id"] and seen["remote-user"] == ANN, (status, seen)
        assert "authorization" not in seen, seen

    def refused(expected, *arguments, **more):
        before = application.asked
        status = ask(proxy, *arguments, **more)[0]
        assert status in expected, (status, arguments, more)
        assert application.asked == before, "the application was asked"

    passes()
    refused([403], BOB)
    refused([403], EVE)
    refused([401], None)
    refused([401], ANN, "wrong")
    # A client that names somebody itself is nobody else by it, in any letter case.
    for names in [[it] for it in NAMES] + [[it.lower() for it in NAMES], NAMES]:
        forged = {it: ANN for it in names}
        refused([403], BOB, fields=forged)
        refused([403], EVE, fields=forged)
        refused([401], None, fields=forged)
        status, seen = ask(proxy, ANN, fields={it: BOB for it in names})
        assert status == 200 and BOB not in seen.values(), seen
        assert seen["x-plumm-user-id"] == ann["id"] and seen["remote-user"] == ANN, seen
    at = f"/Users/{ann['id']}"
    client.call("PATCH", at, patch({"op": "replace", "value": {"active": False}}), [200])
    refused([403], ANN)
    client.call("PATCH", at, patch({"op": "replace", "value": {"active": True}}), [200])
    passes()
    revoke()
    refused([401, 500], ANN)
    server.stop()
    refused([500, 502, 503], ANN)


def main():
    binary, unpacked = (os.path.abspath(it) for it in sys.argv[1:])
    application = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    application.asked = 0
    threading.Thread(target=application.serve_forever, daemon=True).start()
    for name, make in [("nginx", nginx), ("caddy", caddy)]:
        program = found(unpacked, name)
        if not program:
            not_run(f"the forward auth of {name}, as deploy/ has it: there is no {name} here")
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o711)
            database = os.path.join(folder, "plumm.db")
            command(binary, database, "org", "create", "acme", "--activate")
            scim = command(binary, database, "token", "create", "acme")["token"]
            access = command(binary, database, "token", "create", "acme", "--scope", "access")
            server = Server(binary, database)
            try:
                proxy = Proxy(make(program, "{}:{}".format(*server.address),
                                   "{}:{}".format(*application.server_address), access["token"]),
                              os.path.join(folder, name), {"PLUMM_TOKEN": access["token"]})
                try:
                    proxy.wait()
                    play(proxy, application, Client(server.address, scim),
                         lambda: command(binary, database, "token", "revoke", access["id"]), server)
                finally:
                    proxy.stop()
                assert not server.complaints, server.complaints
            finally:
                server.kill()
        print(f"forward auth: {name} lets in whom plumm lets in, and nobody else "
              f"({time.monotonic() - begun:.0f} s)")
    application.shutdown()


main()
