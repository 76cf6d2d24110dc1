"""A real Litestream follows a real plumm, both are killed, and a standby goes on: what was acknowledged, what of it was
replicated, what is lost, and how long nobody was served.

    python3 .ci/litestream.py BINARY [--rounds N] [--seed N]

Needs the package of litestream.txt, or a `litestream` on the PATH; without it this is said to be not run. The settings
are those of deploy/litestream.yml and deploy/litestream.service, and the commands are those of
docs/backup-and-standby.md as they stand there, with other paths and another user, and a folder for a replica.
"""

import argparse
import hashlib
import json
import os
import pwd
import random
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from plumm import Client, Cut, SECONDS_MAX, Server, not_run, patch, user  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WRITERS = 4
# Both work this long before they are killed, in seconds.
WORK_SECONDS = (2, 4)
# The longest pause between two requests of a writer: in one half of the rounds, and in the other.
PAUSES = (0, 0.02)
# Litestream looks a second after its start for the first time, and sends a second later.
FIRST_SECONDS = 2.5
# What was acknowledged longer ago than this must not be lost. The document promises less, for a host with nothing else
# to do and requests that leave Litestream a moment to write.
LOSS_SECONDS_MAX = 6


def text_of(*path):
    with open(os.path.join(ROOT, *path)) as file:
        return file.read()


def replaced(text, *pairs):
    """The text with others in these places, each of which must be there."""
    for old, new in pairs:
        assert old in text, f"{old} is not in: {text}"
        text = text.replace(old, new)
    return text


def commands_below(heading):
    """The first commands below a heading of the document."""
    below = text_of("docs", "backup-and-standby.md").split(f"\n{heading}\n", 1)[1]
    return re.search(r"```sh\n(.*?)```", below, re.S).group(1)


class Account:
    """In the place of the user plumm: another one when this is root, else whoever runs this."""

    def __init__(self):
        self.root = os.geteuid() == 0
        entry = pwd.getpwnam("nobody") if self.root else pwd.getpwuid(os.geteuid())
        self.uid, self.gid = entry.pw_uid, entry.pw_gid

    def become(self):
        if self.root:
            os.setgroups([])
            os.setgid(self.gid)
            os.setuid(self.uid)
        os.umask(0o077)


