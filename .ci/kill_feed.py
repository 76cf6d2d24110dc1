"""kill -9 while an application follows the change feed: it is told of every change that was answered,
in order, and again only of what it had not stored yet.

    python3 .ci/kill_feed.py BINARY [--rounds N] [--seed N]

Each round starts the real server on the same file. Writers change users and groups, one consumer waits
for changes and stores its position as an application would, and the server is killed at a random
moment. In the end what the consumer was told is compared with the provisioning log itself.
"""

import argparse
import http.client
import json
import os
import random
import sqlite3
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from plumm import BULK, SECONDS_MAX, Client, Cut, Server, command, patch, user  # noqa: E402

WRITERS = 4
# A server works this long before it is killed, in seconds.
WORK_SECONDS = (0.02, 0.5)
# How often the consumer dies between acting on a page and storing its position.
FORGETS = 0.1


class Writer:
    """A connection that changes users of its own; it remembers what was answered."""

    def __init__(self, tag, seed):
        self.tag, self.random = tag, random.Random(seed)
        self.ids, self.made, self.failure = [], 0, None
        # The titles whose change was answered; each is given once.
        self.answered = []

    def work(self, address, token):
        client = Client(address, token)
        try:
            while True:
                self.step(client)
        except Cut:
            pass
        except Exception as failure:
            self.failure = failure

    def step(self, client):
        self.made += 1
        title = f"{self.tag}-{self.made}"
        kind = self.random.randrange(4) if self.ids else 0
        if kind == 0:
            body = user(f"{title}@example.com", title)
            self.ids.append(client.call("POST", "/Users", body, [201])[1]["id"])
            self.answered.append(title)
        elif kind == 1:
            titles = [f"{title}.{i}" for i in range(3)]
            operations = [{"method": "POST", "path": "/Users", "bulkId": it,
                           "data": user(f"{it}@example.com", it)} for it in titles]
            done = client.call("POST", "/Bulk", {"schemas": [BULK], "Operations": operations},
                               [200])[1]["Operations"]
            assert [it["status"] for it in done] == ["201"] * 3, done
            self.answered += titles
        elif kind == 2:
            # Refused, so that no event tells of it.
            taken = client.call("GET", f"/Users/{self.random.choice(self.ids)}", None, [200])[1]
            client.call("POST", "/Users", user(taken["userName"], f"refused {title}"), [409])
        else:
            operation = {"op": "replace", "path": "title", "value": title}
            at = f"/Users/{self.random.choice(self.ids)}"
            client.call("PATCH", at, patch(operation), [200])
            self.answered.append(title)


