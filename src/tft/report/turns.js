"use strict";
// The browser of turns. Texts of conversations become text nodes, never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const form = document.getElementById("filters");
const PAGE = 50; // turns listed at a time
const RECENT = 4; // messages before a turn that are shown at once

function element(tag, className, ...children) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}

const folded = (title, ...children) =>
  element("details", "", element("summary", "soft", title), ...children);

const callsIn = (messages) => messages.filter(Array.isArray).length; // one per assistant turn

// An item of the list is a turn in a scenario, where several cells may have answered it.
const scenarios = [...new Set(data.cells.map((cell) => cell.scenario))];
const items = scenarios.flatMap((scenario) => {
  const cells = data.cells.filter((cell) => cell.scenario === scenario);
  return data.turns.map(([place, index], number) => {
    const [id, messages] = data.conversations[place];
    const numbers = { turn: callsIn(messages.slice(0, index + 1)), long: callsIn(messages) };
    const answers = cells.map((cell) => {
      const [prediction, staged, good, reason, evidence, near] = cell.answers[number];
      const verdict = good === null ? "none" : good ? "good" : "bad";
      return { cell, prediction, staged, verdict, reason, evidence, near };
    });
    return { scenario, id, messages, index, ...numbers, reference: messages[index], answers };
  });
});
let shown = [];

function options(name, values, text = (value) => value) {
  form.elements[name].append(...[...new Set(values)].map((value) => new Option(text(value), value)));
}

const trained = data.cells.filter((cell) => cell.folder).map((cell) => cell.pipeline);
options("scenario", scenarios);
options("pipeline", data.cells.map((cell) => cell.pipeline));
options("tool", items.map((item) => item.reference[0]).sort());
options("predicted", items.flatMap((item) => item.answers).filter((answer) => answer.staged > 0)
  .map((answer) => answer.prediction[0]).sort());
options("argument", items.filter((item) => item.reference[0] !== data.respond)
  .flatMap(({ reference, answers }) => [reference[1], ...answers.map((answer) => outcomes(reference, answer))])
  .flatMap((given) => Object.keys(given)).sort());
options("conversation", items.map((item) => item.id));
options("verdicts", trained.map((name) => `only ${name}`), (value) => `${value} good`);

// As in the table, a turn without a verdict does not count as a disagreement.
const disagree = (answers) =>
  ["good", "bad"].every((verdict) => answers.some((answer) => answer.verdict === verdict));
const compared = (answer) => ["tft", "direct"].includes(answer.cell.pipeline);

const within = (bin, number) => {
  const [first, last] = bin.split("-").map(Number);
  return first <= number && number <= last;
};

// The outcome of each argument of a service call to the right tool, as the chart counts them.
function outcomes([tool, wanted], { prediction: [name, given], staged }) {
  if (tool === data.respond || !staged || name !== tool) return {};
  const became = (key) => {
    if (!(key in given)) return "missing";
    if (!(key in wanted)) return "invented";
    return JSON.stringify(given[key]) === JSON.stringify(wanted[key]) ? "right" : "wrong";
  };
  return Object.fromEntries(Object.keys({ ...wanted, ...given }).map((key) => [key, became(key)]));
}

// Without an outcome, this includes turns with a wrong tool whose reference has the argument.
function concerns(reference, answer, { argument, outcome }) {
  const found = outcomes(reference, answer);
  const names = argument ? [argument] : Object.keys(found);
  if (outcome) return names.some((name) => found[name] === outcome);
  return !argument || argument in found || argument in reference[1];
}

function matching(item, filter) {
  const tool = item.reference[0];
  if (filter.conversation && item.id !== filter.conversation) return [];
  if (filter.turn && !within(filter.turn, item.turn)) return [];
  if (filter.long && !within(filter.long, item.long)) return [];
  if (filter.scenario && item.scenario !== filter.scenario) return [];
  if (filter.tool === "service" ? tool === data.respond : filter.tool && tool !== filter.tool) return [];
  if (filter.verdicts === "differ" && !disagree(item.answers)) return [];
  if (filter.verdicts === "tft direct" && !disagree(item.answers.filter(compared))) return [];
  if (filter.verdicts.startsWith("only ")) {
    const good = item.answers.filter((answer) => answer.verdict === "good").map((answer) => answer.cell.pipeline);
    if (`only ${good.join()}` !== filter.verdicts) return [];
  }
  return item.answers.filter((answer) =>
    (!filter.pipeline || answer.cell.pipeline === filter.pipeline) &&
    (!filter.predicted || (answer.staged > 0 ? answer.prediction[0] : "none") === filter.predicted) &&
    (!filter.answer || answer.staged === Number(filter.answer)) &&
    (!filter.verdict || answer.verdict === filter.verdict) &&
    concerns(item.reference, answer, filter));
}

