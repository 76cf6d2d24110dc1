"""Attacks from this host, one after the other, while an honest client is served.

    python3 .ci/attack.py BINARY [--seconds S] [ATTACK ...]
    python3 .ci/attack.py BINARY tokens [--seconds S] [--rss-mib M] [--json FILE] [ATTACK ...]

The first form attacks without a token, or with a client that does not read; the second one with the
token of another organisation, and is described in attack_tokens.py. Of the first one:

Each attack meets a server of its own, on loopback. Meanwhile an honest client looks a user up and
changes it, as Okta does on a kept connection, comes again on a new one, and asks who may log in.
The table says how many of its requests were answered right and how long the slowest took, and how
much memory, threads and descriptors the server held before, during and after. It fails when an
answer is wrong or missing, when memory goes beyond 150 MiB, or when the server keeps something of
an attack. Exhausting threads needs root, since that limit counts all processes of one user.
"""

import argparse
import http.client
import itertools
import json
import multiprocessing
import os
import re
import resource
import socket
import ssl
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from plumm import Server, command, patch, user  # noqa: E402

SECONDS = 15
MEMORY_MIB_MAX = 150
# How long a server may take to let go of what an attack held: longer than any deadline but that
# for idle connections, which end with the attacker.
AFTER_SECONDS_MAX = 40
# Readers of the database stay open once they were needed: 8 of them, with two files each.
READERS_FILES = 16
NOBODY = 64321
MALFORMED_TOKEN = "plm_nonsense"
NAME = "jon@example.com"
GET = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: "
BODY = b"POST /scim/v2/Users HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n"
LEAVE = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
# A TLS record of the handshake that announces 16,000 bytes of a hello.
RECORD = bytes([22, 3, 1, 62, 128, 1, 0, 62, 124, 3, 3])


class Target:
    """Whom to attack, and until when."""

    def __init__(self, address, token, ends):
        self.address, self.token, self.ends = address, token, ends
        self.sources = itertools.cycle(f"127.0.0.{host}" for host in range(2, 200))

    def going(self):
        return time.monotonic() < self.ends

    def connect(self):
        """A socket on its way to the server, from one of many addresses."""
        it = socket.socket()
        it.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        it.bind((next(self.sources), 0))
        it.setblocking(False)
        it.connect_ex(self.address)
        return it

    def open(self):
        return socket.create_connection(self.address, timeout=5)


def hold(target, count, opening, drip=b""):
    """Keeps so many connections. Each sends its opening, and then the drip once a second."""
    held = []
    while target.going():
        tick = time.monotonic()
        kept = []
        for it, todo in held:
            try:
                todo = todo[it.send(todo):] if todo else todo
                if it.recv(1, socket.MSG_PEEK) == b"":
                    raise OSError
            except BlockingIOError:
                pass
            except OSError:
                it.close()
                continue
            kept.append((it, todo or drip))
        held = kept + [(target.connect(), opening) for _ in range(count - len(kept))]
        time.sleep(max(0, tick + 1 - time.monotonic()))


def crowd(opening=b"", drip=b"", count=1500):
    return lambda target: hold(target, count, opening, drip)


def never_reads(target):
    get = f"GET /scim/v2/Schemas HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {target.token}\r\n\r\n"
    hold(target, 600, get.encode() * 300)


def connect_and_close(target):
    while target.going():
        for it in [target.connect() for _ in range(100)]:
            it.close()
        time.sleep(0.02)


def in_threads(count, work):
    """Work on so many connections at once; each is opened again when it fails."""
    def repeat(target):
        while target.going():
            try:
                work(target)
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)

    def attack(target):
        threads = [threading.Thread(target=repeat, args=[target]) for _ in range(count)]
        for it in threads:
            it.start()
        for it in threads:
            it.join()
    return attack


def pipeline(target):
    with target.open() as it:
        while target.going():
            it.sendall(GET * 500)
            it.recv(1 << 20)


def handshake(target):
    context = ssl._create_unverified_context()
    with target.open() as tcp, context.wrap_socket(tcp) as it:
        it.unwrap()


def hold_tls(target):
    context = ssl._create_unverified_context()
    with target.open() as tcp, context.wrap_socket(tcp) as it:
        it.settimeout(max(0.1, target.ends - time.monotonic()))
        it.sendall(GET)
        while it.recv(65536):
            pass


def large_body(target):
    with target.open() as it:
        it.sendall(BODY.replace(b"60000", b"8388608"))
        for _ in range(128):
            it.sendall(b"[" * 65536)
        it.recv(65536)


