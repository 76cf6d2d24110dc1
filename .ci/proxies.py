"""plumm behind nginx and Caddy, configured as in deploy/: TLS, long bodies, the client's address, the token, waits of a
minute, and what an identity provider reads when plumm is down.

    proxies.py PLUMM_BINARY FOLDER

FOLDER is where .ci/debian has unpacked the proxies; those of the host will do too. One that is not there is said to
be not run, and so is Traefik, whose configuration is only read. Everything listens on loopback.
"""

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from plumm import Client, ERROR, Server, command, not_run, user  # noqa: E402
from proxy import ROOT, SECONDS_MAX, Proxy, caddy_alone, configured, found, nginx_alone, write  # noqa: E402

NAME = "scim.example.com"
PUBLIC = f"https://{NAME}"
# The proxy asks plumm from 127.0.0.1; the client is somebody else.
CLIENT = "127.0.0.9"
FORGED = {"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.8;proto=https", "X-Real-IP": "203.0.113.9"}
MIB = 1024 * 1024
BODY_BYTES_MAX = 8 * MIB
# The longest wait of the change feed.
WAIT_SECONDS = 60


def nginx(program, plumm, cert, key):
    def make(folder, port):
        site = configured("nginx-scim.conf", {
            "    listen 443 ssl;\n    listen [::]:443 ssl;\n": f"    listen 127.0.0.1:{port} ssl;\n",
            "server 127.0.0.1:8080;": f"server {plumm};", "/var/log/nginx/plumm.log": f"{folder}/access",
            f"/etc/letsencrypt/live/{NAME}/fullchain.pem": write(folder, "cert.pem", cert),
            f"/etc/letsencrypt/live/{NAME}/privkey.pem": write(folder, "key.pem", key)})
        return nginx_alone(program, folder, write(folder, "site.conf", site))

    return make


def caddy(program, plumm, cert, key):
    def make(folder, port):
        cert_path, key_path = write(folder, "cert.pem", cert), write(folder, "key.pem", key)
        # A certificate that is there, instead of one that would be fetched.
        address = f"{NAME}:{port} {{\n\ttls {cert_path} {key_path}"
        site = configured("Caddyfile-scim", {
            f"{NAME} {{": address, "reverse_proxy 127.0.0.1:8080": f"reverse_proxy {plumm}",
            "/var/log/caddy/plumm.log": f"{folder}/access"})
        return caddy_alone(program, folder, site)

    return make


class Outside:
    """A client on the other side of a proxy, which trusts its certificate and nothing else."""

    def __init__(self, proxy, cert, token=None):
        self.proxy, self.token = proxy, token
        self.context = ssl.create_default_context(cadata=cert)

    def ask(self, method, path, body=None, fields=None, seconds=SECONDS_MAX):
        """Status, fields in small letters, and the body as JSON, which every answer is."""
        fields = dict(fields or {})
        if self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            fields["Content-Type"] = "application/scim+json"
        connection = http.client.HTTPConnection(NAME, self.proxy.port, timeout=seconds)
        connection.sock = self.context.wrap_socket(
            socket.create_connection(("127.0.0.1", self.proxy.port), seconds, (CLIENT, 0)),
            server_hostname=NAME)
        try:
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, names, json.loads(text) if text else None


def is_error(answer, status, words):
    code, fields, value = answer
    assert code == status and fields["content-type"].startswith("application/scim+json"), answer
    assert value["schemas"] == [ERROR] and value["status"] == str(status), answer
    assert words in value["detail"], answer


def padded(name, length):
    """A user as JSON of this length."""
    text = json.dumps(user(name, "Guide"))
    return " " * (length - len(text)) + text