function update() {
  const filter = Object.fromEntries(new FormData(form));
  shown = items.map((item) => [item, matching(item, filter)]).filter(([, answers]) => answers.length);
  const counts = new Map();
  for (const { cell, verdict } of shown.flatMap(([, answers]) => answers)) {
    const key = `${cell.pipeline} ${verdict === "none" ? "without verdict" : verdict}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const summary = [...counts].map(([key, number]) => `${key} ${number}`).sort().join(", ");
  document.getElementById("count").textContent =
    `${shown.length} of ${items.length} turns${summary && `: ${summary}`}`;
  document.getElementById("list").replaceChildren();
  more();
}

function more() {
  const list = document.getElementById("list");
  const start = list.childElementCount;
  list.append(...shown.slice(start, start + PAGE).map(([item]) => listed(item)));
  document.getElementById("more").hidden = list.childElementCount >= shown.length;
}

function listed(item) {
  const marks = item.answers.map(({ cell, verdict }) => {
    const sign = { good: "✓", bad: "✗", none: "?" }[verdict];
    return element("span", `mark ${verdict}`, `${sign} ${cell.pipeline}`);
  });
  const where = element("span", "id", `${item.scenario} · ${item.id} · ${item.index} `);
  const tool = element("span", "tool", item.reference[0]);
  const node = element("details", "turn", element("summary", "", where, tool, ...marks));
  node.addEventListener("toggle", () => node.append(body(item)), { once: true });
  return node;
}

function body(item) {
  const before = item.messages.slice(0, item.index).map((_, index) => message(item.messages, index));
  const earlier = before.splice(0, Math.max(0, before.length - RECENT));
  return element(
    "div", "body",
    element("h4", "", "Conversation so far"),
    ...(earlier.length ? [folded(`${earlier.length} earlier messages`, ...earlier)] : []),
    ...before,
    element("h4", "", "Reference"),
    call(item.reference),
    ...item.answers.flatMap((answer) => answered(answer, item.reference)),
  );
}

function message(messages, index) {
  const content = messages[index];
  if (Array.isArray(content)) return element("div", "message agent", call(content));
  const asked = messages[index - 1];
  if (Array.isArray(asked) && asked[0] !== data.respond) {
    return element("div", "message", folded("result", element("pre", "", pretty(content))));
  }
  return element("div", "message", content);
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 1);
  } catch {
    return text; // the result is not JSON
  }
}

const written = (value) => (typeof value === "string" ? value : JSON.stringify(value));

// A call, with differences from a reference marked and missing arguments named.
function call([name, given], reference = [name, given]) {
  const other = (key) => JSON.stringify(given[key]) !== JSON.stringify(reference[1][key]);
  const lines = Object.keys(given).map((key) =>
    element("div", name === reference[0] && other(key) ? "other" : "", `${key}: ${written(given[key])}`));
  const missing = Object.keys(reference[1]).filter((key) => name === reference[0] && !(key in given));
  lines.push(...missing.map((key) => element("div", "other", `${key} is missing`)));
  return element("div", "call", element("b", name === reference[0] ? "" : "other", name), ...lines);
}

function answered({ cell, prediction, staged, verdict, reason, evidence, near }, reference) {
  const parsed = staged > 0;
  return [
    element("h4", "", `${cell.pipeline}: `, element("span", verdict, verdict === "none" ? "no verdict" : verdict)),
    element("p", "soft", reason, evidence ? ` (${evidence})` : ""),
    parsed ? call(prediction, reference) : element("pre", "bad", prediction[0] || "(empty)"),
    ...(near.length
      ? [folded("most similar training turns", ...near.map((entry) => trainedOn(cell, ...entry)))]
      : []),
  ];
}

function trainedOn(cell, similarity, id, index) {
  const { lineage, turns } = cell.training[id];
  const { said, call: taught, changes } = turns[index];
  const origin = Object.entries(lineage).map(([key, value]) => `${key}: ${written(value)}`);
  return element(
    "div", "message",
    element("p", "soft", `${id}, message ${index}, similarity ${similarity.toFixed(2)}`),
    ...said.map((text) => element("p", "", text)),
    call(taught),
    ...changes.map((change) => element("p", "bad", `changed: ${written(change)}`)),
    ...origin.map((line) => element("p", "soft", line)),
    element("code", "", `tft explain ${cell.folder}/${id}`),
  );
}

// --- filters in the address, so that views can be linked ---------------------------------------
function follow() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  if (![...wanted.keys()].some((name) => name in form.elements)) return; // the anchor of a section
  for (const select of form.querySelectorAll("select")) select.value = wanted.get(select.name) ?? "";
  update();
  document.getElementById("turns").scrollIntoView();
}

form.addEventListener("change", () => {
  const kept = [...new FormData(form)].filter(([, value]) => value);
  history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
  update();
});
form.addEventListener("reset", () => setTimeout(() => form.dispatchEvent(new Event("change"))));
document.getElementById("more").addEventListener("click", more);
window.addEventListener("hashchange", follow);
update();
follow();
