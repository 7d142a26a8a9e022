// The live page: draws what the feed says, and asks the API to do what people press.

import { clockTime, keyed, make, opener, placed, put, say, span, state, tickTimes, told, words } from "./draw.js";
import { Details } from "./details.js";
import { Feed } from "./feed.js";
import { lanes } from "./lanes.js";
import { panels } from "./panels.js";

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
    put(element, JSON.stringify(one), make("b", {}, one.what), one.since ? ` since ${clockTime(one.since)}. ` : ". ", one.remedy ?? "");
  });
  queue(house);
  jobs(house);
  posts(house);
  drafts(house);
  panels(house);
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
  tickTimes(document, now);
  for (const element of document.querySelectorAll("[data-next]")) {
    const left = (Date.parse(element.dataset.next) / 1000 - shown) / clock.speed;
    say(element, left > 0 ? `in ${span(left)}` : "now");
  }
}

function cells(row, count) {
  while (row.cells.length < count) row.append(make("td"));
  return row.cells;
}

function queue(house) {
  const rows = placed(house.queue);
  $("queue").closest(".scroll").hidden = !rows.length;
  $("nobody").hidden = rows.length > 0;
  keyed($("queue").tBodies[0], rows, (row) => row.holder, () => make("tr"), (element, row) => {
    const [job, lane, waits, why] = cells(element, 4);
    put(job, row.holder, opener(`#/job/${row.holder}`, row.holder));
    put(lane, row.lane + row.is_urgent, row.is_urgent ? `${row.lane}, urgent` : row.lane);
    put(waits, String(row.since), make("span", { "data-since": row.since }));
    why.className = "why";
    put(why, JSON.stringify(row.reasons), ...told(row.reasons));
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
    const wait = job.why === undefined ? house.queue?.[job.name] : undefined; // a queued one's reasons stand there
    put(why, JSON.stringify([job.why, wait?.reasons]), ...(wait ? ["Waits for a context: ", ...told(wait.reasons)] : [job.why ?? ""]));
    todo.className = "do";
    const orders = job.state === "off" ? [] : [job.state === "paused" || job.state === "failed" ? "resume" : "pause", "run"];
    keyed(todo, orders, (order) => (order === "run" ? "run" : "hold"), () => {
      const one = button("…", "", () => act(`jobs/${job.name}/${one.dataset.order}`));
      return one;
    }, (one, order) => {
      one.dataset.order = order;
      one.setAttribute("aria-label", `${order} ${job.name}`);
      say(one, { run: "Run now", pause: "Pause", resume: "Resume" }[order]);
    });
  });
}

function button(text, label, press) {
  const element = make("button", { type: "button", "aria-label": label }, text[0].toUpperCase() + text.slice(1));
  element.addEventListener("click", async () => {
    if (element.getAttribute("aria-disabled") === "true") return; // `disabled` would take the focus away
    element.setAttribute("aria-disabled", "true");
    await press();
    element.setAttribute("aria-disabled", "false");
  });
  return element;
}

function posts(house) {
  const counts = house.posts ?? {};
  keyed($("states"), WAY.filter((name) => name in counts), (name) => name, (name) => make("li", {}, make("b"), ` ${name}`), (element, name) => {
    say(element.querySelector("b"), String(counts[name]));
  });
  const doubts = placed(house.doubts).filter((post) => !house.recent_posts?.[post.id]); // a person is to see them
  keyed($("posts").tBodies[0], [...doubts, ...placed(house.recent_posts)], (post) => post.id, () => make("tr"), (element, post) => {
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
