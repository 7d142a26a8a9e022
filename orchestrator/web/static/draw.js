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

// Rows of `container` by key, in order; a row that stays is mended, so that focus and selection stay too.
export function keyed(container, rows, key, create, mend) {
  const before = new Map([...container.children].map((child) => [child.dataset.key, child]));
  let place = container.firstElementChild;
  for (const row of rows) {
    const name = String(key(row));
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

export const placed = (rows) => Object.entries(rows ?? {}).sort(([, a], [, b]) => a.place - b.place).map(([, row]) => row);

export function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const words = (text) => text.replaceAll("_", " ");

export const clockTime = (iso) => (iso ? iso.slice(11, 16) : "–");
export const moment = (iso) => (iso ? `${iso.slice(0, 10)} ${iso.slice(11, 19)}` : "–");
