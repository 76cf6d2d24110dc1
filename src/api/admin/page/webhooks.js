// Endpoints of webhooks: how far each is, what came back, and what repairs it.

import { get, post } from "./ask.js";
import { at, card, confirmed, count, empty, facts, field, h, note, number, pill, problem, say, table,
  time } from "./make.js";

const STATES = { active: "good", retrying: "warn", disabled: "bad" };
const SIGNED = { hmac: "HMAC-SHA256, with a secret that both know", ed25519: "Ed25519, with the public key below" };

const state = (it) => pill(STATES[it.state], it.state);

// What went wrong on the way, in words.
function words(error) {
  if (/refused/i.test(error)) return "Nothing listens at this address (connection refused)";
  if (/timed? ?out/i.test(error)) return "No answer in time";
  return error.replace(/^io: /, "");
}

export async function webhooks({ content, signal }) {
  const { entries } = await get("webhooks", {}, signal);
  content.append(entries.length > 0
    ? table("Webhooks", ["Receiver", "State", "Behind", "Last request"], entries.map((it) => [
      h("a", { href: `#webhooks/${encodeURIComponent(it.id)}` }, it.url), state(it),
      it.behind > 0 ? count(it.behind, "change", "changes") : "Nothing", at(it.last_delivery?.time) ?? "None yet"]))
    : empty("No application is told of changes yet. Whoever runs the server adds one: ",
      h("code", null, "plumm webhook add ORG URL"), " shows the key of its signatures once."));
}

export async function webhook({ content, signal, name, id }) {
  const path = `webhooks/${encodeURIComponent(id)}`;
  const told = h("div", { role: "status" });
  const draw = async () => {
    const it = await get(path, {}, signal);
    name(it.url);
    const act = (word, send, properties) => {
      const button = h("button", { type: "button", ...properties, onclick: async () => {
        button.disabled = true;
        try {
          const answer = await send();
          if (answer === null) return;
          told.replaceChildren(answer);
          await draw();
        } catch (error) {
          if (error.status !== 401 && error.name !== "AbortError") told.replaceChildren(problem(error));
        } finally {
          button.disabled = false;
        }
      } }, word);
      return button;
    };
    const done = (text) => note("note", "tick", h("p", null, text));
    const change = (method, text, body) => async () => {
      await post(`${path}/${method}`, body);
      return done(text);
    };
    const test = async () => {
      const tested = await post(`${path}/test`);
      say(tested.delivered ? "The test event was taken" : "The test event was not taken");
      return cameBack(tested);
    };
    const disable = async () => {
      const yes = await confirmed({ title: "Disable this webhook?", button: "Disable",
        text: "The receiver is told of no change until it is enabled again; then it is told of all it has missed, as far back as they are kept." });
      return yes && change("disable", "Disabled. Try again now enables it.")();
    };
    const from = h("input", { type: "number", min: 1, inputmode: "numeric", value: it.after + 1 });
    const replay = async () => {
      const first = Number(from.value);
      const yes = await confirmed({ title: `Replay from ${first}?`, button: "Replay", harmless: true,
        text: `Every event from change ${first} on is sent again, also those that were delivered. The receiver must pass over what it has.` });
      return yes && change("replay", `It goes on from change ${first}.`, { from: first })();
    };
    content.replaceChildren(told,
      it.missed ? note("problem", "wrong", h("p", null, "Some changes it was not told of are not kept any more. ",
        "It is told so with an event webhook.gap, and goes on behind them.")) : "",
      h("div", { class: "two" },
        card("How it goes", facts([["State", state(it)], ["Why", it.reason],
          ["Behind", it.behind > 0 ? count(it.behind, "change", "changes") : "Nothing: all is delivered"],
          ["Told up to", `change ${number(it.after)}`], ["Next attempt", it.next_attempt && at(it.next_attempt)],
          ["Events", it.events?.join(", ") ?? "All"], ["Signed by", SIGNED[it.algorithm] ?? it.algorithm],
          ["Public key", it.public_key && h("code", null, it.public_key)],
          ["Former key", it.former_key_until && ["signs too until ", time(it.former_key_until)]],
          ["Id", h("code", null, it.id)]])),
        card("Look after it",
          h("div", { class: "buttons" }, act("Send test event", test, { class: "main" }),
            it.state !== "active" && act("Try again now", change("enable", "It goes on.")),
            it.state !== "disabled" && act("Disable", disable, { class: "danger" })),
          h("div", { class: "filters" }, field("Replay from change", from), h("div", { class: "ends" },
            act("Replay", replay))))),
      h("h2", null, "Last requests"),
      it.deliveries.length > 0
        ? table("Last requests", ["Sent", "Event", "Attempt", "Status", "Took", "What came back"],
          it.deliveries.map((one) => [at(one.time), one.type, one.attempt,
            one.delivered ? pill("good", one.status) : pill("bad", one.status ?? "no answer"),
            `${number(one.milliseconds)} ms`, one.error ? words(one.error) : one.answer || "An empty answer"]))
        : empty("There was no request yet. The next change makes one, and so does a test event."));
  };
  await draw();
}

function cameBack(tested) {
  const took = `${number(tested.milliseconds)} ms`;
  return tested.delivered
    ? note("note", "tick", h("p", null, `The test event was taken: ${tested.status} after ${took}.`))
    : note("problem", "wrong", h("p", null, `The test event was not taken: ${words(tested.error ?? `status ${tested.status}`)}.`),
      tested.answer && h("p", { class: "codes" }, tested.answer));
}
