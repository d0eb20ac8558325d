// The page: asks, shows what arrives, and keeps conversations in this browser. The server sets formulas and escapes text.

const find = (selector, within = document) => within.querySelector(selector);
const KEPT = "deepseek_math.conversations";
const MOST_KEPT = 50;
const UNREACHABLE = "The server can't be reached, or broke off. Is make chat still running?";
const SOURCES = { boxed: "from the box", phrase: "from the words of the text" };

let facts; // what /page/about says
let conversation; // {id, turns: [{prompt, inputs, text, metrics, stopped, refused}]}
let running = null; // the AbortController of the solution that is being written

// --- The form: one field for each input of the schema ---

function field(input) {
  const label = document.createElement("label");
  const control = controlOf(input);
  control.name = input.name;
  control.setAttribute("aria-describedby", `about-${input.name}`);
  const hint = Object.assign(document.createElement("small"), { className: "hint", id: `about-${input.name}` });
  hint.textContent = input.first ? bounds(input) : `${input.description} ${bounds(input)}`;
  label.title = input.description;
  label.append(input.name, control, hint);
  return label;
}

function controlOf(input) {
  if (input.choices.length) {
    const select = document.createElement("select");
    select.append(...input.choices.map((choice) => new Option(choice, choice, false, choice === input.default)));
    return select;
  }
  if (input.kind === "int" || input.kind === "float") {
    const number = Object.assign(document.createElement("input"), { type: "number", placeholder: input.default ?? "" });
    number.step = input.kind === "int" ? "1" : "any";
    if (input.minimum !== null) number.min = input.minimum;
    if (input.maximum !== null) number.max = input.maximum;
    return number;
  }
  if (input.kind === "bool") return Object.assign(document.createElement("input"), { type: "checkbox" });
  const text = document.createElement("textarea");
  text.rows = 1;
  if (input.kind === "list[str]") text.placeholder = "one a line";
  if (input.kind === "list[dict]") text.placeholder = `[{${input.keys.map((key) => `"${key}": "..."`).join(", ")}}]`;
  return text;
}

function bounds(input) {
  if (input.maximum !== null && input.minimum !== null) return `${input.minimum} to ${input.maximum}`;
  return input.minimum === null ? "" : `${input.minimum} or more`;
}

// The inputs that were set. Throws a sentence for a list that is no JSON.
function inputsSet() {
  const inputs = {};
  for (const input of facts.inputs) {
    const control = find(`[name="${input.name}"]`, find("#ask"));
    const value = control.type === "checkbox" ? control.checked : control.value.trim();
    if (value === "" || value === false || value === input.default) continue;
    inputs[input.name] = read(input, value);
  }
  return inputs;
}

function read(input, value) {
  if (input.kind === "int" || input.kind === "float") return Number(value);
  if (input.kind === "list[str]") return value.split("\n").filter((line) => line);
  if (input.kind !== "list[dict]") return value;
  try {
    return JSON.parse(value);
  } catch (error) {
    throw new Error(`${input.name} is not valid JSON: ${error.message}`);
  }
}

function fill(inputs) {
  for (const input of facts.inputs) {
    const control = find(`[name="${input.name}"]`, find("#ask"));
    const value = inputs[input.name];
    if (control.type === "checkbox") control.checked = value === true || value === "true";
    else if (input.kind === "list[str]" && Array.isArray(value)) control.value = value.join("\n");
    else if (typeof value === "object" && value !== null) control.value = JSON.stringify(value);
    else control.value = value ?? (input.choices.length ? input.default : "");
  }
}

// --- Asking ---

async function ask(event) {
  event?.preventDefault();
  if (running) return;
  const prompt = find("#prompt").value;
  const turn = { prompt, inputs: {}, text: "", metrics: null };
  const element = newTurn();
  conversation.turns.push(turn);
  try {
    turn.inputs = inputsSet();
    const messages = earlierTurns(turn);
    running = new AbortController();
    showRunning(true);
    say("The solution is being written.");
    await solve(turn, element, { ...turn.inputs, prompt, ...(messages.length ? { messages } : {}) });
  } catch (error) {
    if (error.name === "AbortError") turn.stopped = true;
    else turn.refused ??= error instanceof TypeError ? UNREACHABLE : error.message;
  }
  running = null;
  showRunning(false);
  if (turn.refused) refuse(element, turn);
  else if (turn.stopped) stopped(element);
  else find("#prompt").value = "";
  element.tools.hidden = !turn.text;
  keep();
}

function earlierTurns(turn) {
  const alone = facts.alone.includes(turn.inputs.mode) || facts.base;
  if (alone || !find("#follow input").checked) return [];
  return conversation.turns
    .filter((earlier) => earlier !== turn && earlier.text)
    .flatMap((earlier) => [
      { role: "user", content: earlier.prompt },
      { role: "assistant", content: earlier.text },
    ]);
}

