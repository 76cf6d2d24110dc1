"""What a client with an ordinary token can do to the other organisations of a server.

    python3 .ci/attack.py BINARY tokens [--seconds S] [--rss-mib M] [--json FILE] [NAME ...]

One organisation's client attacks. Meanwhile another organisation's application asks who may log
in, its identity provider creates accounts, searches and sends a large body, a monitor asks
/healthz, and support types commands beside the server. After S seconds the server gets SIGTERM
while the attack goes on. Each attack meets a server of its own on a copy of a file that was filled
once. A server that takes more than M MiB is killed, so that the machine goes on; what was started
is ended by its pid.

The last one, `all`, is all of them at once: every login must be answered, and memory hold.

Times are those of the client, in milliseconds, and a request under way at the end counts with the
time it has waited so far, so a median of few answers says less than their number. "written" is what
the server gave to the disk, the log's bytes and the file's. It fails when others had to suffer.
"""

import collections
import contextlib
import http.client
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from attack_requests import ATTACKS, FOREIGN, MIB, USERS, TokenTarget, encoded, some_users
from plumm import Client, Server, command, user

SECONDS = 20
RSS_MIB = 6000
# How long a stopped server may take; it promises ten seconds for the requests in hand.
EXIT_SECONDS_MAX = 60
COMMAND_SECONDS_MAX = 15
# From when on a request without an answer is one of its own kind.
WAITING_SECONDS = 0.5
# What nobody may do to another organisation: what its requests take at most, and what the server.
MS_MAX = {"login": 1000, "health": 1000, "write": 10_000}
# Where all that is attacked is memory, nobody else waits for it.
MS_MAX_OF = dict.fromkeys(("unread-pages", "unread-changes"),
                          {"write": 2000, "search": 2000, "large": 2000})
MEMORY_MIB_MAX = 512
EXIT_SECONDS_GOOD = 15
# How the others are answered when all is well.
GOOD = {"login": "200", "write": "201", "search": "200", "large": "200", "health": "200"}
SPARE_TOKENS = 40