def play(name, proxy, cert, binary, database, server, access):
    token = command(binary, database, "token", "create", "acme")["token"]
    client, stranger = Outside(proxy, cert, token), Outside(proxy, cert)

    # The token, the address that clients use, the id of the request.
    is_error(stranger.ask("GET", "/scim/v2/Users"), 401, "token")
    status, fields, ann = client.ask("POST", "/scim/v2/Users", json.dumps(user("ann@example.com", "Boss")), FORGED)
    assert status == 201, (status, ann)
    assert fields["location"] == ann["meta"]["location"] == f"{PUBLIC}/scim/v2/Users/{ann['id']}", fields
    request = fields["x-request-id"]

    # Whose request it was, whatever the client has written into the fields of proxies.
    entry = command(binary, database, "log", "acme", "--limit", "1")["entries"][-1]
    assert entry["client"] == CLIENT and entry["request"] == request, entry
    status, fields, _ = client.ask("GET", "/scim/v2/Users", fields={"X-Request-Id": "made-up"})
    assert status == 200 and fields["x-request-id"] != "made-up", fields

    # The path arrives as it was sent.
    assert client.ask("GET", f"//scim/v2//Users/{ann['id']}/")[0] == 200
    query = "/scim/v2/Users?filter=userName%20eq%20%22Ann%40example.com%22&startIndex=1&count=100"
    assert client.ask("GET", query)[2]["totalResults"] == 1
    read = Outside(proxy, cert, command(binary, database, "token", "create", "acme", "--scope", "read")["token"])
    assert read.ask("GET", "/access/v1/user?userName=ann%40example.com")[2]["active"] is True

    # All that plumm takes goes through; what is too large for it is refused in its own words.
    assert client.ask("POST", "/scim/v2/Users", padded("bob@example.com", BODY_BYTES_MAX))[0] == 201
    for length, words in [(BODY_BYTES_MAX + 1, f"{BODY_BYTES_MAX} bytes"), (10 * MIB, "9 MiB")]:
        try:
            answer = client.ask("POST", "/scim/v2/Users", padded("eve@example.com", length))
        except OSError:
            # Caddy does not read to its end what was refused at its beginning.
            assert name == "caddy", (name, length)
            continue
        is_error(answer, 413, words if name == "nginx" else f"{BODY_BYTES_MAX} bytes")
    assert client.ask("GET", "/scim/v2/Users")[2]["totalResults"] == 2

    # A wait of the change feed ends with the change, and one without a change at its end.
    status, fields, _ = client.ask("GET", "/scim/v2/Users?count=1")
    after, answers = fields["plumm-change"], []

    def wait(seconds):
        begun = time.monotonic()
        answer = read.ask("GET", f"/access/v1/changes?after={after}&wait={seconds}", seconds=2 * WAIT_SECONDS)
        answers.append((answer, time.monotonic() - begun))

    waiting = threading.Thread(target=wait, args=[WAIT_SECONDS])
    waiting.start()
    time.sleep(1)
    assert client.ask("DELETE", f"/scim/v2/Users/{ann['id']}")[0] == 204
    waiting.join()
    (status, _, value), took = answers.pop()
    assert status == 200 and value["changes"][0]["type"] == "user.deleted" and took < 10, (value, took)
    after = value["last"]
    wait(WAIT_SECONDS)
    (status, _, value), took = answers.pop()
    assert status == 200 and value["changes"] == [] and took >= WAIT_SECONDS - 1, (status, value, took)

    # plumm itself finds nothing wrong with its proxy.
    ran = subprocess.run([binary, "--db", database, "--json", "doctor"], capture_output=True, text=True)
    checks = {it["name"]: it for it in json.loads(ran.stdout)["checks"]}
    for check in ("listening", "public-url", "proxy"):
        assert checks[check]["state"] == "ok", checks[check]

    # Nobody is named in the proxy's log, and the request can be found there.
    with open(access) as file:
        log = file.read()
    assert request in log and "/scim/v2/Users" in log, log
    assert not re.search("ann(@|%40)|userName|after=", log, re.I) and token not in log, log

    server.stop()
    answer = client.ask("GET", "/scim/v2/Users")
    is_error(answer, 503, "plumm doctor")
    assert int(answer[1]["retry-after"]) > 0, answer


def behind(name, make, binary, program):
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)
        database = os.path.join(folder, "plumm.db")
        command(binary, database, "org", "create", "acme", "--activate")
        cert, key = (os.path.join(folder, it) for it in ("cert.pem", "key.pem"))
        command(binary, database, "tls", "self-signed", "--host", NAME, "--out-cert", cert, "--out-key", key)
        with open(cert) as cert_file, open(key) as key_file:
            cert, key = cert_file.read(), key_file.read()
        server = Server(binary, database, ["--public-url", PUBLIC, "--trusted-proxies", "127.0.0.1"])
        try:
            with Proxy(make(program, "{}:{}".format(*server.address), cert, key), os.path.join(folder, name)) as proxy:
                play(name, proxy, cert, binary, database, server, os.path.join(folder, name, "access"))
            assert not server.complaints, server.complaints
        finally:
            server.kill()
    print(f"proxies: all that plumm takes and answers goes through {name} ({time.monotonic() - begun:.0f} s)")


def traefik_is_read():
    """Traefik cannot be had here: its file is read, and its names are looked for."""
    try:
        import yaml
    except ImportError:
        not_run("deploy/traefik-scim.yml was not even read: there is no PyYAML here")
        return
    with open(os.path.join(ROOT, "deploy", "traefik-scim.yml")) as file:
        told = yaml.safe_load(file)["http"]
    assert set(told) == {"routers", "middlewares", "services", "serversTransports"}, told
    router = told["routers"]["plumm"]
    balancer = told["services"][router["service"]]["loadBalancer"]
    assert all(it in told["middlewares"] for it in router["middlewares"]), router
    assert balancer["serversTransport"] in told["serversTransports"] and balancer["passHostHeader"] is True
    assert told["middlewares"]["plumm-client"]["headers"]["customRequestHeaders"] == {"Forwarded": ""}
    not_run("plumm behind Traefik, as deploy/traefik-scim.yml has it: there is no Traefik here; the file was read as YAML")


def main():
    binary, unpacked = (os.path.abspath(it) for it in sys.argv[1:])
    faults = []

    def run(name, make, program):
        try:
            behind(name, make, binary, program)
        except BaseException as fault:
            faults.append((name, fault))
            raise

    threads = []
    # Side by side, since each waits for a minute.
    for name, make in [("nginx", nginx), ("caddy", caddy)]:
        program = found(unpacked, name)
        if not program:
            not_run(f"plumm behind {name}, as deploy/ has it: there is no {name} here")
            continue
        threads.append(threading.Thread(target=run, args=[name, make, program]))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    traefik_is_read()
    if faults:
        raise SystemExit(f"behind {', '.join(name for name, _ in faults)} something is wrong")


main()