async function solve(turn, element, inputs) {
  const answer = await post("/page/solve", inputs, running.signal);
  let left = "";
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    const lines = (left + piece).split("\n");
    left = lines.pop();
    for (const line of lines) show(element, turn, JSON.parse(line));
  }
  if (!turn.metrics && !turn.refused) throw new Error(UNREACHABLE);
}

async function post(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
  if (answer.ok) return answer;
  const refusal = await answer.json().catch(() => null);
  throw new Error(refusal?.error?.message ?? `The server answered with ${answer.status}.`);
}

// --- Showing: the same events for a solution that is written and for one that was kept ---

function newTurn() {
  const article = find("#turn").content.cloneNode(true).firstElementChild;
  find("#turns").append(article);
  const parts = ["question", "vote", "solution", "refused", "answer", "tools", "metrics"];
  return { article, ...Object.fromEntries(parts.map((name) => [name, find(`.${name}`, article)])) };
}

function show(element, turn, event) {
  const following = innerHeight + scrollY > document.body.scrollHeight - 150;
  SHOWN[event.event](element, turn, event);
  if (running && following) scrollTo({ top: document.body.scrollHeight });
}

const SHOWN = {
  question(element, turn, event) {
    element.question.innerHTML = event.html;
    find(".copy", element.article).onclick = () => copy(turn.text, "The solution is copied as LaTeX.");
    find(".link", element.article).onclick = () => copy(linkTo(turn), "The link is copied.");
  },

  blocks(element, turn, event) {
    if (running) turn.text += event.text;
    const shown = element.solution;
    while (shown.children.length > event.kept) shown.lastElementChild.remove();
    for (const block of event.blocks) shown.append(blockElement(block, shown));
  },

  vote(element, turn, event) {
    element.vote.hidden = false;
    find("p", element.vote).textContent = `${event.finished} of ${event.samples} samples finished`;
    const list = find("ul", element.vote);
    for (const group of event.votes) {
      const row = [...list.children].find((item) => item.dataset.answer === group.answer) ?? voteRow(group);
      list.append(row);
      row.children[1].style.setProperty("--share", `${(100 * group.count) / event.samples}%`);
      row.children[2].textContent = group.count;
    }
  },

  done(element, turn, event) {
    turn.metrics = event.metrics;
    element.answer.hidden = false;
    const answer = event.answer;
    find(".text", element.answer).innerHTML = answer?.html ?? "none was found";
    find(".found small", element.answer).textContent = found(event.metrics);
    find(".doubts", element.answer).replaceChildren(...event.doubts.map(doubtItem));
    find(".check", element.answer).hidden = !answer;
    find(".check", element.answer).onsubmit = (submitted) => check(submitted, answer.text);
    element.metrics.hidden = element.tools.hidden = false;
    find("table", element.metrics).replaceChildren(...event.rows.map(metricRow));
    if (running) say(answer ? `Solved. The answer is ${answer.text}.` : "The text has ended, without an answer.");
  },

  refused(element, turn, event) {
    turn.refused = event.sentence;
  },
};

function blockElement(block, shown) {
  const element = document.createElement(block.kind === "prose" ? "div" : "section");
  element.className = block.kind === "prose" ? "prose" : `card ${block.kind}`;
  element.innerHTML = block.html;
  if (block.kind === "prose") return element;
  const programs = shown.querySelectorAll(":scope > .program").length;
  const titles = { program: `Program ${programs + 1}`, output: `Output of program ${programs}`, code: "Code" };
  const title = titles[block.kind];
  const heading = Object.assign(document.createElement("p"), { textContent: title });
  element.setAttribute("aria-label", title);
  element.prepend(heading);
  find("pre", element).tabIndex = 0; // scrolls by keyboard
  return element;
}

function voteRow(group) {
  const row = document.createElement("li");
  row.dataset.answer = group.answer;
  row.innerHTML = '<span></span><span class="bar"></span><span></span>';
  row.firstElementChild.innerHTML = group.html;
  return row;
}

function found(metrics) {
  const words = [SOURCES[metrics.answer_source] ?? ""];
  if (metrics.agreement !== undefined) words.push(`${Math.round(100 * metrics.agreement)} % of the samples agree`);
  if (metrics.correct !== undefined) words.push(metrics.correct ? "equal to expected_answer" : "not expected_answer");
  return words.filter((word) => word).join(", ");
}

function doubtItem(doubt) {
  const item = document.createElement("li");
  item.textContent = `${doubt.short}. ${doubt.advice}`.replaceAll("`", "");
  return item;
}

function metricRow([name, value]) {
  const row = document.createElement("tr");
  row.title = facts.metrics[name] ?? "";
  row.insertCell().textContent = name;
  row.insertCell().textContent = typeof value === "object" ? JSON.stringify(value) : value;
  return row;
}

function refuse(element, turn) {
  element.refused.textContent = turn.refused;
  element.refused.hidden = false;
  if (!element.question.innerHTML) element.question.textContent = turn.prompt;
}

