"""Lets in whom plumm lets in, and ends the sessions of whoever is deactivated, within a second.

    PLUMM_URL=http://127.0.0.1:8080 PLUMM_TOKEN=plm_… flask --app examples/flask/app.py run

The token has the scope read. How people prove who they are is left out: your single sign-on does that.
"""
import json, os, secrets, threading, time
from flask import Flask, abort, request
from plumm import ask, verified
FILE, BLIND_SECONDS_MAX = os.environ.get("STATE_FILE", "sessions.json"), 120
app, lock, read_at = Flask(__name__, static_folder=None), threading.Lock(), float("-inf")
# Up to where the feed was read, and the account of each session: in one file, so that a restart misses nothing.
state = json.load(open(FILE)) if os.path.exists(FILE) else {"after": None, "sessions": {}}

def keep(change):
    with lock, open(FILE + ".new", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        state.update(change())
        print(json.dumps(state), file=file, flush=True)
        os.replace(FILE + ".new", FILE)

def act(event):
    if event["type"] in ["user.deactivated", "user.deleted", "user.purged"] or event.get("user", "") is None:
        keep(lambda: {"sessions": {key: it for key, it in state["sessions"].items() if it != event["userId"]}})

def follow():
    global read_at
    while True:
        try:
            if state["after"] is None:  # From here on; who was logged in before has to log in again.
                now = ask("/scim/v2/Users", count=0)[1]
                keep(lambda: {"after": now, "sessions": {}})
            wait = 30 if time.monotonic() - read_at < BLIND_SECONDS_MAX else 0
            page = ask("/access/v1/changes", after=state["after"], wait=wait)[0]
            for event in page["changes"]: act(event)
            keep(lambda: {"after": page["last"]})
            if not page["more"]: read_at = time.monotonic()
        except Exception as error:  # Whatever it is: when it lasts, nobody is let in.
            if getattr(error, "code", 0) == 410: state["after"] = None
            time.sleep(1)

@app.post("/login")
def login():
    try:
        account, key = ask("/access/v1/user", userName=request.form["userName"])[0], secrets.token_urlsafe()
        keep(lambda: {"sessions": {**state["sessions"], key: account["id"]}})
        ask("/access/v1/user", id=account["id"])  # Again: what was told before the session was there ended nothing.
    except (OSError, ValueError): abort(403)  # 403, 404, and whatever else is no plain yes.
    cookie = f"session={key}; HttpOnly; SameSite=Lax" + "; Secure" * request.is_secure
    return f"Hello {account['userName']}\n", {"Set-Cookie": cookie}

@app.get("/")
def page():
    if time.monotonic() - read_at > BLIND_SECONDS_MAX: abort(503)  # Nobody knows who may still be in.
    return "You are in.\n" if request.cookies.get("session") in state["sessions"] else abort(401)

@app.post("/webhook")
def told(): return ("", 204) if verified(request.headers, request.get_data(), act) else abort(401)

threading.Thread(target=follow, daemon=True).start()
