// How the identity provider is set up, step by step; what has arrived ticks itself off.

import { get, pause, post } from "./ask.js";
import { icon } from "./icons.js";
import { at, card, copied, field, h, note, problem, say, select } from "./make.js";
import { plain } from "./story.js";
import { shownOnce } from "./tokens.js";

const LOOK = 3_000;
const QUIET = 60_000;

const GUIDES = {
  okta: { name: "Okta", path: "In Okta, open the app, tab Provisioning, Integration, and click Edit.",
    url: "SCIM connector base URL", token: "API token (HTTP Header: Authorization, Bearer)",
    before: "Under Sign On, set Application username format to Email.",
    steps: [["credentials", "Click Test API Credentials", "Then save."],
      ["user", "Assign the first person", "Under To App, switch on Create Users; then assign a person under Assignments."],
      ["update", "Change a profile", "Switch on Update User Attributes, and change a title in the person's profile."],
      ["deactivation", "Unassign a person", "Switch on Deactivate Users, and remove somebody's assignment: login is gone at once."],
      ["groups", "Push a group", "Under Push Groups, choose one. Leave it out when the application needs no groups."]] },
  entra: { name: "Entra ID", path: "In Entra ID, open the enterprise application, Provisioning, and set the mode to Automatic.",
    url: "Tenant URL", token: "Secret token",
    before: "Entra ID pushes every 40 minutes; Provision on demand pushes one person at once.",
    steps: [["credentials", "Click Test Connection", "Then save."],
      ["user", "Assign the first person", "Under Users and groups; then Start provisioning, or Provision on demand."],
      ["update", "Change a profile", "Change the job title of the person."],
      ["deactivation", "Remove a person's assignment", "Login is gone as soon as Entra ID says so."],
      ["groups", "Assign a group", "Leave it out when the application needs no groups."]] },
};

export async function setup({ content, signal }) {
  let guide = GUIDES.okta;
  let last = null;
  const opened = Date.now();
  const steps = h("ol", { class: "steps" });
  const progress = h("span", { class: "hint" });
  const told = h("div");
  const intro = h("div");
  const token = h("div");
  const make = h("button", { type: "button", class: "main", onclick: async () => {
    make.disabled = true;
    try {
      token.replaceChildren(shownOnce(await post("tokens", { label: guide.name, scope: "scim" })));
      token.querySelector("input").focus();
    } catch (error) {
      if (error.status !== 401) token.replaceChildren(problem(error));
    } finally {
      make.disabled = false;
    }
  } });
  const draw = (it) => {
    const isDone = ([name]) => it.steps[name].done;
    const next = guide.steps.find((step) => !isDone(step));
    const step = (one) => {
      const [name, text, hint] = one;
      const done = isDone(one);
      return h("li", { class: done ? "done" : one === next ? "next" : "" },
        h("span", { class: "tick", role: "img", "aria-label": done ? "Done" : "Not yet" }, done ? icon("tick") : ""),
        h("div", null, h("p", null, h("strong", null, text)), h("p", { class: "hint" }, hint)),
        it.steps[name].time ? at(it.steps[name].time)
          : h("span", { class: "hint" }, done ? "Done" : one === next ? "Waiting…" : ""));
    };
    steps.replaceChildren(...guide.steps.map(step));
    const done = guide.steps.filter(isDone).length;
    progress.textContent = next ? `${done} of ${guide.steps.length} done` : "All done";
    const parts = [];
    if (!it.org.activated) {
      parts.push(note("problem", "wrong", h("p", null, "Provisioning is not activated for this organisation: ",
        "every request is refused until Plumm Support activates it.")));
    }
    if (!it.steps.credentials.done && Date.now() - opened > QUIET) {
      parts.push(note("note", "wait", h("p", null, h("strong", null, "Nothing has arrived yet.")),
        h("ul", null,
          h("li", null, "Is the address right, and can it be reached from outside? It begins with https and ends with /scim/v2."),
          h("li", null, "Does a proxy or firewall in between let it through, with the Authorization header?"),
          h("li", null, "Was the whole token pasted, from plm_ to its last letter?"))));
    }
    if (it.refused) parts.push(h("h2", null, "Refused last"), plain([it.refused]));
    told.replaceChildren(...parts);
    const all = JSON.stringify(guide.steps.map(isDone));
    if (last !== null && last !== all) say("A step is done");
    last = all;
  };
  const look = async () => {
    const it = await get("setup", {}, signal);
    if (!intro.hasChildNodes()) introduce(it);
    draw(it);
  };
  const introduce = (it) => {
    make.textContent = `Create a token for ${guide.name}`;
    intro.replaceChildren(h("p", null, guide.path), copied(guide.url, it.baseUrl),
      h("div", { class: "field" }, h("span", { class: "label" }, guide.token),
        h("div", { class: "buttons" }, make)), token,
      h("p", { class: "hint" }, guide.before));
  };
  const choose = (value) => {
    guide = GUIDES[value];
    last = null;
    token.replaceChildren();
    intro.replaceChildren();
    look().catch(failed).catch(() => {});
  };
  const failed = (error) => {
    if (error.name === "AbortError" || error.status === 401) throw error;
    told.replaceChildren(problem(error));
  };
  content.append(
    card("Connect", field("Identity provider",
      select(Object.entries(GUIDES).map(([key, it]) => [key, it.name]), "okta", choose)), intro),
    h("div", { class: "heading" }, h("h2", null, "What has arrived"), progress),
    h("div", { class: "card" }, steps), told);
  await look();
  (async () => {
    for (;;) {
      await pause(LOOK, signal);
      await look().catch(failed);
    }
  })().catch(() => {});
}
