// Small tools that make and mend elements. Text is only ever set as text.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function drawn(tag, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Rows of `container` by key, in order; a row that stays is mended, so that focus and selection stay too. Of rows
// with the same key the second is another one, and so on.
export function keyed(container, rows, key, create, mend) {
  const before = new Map([...container.children].map((child) => [child.dataset.key, child]));
  const times = new Map();
  let place = container.firstElementChild;
  for (const row of rows) {
    const plain = String(key(row));
    times.set(plain, (times.get(plain) ?? 0) + 1);
    const name = times.get(plain) > 1 ? `${plain} #${times.get(plain)}` : plain;
    let element = before.get(name);
    before.delete(name);
    if (!element) {
      element = create(row);
      element.dataset.key = name;
    }
    mend(element, row);
    if (element === place) place = place.nextElementSibling;
    else container.insertBefore(element, place);
  }
  for (const element of before.values()) element.remove();
}

// The children of `cell`, made anew only when what it shows has another `signature`.
export function put(cell, signature, ...children) {
  if (cell.dataset.shows === signature) return;
  cell.dataset.shows = signature;
  cell.replaceChildren(...children);
}

export const opener = (to, text) => make("a", { href: to }, text);

export const state = (name) => make("span", { class: "state", "data-state": name }, words(name));

export const placed = (rows) => Object.entries(rows ?? {}).sort(([, a], [, b]) => a.place - b.place).map(([, row]) => row);

export function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

// What something waits for, reason by reason; whoever has them keeps their times up to date (`tickTimes`).
export function told(reasons) {
  return (reasons ?? []).flatMap((one, at) => [
    at ? "; " : "",
    ...(one.at === undefined ? [] : [make("span", { "data-at": one.at }), " "]),
    one.said,
    ...(one.since === undefined ? [] : [" for ", make("span", { "data-since": one.since })]),
    ...(one.until === undefined ? [] : [", ", make("span", { "data-until": one.until }), " at most to go"]),
    one.then ? `, ${one.then}` : "",
  ]);
}

// Ages and spans of `root`, as they are `now`.
export function tickTimes(root, now) {
  for (const element of root.querySelectorAll("[data-since]")) say(element, span(now - Number(element.dataset.since)));
  for (const element of root.querySelectorAll("[data-until]")) say(element, span(Number(element.dataset.until) - now));
  for (const element of root.querySelectorAll("[data-at]")) {
    const left = Number(element.dataset.at) - now;
    say(element, left > 0 ? `in ${span(left)}` : "now");
  }
}

export const words = (text) => text.replaceAll("_", " ");

export const clockTime = (iso) => (iso ? iso.slice(11, 16) : "–");
export const moment = (iso) => (iso ? `${iso.slice(0, 10)} ${iso.slice(11, 19)}` : "–");
