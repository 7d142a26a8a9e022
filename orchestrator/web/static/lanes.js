// The contexts as lanes over time: who held which one, who had waited for it, call-backs, broken times.

import { drawn, keyed, make, placed, say, span, words } from "./draw.js";

const SHOWN_S = 600;
const WIDTH = 1000;
const BAR = { y: 4, height: 16 };
const broken = new Map(); // slot → [{since, until}], as seen here

export function lanes(box, document, now, open) {
  const slots = placed(document.slots);
  note(slots, now);
  keyed(
    box,
    slots,
    (slot) => slot.slot,
    (slot) => {
      const about = make("p", {}, make("b", {}, `Context ${slot.slot}`), make("span", { class: "about" }));
      const picture = drawn("svg", { viewBox: `0 0 ${WIDTH} 34`, preserveAspectRatio: "none", role: "img" });
      picture.addEventListener("click", (event) => {
        const job = event.target.closest("[data-job]")?.dataset.job;
        if (job) open(`#/job/${job}`);
      });
      const holder = make("button", { type: "button", class: "link holder" });
      holder.addEventListener("click", () => open(`#/job/${holder.textContent}`));
      about.append(holder);
      return make("div", { class: "slot" }, about, picture);
    },
    (element, slot) => {
      const holder = element.querySelector(".holder");
      holder.hidden = !slot.lease;
      say(holder, slot.lease?.holder ?? "");
      const text = told(slot, now);
      say(element.querySelector(".about"), text);
      draw(element.querySelector("svg"), slot, document, now, text);
    },
  );
}

function told(slot, now) {
  const lease = slot.lease;
  if (!lease) {
    if (slot.state === "broken") return "broken, is being rebuilt";
    return slot.reserved_for ? `free, kept for ${slot.reserved_for} work` : "free";
  }
  const parts = [`${lease.lane}${lease.is_borrowed ? ", borrowed" : ""}, held ${span(now - lease.since)}`];
  if (lease.called_back_for) parts.push(`called back for ${lease.called_back_for}`);
  else if (lease.is_called_back) parts.push("called back");
  parts.push(lease.until > now ? `${span(lease.until - now)} at most to go` : "its time is over");
  return parts.join("; ");
}

function note(slots, now) {
  for (const slot of slots) {
    const spans = broken.get(slot.slot) ?? [];
    const last = spans.at(-1);
    if (slot.state === "broken") {
      if (!last || last.until) spans.push({ since: now });
    } else if (last && !last.until) last.until = now;
    broken.set(slot.slot, spans.filter((one) => !one.until || one.until > now - SHOWN_S));
  }
}

function draw(picture, slot, document, now, text) {
  const first = now - SHOWN_S;
  const x = (moment) => Math.max(0, ((moment - first) / SHOWN_S) * WIDTH);
  const parts = [];
  const bar = (since, until, kind, y, height, title, job) => {
    if (until < first) return;
    const attributes = { x: x(since), y, width: Math.max(1.5, x(until) - x(since)), height, class: `bar ${kind}` };
    if (job) attributes["data-job"] = job;
    const rectangle = drawn("rect", attributes);
    rectangle.append(drawn("title", {}, title));
    parts.push(rectangle);
  };
  for (let minute = 1; minute < SHOWN_S / 60; minute++) {
    const at = WIDTH - (minute * 60 * WIDTH) / SHOWN_S;
    parts.push(drawn("line", { x1: at, x2: at, y1: 0, y2: 24, class: "axis" }));
  }
  const held = Object.values(document.timeline ?? {}).filter((one) => one.slot === slot.slot);
  if (slot.lease) held.push({ ...slot.lease, until: now, called_back_at: null, end: slot.lease.is_late ? "late" : "" });
  for (const one of held) {
    if (one.asked_at !== undefined && one.since - one.asked_at >= 0.5) {
      bar(one.asked_at, one.since, "wait", BAR.y + BAR.height + 1, 3, `${one.holder} waited ${span(one.since - one.asked_at)}`);
    }
    const bad = ["expired", "revoked", "broken", "late"].includes(one.end) ? " bad" : "";
    const how = one.end ? `, ${words(one.end)}` : "";
    const title = `${one.holder} (${one.lane}) ${span(one.until - one.since)}${how}`;
    bar(one.since, one.until, one.lane + bad, BAR.y, BAR.height, title, one.holder);
    if (one.called_back_at) {
      const at = x(one.called_back_at);
      parts.push(drawn("line", { x1: at, x2: at, y1: 0, y2: 24, class: "called" }));
    }
  }
  for (const one of broken.get(slot.slot) ?? []) bar(one.since, one.until ?? now, "broken", BAR.y, BAR.height, "broken");
  picture.replaceChildren(...parts);
  picture.setAttribute("aria-label", `Context ${slot.slot} in the last ten minutes; now ${slot.lease?.holder ?? ""} ${text}`);
}
