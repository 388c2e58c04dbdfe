// The words of the talkers: the prompt, the final text and what changed between them; files for download.

import { $, chip, colour, groups, make, plural } from "/dom.js";
import { clock } from "/player.js";

const TYPES = { json: "JSON", seglst: "SegLST", vtt: "WebVTT" };
const ENDINGS = { json: "json", seglst: "seglst.json", vtt: "vtt" };
const KINDS = {
  substituted: (change) => `instead of ${change.prompt}`,
  added: () => "added by the LLM",
  deleted: () => "dropped by the LLM",
};

/** Shows a result of the server; `playFrom(seconds)` is called when a word with a time is clicked. */
export function showResult(result, name, playFrom) {
  const { talkers } = result;
  const changed = result.mode === "sop" && talkers.some((talker) => talker.changes.some((c) => c.kind !== "correct"));
  $("summary").textContent = summary(result);
  $("marks").hidden = !changed;
  const parts = groups(talkers, (talker) => talker.segment[0]);
  $("talkers").replaceChildren(...parts.flatMap(([, own]) => [
    ...(parts.length > 1 ? [make("h3", { class: "part soft" }, own[0].segment.map(clock).join(" – "))] : []),
    ...own.map((talker) => article(talker, result.mode, playFrom)),
  ]));
  if (!talkers.length) {
    $("talkers").append(make("p", { class: "empty" }, "No words: the model heard nobody speak."));
  } else if (parts.length > 1) {
    $("talkers").prepend(make("p", { class: "soft part" }, "A long recording is cut at pauses. Talkers are counted anew " +
      "in each part: the same number may be another person."));
  }
  showSerialized(result);
  document.querySelector(".downloads").replaceChildren(...downloads(result.files, name));
  $("result").hidden = false;
}

function summary({ talkers, counts, mode }) {
  const parts = groups(talkers, (talker) => talker.segment[0]);
  const most = Math.max(0, ...talkers.map((talker) => talker.number));
  const who = parts.length > 1 ? `${parts.length} parts, up to ${plural(most, "talker")}` : plural(most, "talker");
  if (mode === "ctc") return `${who}; written by the CTC heads alone, no LLM.`;
  if (mode === "sot") return `${who}; written by the LLM from the speech alone, without a prompt.`;
  const changes = [["substituted", "replaced"], ["deleted", "dropped"], ["added", "added"]]
    .filter(([kind]) => counts[kind]).map(([kind, word]) => `${counts[kind]} ${word}`);
  const words = plural(counts.words, "word");
  return `${who}; the prompt has ${words}, ` + (changes.length ? `the LLM changed it: ${changes.join(", ")}.`
    : "the LLM kept all of them.");
}

function article(talker, mode, playFrom) {
  const { number } = talker;
  const title = make("h3", {}, chip(number), `Talker ${number}`);
  const facts = [];
  if (talker.onset !== null) facts.push(`starts at ${talker.onset.toFixed(2)} s`);
  facts.push(`confidence ${talker.confidence.toFixed(2)}`);
  title.append(make("span", { class: "soft" }, facts.join(", ")));
  const final = make("p", { class: "final" });
  if (mode !== "sot") final.append(...talker.changes.flatMap((change) => [word(change, talker.words, playFrom), " "]));
  else final.append(talker.text);
  const parts = [title, final];
  if (mode === "sop") {
    parts.push(make("p", { class: "prompt soft" }, make("span", { class: "label" }, "prompt"), " ",
      talker.prompt || "– nothing –"));
  }
  return make("article", { class: colour(number) }, ...parts);
}

/** A word of the final text or one that was dropped; one whose time the prompt knows is played on a click. */
function word(change, times, playFrom) {
  const { kind } = change;
  const span = make("span", { class: kind });
  if (kind === "deleted") span.append(make("del", {}, change.prompt));
  else if (kind === "added") span.append(make("ins", {}, change.word));
  else if (kind === "substituted") {
    span.append(make("del", { "aria-hidden": "true" }, change.prompt), " ", make("ins", {}, change.word));
  } else span.append(change.word);
  if (KINDS[kind]) {
    const note = KINDS[kind](change);
    span.title = note;
    span.append(make("span", { class: "hidden" }, ` (${note})`));
  }
  const time = change.at === null ? undefined : times[change.at];
  if (time) {
    span.classList.add("timed");
    span.addEventListener("click", () => playFrom(time.start));
  }
  return span;
}

function showSerialized({ talkers, mode }) {
  const parts = groups(talkers, (talker) => talker.segment[0]).map(([, own]) => own);
  const rows = [];
  if (mode !== "sot") rows.push(["Prompt (SOP), of the CTC heads", parts.map((own) => line(own, "prompt"))]);
  if (mode !== "ctc") rows.push(["Final text, of the LLM", parts.map((own) => line(own, "text"))]);
  $("serialized").querySelector("dl").replaceChildren(...rows.flatMap(([title, lines]) => [
    make("dt", { class: "soft" }, title),
    ...(lines.length ? lines : [["–"]]).map((content) => make("dd", {}, ...content)),
  ]));
}

/** What the talkers of a part said as one text, with the mark of a speaker change between them. */
function line(talkers, field) {
  const texts = talkers.map((talker) => talker[field]).filter(Boolean);
  return texts.flatMap((text, i) => (i ? [" ", make("b", {}, "<sc>"), " ", text] : [text]));
}

function downloads(files, name) {
  return Object.entries(files).map(([kind, text]) => {
    const button = make("button", { type: "button" }, `Download ${TYPES[kind] ?? kind}`);
    button.addEventListener("click", () => {
      const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
      make("a", { href: url, download: `${name}.${ENDINGS[kind] ?? kind}` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    });
    return button;
  });
}
