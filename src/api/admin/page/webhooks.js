// Endpoints of webhooks: how far each is, what came back, and what repairs it.

import { get, post } from "./ask.js";
import { confirmed, count, empty, field, h, problem, say, table, time } from "./make.js";

const STATES = { active: "on", retrying: "off", disabled: "off" };

const state = (it) => h("span", { class: `state ${STATES[it.state]}` }, it.state);

export async function webhooks({ content, signal }) {
  const { entries } = await get("webhooks", {}, signal);
  content.append(entries.length > 0
    ? table("Webhooks", ["Receiver", "State", "Behind", "Last request"], entries.map((it) => [
      h("a", { href: `#webhooks/${encodeURIComponent(it.id)}` }, it.url), state(it),
      count(it.behind, "change", "changes"), time(it.last_delivery?.time) ?? "none yet"]))
    : empty("No application is told of changes yet. ",
      h("code", null, "plumm webhook add ORG URL"), " makes an endpoint and shows its key."));
}

export async function webhook({ content, signal, name, id }) {
  const path = `webhooks/${encodeURIComponent(id)}`;
  const draw = async () => {
    const it = await get(path, {}, signal);
    name(it.url);
    const act = (word, text, send) => h("button", { type: "button", onclick: async () => {
      try {
        if (await send() === null) return;
        say(text);
        await draw();
      } catch (error) {
        if (error.status !== 401) content.prepend(problem(error));
      }
    } }, word);
    const from = h("input", { type: "number", min: 1, inputmode: "numeric", value: it.after + 1 });
    const replay = async () => {
      const first = Number(from.value);
      const yes = await confirmed({ title: `Replay from ${first}?`, button: "Replay",
        text: `Every event from change ${first} on is sent again, also those that were delivered. The receiver must pass over what it has.` });
      return yes && post(`${path}/replay`, { from: first });
    };
    const facts = [["Id", h("code", null, it.id)], ["State", state(it)], ["Why", it.reason],
      ["Behind", count(it.behind, "change", "changes")],
      ["Told up to", `change ${it.after}`], ["Next attempt", time(it.next_attempt)],
      ["Events", it.events?.join(", ") ?? "all"], ["Signed by", it.algorithm],
      ["Public key", it.public_key && h("code", null, it.public_key)]];
    content.replaceChildren(
      h("dl", null, facts.filter(([, value]) => value)
        .map(([key, value]) => [h("dt", null, key), h("dd", null, value)])),
      h("h2", null, "Repair"),
      h("div", { class: "buttons" },
        it.state !== "active" && act("Try again now", "It goes on", () => post(`${path}/enable`)),
        it.state !== "disabled" && act("Disable", "Disabled", () => post(`${path}/disable`))),
      h("div", { class: "filters" }, field("Replay from change", from), act("Replay", "It goes on", replay)),
      h("h2", null, "Last requests"),
      it.deliveries.length > 0
        ? table("Last requests", ["Time", "Event", "Attempt", "Status", "Took", "What came back"],
          it.deliveries.map((one) => [time(one.time), one.type, one.attempt, one.status,
            `${one.milliseconds} ms`, one.error ?? (one.answer || "nothing")]))
        : empty("There was no request yet. The next change makes one."));
  };
  await draw();
}
