// Making elements; text is never read as HTML.

export const $ = (id) => document.getElementById(id);

/** An element: make("p", { class: "soft", "data-x": 1, hidden: true }, "text", another element, ...). */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  put(element, attributes, children);
  return element;
}

export function makeSvg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  put(element, attributes, children);
  return element;
}

function put(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
}

/** Class of a talker's colour; `number` counts from 1. */
export const colour = (number) => `t${(number - 1) % 6}`;

export const chip = (number) => make("span", { class: `chip ${colour(number)}`, "aria-hidden": "true" }, String(number));

/** Groups items in the order in which their keys first come: [[key, items], ...]. */
export const groups = (items, key) => [...Map.groupBy(items, key)];

export const plural = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
