// The live page: draws what the feed says, and asks the API to do what people press.

import { clockTime, drawn, keyed, make, placed, say, span, words } from "./draw.js";
import { Details } from "./details.js";
import { Feed } from "./feed.js";
import { lanes } from "./lanes.js";

const WAY = ["draft", "queued", "claimed", "submitting", "published", "ambiguous", "failed"];
const $ = (id) => document.getElementById(id);
let feed = null;

// ── who we are ──────────────────────────────────────────────────────────────────────────────────

function token() {
  const given = /^#token=(.+)$/.exec(location.hash);
  if (given) {
    sessionStorage.setItem("orchestrator-token", decodeURIComponent(given[1]));
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem("orchestrator-token");
}

async function ask(method, path, body) {
  const headers = { Authorization: `Bearer ${token() ?? ""}` };
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(`api/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const document = await answer.json();
  if (!answer.ok) throw new Error([document.detail ?? document.title, document.remedy].filter(Boolean).join(" "));
  return document;
}

async function act(path, body) {
  try {
    say($("said"), (await ask("POST", path, body)).message);
  } catch (error) {
    say($("said"), `Not done: ${error.message}`);
  }
}

function begin() {
  const secret = token();
  $("ask").hidden = Boolean(secret);
  if (!secret) {
    say($("summary"), "Who are you?");
    linked("refused");
    return;
  }
  feed = new Feed({ token: secret, changed: draw, linked });
}

function linked(state) {
  const link = $("link");
  link.dataset.state = state;
  say(link, { live: "live", lost: "connection lost, trying again", refused: "no token" }[state]);
  if (state === "refused") {
    sessionStorage.removeItem("orchestrator-token");
    $("ask").hidden = false;
  }
}

// ── what is seen ────────────────────────────────────────────────────────────────────────────────

function draw(house) {
  say($("mode"), house.mode);
  $("mode").dataset.mode = house.mode;
  const problems = house.problems ?? [];
  $("summary").dataset.well = problems.length || house.mode !== "ready" ? "no" : "yes";
  say($("summary"), house.summary);
  keyed($("problems"), problems, (one) => one.what, () => make("li"), (element, one) => {
    element.replaceChildren(make("b", {}, one.what), one.since ? ` since ${clockTime(one.since)}. ` : ". ", one.remedy ?? "");
  });
  queue(house);
  jobs(house);
  posts(house);
  drafts(house);
  learning(house);
  budget(house);
  memory(house);
  breakers(house);
  checks(house);
  alerts(house);
  tick();
}

// What changes by time alone.
function tick() {
  const house = feed?.document;
  if (!house) return;
  const now = feed.now();
  const clock = house.clock;
  const shown = clock.shown_epoch + (now - clock.real_epoch) * clock.speed;
  const speed = clock.speed === 1 ? "" : `, ${clock.speed} times as fast`;
  say($("clock"), `${new Date(shown * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC${speed}`);
  lanes($("slots"), house, now, (hash) => (location.hash = hash));
  for (const element of document.querySelectorAll("[data-since]")) {
    say(element, span(now - Number(element.dataset.since)));
  }
  for (const element of document.querySelectorAll("[data-next]")) {
    const left = (Date.parse(element.dataset.next) / 1000 - shown) / clock.speed;
    say(element, left > 0 ? `in ${span(left)}` : "now");
  }
}

function cells(row, count) {
  while (row.cells.length < count) row.append(make("td"));
  return row.cells;
}

function opener(to, text) {
  return make("a", { href: to }, text);
}

function put(cell, signature, ...children) {
  if (cell.dataset.shows === signature) return;
  cell.dataset.shows = signature;
  cell.replaceChildren(...children);
}

function state(name) {
  return make("span", { class: "state", "data-state": name }, words(name));
}

function queue(house) {
  const rows = placed(house.queue);
  $("queue").closest(".scroll").hidden = !rows.length;
  $("nobody").hidden = rows.length > 0;
  keyed($("queue").tBodies[0], rows, (row) => `${row.holder} ${row.since}`, () => make("tr"), (element, row) => {
    const [job, lane, waits, why] = cells(element, 4);
    put(job, row.holder, opener(`#/job/${row.holder}`, row.holder));
    put(lane, row.lane + row.is_urgent, row.is_urgent ? `${row.lane}, urgent` : row.lane);
    put(waits, String(row.since), make("span", { "data-since": row.since }));
    why.className = "why";
    say(why, row.why);
  });
}

function jobs(house) {
  keyed($("jobs").tBodies[0], placed(house.jobs), (job) => job.name, () => make("tr"), (element, job) => {
    const [name, now, last, next, why, todo] = cells(element, 6);
    put(name, job.name, opener(`#/job/${job.name}`, job.name));
    const beat = job.beat ? make("span", { class: "small" }, job.beat.said) : "";
    const late = job.is_overdue ? make("span", { class: "small" }, "overdue") : "";
    put(now, `${job.state} ${job.beat?.said} ${job.is_overdue}`, state(job.state), beat, late);
    const ending = job.last ? [words(job.last.ending), make("span", { class: "small" }, `${clockTime(job.last.at)} ${job.last.detail}`)] : ["–"];
    put(last, `${job.last?.at} ${job.last?.ending} ${job.last?.detail}`, ...ending);
    put(next, String(job.next_at), job.next_at ? make("span", { "data-next": job.next_at }) : "–");
    why.className = "why";
    say(why, job.why);
    todo.className = "do";
    const orders = job.state === "off" ? [] : [job.state === "paused" || job.state === "failed" ? "resume" : "pause", "run"];
    put(todo, orders.join(), ...orders.map((order) => button(order === "run" ? "Run now" : words(order), `${order} ${job.name}`, () => act(`jobs/${job.name}/${order}`))));
  });
}

function button(text, label, press) {
  const element = make("button", { type: "button", "aria-label": label }, text[0].toUpperCase() + text.slice(1));
  element.addEventListener("click", async () => {
    element.disabled = true;
    await press();
    element.disabled = false;
  });
  return element;
}

function posts(house) {
  const counts = house.posts ?? {};
  keyed($("states"), WAY.filter((name) => name in counts), (name) => name, (name) => make("li", {}, make("b"), ` ${name}`), (element, name) => {
    say(element.querySelector("b"), String(counts[name]));
  });
  keyed($("posts").tBodies[0], placed(house.recent_posts), (post) => post.id, () => make("tr"), (element, post) => {
    const [id, account, now, when, text, reached] = cells(element, 6);
    put(id, String(post.id), opener(`#/post/${post.id}`, String(post.id)));
    put(account, post.account, opener(`#/account/${encodeURIComponent(post.account)}`, post.account));
    const decide = post.state === "ambiguous" ? resolutions(post) : [];
    put(now, post.state, state(post.state), ...decide);
    const site = post.address ? make("a", { href: post.address, rel: "noreferrer" }, "on the site") : "";
    put(when, `${post.published_at} ${post.due_at} ${post.reference}`, clockTime(post.published_at ?? post.due_at), " ", site);
    text.className = "why";
    say(text, post.text);
    say(reached, post.views === undefined ? "–" : `${post.likes} ♥ ${post.replies} ↩ ${post.views} views`);
  });
}

function resolutions(post) {
  const of = `posts/${post.id}/resolve`;
  return [
    button("published …", `post ${post.id} is published`, async () => {
      const reference = prompt("Under which reference does the site have it?");
      if (reference) await act(of, { decision: "published", reference });
    }),
    button("try again", `requeue post ${post.id}`, () => act(of, { decision: "requeue" })),
    button("drop", `drop post ${post.id}`, () => act(of, { decision: "drop" })),
  ];
}

function drafts(house) {
  const rows = placed(house.drafts);
  $("no-drafts").hidden = rows.length > 0;
  keyed($("drafts"), rows, (draft) => draft.id, (draft) => {
    const answered = draft.target ? make("a", { href: draft.target, rel: "noreferrer" }, draft.in_reply_to) : draft.in_reply_to;
    return make(
      "li",
      {},
      make("p", {}, opener(`#/account/${encodeURIComponent(draft.account)}`, draft.account), " answers ", answered ?? ""),
      make("blockquote"),
      button("approve", `approve reply ${draft.id}`, () => act(`drafts/${draft.id}/approve`)),
      button("reject", `reject reply ${draft.id}`, () => act(`drafts/${draft.id}/reject`)),
      opener(`#/post/${draft.id}`, "all of it"),
    );
  }, (element, draft) => say(element.querySelector("blockquote"), draft.text));
}

function learning(house) {
  const known = house.learning ?? { outcomes: 0, arms: [] };
  const parts = [make("p", {}, `${known.outcomes} posts taught something. `, opener("#/models", "Models"))];
  const means = (known.arms ?? []).map((arm) => arm.mean);
  const random = means.length ? means.reduce((a, b) => a + b, 0) / means.length : null;
  for (const [site, points] of Object.entries(house.rewards ?? {})) {
    if (points.length < 2) continue;
    const picture = drawn("svg", { viewBox: "0 0 300 90", role: "img" });
    const y = (mean) => 80 - mean * 75;
    const x = (at) => 5 + (at * 290) / (points.length - 1);
    if (random !== null) picture.append(drawn("line", { x1: 5, x2: 295, y1: y(random), y2: y(random), class: "random" }));
    picture.append(drawn("polyline", { points: points.map((point, at) => `${x(at)},${y(point.mean)}`).join(" "), class: "reward" }));
    const latest = points.at(-1).mean;
    const text = `${site}: the latest posts earn ${latest.toFixed(2)}` + (random === null ? "" : `, posts chosen at random would earn ${random.toFixed(2)}`);
    picture.setAttribute("aria-label", text);
    parts.push(picture, make("p", { class: "quiet" }, `${text} (solid and dashed; from 0 to 1).`));
  }
  $("learning").replaceChildren(...parts);
}

function budget(house) {
  const money = house.budget;
  if (!money?.is_set) return $("budget").replaceChildren(make("p", { class: "quiet" }, "No language model is set: texts come from folder, feeds and templates."));
  $("budget").replaceChildren(meter(`${money.left} of ${money.budget} left, tier ${money.tier}`, money.left_share), make("p", {}, money.said));
}

function meter(text, share) {
  return make("div", { class: "meter" }, make("span", {}, text), make("progress", { max: 1, value: Math.min(1, share), "aria-label": text }));
}

function memory(house) {
  const sizes = Object.entries(house.memory ?? {});
  const all = sizes.reduce((sum, [, size]) => sum + size, 0);
  const limit = house.shedding?.limits?.critical_bytes ?? all;
  const mb = (size) => `${Math.round(size / 1e6)} MB`;
  const rows = sizes.map(([part, size]) => meter(`${words(part.replace(/_bytes$/, ""))}: ${mb(size)}`, size / (limit || 1)));
  const step = house.shedding && house.shedding.step !== "none" ? make("p", {}, `Given up for want of memory: ${words(house.shedding.step)}`) : "";
  $("memory").replaceChildren(make("p", {}, `${mb(all)} in all`), step, ...rows);
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

// ── what is pressed ─────────────────────────────────────────────────────────────────────────────

for (const all of document.querySelectorAll("[data-do]")) all.addEventListener("click", () => act(all.dataset.do));
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("orchestrator-token", $("token").value.trim());
  $("token").value = "";
  begin();
});
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#token=")) location.reload(); // a new link in this tab
});
const details = new Details($("details"), ask);
begin();
details.show();
setInterval(tick, 1000);