def wrong_token(target):
    """Each of the ways to be wrong, as a proxy passes them on for many clients: 200 a second."""
    known = target.token.rsplit("_", 1)[0] + "_"
    wrong = itertools.cycle([known + "A" * 43, "plm_" + "a" * 16 + "_" + "A" * 43, MALFORMED_TOKEN])
    connection = http.client.HTTPConnection(*target.address, timeout=5)
    for number in itertools.count():
        if not target.going():
            return
        connection.request("GET", "/scim/v2/Users", headers={
            "Authorization": f"Bearer {next(wrong)}", "X-Forwarded-For": f"192.0.2.{number % 250}"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status in (401, 429), answer.status
        time.sleep(0.02)


def bogus_path(target):
    connection = http.client.HTTPConnection(*target.address, timeout=5)
    for number in range(1000):
        connection.request("GET", f"/scim/v2/{'x' * (number % 100)}/{number}?a={number}")
        connection.getresponse().read()


def limited(limit, value):
    return lambda: resource.setrlimit(limit, (value, value))


def as_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    limited(resource.RLIMIT_NPROC, 40)()


class Attack:
    """What the attacker does, and how the server is started."""

    def __init__(self, work, tls=False, arguments=(), before=None):
        self.work, self.tls, self.arguments, self.before = work, tls, arguments, before


ATTACKS = {
    "none": Attack(lambda target: None),
    "idle": Attack(crowd()),
    "slow-heads": Attack(crowd(HEAD, b"a")),
    "slow-second-heads": Attack(crowd(GET + HEAD, b"a")),
    "slow-bodies": Attack(crowd(BODY, b"a")),
    "never-read": Attack(never_reads),
    "never-leave": Attack(crowd(LEAVE)),
    "pipelining": Attack(in_threads(32, pipeline)),
    "connect-and-close": Attack(connect_and_close),
    "64-descriptors": Attack(crowd(HEAD, b"a", 300), before=limited(resource.RLIMIT_NOFILE, 64)),
    "28-descriptors": Attack(crowd(HEAD, b"a", 300), before=limited(resource.RLIMIT_NOFILE, 28)),
    "threads": Attack(crowd(HEAD, b"a", 300), before=as_nobody),
    "wrong-tokens": Attack(in_threads(4, wrong_token),
                           arguments=["--trusted-proxies", "127.0.0.0/8"]),
    "large-bodies": Attack(in_threads(100, large_body)),
    "bogus-paths": Attack(in_threads(8, bogus_path)),
    "tls-half-open": Attack(crowd(RECORD), tls=True),
    "tls-slow-records": Attack(crowd(RECORD, b"a"), tls=True),
    "tls-handshakes": Attack(in_threads(16, handshake), tls=True),
    "tls-held": Attack(in_threads(600, hold_tls), tls=True),
}


class Honest:
    """Okta on a kept connection and on new ones, and the application that asks at a login."""

    def __init__(self, address, tls, token, access):
        self.address, self.tls, self.token, self.access = address, tls, token, access
        self.kept, self.login = self.connect(), self.connect()
        self.served, self.slowest, self.reconnects, self.lost = 0, 0.0, 0, []

    def connect(self):
        if self.tls:
            context = ssl._create_unverified_context()
            return http.client.HTTPSConnection(*self.address, timeout=30, context=context)
        return http.client.HTTPConnection(*self.address, timeout=30)

    def call(self, connection, token, method, path, body=None):
        """The answer; a connection that is closed without one is opened again, once."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
        data, started = body and json.dumps(body), time.monotonic()
        try:
            try:
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
            except (ConnectionError, http.client.RemoteDisconnected):
                connection.close()
                self.reconnects += 1
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
            value = json.loads(answer.read())
            if answer.status != 200:
                raise ValueError(f"{method} {path}: {answer.status} {value}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            connection.close()
            self.lost.append(repr(error))
            return None
        self.served += 1
        self.slowest = max(self.slowest, time.monotonic() - started)
        return value

    def round(self, number):
        lookup = "/scim/v2/Users?filter=userName%20eq%20%22" + NAME + "%22"
        found = self.call(self.kept, self.token, "GET", lookup)
        if found is not None and found["totalResults"] != 1:
            self.lost.append(f"not found: {found}")
        if found and found["totalResults"]:
            at = "/scim/v2/Users/" + found["Resources"][0]["id"]
            change = patch({"op": "replace", "path": "title", "value": f"no {number}"})
            changed = self.call(self.kept, self.token, "PATCH", at, change)
            if changed is not None and changed["title"] != f"no {number}":
                self.lost.append(f"not changed: {changed}")
        new = self.connect()
        self.call(new, self.token, "GET", "/scim/v2/Users?startIndex=1&count=2")
        new.close()
        self.call(self.login, self.access, "GET", "/access/v1/users/" + NAME)


def measure(pid):
    """Threads and descriptors at this moment, and the most memory ever, in MiB."""
    with open(f"/proc/{pid}/status") as status:
        text = status.read()
    value = {name: int(number) for name, number in re.findall(r"(\w+):\s+(\d+)", text)}
    return value["Threads"], len(os.listdir(f"/proc/{pid}/fd")), value["VmHWM"] / 1024


def run(binary, folder, name, attack, seconds):
    database = os.path.join(folder, name + ".db")
    command(binary, database, "org", "create", "acme", "--activate")
    token = command(binary, database, "token", "create", "acme")["token"]
    access = command(binary, database, "token", "create", "acme", "--scope", "access")["token"]
    arguments = list(attack.arguments)
    if attack.tls:
        cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
        if not os.path.exists(cert):
            command(binary, database, "tls", "self-signed", "--out-cert", cert, "--out-key", key)
        arguments += ["--tls-cert", cert, "--tls-key", key]
    if attack.before is as_nobody:
        own = os.path.join(folder, "nobody")
        os.mkdir(own)
        os.rename(database, os.path.join(own, "db"))
        database = os.path.join(own, "db")
        for path in (own, database):
            os.chown(path, NOBODY, NOBODY)
    server = Server(binary, database, arguments, attack.before)
    attacker = None
    try:
        honest = Honest(server.address, attack.tls, token, access)
        creates = honest.connect()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
        creates.request("POST", "/scim/v2/Users", json.dumps(user(NAME, "new")), headers)
        assert creates.getresponse().read()
        creates.close()
        honest.round(0)
        time.sleep(0.2)
        pid, rounds = server.process.pid, 0
        before = measure(pid)
        target = Target(server.address, token, time.monotonic() + seconds)
        attacker = multiprocessing.Process(target=attack.work, args=[target], daemon=True)
        attacker.start()
        during = before
        while target.going():
            rounds += 1
            honest.round(rounds)
            during = tuple(map(max, during, measure(pid)))
            time.sleep(0.01)
        attacker.join(AFTER_SECONDS_MAX)
        attacker.kill()
        ended = time.monotonic()
        # What the honest client holds was counted before.
        honest.round(rounds + 1)
        may_keep = before[1] + READERS_FILES
        while (after := measure(pid))[0] > before[0] or after[1] > may_keep:
            if time.monotonic() - ended > AFTER_SECONDS_MAX:
                break
            time.sleep(0.1)
    finally:
        if attacker is not None:
            attacker.kill()
        server.kill()
    failures = [f"{name}: {it}" for it in honest.lost[:3] + server.complaints[:3]]
    if after[0] > before[0] or after[1] > may_keep:
        failures.append(f"{name}: threads and descriptors were {before[:2]} and are {after[:2]}")
    if during[2] > MEMORY_MIB_MAX:
        failures.append(f"{name}: {during[2]:.0f} MiB")
    spans = " | ".join(f"{b} {d} {a}" for b, d, a in zip(before, during, after[:2]))
    print(f"| {name} | {honest.served} | {len(honest.lost)} | {honest.reconnects} "
          f"| {honest.slowest * 1000:.0f} | {during[2]:.0f} | {spans} |", flush=True)
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=", ".join(ATTACKS))
    parser.add_argument("--seconds", type=float, help="how long each attack goes on")
    parser.add_argument("--rss-mib", type=int, help="with tokens: kill a server that takes more")
    parser.add_argument("--json", metavar="FILE", help="with tokens: write the figures there too")
    options = parser.parse_intermixed_args()
    binary = os.path.abspath(options.binary)
    multiprocessing.set_start_method("fork")
    limited(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE)[1])()
    if options.attacks[:1] == ["tokens"]:
        end(with_tokens(binary, options))
    options.seconds = options.seconds or SECONDS
    failures = []
    print("| attack | honest requests | lost | opened again | slowest ms | peak MiB "
          "| threads before, during, after | descriptors before, during, after |\n"
          "|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name in options.attacks or ATTACKS:
            if ATTACKS[name].before is as_nobody and os.getuid() != 0:
                print(f"| {name} | not tried: it needs root |")
                continue
            failures += run(binary, folder, name, ATTACKS[name], options.seconds)
    end(failures)


def with_tokens(binary, options):
    # Not above: it uses what stands here.
    import attack_tokens
    del options.attacks[0]
    options.seconds = options.seconds or attack_tokens.SECONDS
    options.rss_mib = options.rss_mib or attack_tokens.RSS_MIB
    return attack_tokens.main(binary, options)


def end(failures):
    for failure in failures:
        print(failure)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
