"use strict";
// What the pages of all models share. Nothing here asks another server than its own.

const MODEL = document.documentElement.dataset.model;
const PREDICT = `/v1/models/${MODEL}:predict`;
const EXPLAIN = `/v1/projects/-/locations/-/endpoints/${MODEL}:explain`;

const find = (selector, within = document) => within.querySelector(selector);

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

// The JSON that the server answers. Throws an Error whose message is for people.
async function ask(path, body, signal) {
  const options = body === undefined ? { signal } : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" }, signal };
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(inWords(response.status, answer.error));
  return answer;
}

// Both protocols' errors: {"error": "…"} and {"error": {"message": "…"}}.
function inWords(status, error) {
  const told = (error && error.message) || error || "it does not say why";
  if (status === 429 || status === 503) return `The server is busy: ${told}. Try again in a moment.`;
  return `The server refused (${status}): ${told}`;
}

// A function that may be called at any rate: `work(signal)` starts once the calls pause, and ends those before it.
function lastOnly(work, pause = 80) {
  let timer, running = new AbortController();
  return () => {
    clearTimeout(timer);
    running.abort();
    running = new AbortController();
    const { signal } = running;
    timer = setTimeout(() => work(signal), pause);
  };
}

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const signed = new Intl.NumberFormat("en", { maximumFractionDigits: 2, minimumFractionDigits: 2, signDisplay: "exceptZero" });

// Which version is loaded, in the footer; `use` gets what the server tells of it.
async function showAbout(use = () => {}) {
  try {
    const told = await ask("/about");
    const pushed = told.pushedAt ? ` · pushed ${new Date(told.pushedAt).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })}` : "";
    const sample = told.line === "sample" ? " · trained on generated sample data" : "";
    find("#about").textContent = `Version ${told.version} · digest ${told.digest}${pushed}${sample}`;
    use(told);
  } catch (error) {
    find("#about").textContent = error.message;
  }
}