class Host:
    """The folders of a host, its plumm and its Litestream; `replica` is the folder on the standby."""

    def __init__(self, folder, name, programs, account, replica):
        self.folder, self.account, self.replica = os.path.join(folder, name), account, replica
        self.data = os.path.join(self.folder, "data")
        self.database, self.copy = [os.path.join(self.data, it) for it in ("plumm.db", "copy.db")]
        self.env, self.yml = [os.path.join(self.folder, it) for it in ("plumm.env", "litestream.yml")]
        self.bin, self.told = [os.path.join(self.folder, it) for it in ("bin", "systemctl")]
        self.plumm, self.program = [os.path.join(self.bin, it) for it in ("plumm", "litestream")]
        os.makedirs(self.bin)
        for name, path in programs.items():
            shutil.copy(path, os.path.join(self.bin, name))
        become = f"setpriv --reuid {account.uid} --regid {account.gid} --clear-groups"
        self.shim("sudo", f'[ "$1" = -u ] && shift 2 && exec {become if account.root else ""} "$@"')
        self.shim("systemctl", f'echo "$@" >> {self.told}')
        with open(self.env, "w") as file:
            file.write(f"PLUMM_DB={self.database}\n")
        self.server = self.litestream = None

    def shim(self, name, line):
        path = os.path.join(self.bin, name)
        with open(path, "w") as file:
            file.write(f"#!/bin/sh\n{line}\n")
        os.chmod(path, 0o755)

    def run(self, commands, *others):
        """Runs commands of the document as root would on this host. Returns what systemctl was told."""
        with open(self.told, "w"):
            pass
        text = replaced(commands, *others)
        for old, new in [("/var/lib/plumm", self.data), ("/srv/replica", self.replica),
                         ("/etc/plumm/plumm.env", self.env), ("/etc/litestream.yml", self.yml),
                         ("/etc/systemd/system", self.folder),
                         ("-o plumm -g plumm", f"-o {self.account.uid} -g {self.account.gid}"),
                         ("plumm:plumm", f"{self.account.uid}:{self.account.gid}")]:
            text = text.replace(old, new)
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "PLUMM_ENV_FILE": self.env}
        ran = subprocess.run(["bash", "-euxc", text], cwd=ROOT, env=environment, capture_output=True,
                             text=True, timeout=SECONDS_MAX)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        with open(self.told) as file:
            return file.read().splitlines()

    def start_plumm(self):
        os.environ["PLUMM_ENV_FILE"] = self.env
        self.server = Server(self.plumm, self.database, before=self.account.become)

    def start_litestream(self):
        """As deploy/litestream.service does."""
        unit = text_of("deploy", "litestream.service")
        line = re.search(r"^ExecStart=(.*)$", unit, re.M).group(1)
        line = replaced(line, ("/usr/local/bin/litestream", self.program), ("/etc/litestream.yml", self.yml))
        assert "\nUser=plumm\n" in unit and "\nUMask=0077\n" in unit
        with open(os.path.join(self.folder, "litestream.log"), "a") as log:
            self.litestream = subprocess.Popen(line.split(), stdout=log, stderr=log,
                                               preexec_fn=self.account.become)

    def set_up(self):
        """The commands of the document, and what they told systemctl to start."""
        yml = os.path.join(self.folder, "deploy.yml")
        with open(yml, "w") as file:
            text = replaced(text_of("deploy", "litestream.yml"), ("/var/lib/plumm", self.data),
                            ("sftp://plumm@standby.example.com/srv/replica", f"file://{self.replica}"))
            # A folder on this host has no keys.
            file.write(re.sub(r"\n *(key-path|host-key):.*", "", text))
        os.makedirs(self.replica, mode=0o700, exist_ok=True)
        os.chown(self.replica, self.account.uid, self.account.gid)
        told = self.run(commands_below("### On the server"), ("deploy/litestream.yml", yml))
        assert told == ["daemon-reload", "restart plumm", "enable --now litestream"], told
        self.server.stop()
        self.start_plumm()
        self.start_litestream()

    def command(self, *arguments):
        """What a command of plumm prints, as JSON; as the user plumm runs it."""
        ran = subprocess.run([self.plumm, "--db", self.database, "--json", *arguments], capture_output=True,
                             text=True, timeout=SECONDS_MAX, preexec_fn=self.account.become)
        assert ran.returncode == 0, (arguments, ran.stderr)
        return json.loads(ran.stdout)

    def kill_litestream(self):
        self.litestream.kill()
        self.litestream.wait()

    def stop_litestream(self):
        self.litestream.send_signal(signal.SIGTERM)
        assert self.litestream.wait(timeout=SECONDS_MAX) == 0

    def end(self):
        if self.server:
            self.server.kill()
        if self.litestream:
            self.kill_litestream()

    def log(self):
        with open(os.path.join(self.folder, "litestream.log")) as file:
            return file.read()


class Writer:
    """A connection that creates users and gives them titles, one request after the other."""

    def __init__(self, tag, seed):
        self.tag, self.random = tag, random.Random(seed)
        # What it has asked for, in order: (userName, title, when asked, when acknowledged or None).
        self.asked, self.ids, self.made, self.failure = [], {}, 0, None

    def work(self, address, token, pause, stop):
        client = Client(address, token)
        try:
            while not stop.is_set():
                self.step(client)
                time.sleep(self.random.uniform(0, pause))
        except Cut:
            pass
        except Exception as failure:
            self.failure = failure

    def step(self, client):
        self.made += 1
        title = f"{self.tag}-{self.made}"
        name = self.random.choice(sorted(self.ids)) if self.ids and self.random.random() < 0.6 else None
        if name is None:
            new = f"{title}@example.com"
            self.asked.append((new, title, time.monotonic(), None))
            self.ids[new] = client.call("POST", "/Users", user(new, title), [201])[1]["id"]
        else:
            self.asked.append((name, title, time.monotonic(), None))
            body = patch({"op": "replace", "path": "title", "value": title})
            client.call("PATCH", f"/Users/{self.ids[name]}", body, [200])
        self.asked[-1] = (*self.asked[-1][:3], time.monotonic())

    def judge(self, found):
        """What of the requests is there: all up to one of them, and nothing of those after it. Returns those that are
        kept and those that were acknowledged and are lost, and goes on from what is there."""
        titles, kept = {}, 0 if not found else None
        for i, (name, title, _, _) in enumerate(self.asked):
            titles[name] = title
            if len(titles) == len(found) and titles == found:
                kept = i + 1
        differs = [(it, titles.get(it), found.get(it)) for it in {*titles, *found}
                   if titles.get(it) != found.get(it)]
        assert kept is not None, f"{self.tag}: never were together what is there; at last and now: {differs[:20]}"
        lost = [it for it in self.asked[kept:] if it[3] is not None]
        self.asked = self.asked[:kept]
        return self.asked, lost


