"""Webhooks of the real server, verified by what others have written: HMAC by the library of Standard Webhooks,
Ed25519 by another one of cryptography; and to a receiver that is killed with kill -9.

    python3 .ci/webhooks.py BINARY

Needs the packages of requirements.txt.
"""

import base64
import http.server
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

sys.dont_write_bytecode = True
from plumm import Client, Server, command, patch, user  # noqa: E402

PATIENCE_SECONDS = 30
PEOPLE = 50
# How often a receiver is killed, and how long it takes for one event: mostly it is killed within one.
KILLS = 8
TAKES_SECONDS = 0.02


class Receiver:
    """Takes events and keeps them."""

    def __init__(self):
        received = self.received = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                received.append((dict(self.headers.items()), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, count):
        ends = time.monotonic() + PATIENCE_SECONDS
        while len(self.received) < count:
            assert time.monotonic() < ends, f"{len(self.received)} of {count} events came"
            time.sleep(0.01)


class Program:
    """A receiver in a process of its own. It answers once the event is in its file for good, as one must."""

    SOURCE = '''
import http.server, os, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(float(sys.argv[2]))
        file.write(self.headers["webhook-id"] + "\\n")
        file.flush()
        os.fsync(file.fileno())
        time.sleep(float(sys.argv[2]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass

file = open(sys.argv[3], "a")
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(server.server_port, flush=True)
server.serve_forever()
'''

    def __init__(self, file):
        self.file, self.port = file, 0
        self.start()

    def start(self):
        arguments = [sys.executable, "-c", Program.SOURCE, str(self.port), str(TAKES_SECONDS), self.file]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ids(self):
        with open(self.file) as file:
            return file.read().split()


def killed_receiver(binary, database, folder, client):
    """A receiver is killed in the midst of deliveries and started again: nothing is lost, and an event comes
    again only right after itself."""
    program = Program(os.path.join(folder, "received"))
    try:
        hook = command(binary, database, "webhook", "add", "acme", f"http://127.0.0.1:{program.port}/")
        made = 0
        for kill in range(KILLS):
            for _ in range(10):
                client.call("POST", "/Users", user(f"killed{made}@example.com", "x"), [201])
                made += 1
            before, ends = len(program.ids()), time.monotonic() + PATIENCE_SECONDS
            while len(program.ids()) < before + 2:
                assert time.monotonic() < ends, "nothing comes"
                time.sleep(0.005)
            time.sleep(random.random() * 3 * TAKES_SECONDS)
            program.kill()
            program.start()
            # In the place of the pauses, which grow.
            command(binary, database, "webhook", "enable", hook["id"])
        ends = time.monotonic() + PATIENCE_SECONDS
        while len(set(program.ids())) < made:
            assert time.monotonic() < ends, f"{len(set(program.ids()))} of {made} events came"
            time.sleep(0.1)
        ids = program.ids()
        once = list(dict.fromkeys(ids))
        sequences = [int(it.split("_")[1]) for it in once]
        assert sequences == sorted(sequences) and len(once) == made, once
        place = {it: i for i, it in enumerate(once)}
        steps = [place[b] - place[a] for a, b in zip(ids, ids[1:])]
        assert all(it <= 1 for it in steps), "an event came before one that was not taken yet"
        command(binary, database, "webhook", "remove", hook["id"])
        return made, len(ids) - made
    finally:
        program.kill()


def lower(headers):
    return {name.lower(): value for name, value in headers.items()}


def verified_hmac(secret, headers, body):
    return Webhook(secret).verify(body.decode(), headers)


def verified_ed25519(public, headers, body):
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    headers = lower(headers)
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    version, signature = headers["webhook-signature"].split(",", 1)
    assert version == "v1a", version
    key.verify(base64.b64decode(signature), text)
    return json.loads(body)


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        database = os.path.join(folder, "plumm.db")
        command(binary, database, "org", "create", "acme", "--activate")
        token = command(binary, database, "token", "create", "acme")["token"]
        first, second = Receiver(), Receiver()
        server = Server(binary, database)
        try:
            shared = command(binary, database, "webhook", "add", "acme", first.url)
            pair = command(binary, database, "webhook", "add", "acme", second.url, "--key", "ed25519")
            client = Client(server.address, token)
            for i in range(PEOPLE):
                made = client.call("POST", "/Users", user(f"u{i}@example.com", "Jürgen"), [201])[1]
                off = patch({"op": "replace", "value": {"active": False}})
                client.call("PATCH", f"/Users/{made['id']}", off, [200])
            for receiver in [first, second]:
                receiver.wait_for(2 * PEOPLE)
            types = ["user.created", "user.deactivated"] * PEOPLE
            told = [verified_hmac(shared["secret"], *it) for it in first.received]
            assert [it["type"] for it in told] == types
            told = [verified_ed25519(pair["public_key"], *it) for it in second.received]
            assert [it["type"] for it in told] == types
            ids = [lower(headers)["webhook-id"] for headers, _ in first.received]
            assert len(set(ids)) == len(ids)

            # The library refuses another key, and another body.
            headers, body = first.received[0]
            other = "whsec_" + base64.b64encode(bytes(32)).decode()
            for secret, body in [(other, body), (shared["secret"], body + b" ")]:
                try:
                    verified_hmac(secret, headers, body)
                except WebhookVerificationError:
                    continue
                raise SystemExit("the library takes anything")

            # Both keys of a rotation.
            renewed = command(binary, database, "webhook", "rotate", shared["id"])
            command(binary, database, "webhook", "test", shared["id"])
            headers, body = first.received[-1]
            for secret in [shared["secret"], renewed["secret"]]:
                assert verified_hmac(secret, headers, body)["type"] == "webhook.test"
            made, again = killed_receiver(binary, database, folder, client)
            server.stop()
            assert not server.complaints, server.complaints
        finally:
            server.kill()
    print(f"webhooks: {2 * 2 * PEOPLE} events verified by other libraries; "
          f"a receiver killed {KILLS} times got {made} events in their order, {again} of them again")


if __name__ == "__main__":
    main()