class Seeds:
    """Filled files, each made when it is first asked for."""

    def __init__(self, binary, folder):
        self.binary, self.folder, self.made = binary, folder, {}

    def copy(self, fill):
        """A copy of the file, and what is known of it."""
        if fill not in self.made:
            self.made[fill] = self.make(fill)
        path, known = self.made[fill]
        copy = os.path.join(self.folder, "attacked.db")
        for ending in ("", "-wal", "-shm", "-lock"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(copy + ending)
        shutil.copy(path, copy)
        return copy, known

    def make(self, fill):
        path = os.path.join(self.folder, fill.__name__ + ".db")
        known = {"spare": []}
        for org in ("attacker", "honest", "spare"):
            command(self.binary, path, "org", "create", org, "--activate")
        for name, org, scope in [("token", "attacker", "scim"), ("admin", "attacker", "admin"),
                                 ("honest", "honest", "scim"), ("access", "honest", "access")]:
            known[name] = command(self.binary, path, "token", "create", org, "--scope", scope)
            known[name] = known[name]["token"]
        for _ in range(SPARE_TOKENS):
            known["spare"].append(command(self.binary, path, "token", "create", "spare")["id"])
        server = Server(self.binary, path)
        try:
            honest = Client(server.address, known["honest"])
            known["honest_user"] = some_users(honest, USERS, "b")[0]
            known |= fill(Client(server.address, known["token"]))
            server.stop()
        finally:
            server.kill()
        return path, known


# The others, who notice.

class Probe(threading.Thread):
    """Asks the same kind of thing again and again; knows how long each answer took."""

    def __init__(self, address, token, request, pause, kept=True):
        super().__init__(daemon=True)
        self.address, self.token, self.request = address, token, request
        self.pause, self.kept = pause, kept
        self.samples, self.begun, self.ended = [], None, threading.Event()

    def run(self):
        connection, number = None, 0
        while not self.ended.is_set():
            connection = connection or http.client.HTTPConnection(*self.address, timeout=60)
            method, path, body = self.request(number)
            number += 1
            begun = self.begun = time.monotonic()
            status = self.ask(connection, method, path, body)
            took = time.monotonic() - begun
            if self.ended.is_set():
                return
            self.begun = None
            self.samples.append((status, took))
            if not self.kept or not isinstance(status, int):
                connection.close()
                connection = None
            self.ended.wait(self.pause)

    def ask(self, connection, method, path, body):
        headers = {"Content-Type": "application/scim+json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            for more in (True, False):
                try:
                    connection.request(method, path, body, headers)
                    answer = connection.getresponse()
                    answer.read()
                    return answer.status
                except (ConnectionError, http.client.RemoteDisconnected):
                    # The server may have closed a connection that was idle, or the one before.
                    connection.close()
                    if not more:
                        raise
        except TimeoutError:
            return "timeout"
        except (OSError, http.client.HTTPException):
            return "lost"

    def end(self):
        """Ends it, and returns what it has seen; a request that has waited long counts as it is."""
        begun = self.begun
        self.ended.set()
        samples = list(self.samples)
        if begun is not None and time.monotonic() - begun > WAITING_SECONDS:
            samples.append(("waiting", time.monotonic() - begun))
        return samples


def honest_probes(address, known):
    def login(number):
        return "GET", f"/access/v1/users/b-{number % USERS}@example.com", None

    def write(number):
        name = f"w{time.time_ns()}-{number}@example.com"
        return "POST", "/scim/v2/Users", encoded(user(name, "written"))

    def search(_):
        return "GET", "/scim/v2/Users?count=10&filter=title%20co%20%22b-1%22", None

    # The same each time: from the second one on, nothing is changed.
    name = "b-0@example.com"
    large = encoded({**user(name, "large"), FOREIGN: {"text": "x" * 100_000}})
    scim, access = known["honest"], known["access"]
    return {
        "login": Probe(address, access, login, 0.02),
        "write": Probe(address, scim, write, 0.05),
        "search": Probe(address, scim, search, 0.1),
        "large": Probe(address, scim, lambda _: (
            "PUT", f"/scim/v2/Users/{known['honest_user']}", large), 0.5),
        "health": Probe(address, None, lambda _: ("GET", "/healthz", None), 0.1, kept=False),
    }


class Commands(threading.Thread):
    """What support types beside the server."""

    def __init__(self, binary, database, spare):
        super().__init__(daemon=True)
        self.binary, self.database, self.spare = binary, database, list(spare)
        self.samples, self.ended = [], threading.Event()

    def run(self):
        while not self.ended.wait(0.5) and self.spare:
            self.time("token list", "token", "list", "spare")
            self.time("token revoke", "token", "revoke", self.spare.pop())
            self.time("org deactivate", "org", "deactivate", "spare")

    def time(self, name, *arguments):
        if self.ended.is_set():
            return
        begun = time.monotonic()
        try:
            ran = subprocess.run([self.binary, "--db", self.database, *arguments],
                                 capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX)
            outcome = "ok" if ran.returncode == 0 else ran.stderr.strip().splitlines()[0][:80]
        except subprocess.TimeoutExpired:
            outcome = f"no end in {COMMAND_SECONDS_MAX} s"
        self.samples.append((name, outcome, time.monotonic() - begun))


class Watch(threading.Thread):
    """The server's memory and what it writes; it is killed beyond the bound."""

    def __init__(self, server, database, rss_mib):
        super().__init__(daemon=True)
        self.server, self.database, self.rss_mib = server, database, rss_mib
        self.peak = self.wal = 0.0
        self.killed, self.ended = False, threading.Event()
        self.first = self.last = self.written()

    def written(self):
        with open(f"/proc/{self.server.process.pid}/io", encoding="ascii") as io:
            return int(re.search(r"^write_bytes: (\d+)", io.read(), re.M).group(1))

    def run(self):
        while not self.ended.wait(0.02):
            # A process that has ended has no memory.
            with contextlib.suppress(OSError, AttributeError):
                self.look()

    def look(self):
        pid = self.server.process.pid
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            text = status.read()
        self.peak = max(self.peak, int(re.search(r"VmHWM:\s+(\d+)", text).group(1)) / 1024)
        if int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024 > self.rss_mib:
            self.killed = True
            self.server.process.kill()
        self.last = self.written()
        self.wal = max(self.wal, os.path.getsize(self.database + "-wal"))


def careful(rss_mib):
    """In the server's process: if this script cannot keep up, the system ends that one first."""
    def before():
        limit = 2 * rss_mib * MIB
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
            score.write("1000")
    return before


def until_exit(server):
    """Asks the server to stop; returns how long that took, or nothing when it did not."""
    begun = time.monotonic()
    with contextlib.suppress(ProcessLookupError):
        server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(EXIT_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return None
    return time.monotonic() - begun


def run(binary, folder, seeds, name, options):
    fill, attack, *times = ATTACKS[name]
    seconds = options.seconds * sum(times or [1])
    database, known = seeds.copy(fill)
    notes = os.path.join(folder, "notes")
    with open(notes, "w", encoding="ascii"):
        pass
    server = Server(binary, database, before=careful(options.rss_mib))
    watch = Watch(server, database, options.rss_mib)
    attackers = []
    try:
        watch.start()
        # Tokens are verified once, and slowly.
        for token in ("token", "honest", "access"):
            path = "/access/v1/users/b-0@example.com" if token == "access" else "/scim/v2/Schemas"
            connection = http.client.HTTPConnection(*server.address, timeout=30)
            first = Probe(server.address, known[token], None, 0)
            assert first.ask(connection, "GET", path, None) == 200
            connection.close()
        watch.first = watch.written()
        target = TokenTarget(server.address, time.monotonic() + seconds + 90, known, notes)
        attackers = [multiprocessing.Process(target=it, args=[target], daemon=True)
                     for it in (attack if isinstance(attack, list) else [attack])]
        probes = honest_probes(server.address, known)
        commands = Commands(binary, database, known["spare"])
        ends = time.monotonic() + seconds
        for it in [*attackers, *probes.values(), commands]:
            it.start()
        while time.monotonic() < ends and server.process.poll() is None:
            time.sleep(0.02)
        lived = seconds - max(0.0, ends - time.monotonic())
        commands.ended.set()
        seen = {key: it.end() for key, it in probes.items()}
        written, died = watch.last - watch.first, server.process.poll()
        with open(notes, encoding="ascii") as file:
            answers = [it.strip().split(" ", 1) for it in file]
        took = until_exit(server) if died is None else None
        commands.join(COMMAND_SECONDS_MAX + 1)
    finally:
        watch.ended.set()
        for it in attackers:
            if it.pid:
                it.kill()
                it.join()
        server.kill()
    return {
        "attack": name, "seconds": round(lived, 1), "died": died, "killed": watch.killed,
        "login": summary(seen["login"]), "write": summary(seen["write"]),
        "search": summary(seen["search"]), "large": summary(seen["large"]),
        "health": summary(seen["health"]),
        "commands": [{"command": it, "outcome": how, "seconds": round(span, 2)}
                     for it, how, span in commands.samples],
        "peak_mib": round(watch.peak), "written_mib": round(written / MIB, 1),
        "wal_mib": round(watch.wal / MIB, 1),
        "exit_seconds": None if took is None else round(took, 1),
        "attacker": summary([(status, float(span)) for span, status in answers]),
        "complaints": server.complaints[:5],
    }


def summary(samples):
    spans = sorted(it * 1000 for _, it in samples)
    return {"p50_ms": round(statistics.median(spans), 1) if spans else None,
            "max_ms": round(spans[-1], 1) if spans else None,
            "answers": dict(collections.Counter(str(it) for it, _ in samples))}


def failures_of(row, rss_mib):
    """What of a row nobody should be able to do to others."""
    name, found = row["attack"], []
    if row["killed"]:
        found.append(f"killed at {rss_mib} MiB after {row['seconds']} s")
    elif row["died"] is not None:
        found.append(f"the server ended by itself ({row['died']}) after {row['seconds']} s")
    elif row["exit_seconds"] is None or row["exit_seconds"] > EXIT_SECONDS_GOOD:
        found.append(f"SIGTERM: {exit_of(row)} s")
    if row["peak_mib"] > MEMORY_MIB_MAX:
        found.append(f"{row['peak_mib']} MiB of memory")
    for kind, good in GOOD.items():
        answers, longest = row[kind]["answers"], row[kind]["max_ms"] or 0
        # Under all of them at once, two processors have more to do than time for it.
        most = (MS_MAX | MS_MAX_OF.get(name, {})).get(kind, longest)
        if longest > most and name != "all":
            found.append(f"{kind}: up to {longest:.0f} ms")
        bad = sum(count for status, count in answers.items() if status != good)
        # A moment's refusal with Retry-After does no harm; a login has no second try.
        wrong = bad - answers.get("waiting", 0)
        if (bad > answers.get(good, 0) and name != "all") or (wrong and kind == "login"):
            found.append(f"{kind}: {answers}")
    for it in row["commands"]:
        if it["outcome"] != "ok":
            found.append(f"{it['command']}: {it['outcome']}")
    return [f"{name}: {it}" for it in dict.fromkeys(found + row["complaints"][:2])]


def exit_of(row):
    if row["killed"] or row["died"] is not None:
        return "-"
    return f">{EXIT_SECONDS_MAX}" if row["exit_seconds"] is None else row["exit_seconds"]


COLUMNS = ("attack", "attacker got", "login p50/max", "write p50/max", "searches", "search max",
           "100 KB bodies", "health max", "commands", "peak MiB", "written MiB", "WAL MiB",
           "exit s")


def line(row):
    def answers(counts):
        return ", ".join(f"{count}x {it}" for it, count in sorted(counts.items())) or "nothing"

    def spans(name):
        it = row[name]
        counts = answers(it["answers"]).removesuffix(f" {GOOD[name]}")
        return f"{shown(it['p50_ms'])}/{shown(it['max_ms'])} ({counts})"

    commands = []
    for name in dict.fromkeys(it["command"] for it in row["commands"]):
        of_name = [it for it in row["commands"] if it["command"] == name]
        done = sum(it["outcome"] == "ok" for it in of_name)
        longest = max(it["seconds"] for it in of_name)
        commands.append(f"{name} {done}/{len(of_name)} {longest:.1f}")
    end = ""
    if row["killed"] or row["died"] is not None:
        end = f" (dead after {row['seconds']} s)"
    attacker = answers(row["attacker"]["answers"])
    if row["attacker"]["max_ms"]:
        attacker += f", up to {row['attacker']['max_ms'] / 1000:.1f} s"
    return [row["attack"], attacker, spans("login"), spans("write"),
            answers(row["search"]["answers"]), shown(row["search"]["max_ms"]),
            answers(row["large"]["answers"]), shown(row["health"]["max_ms"]),
            "; ".join(commands) or "nothing", f"{row['peak_mib']}{end}", row["written_mib"],
            row["wal_mib"], exit_of(row)]


def shown(milliseconds):
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.1f}" if milliseconds < 10 else f"{milliseconds:.0f}"


def main(binary, options):
    """Runs the attacks, prints the table; returns what went wrong."""
    rows, failures = [], []
    if unknown := set(options.attacks) - set(ATTACKS):
        raise SystemExit(f"there is no {', '.join(unknown)}, but there are {', '.join(ATTACKS)}")
    with tempfile.TemporaryDirectory(prefix="plumm-attack-") as folder:
        seeds = Seeds(binary, folder)
        for name in options.attacks or ATTACKS:
            try:
                rows.append(run(binary, folder, seeds, name, options))
            except (AssertionError, OSError, http.client.HTTPException) as error:
                failures.append(f"{name}: not measured: {error!r}")
                continue
            print(" | ".join(map(str, line(rows[-1]))), file=sys.stderr, flush=True)
            failures += failures_of(rows[-1], options.rss_mib)
            if options.json:
                with open(options.json, "w", encoding="utf-8") as file:
                    json.dump(rows, file, indent=1)
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, line(row))) + " |")
    return failures
