// Lets in whom plumm lets in, and ends the sessions of whoever is deactivated, within a second.
//
//     PLUMM_URL=http://127.0.0.1:8080 PLUMM_TOKEN=plm_… node app.js
//
// The token has the scope read. How people prove who they are is left out: your single sign-on does that.
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import express from "express";
import { verified } from "./webhook.js";

const { PLUMM_URL, PLUMM_TOKEN, STATE_FILE = "sessions.json", PORT = 3000 } = process.env;
const BLIND_MS_MAX = 120_000; // For how long sessions live on while the feed cannot be read.
const ENDS = ["user.deactivated", "user.deleted", "user.purged"];
// Up to where the feed was read, and the account of each session: in one file, so that a restart misses nothing.
let state = existsSync(STATE_FILE) ? JSON.parse(readFileSync(STATE_FILE)) : { after: null, sessions: {} };
let readAt = -Infinity;

function keep(changes) {
  state = { ...state, ...changes };
  writeFileSync(`${STATE_FILE}.new`, JSON.stringify(state), { mode: 0o600 });
  renameSync(`${STATE_FILE}.new`, STATE_FILE);
}

async function ask(path, parameters = {}) {
  const target = `${PLUMM_URL}${path}?${new URLSearchParams(parameters)}`;
  const headers = { Authorization: `Bearer ${PLUMM_TOKEN}` };
  const answer = await fetch(target, { headers, signal: AbortSignal.timeout(40_000) });
  const body = await answer.json();
  if (answer.status !== 200) throw Object.assign(new Error(body.detail), { status: answer.status });
  return { body, change: Number(answer.headers.get("Plumm-Change")) };
}

function act(event) {
  if (!ENDS.includes(event.type) && event.user !== null) return;
  keep({ sessions: Object.fromEntries(Object.entries(state.sessions).filter(([, id]) => id !== event.userId)) });
}

async function follow() {
  for (;;) {
    try {
      if (state.after === null) {
        // From here on; who was logged in before has to log in again.
        keep({ after: (await ask("/scim/v2/Users", { count: 0 })).change, sessions: {} });
      }
      const wait = performance.now() - readAt < BLIND_MS_MAX ? 30 : 0;
      const page = (await ask("/access/v1/changes", { after: state.after, wait })).body;
      page.changes.forEach(act);
      keep({ after: page.last });
      if (!page.more) readAt = performance.now();
    } catch (error) { // Whatever it is: when it lasts, nobody is let in.
      if (error.status === 410) keep({ after: null });
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

const app = express();
app.post("/login", express.urlencoded(), async (request, response) => {
  try {
    const account = (await ask(`/access/v1/users/${encodeURIComponent(request.body.userName)}`)).body;
    const key = randomBytes(32).toString("base64url");
    keep({ sessions: { ...state.sessions, [key]: account.id } });
    await ask("/access/v1/user", { id: account.id }); // Again: what was told before the session was there ended nothing.
    response.cookie("session", key, { httpOnly: true, sameSite: "lax", secure: request.secure });
    response.send(`Hello ${account.userName}\n`);
  } catch { // 403, 404, and whatever else is no plain yes.
    response.sendStatus(403);
  }
});
app.get("/", (request, response) => {
  const key = /(?:^|; )session=([\w-]+)/.exec(request.headers.cookie)?.[1];
  if (performance.now() - readAt > BLIND_MS_MAX) response.sendStatus(503); // Nobody knows who may still be in.
  else if (Object.hasOwn(state.sessions, key)) response.send("You are in.\n");
  else response.sendStatus(401);
});
app.post("/webhook", express.raw({ type: () => true }), (request, response) => {
  response.sendStatus(verified(request.headers, request.body, act) ? 204 : 401); // The same event twice does no harm.
});
const server = app.listen(PORT, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
follow();
