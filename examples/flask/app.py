"""Lets in whom plumm lets in, and ends the sessions of whoever is deactivated, within a second.

    PLUMM_URL=http://127.0.0.1:8080 PLUMM_TOKEN=plm_… flask --app examples/flask/app.py run

The token has the scope read. How people prove who they are is left out: your single sign-on does that.
"""
import json, os, secrets, threading, time, urllib.parse, urllib.request
from flask import Flask, abort, request
from webhook import verified
URL, FIELDS = os.environ["PLUMM_URL"], {"Authorization": "Bearer " + os.environ["PLUMM_TOKEN"]}
FILE, BLIND_SECONDS_MAX = os.environ.get("STATE_FILE", "sessions.json"), 120
ENDS = {"user.deactivated", "user.deleted", "user.purged"}
app, lock, read_at = Flask(__name__, static_folder=None), threading.RLock(), float("-inf")
# Up to where the feed was read, and the account of each session: in one file, so that a restart misses nothing.
state = json.load(open(FILE)) if os.path.exists(FILE) else {"after": None, "sessions": {}}

def ask(path, **parameters):
    target = f"{URL}{path}?{urllib.parse.urlencode(parameters)}"
    return urllib.request.urlopen(urllib.request.Request(target, headers=FIELDS), timeout=40)

def keep(**changes):
    state.update(changes)
    with open(FILE + ".new", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        json.dump(state, file)
    os.replace(FILE + ".new", FILE)

def act(event):
    if event["type"] in ENDS or event.get("user", "") is None:
        with lock:
            keep(sessions={key: it for key, it in state["sessions"].items() if it != event["userId"]})

def follow():
    global read_at
    while True:
        try:
            if state["after"] is None:  # From here on; who was logged in before has to log in again.
                now = ask("/scim/v2/Users", count=0).headers["Plumm-Change"]
                with lock: keep(after=int(now), sessions={})
            wait = 30 if time.monotonic() - read_at < BLIND_SECONDS_MAX else 0
            page = json.load(ask("/access/v1/changes", after=state["after"], wait=wait))
            for event in page["changes"]: act(event)
            with lock: keep(after=page["last"])
            if not page["more"]: read_at = time.monotonic()
        except Exception as error:  # Whatever it is: when it lasts, nobody is let in.
            if getattr(error, "code", 0) == 410: state["after"] = None
            time.sleep(1)

@app.post("/login")
def login():
    try:
        key, name = secrets.token_urlsafe(), urllib.parse.quote(request.form["userName"], safe="")
        account = json.load(ask(f"/access/v1/users/{name}"))
        with lock: keep(sessions={**state["sessions"], key: account["id"]})
        ask("/access/v1/user", id=account["id"])  # Again: what was told before the session was there ended nothing.
    except (OSError, ValueError):  # 403, 404, and whatever else is no plain yes.
        abort(403)
    answer = app.make_response(f"Hello {account['userName']}\n")
    answer.set_cookie("session", key, httponly=True, samesite="Lax", secure=request.is_secure)
    return answer

@app.get("/")
def page():
    if time.monotonic() - read_at > BLIND_SECONDS_MAX: abort(503)  # Nobody knows who may still be in.
    return "You are in.\n" if request.cookies.get("session") in state["sessions"] else abort(401)

@app.post("/webhook")
def told():  # The same event twice does no harm.
    return ("", 204) if verified(request.headers, request.get_data(), act) else abort(401)

threading.Thread(target=follow, daemon=True).start()
