// The cards below the tables: learning, budget, memory, breakers, checks, alerts. Each is mended in place.

import { drawn, keyed, make, opener, placed, put, say, state, words } from "./draw.js";

const $ = (id) => document.getElementById(id);

export function panels(house) {
  learning(house);
  budget(house);
  memory(house);
  breakers(house);
  checks(house);
  alerts(house);
}

function learning(house) {
  const known = house.learning ?? { outcomes: 0, arms: [] };
  say($("outcomes"), `${known.outcomes} posts taught something.`);
  const means = (known.arms ?? []).map((arm) => arm.mean);
  const random = means.length ? means.reduce((a, b) => a + b, 0) / means.length : null;
  const sites = Object.entries(house.rewards ?? {}).filter(([, points]) => points.length >= 2);
  keyed($("rewards"), sites, ([site]) => site, () => {
    const picture = drawn("svg", { viewBox: "0 0 300 90", role: "img" });
    return make("div", {}, picture, make("p", { class: "quiet" }));
  }, (element, [site, points]) => {
    const latest = points.at(-1).mean.toFixed(2);
    const chance = random === null ? "" : `, posts chosen at random would earn ${random.toFixed(2)}`;
    const text = `${site}: the latest posts earn ${latest}${chance}`;
    const [picture, about] = element.children;
    picture.setAttribute("aria-label", text);
    put(picture, JSON.stringify([points, random]), ...curve(points, random));
    say(about, `${text} (solid and dashed; from 0 to 1).`);
  });
}

function curve(points, random) {
  const y = (mean) => 80 - mean * 75;
  const x = (at) => 5 + (at * 290) / (points.length - 1);
  const line = drawn("polyline", { points: points.map((point, at) => `${x(at)},${y(point.mean)}`).join(" "), class: "reward" });
  if (random === null) return [line];
  return [drawn("line", { x1: 5, x2: 295, y1: y(random), y2: y(random), class: "random" }), line];
}

function budget(house) {
  const money = house.budget;
  const isSet = Boolean(money?.is_set);
  meters($("spending"), isSet ? [["budget", `${money.left} of ${money.budget} left, tier ${money.tier}`, money.left_share]] : []);
  const none = "No language model is set: texts come from folder, feeds and templates.";
  say($("budget-said"), isSet ? (money.said ?? "") : none);
}

function memory(house) {
  const sizes = Object.entries(house.memory ?? {});
  const all = sizes.reduce((sum, [, size]) => sum + size, 0);
  const limit = house.shedding?.limits?.critical_bytes ?? all;
  const mb = (size) => `${Math.round(size / 1e6)} MB`;
  say($("memory-all"), `${mb(all)} in all`);
  const step = house.shedding?.step ?? "none";
  say($("memory-step"), step === "none" ? "" : `Given up for want of memory: ${words(step)}`);
  meters($("sizes"), sizes.map(([part, size]) => [part, `${words(part.replace(/_bytes$/, ""))}: ${mb(size)}`, size / (limit || 1)]));
}

// Bars of [name, text, share from 0 to 1].
function meters(box, rows) {
  keyed(box, rows, ([name]) => name, () => make("div", { class: "meter" }, make("span"), make("progress", { max: 1 })), (element, [, text, share]) => {
    const [label, bar] = element.children;
    say(label, text);
    bar.value = Math.min(1, share);
    bar.setAttribute("aria-label", text);
  });
}

function breakers(house) {
  keyed($("breakers"), placed(house.breakers), (one) => one.name, () => make("li"), (element, one) => {
    const last = one.last_error ? make("span", { class: "quiet" }, ` ${one.last_error}`) : "";
    put(element, JSON.stringify(one), one.name, " ", state(one.state), " for ", make("span", { "data-since": one.since }), last);
  });
}

function checks(house) {
  keyed($("checks"), placed(house.checks), (one) => one.name, () => make("li"), (element, one) => {
    put(element, JSON.stringify(one), one.name, " ", state(one.state), make("span", { class: "quiet" }, ` ${[one.detail, one.state === "down" ? one.remedy : ""].filter(Boolean).join(". ")}`));
  });
}

function alerts(house) {
  const open = placed(house.alerts).filter((one) => !one.cleared_at);
  keyed($("alerts"), [...open, { id: "all" }], (one) => one.id, (one) => (one.id === "all" ? make("li", {}, opener("#/alerts", "All alerts")) : make("li")), (element, one) => {
    if (one.id !== "all") put(element, one.what + one.severity, state(one.severity), ` ${one.what}. ${one.remedy ?? ""}`);
  });
}
