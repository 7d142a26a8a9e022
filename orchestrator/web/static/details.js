// What stands behind an element of the page, with its history: asked of the API when it is opened.

import { make, moment, words } from "./draw.js";

export class Details {
  constructor(dialog, ask) {
    this.dialog = dialog;
    this.ask = ask;
    this.title = dialog.querySelector("h2");
    this.body = dialog.querySelector("#details-body");
    dialog.addEventListener("close", () => {
      if (location.hash) history.pushState(null, "", location.pathname + location.search);
    });
    addEventListener("hashchange", () => this.show());
  }

  async show() {
    const [, kind, name] = location.hash.split("/").map(decodeURIComponent);
    const page = { job: this.job, post: this.post, account: this.account, alerts: this.alerts, models: this.models }[kind];
    if (!page) return this.dialog.close();
    this.title.textContent = `${words(kind)} ${name ?? ""}`;
    this.body.replaceChildren(make("p", {}, "…"));
    if (!this.dialog.open) this.dialog.showModal();
    const asked = location.hash;
    let shown;
    try {
      shown = await page.call(this, name);
    } catch (error) {
      shown = [make("p", { role: "alert" }, error.message)];
    }
    if (location.hash === asked) this.body.replaceChildren(...shown); // else it is too late
  }

  async job(name) {
    const [job, runs] = await Promise.all([
      this.ask("GET", `jobs/${encodeURIComponent(name)}`),
      this.ask("GET", `runs?job=${encodeURIComponent(name)}&limit=50`),
    ]);
    return [
      make("ul", {}, ...job.lines.map((line) => make("li", {}, line))),
      make("h3", {}, "Latest runs"),
      table(
        ["Began", "Why", "Ended", "What came of it"],
        runs.items.map((run) => [moment(run.started_at), run.trigger, run.ending ? words(run.ending) : "runs", run.detail]),
      ),
    ];
  }

  async post(id) {
    const post = await this.ask("GET", `posts/${encodeURIComponent(id)}`);
    const shown = Object.entries(post).filter(([key, value]) => value !== null && value !== "" && !["next", "id"].includes(key));
    return [
      make("ul", {}, ...(post.next ?? []).map((line) => make("li", {}, line))),
      list(shown.map(([key, value]) => [words(key), String(value)])),
    ];
  }

  async account(name) {
    const posts = await this.ask("GET", `posts?account=${encodeURIComponent(name)}&limit=50`);
    return [
      table(
        ["Post", "State", "Since", "Text"],
        posts.items.map((post) => [link(`#/post/${post.id}`, String(post.id)), words(post.state), moment(post.since), post.text]),
      ),
    ];
  }

  async alerts() {
    const alerts = await this.ask("GET", "alerts?limit=100");
    return [
      table(
        ["Since", "Severity", "What", "What to do", "Over"],
        alerts.items.map((one) => [moment(one.since), one.severity, one.what, one.remedy, moment(one.cleared_at)]),
      ),
    ];
  }

  async models() {
    const models = await this.ask("GET", "models?limit=50");
    return [
      table(
        ["Version", "Site", "State", "Why", "Trained", "Posts", "Error"],
        models.items.map((one) => [one.version, one.site, words(one.state), one.why, moment(one.trained_at), one.posts, one.error?.toFixed(3) ?? "–"].map(String)),
      ),
    ];
  }
}

function link(to, text) {
  return make("a", { href: to }, text);
}

function table(heads, rows) {
  if (!rows.length) return make("p", { class: "quiet" }, "Nothing yet.");
  return make(
    "div",
    { class: "scroll", tabindex: "0" },
    make(
      "table",
      {},
      make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell))))),
    ),
  );
}

function list(pairs) {
  return make("dl", {}, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}
