// Lets in whom plumm lets in, and ends the sessions of whoever is deactivated, within a second.
//
//     PLUMM_URL=http://127.0.0.1:8080 PLUMM_TOKEN=plm_… node app.js
//
// The token has the scope read. How people prove who they are is left out: your single sign-on does that.
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import express from "express";
import { ask, verified } from "./plumm.js";
const { STATE_FILE = "sessions.json", PORT = 3000 } = process.env;
const BLIND_MS_MAX = 120_000; // For how long sessions live on while the feed cannot be read.
// Up to where the feed was read, and the account of each session: in one file, so that a restart misses nothing.
let state = existsSync(STATE_FILE) ? JSON.parse(readFileSync(STATE_FILE)) : { after: null, sessions: {} };
let readAt = -Infinity;

function keep(changes) {
  state = { ...state, ...changes };
  writeFileSync(`${STATE_FILE}.new`, JSON.stringify(state), { mode: 0o600 });
  renameSync(`${STATE_FILE}.new`, STATE_FILE);
}
function act({ type, userId, user }) {
  if (!["user.deactivated", "user.deleted", "user.purged"].includes(type) && user !== null) return;
  keep({ sessions: Object.fromEntries(Object.entries(state.sessions).filter(([, id]) => id !== userId)) });
}
async function readOn() {
  // From here on; who was logged in before has to log in again.
  if (state.after === null) keep({ after: (await ask("/scim/v2/Users", { count: 0 })).change, sessions: {} });
  const wait = performance.now() - readAt < BLIND_MS_MAX ? 30 : 0;
  const { changes, last, more } = await ask("/access/v1/changes", { after: state.after, wait });
  changes.forEach(act);
  keep({ after: last });
  if (!more) readAt = performance.now();
}
const app = express();
app.post("/login", express.urlencoded(), async (request, response) => {
  try {
    const { id, userName } = await ask("/access/v1/user", { userName: request.body.userName });
    const key = randomBytes(32).toString("base64url");
    keep({ sessions: { ...state.sessions, [key]: id } });
    await ask("/access/v1/user", { id }); // Again: what was told before the session was there ended nothing.
    response.cookie("session", key, { httpOnly: true, sameSite: "lax", secure: request.secure });
    response.send(`Hello ${userName}\n`);
  } catch { response.sendStatus(403); } // 403, 404, and whatever else is no plain yes.
});
app.get("/", (request, response) => {
  const key = /(?:^|; )session=([\w-]+)/.exec(request.headers.cookie)?.[1];
  if (performance.now() - readAt > BLIND_MS_MAX) response.sendStatus(503); // Nobody knows who may still be in.
  else response.status(Object.hasOwn(state.sessions, key) ? 200 : 401).end();
});
app.post("/webhook", express.raw({ type: () => true }), ({ headers, body }, response) =>
  response.sendStatus(verified(headers, body, act) ? 204 : 401)); // The same event twice does no harm.
const server = app.listen(PORT, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
for (;;) await readOn().catch(({ status }) => { // Whatever it is: when it lasts, nobody is let in.
  if (status === 410) state.after = null;
  return setTimeout(1000);
});
