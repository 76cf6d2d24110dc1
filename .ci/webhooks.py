"""Webhooks of the real server, verified by what others have written: HMAC by the library of Standard Webhooks,
Ed25519 by another one of cryptography.

    python3 .ci/webhooks.py BINARY

Needs the packages of requirements.txt.
"""

import base64
import http.server
import json
import os
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
            server.stop()
            assert not server.complaints, server.complaints
        finally:
            server.kill()
    print(f"webhooks: {2 * 2 * PEOPLE} events verified by other libraries")


if __name__ == "__main__":
    main()