class Run:
    """The writers, and the organisation they write to."""

    def __init__(self, seed):
        self.writers = [Writer(f"w{i}", seed + i) for i in range(WRITERS)]
        self.token = None

    def write(self, host, seconds, pause, end=lambda: None):
        """Writes for a while; `end` is called before the writers are told to stop. Returns when that was."""
        stop = threading.Event()
        threads = [threading.Thread(target=it.work, args=(host.server.address, self.token, pause, stop))
                   for it in self.writers]
        for it in threads:
            it.start()
        time.sleep(seconds)
        at = time.monotonic()
        end()
        stop.set()
        for it in threads:
            it.join()
        failures = [it.failure for it in self.writers if it.failure] + host.server.complaints
        assert not failures, failures
        return at

    def judge(self, host, at):
        """Compares with what a server has. Returns how many requests were acknowledged and how many of them are lost,
        and how long before this moment the first of the lost ones was acknowledged."""
        found = {it.tag: {} for it in self.writers}
        for it in Client(host.server.address, self.token).everything("Users")[0]:
            found[it["userName"][:2]][it["userName"]] = it["title"]
        kept, lost = [], []
        for it in self.writers:
            ours, theirs = it.judge(found[it.tag])
            kept, lost = kept + ours, lost + theirs
            it.ids = {name: id for name, id in it.ids.items() if name in found[it.tag]}
        first = min((it[3] for it in lost), default=at)
        # What was asked for after a lost one had been acknowledged is lost too: the copy is the database of a moment.
        late = [it for it in kept if it[2] > first]
        assert not late, f"{late} are there, and what was acknowledged before them is not"
        acknowledged = sum(it[3] is not None for it in kept) + len(lost)
        return acknowledged, len(lost), max(0.0, at - first)


def switch_over(host):
    """The commands of the document on the standby."""
    told = host.run(commands_below("### To switch over"))
    assert told == ["enable --now plumm"], told
    made = os.stat(host.database)
    assert stat.S_IMODE(made.st_mode) == 0o600, oct(made.st_mode)
    assert (made.st_uid, made.st_gid) == (host.account.uid, host.account.gid), made
    host.start_plumm()


