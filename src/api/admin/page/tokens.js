// API tokens: made and shown once, revoked.

import { get, post } from "./ask.js";
import { confirmed, copied, field, h, problem, say, select, table, time } from "./make.js";

const SCOPES = [["scim", "scim – the identity provider"], ["read", "read – an application that follows changes"],
  ["access", "access – an application that asks at login"], ["admin", "admin – this page and the metrics"]];

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
  const load = async () => {
    const { entries } = await get("tokens", {}, signal);
    list.replaceChildren(table("API tokens",
      ["Label", "Scope", "State", "Created", "Expires", "Last used", "Action"],
      entries.map((it) => [
        [it.label || h("code", null, it.id), it.own && h("span", { class: "hint" }, " signed in with it")],
        it.scope,
        h("span", { class: `state ${it.state === "valid" ? "on" : "off"}` },
          it.expires_soon ? "expires soon" : it.state),
        time(it.created), it.expires ? time(it.expires) : "never",
        it.last_used ? time(it.last_used) : "never",
        it.state === "valid" ? revoke(it) : ""])));
  };
  const revoke = (it) => h("button", { type: "button", class: "danger",
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
    h("form", { class: "filters", onsubmit: create }, field("Label", label),
      field("Scope", scope), field("Expires in days", expires, "Empty: never."), button),
    told, list);
  await load();
}

// The only time that the secret is seen.
export function shownOnce(made) {
  return h("div", { class: "note" }, copied("New token", made.token),
    h("p", null, "It is shown this once and cannot be shown again: copy it now."));
}
