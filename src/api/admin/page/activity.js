// Changes and refusals as one story, which goes on while one looks.

import { download, get, pause } from "./ask.js";
import { bytes, empty, field, h, problem, say, select, time } from "./make.js";
import { Story } from "./story.js";

const KINDS = [["", "Everything"], ["users", "Users"], ["groups", "Groups"], ["tokens", "Tokens"],
  ["webhooks", "Webhooks"], ["settings", "Settings"], ["commands", "Commands"]];
const OUTCOMES = [["", "Done and refused"], ["done", "Done"], ["refused", "Refused"]];
const TYPE_WAIT = 200;
const WAIT_SECONDS = 25;
const PAUSES = [1_000, 2_000, 5_000, 10_000];

export async function activity({ content, signal, parameters, keep }) {
  const known = (options, name) => {
    const value = parameters.get(name) ?? "";
    return options.some(([it]) => it === value) ? value : "";
  };
  const asked = { user: parameters.get("user") ?? "", kind: known(KINDS, "kind"),
    outcome: known(OUTCOMES, "outcome") };
  const story = new Story();
  const below = h("div", { class: "below" });
  const live = h("span", { class: "live" }, "Live");
  let shownNow = new AbortController();
  signal.addEventListener("abort", () => shownNow.abort());

  const failed = (error) => {
    if (!signal.aborted && error.name !== "AbortError" && error.status !== 401) {
      below.replaceChildren(problem(error));
    }
  };
  const older = async (before, within) => {
    below.replaceChildren(h("span", { class: "hint" }, "Looking further back…"));
    const page = await get("activity", { ...asked, before }, within);
    if (within.aborted) return page;
    page.entries.forEach((it) => story.older(it));
    const more = page.next && h("button", { type: "button",
      onclick: () => older(page.next, within).catch(failed) }, "Show older");
    const none = story.length === 0 && !page.next;
    const far = page.entries.length === 0 && page.next
      && h("p", { class: "hint" }, "Nothing that fits, back to ", time(page.reached), ".");
    below.replaceChildren(...[far, more, none && nothing()].filter(Boolean));
    return page;
  };
  const nothing = () => (asked.user || asked.kind || asked.outcome
    ? empty("Nothing that plumm still knows of fits these filters.")
    : empty("Nothing has happened yet. ", h("a", { href: "#setup" }, "Set up Okta"), " is next."));

  // What happens from now on comes to the top.
  const follow = async (place, within) => {
    let lost = 0;
    while (!within.aborted) {
      try {
        const news = await get("activity",
          { ...asked, after: place, wait: lost > 0 ? 0 : WAIT_SECONDS }, within);
        place = news.newest;
        if (lost > 0) live.replaceChildren("Live");
        live.classList.remove("lost");
        lost = 0;
        if (news.entries.length > 0) below.querySelector(".empty")?.remove();
        for (const it of news.entries) story.newer(it);
        if (news.entries.length > 0) say(`${news.entries.length} new`);
      } catch (error) {
        if (within.aborted || error.status === 401) return;
        live.replaceChildren(error.status === 0 ? "The server does not answer; trying again"
          : "The server is busy; trying again");
        live.classList.add("lost");
        await pause(PAUSES[Math.min(lost, PAUSES.length - 1)], within).catch(() => {});
        lost += 1;
      }
    }
  };

  const restart = async () => {
    shownNow.abort();
    shownNow = new AbortController();
    const within = shownNow.signal;
    story.clear();
    const page = await older(undefined, within);
    follow(page.newest, within);
  };
  const again = () => {
    if (signal.aborted) return;
    keep(asked);
    restart().catch(failed);
  };
  let timer;
  const user = h("input", { type: "search", autocomplete: "off", spellcheck: "false",
    placeholder: "Username or id", value: asked.user, oninput: (event) => {
      clearTimeout(timer);
      asked.user = event.target.value.trim();
      timer = setTimeout(again, TYPE_WAIT);
    } });
  const filter = (name) => (value) => {
    asked[name] = value;
    again();
  };
  const csv = h("button", { type: "button", onclick: async () => {
    csv.disabled = true;
    try {
      await download("GET", "activity.csv", asked, "plumm-activity.csv",
        (come) => { csv.textContent = `${bytes(come)}…`; }, signal);
    } catch (error) {
      failed(error);
    } finally {
      csv.disabled = false;
      csv.textContent = "Download CSV";
    }
  } }, "Download CSV");
  content.append(
    h("div", { class: "filters", role: "search" }, field("Person", user),
      field("Kind", select(KINDS, asked.kind, filter("kind"))),
      field("Outcome", select(OUTCOMES, asked.outcome, filter("outcome"))),
      h("div", { class: "ends" }, csv, live)),
    story.element, below);
  await restart();
}
