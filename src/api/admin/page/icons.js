// Small pictures: those of the views, and of what happened. Words always stand beside them.

import { svg } from "./element.js";

const SHAPES = {
  overview: "M3 16V9m5 7V4m5 12v-5m4 5H2",
  users: "M10 10a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM3 17c.6-3 3.4-4.5 7-4.5s6.4 1.5 7 4.5",
  groups: "M7 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM1.5 16.5c.4-2.8 2.5-4.3 5.5-4.3s5.1 1.5 5.5 4.3M13 3.8a3 3 0 0 1 0 5.5M15 12.5c2 .5 3.2 1.9 3.5 4",
  activity: "M2 10h3.5L8 4l4 12 2.5-6H18",
  tokens: "M12.5 11.5a4.5 4.5 0 1 0-4.3-3.2L3 13.5V17h3.5v-2h2v-2l1.2-1.7c.8.2 1.8.2 2.8.2ZM13.5 6.5h.01",
  webhooks: "M10 3v9m0 0 3.5-3.5M10 12 6.5 8.5M3 13v2.5A1.5 1.5 0 0 0 4.5 17h11a1.5 1.5 0 0 0 1.5-1.5V13",
  setup: "M4 5.5 5.5 7 8 4M4 14l1.5 1.5L8 12.5M11 6h6M11 14h6",
  backup: "M3 5.5C3 4 6 3 10 3s7 1 7 2.5S14 8 10 8 3 7 3 5.5Zm0 0v9C3 16 6 17 10 17s7-1 7-2.5v-9M3 10c0 1.5 3 2.5 7 2.5s7-1 7-2.5",
  plus: "M10 5v10M5 10h10",
  pencil: "M5 15l.7-3L13 4.7l2.3 2.3L8 14.3 5 15Z",
  minus: "M5.5 10h9",
  bin: "M5 6.5h10M8 6.5V5h4v1.5M6.5 6.5 7.2 15h5.6l.7-8.5",
  back: "M8 5 4.5 8.5 8 12M5 8.5h6.5a3.5 3.5 0 0 1 0 7H8",
  wrong: "M10 5v6M10 14.5h.01",
  tick: "M5 10.5 8.5 14 15 6.5",
  wait: "M10 5.5V10l3 2",
};

export const icon = (name) => svg("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" },
  svg("path", { d: SHAPES[name] }));

// The picture of the program.
export const plum = () => svg("svg", { class: "plum", viewBox: "0 0 32 32", "aria-hidden": "true" },
  svg("circle", { cx: 16, cy: 18, r: 12 }), svg("path", { d: "M16 8c0-3 2-5 6-6-1 4-3 6-6 6z" }));