class Consumer:
    """An application that acts on each event, and stores after each page how far it is."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.stored = 0       # its position, on its own disk
        self.acted = {}       # sequence -> the events it was told, when it first was
        self.newest = 0       # the last sequence it acted on
        self.pages = self.repeats = self.wrong_repeats = self.disorder = self.forgotten = 0
        self.failure = None

    def follow(self, address, token, until_empty=False):
        connection = http.client.HTTPConnection(*address, timeout=SECONDS_MAX)
        try:
            while True:
                page = self.ask(connection, token, 0 if until_empty else 10)
                self.act(page)
                # An application may die at this moment too: it begins where it last stored.
                if not until_empty and self.random.random() < FORGETS:
                    self.forgotten += 1
                    continue
                self.stored = page["last"]
                if until_empty and not page["more"]:
                    return
        except (OSError, http.client.HTTPException) as failure:
            if until_empty:
                raise failure
        except Exception as failure:
            self.failure = failure
        finally:
            connection.close()

    def ask(self, connection, token, wait):
        limit = self.random.choice([1, 7, 100])
        path = f"/access/v1/changes?after={self.stored}&limit={limit}&wait={wait}"
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, (answer.status, text)
        return json.loads(text)

    def act(self, page):
        self.pages += 1
        before = self.stored
        told = {}
        for event in page["changes"]:
            sequence = event["sequence"]
            self.disorder += sequence < before
            before = sequence
            told.setdefault(sequence, []).append(event)
        assert before <= page["last"], page
        for sequence, events in told.items():
            # What it has stored, it is not told again.
            self.wrong_repeats += sequence <= self.stored
            names = [(it["id"], it["type"], it["changed"]) for it in events]
            if sequence in self.acted:
                self.repeats += 1
                assert self.acted[sequence] == names, (self.acted[sequence], names)
            else:
                self.disorder += sequence < self.newest
                self.newest = max(self.newest, sequence)
                self.acted[sequence] = names


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("binary")
    arguments.add_argument("--rounds", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = arguments.parse_args()
    binary = os.path.abspath(given.binary)
    print(f"kill_feed: {given.rounds} rounds, seed {given.seed}", flush=True)
    chance = random.Random(given.seed)
    writers = [Writer(f"w{i}", given.seed + i) for i in range(WRITERS)]
    consumer = Consumer(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        database = os.path.join(folder, "plumm.db")
        command(binary, database, "org", "create", "acme", "--activate")
        command(binary, database, "org", "create", "other", "--activate")
        token = command(binary, database, "token", "create", "acme")["token"]
        other = command(binary, database, "token", "create", "other")["token"]
        read = command(binary, database, "token", "create", "acme", "--scope", "read")["token"]
        # Another organisation's changes stand between, and are not told.
        stranger = Writer("stranger", given.seed)
        for number in range(given.rounds):
            server = Server(binary, database)
            try:
                everybody = [(it.work, token) for it in writers]
                everybody += [(stranger.work, other), (consumer.follow, read)]
                threads = [threading.Thread(target=it, args=(server.address, of))
                           for it, of in everybody]
                for it in threads:
                    it.start()
                time.sleep(chance.uniform(*WORK_SECONDS))
                server.kill()
                for it in threads:
                    it.join()
                failures = [it.failure for it in [*writers, stranger, consumer] if it.failure]
                assert not failures + server.complaints, (failures, server.complaints)
            finally:
                server.kill()
            if (number + 1) % 20 == 0:
                print(f"kill_feed: {number + 1} rounds", flush=True)
        server = Server(binary, database)
        try:
            consumer.follow(server.address, read, until_empty=True)
            server.stop()
        finally:
            server.kill()
        judge(database, writers, consumer, given.rounds)


def judge(database, writers, consumer, rounds):
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        sql = """SELECT seq FROM provisioning_log WHERE org = (SELECT id FROM org WHERE name = ?)
                 AND type IN ('User', 'Group')"""
        logged = {it for it, in connection.execute(sql, ["acme"])}
        all_lines = connection.execute("SELECT count(*) FROM provisioning_log").fetchone()[0]
    connection.close()
    resources = {it for it in consumer.acted if any(
        name.startswith(("user.", "group.")) for _, name, _ in consumer.acted[it])}
    missing, foreign = logged - resources, resources - logged
    told = {changed["title"]["after"] for events in consumer.acted.values()
            for _, _, changed in events if "title" in changed}
    answered = [title for it in writers for title in it.answered]
    lost = [it for it in answered if it not in told]
    refused = [it for it in told if it and it.startswith("refused")]
    print(f"kill_feed: {rounds} rounds, {len(answered)} changes answered, {len(logged)} of "
          f"{all_lines} lines of the log; {consumer.pages} pages, {len(resources)} numbers told, "
          f"{len(missing)} gaps, {len(lost)} answered and not told, {consumer.disorder} out of "
          f"order, {consumer.repeats} told again after {consumer.forgotten} positions that were "
          f"not stored, {consumer.wrong_repeats} of them stored before, {len(foreign)} of others")
    assert not (missing or lost or refused or foreign), (missing, lost, refused, foreign)
    assert consumer.disorder == 0 and consumer.wrong_repeats == 0
    assert len(answered) > rounds, "hardly anything was answered"


main()
