// How it goes: people, what happened per day, what needs to be looked after.

import { entry } from "./activity.js";
import { get } from "./ask.js";
import { bytes, count, day, empty, h, number, svg, table, time } from "./make.js";

const SOON_DAYS = 30;

export async function overview({ content, signal }) {
  const it = await get("overview", { offset: -new Date().getTimezoneOffset() }, signal);
  const tile = (value, text, href) => h("a", { class: "tile", href },
    h("strong", null, number(value)), h("span", null, text));
  content.append(
    it.org.activated ? "" : h("div", { class: "problem" }, h("p", null,
      "Provisioning is not activated for this organisation: the identity provider is refused ",
      "until Plumm Support activates it.")),
    h("div", { class: "tiles" },
      tile(it.users.active, "may log in", "#users"),
      tile(it.users.inactive, "may not log in", "#users"),
      tile(it.users.deleted, "deleted", "#users"),
      tile(it.groups, it.groups === 1 ? "group" : "groups", "#groups")),
    h("h2", null, "The last 30 days"), chart(it.days),
    h("h2", null, "Refused lately"),
    it.refused.length > 0
      ? h("ul", { class: "story" }, it.refused.map(entry))
      : empty("No request was refused that plumm still knows of."),
    h("h2", null, "To look after"),
    h("dl", null, facts(it)));
}

function facts(it) {
  const fact = (name, ...text) => [h("dt", null, name), h("dd", null, text)];
  const contact = it.lastContact ?? it.lastPush;
  const days = (text) => Math.floor((new Date(text) - Date.now()) / 86_400_000);
  const soon = it.tokens.expireSoon.map((token) =>
    h("div", { class: "warning" }, `${token.label || token.id} expires `, time(token.expires)));
  const { made, failed } = it.backup;
  return [
    fact("Identity provider", contact
      ? ["was here last ", time(contact)]
      : ["was not here yet. ", h("a", { href: "#setup" }, "Set up Okta"), " says how."]),
    fact("Tokens", `${count(it.tokens.valid, "is", "are")} valid. `, soon),
    fact("Certificate", it.certificate
      ? [days(it.certificate.expires) < SOON_DAYS && h("strong", null, "Soon: "),
        "expires ", time(it.certificate.expires)]
      : "The server has none of its own: a proxy in front of it may have one."),
    fact("Backup", failed
      ? h("div", { class: "warning" }, "has failed since ", time(failed.since), `: ${failed.reason}`)
      : null, made
      ? ["was made ", time(made.time), `, ${bytes(made.bytes)}`]
      : "None is known of. plumm serve --backup-dir makes them by itself."),
  ];
}

// Bars, and the same as a table.
function chart(days) {
  const most = Math.max(1, ...days.map((it) => it.changes + it.refused));
  const total = (name) => days.reduce((sum, it) => sum + it[name], 0);
  if (total("changes") + total("refused") === 0) {
    return empty("Nothing has happened in the last 30 days.");
  }
  const height = 120;
  const bars = days.map((it, i) => {
    const changes = Math.round(it.changes / most * height);
    const refused = Math.round(it.refused / most * height);
    const text = `${day(it.from)}: ${count(it.changes, "change", "changes")}, ${it.refused} refused`;
    const bar = (kind, from, size) => size > 0 && svg("rect", { class: kind, x: i * 20 + 2,
      y: height - from - size, width: 16, height: size, rx: 2 });
    return svg("g", null, svg("title", null, text),
      svg("rect", { class: "hit", x: i * 20, y: 0, width: 20, height }),
      bar("changes", 0, changes || (it.changes > 0 ? 2 : 0)),
      bar("refused", changes, refused || (it.refused > 0 ? 2 : 0)));
  });
  const label = `${count(total("changes"), "change", "changes")} and ` +
    `${count(total("refused"), "refused request", "refused requests")} in 30 days`;
  const rows = days.filter((it) => it.changes + it.refused > 0).reverse();
  return h("figure", null,
    svg("svg", { viewBox: `0 0 ${days.length * 20} ${height}`, role: "img", "aria-label": label,
      preserveAspectRatio: "none" }, bars),
    h("div", { class: "axis", "aria-hidden": "true" }, h("span", null, day(days[0].from)),
      h("span", null, "today")),
    h("figcaption", null, h("span", { class: "key changes" }), `${number(total("changes"))} changes `,
      h("span", { class: "key refused" }), `${number(total("refused"))} refused`),
    h("details", null, h("summary", null, "As a table"),
      table("What happened on each day", ["Day", "Changes", "Refused"],
        rows.map((it) => [day(it.from), number(it.changes), number(it.refused)]))));
}
