// API tokens: made and shown once, revoked.

import { get, post } from "./ask.js";
import { at, card, confirmed, copied, field, h, pill, problem, say, select, table } from "./make.js";

const SCOPES = [["scim", "scim – the identity provider"], ["read", "read – an application that follows changes"],
  ["access", "access – an application that asks at login"], ["admin", "admin – this page and the metrics"]];

const USES = { scim: "the identity provider", read: "follows changes", access: "asks at login",
  admin: "this page, metrics" };

export async function tokens({ content, signal }) {
  const list = h("div");
  const told = h("div");
  const label = h("input", { maxlength: 200, autocomplete: "off" });
  const scope = select(SCOPES, "scim");
  const expires = h("input", { type: "number", min: 1, max: 3650, inputmode: "numeric" });
  const button = h("button", { type: "submit", class: "main" }, "Create token");
  const create = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const made = await post("tokens", { label: label.value, scope: scope.value,
        expires: expires.value === "" ? null : Number(expires.value) });
      told.replaceChildren(shownOnce(made));
      told.querySelector("input").focus();
      event.target.reset();
      await load();
    } catch (error) {
      if (error.status !== 401) told.replaceChildren(problem(error));
    } finally {
      button.disabled = false;
    }
  };
  const state = (it) => {
    if (it.state !== "valid") return pill("", it.state);
    return it.expires_soon ? pill("warn", "expires soon") : pill("good", "valid");
  };
  const load = async () => {
    const { entries } = await get("tokens", {}, signal);
    // What is no longer of use comes last.
    entries.sort((a, b) => (a.state !== "valid") - (b.state !== "valid"));
    list.replaceChildren(table("API tokens",
      ["Label", "Scope", "State", "Created", "Expires", "Last used", "Action"],
      entries.map((it) => [
        [it.label || h("code", null, it.id), it.own && h("span", { class: "line hint" }, "You are signed in with it")],
        [it.scope, h("span", { class: "line hint" }, USES[it.scope])],
        state(it), at(it.created), it.expires ? at(it.expires) : "Never",
        it.last_used ? at(it.last_used) : "Never",
        it.state === "valid" ? revoke(it) : ""])));
  };
  const revoke = (it) => h("button", { type: "button", class: "danger small",
    "aria-label": `Revoke ${it.label || it.id}`, onclick: async () => {
      const yes = await confirmed({ title: `Revoke ${it.label || it.id}?`, button: "Revoke",
        reason: true, text: it.own
          ? "You are signed in with this token: it is refused from the next request on, and you are signed out."
          : "Whoever uses this token is refused from the next request on. It cannot be undone; make a new one then." });
      if (yes === null) return;
      try {
        await post(`tokens/${encodeURIComponent(it.id)}/revoke`, yes);
        say("Revoked");
        await load();
      } catch (error) {
        if (error.status !== 401) told.replaceChildren(problem(error));
      }
    } }, "Revoke");
  content.append(
    card("New token", h("form", { class: "filters", onsubmit: create },
      field("Label", label, "Who uses it, or where."), field("Scope", scope),
      field("Expires in days", expires, "Empty: never."), h("div", { class: "ends" }, button)), told),
    h("h2", null, "All tokens"), list);
  await load();
}

// The only time that the secret is seen.
export function shownOnce(made) {
  return h("div", { class: "told note" }, h("div", null, copied("New token", made.token),
    h("p", null, "It is shown this once and cannot be shown again: copy it now.")));
}