def contents(database):
    """The rows of all tables of plumm, as a hash, and how many lines its record has."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    rows = hashlib.sha256()
    for (table,) in sorted(tables):
        if not table.startswith(("_", "sqlite_")):
            for row in sorted(repr(it) for it in connection.execute(f'SELECT * FROM "{table}"')):
                rows.update(f"{table} {row}\n".encode())
    lines = connection.execute("SELECT count(*) FROM provisioning_log").fetchone()[0]
    connection.close()
    return rows.hexdigest(), lines


def killed(run, host, standby, pause, seconds):
    """Both are killed in the middle of work, and the standby goes on."""
    acknowledged = sum(it[3] is not None for writer in run.writers for it in writer.asked)

    def kill():
        for it in random.sample([host.server.kill, host.kill_litestream], 2):
            it()
    at = run.write(host, seconds, pause, kill)
    switch_over(standby)
    assert Client(standby.server.address, run.token).call("GET", "/Users?count=1")[0] == 200
    again = time.monotonic() - at
    all_acknowledged, lost, age = run.judge(standby, at)
    acknowledged = all_acknowledged - acknowledged
    print(f"litestream: killed: {acknowledged} acknowledged, {acknowledged - lost} replicated, {lost} lost, of the "
          f"last {age:.2f} s; served again after {again:.2f} s", flush=True)
    assert age < LOSS_SECONDS_MAX, f"what was acknowledged {age:.2f} s before is lost"
    return acknowledged, lost, age, again


def restarted(run, host):
    """Each of the two is killed, stopped and started again while the other goes on."""
    def wal():
        return os.path.getsize(host.database + "-wal")
    pause = PAUSES[1]
    at = run.write(host, 1, pause, host.server.kill)
    host.start_plumm()
    assert any("stop it, start this server anew" in it for it in host.server.first), host.server.first
    lost = run.judge(host, at)[1]
    assert lost == 0, lost
    run.write(host, 0.5, pause)
    told = host.run(commands_below("### When plumm was killed"))
    assert told == ["stop litestream", "restart plumm", "start litestream"], told
    host.stop_litestream()
    host.server.stop()
    host.start_plumm()
    assert wal() == 0, wal()
    host.start_litestream()
    run.write(host, FIRST_SECONDS, pause)
    run.write(host, 0.5, pause)
    host.kill_litestream()
    # Nobody folds the log in meanwhile, also when plumm is idle.
    run.write(host, 0.5, pause)
    before = wal()
    time.sleep(0.8)
    assert 0 < before <= wal(), (before, wal())
    host.start_litestream()
    run.write(host, 0.5, pause)
    host.server.stop()
    host.start_plumm()
    host.command("token", "create", "acme")
    host.command("backup", host.copy)
    run.write(host, FIRST_SECONDS, pause)
    host.stop_litestream()
    run.write(host, 0.5, pause)
    before = wal()
    host.server.stop()
    assert 0 < before <= wal(), (before, wal())
    host.start_plumm()
    host.start_litestream()
    # Litestream that is stopped before it has looked for the first time sends nothing.
    run.write(host, FIRST_SECONDS, pause)


def stopped(run, host, standby, what):
    """plumm is stopped, then Litestream, as a host that is shut down does it: nothing is lost."""
    at = run.write(host, 0.5, PAUSES[1])
    host.server.stop()
    refused = subprocess.run([host.plumm, "--db", host.database, "restore", "--force", host.copy],
                             capture_output=True, text=True, preexec_fn=host.account.become)
    assert refused.returncode != 0 and "open" in refused.stderr, "restored below a running Litestream"
    host.stop_litestream()
    switch_over(standby)
    expected, found = contents(host.database), contents(standby.database)
    assert expected == found, f"{found[1]} of {expected[1]} lines of the record are there, or other rows differ"
    acknowledged, lost, _ = run.judge(standby, at)
    assert lost == 0, lost
    print(f"litestream: {what}, then stopped: {acknowledged} acknowledged, none lost, all rows the same; Litestream "
          f"sent the whole database {host.log().count('snapshot complete')} time(s)", flush=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("binary")
    arguments.add_argument("--rounds", type=int, default=4)
    arguments.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = arguments.parse_args()
    beside = os.path.join(os.path.dirname(sys.executable), "litestream")
    program = beside if os.path.exists(beside) else shutil.which("litestream")
    if not program:
        return not_run("replication by Litestream, and the commands for a standby: there is no litestream here")
    version = subprocess.run([program, "version"], capture_output=True, text=True).stdout.strip()
    print(f"litestream: version {version}, {given.rounds} rounds, seed {given.seed}", flush=True)
    random.seed(given.seed)
    run, account, results, hosts = Run(given.seed), Account(), [], []
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        programs = {"plumm": os.path.abspath(given.binary), "litestream": program}

        def new_host(replica):
            hosts.append(Host(folder, f"host{len(hosts)}", programs, account, os.path.join(folder, replica)))
            return hosts[-1]
        try:
            host = new_host("replica0")
            os.mkdir(host.data, 0o700)
            os.chown(host.data, account.uid, account.gid)
            host.start_plumm()
            host.command("org", "create", "acme", "--activate")
            run.token = host.command("token", "create", "acme")["token"]
            for number in range(given.rounds + 1):
                host.set_up()
                run.write(host, FIRST_SECONDS, PAUSES[1])
                standby = new_host(f"replica{number}")
                if number < given.rounds:
                    pause, seconds = PAUSES[number % 2], random.uniform(*WORK_SECONDS)
                    results.append(killed(run, host, standby, pause, seconds))
                else:
                    restarted(run, host)
                    stopped(run, host, standby, "each restarted beside the other")
                host.end()
                host = standby
                host.replica = os.path.join(folder, f"replica{number + 1}")
            host.server.stop()
        except BaseException:
            for it in hosts:
                if it.litestream:
                    print(it.log()[-2000:])
            raise
        finally:
            for it in hosts:
                it.end()
    acknowledged, lost = sum(it[0] for it in results), sum(it[1] for it in results)
    age, again = (max((it[i] for it in results), default=0) for i in (2, 3))
    print(f"litestream: {given.rounds} hosts killed, {acknowledged} acknowledged, {lost} lost, the oldest of them "
          f"{age:.2f} s before; served again after at most {again:.2f} s")


main()