function stopped(element) {
  element.refused.textContent = "Stopped.";
  element.refused.hidden = false;
  say("Stopped.");
}

async function check(event, answer) {
  event.preventDefault();
  const output = find("output", event.target);
  try {
    const verdict = await (await post("/page/check", { answer, mine: event.target.mine.value })).json();
    const words = verdict.same ? "The same." : "Not the same.";
    output.textContent = verdict.undecided ? "It could not be decided." : words;
  } catch (error) {
    output.textContent = error.message;
  }
}

function showRunning(is) {
  find("#solve").hidden = is;
  find("#stop").hidden = !is;
  find("#follow").hidden = facts.base || !conversation.turns.some((turn) => turn.text);
  find("#turns").lastElementChild?.querySelector(".solution").setAttribute("aria-busy", is);
  (is ? find("#stop") : find("#prompt")).focus({ preventScroll: true });
}

function say(sentence) {
  find("#status").textContent = sentence;
}

async function copy(text, sentence) {
  await navigator.clipboard.writeText(text);
  say(sentence);
}

function linkTo(turn) {
  const inputs = { ...turn.inputs, prompt: turn.prompt };
  if (turn.metrics?.seed !== undefined) inputs.seed = turn.metrics.seed;
  const entries = Object.entries(inputs).map(([name, value]) => [name, asText(value)]);
  return `${location.origin}/#${new URLSearchParams(entries)}`;
}

function asText(value) {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// What is copied of a text by hand has each formula as its source.
document.addEventListener("copy", (event) => {
  const selection = getSelection();
  if (selection.isCollapsed || !selection.rangeCount) return;
  const piece = selection.getRangeAt(0).cloneContents();
  const formulas = piece.querySelectorAll("[data-source]");
  if (!formulas.length) return;
  formulas.forEach((formula) => formula.replaceWith(formula.dataset.source));
  event.clipboardData.setData("text/plain", piece.textContent);
  event.preventDefault();
});

// --- History, in this browser alone ---

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? [];
  } catch {
    return [];
  }
}

function keep() {
  const others = kept().filter((other) => other.id !== conversation.id);
  let all = conversation.turns.length ? [conversation, ...others].slice(0, MOST_KEPT) : others;
  while (all.length) {
    try {
      localStorage.setItem(KEPT, JSON.stringify(all));
      break;
    } catch {
      all = all.slice(0, -1); // the browser's place is full: the oldest goes
    }
  }
  listHistory();
}

function listHistory() {
  find("#history ul").replaceChildren(...kept().map(historyItem));
}

function historyItem(old) {
  const item = document.createElement("li");
  const open = Object.assign(document.createElement("button"), { type: "button", textContent: old.turns[0].prompt });
  const forget = Object.assign(document.createElement("button"), { type: "button", textContent: "Forget" });
  open.onclick = () => reopen(old);
  forget.onclick = () => {
    localStorage.setItem(KEPT, JSON.stringify(kept().filter((other) => other.id !== old.id)));
    listHistory();
  };
  item.append(open, forget);
  return item;
}

async function reopen(old) {
  if (running) return;
  start(old);
  for (const turn of old.turns) {
    const element = newTurn();
    const events = await (await post("/page/show", turn)).json();
    for (const event of events) show(element, turn, event);
    element.tools.hidden = !turn.text;
    if (turn.refused) refuse(element, turn);
    else if (turn.stopped) stopped(element);
  }
  showRunning(false);
}

function start(old) {
  conversation = old ?? { id: Date.now(), turns: [] };
  find("#turns").replaceChildren();
  showRunning(false);
}

// --- The beginning ---

async function begin() {
  const answer = await fetch("/page/about");
  facts = await answer.json();
  if (!answer.ok) throw new Error(facts.error.message);
  find("#checkpoint").textContent = facts.checkpoint;
  if (facts.knows) {
    find("#tiny").textContent =
      `${facts.checkpoint} is a tiny checkpoint: it knows ${facts.knows}. The real one, ${facts.real_size}: ${facts.real}`;
    find("#tiny").hidden = false;
    find("#follow input").checked = false; // it was never taught to look back
  }
  find("#first").append(...facts.inputs.filter((input) => input.first).map(field));
  find("#more .fields").append(...facts.inputs.filter((input) => !input.first).map(field));
  start();
  listHistory();
  if (location.hash.length > 1) {
    const linked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    fill(linked);
    find("#prompt").value = linked.prompt ?? "";
  }
  find("#ask").onsubmit = ask;
  find("#stop").onclick = () => running?.abort();
  find("#new").onclick = () => running || start();
  find("#forget").onclick = () => {
    localStorage.removeItem(KEPT);
    listHistory();
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") running?.abort();
    if (event.key !== "Enter" || !event.ctrlKey || running) return;
    event.preventDefault(); // or the same key would press the button that gets the focus
    find("#ask").requestSubmit();
  });
}

begin().catch((error) => {
  find("#tiny").textContent = error.message;
  find("#tiny").hidden = false;
});
