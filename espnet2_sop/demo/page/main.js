// The page: choosing audio, sending it, showing what comes back.

import { $, make, plural } from "/dom.js";
import { Player, clock } from "/player.js";
import { Recorder, whyNoRecording } from "/recorder.js";
import { getExample, getState, transcribe } from "/server.js";
import { Timeline, UNSURE } from "/timeline.js";
import { showResult } from "/transcript.js";

const timeline = new Timeline($("timeline"), (seconds) => player.playFrom(seconds));
const player = new Player((seconds, playing) => timeline.at(seconds, playing));
let state, recorder, current, running;

function say(text) {
  $("said").textContent = text;
}

function fail(error) {
  hideProgress();
  const text = error.message || String(error);
  $("error").textContent = text.charAt(0).toUpperCase() + text.slice(1);
  $("error").hidden = false;
}

const mode = () => document.querySelector("#modes input:checked").value;

/** Takes audio from anywhere and starts on it. */
function take(blob, name) {
  if (blob.size > state.max_bytes) {
    return fail(new Error(`The file has ${(blob.size / 1e6).toFixed(0)} MB, at most ` +
      `${(state.max_bytes / 1e6).toFixed(0)} MB are taken; cut it.`));
  }
  current = { blob, name, results: {}, shown: false };
  $("recording").hidden = $("result").hidden = true;
  player.unload();
  return run();
}

/** Transcribes the audio at hand in the mode that is chosen, or shows what came out before. */
async function run() {
  const audio = current, chosen = mode();
  $("error").hidden = true;
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  if (audio.results[chosen]) return show(audio.results[chosen]);
  $("result").hidden = true;
  progress("Sending the audio …", null);
  try {
    await transcribe(audio.blob, chosen, audio.name, (event) => {
      if (!signal.aborted) heard(audio, event);
    }, signal);
  } catch (error) {
    if (!signal.aborted) fail(error);
  }
}

function heard(audio, event) {
  if (event.event === "read") {
    if (audio.shown) return;
    audio.shown = true;
    $("recording").hidden = false;
    $("recording-title").textContent = audio.name.replaceAll("_", " ");
    $("facts").textContent = `${event.seconds.toFixed(1)} s`;
    player.load(audio.blob);
    player.setLength(event.seconds);
    timeline.load(event.seconds, event.peaks);
    $("timeline-note").textContent = "";
  } else if (event.event === "waiting") {
    progress(`Waiting for ${plural(event.ahead, "other recording")} …`, null);
  } else if (event.event === "working") {
    progress("The model is listening …", event.expected);
  } else if (event.event === "heard") {
    heardSeconds = event.seconds;
  } else {
    audio.results[event.mode] = event;
    show(event);
  }
}

function show(result) {
  hideProgress();
  timeline.setTalkers(result.talkers);
  const timed = result.talkers.some((talker) => talker.words.length);
  $("timeline-note").textContent = timed
    ? "Words of the prompt at the times of their CTC peaks; click a word or a lane to play from there." +
      (result.talkers.some((talker) => talker.words.some((word) => word.confidence < UNSURE))
        ? " Of dotted words the CTC heads were not sure." : "")
    : result.mode === "sot" ? "Without a prompt there are no word times. Click the waveform to play from there." : "";
  $("facts").textContent = `${player.seconds.toFixed(1)} s, transcribed in ${result.spent.toFixed(1)} s`;
  showResult(result, current.name, (seconds) => player.playFrom(seconds));
  say(result.talkers.map((talker) => `Talker ${talker.number}: ${talker.text}.`).join(" ") || "No words.");
}

let ticking, heardSeconds = 0;

/** A line and a bar; `expected` seconds let the bar grow, null lets it sway. */
function progress(text, expected) {
  clearInterval(ticking);
  const begun = performance.now();
  const bar = document.querySelector("#progress .bar");
  const tick = () => {
    const seconds = (performance.now() - begun) / 1000;
    $("progress-text").textContent = seconds < 1 ? text : `${text} ${seconds.toFixed(0)} s`;
    const guess = expected === null ? 0 : 1 - Math.exp((-2 * seconds) / expected);
    const share = Math.max(guess, heardSeconds / (player.seconds || Infinity)); // of a long one the parts are known
    bar.classList.toggle("swaying", !share);
    bar.firstElementChild.style.width = share ? `${100 * share}%` : "";
  };
  heardSeconds = 0;
  $("progress").hidden = false;
  $("input").setAttribute("aria-busy", "true");
  say(text);
  tick();
  ticking = setInterval(tick, 200);
}

function hideProgress() {
  clearInterval(ticking);
  $("progress").hidden = true;
  $("input").removeAttribute("aria-busy");
}

async function toggleRecording() {
  const button = $("record"), others = document.querySelectorAll("#choose, #examples button");
  if (recorder) {
    const done = recorder;
    recorder = null;
    button.classList.remove("on");
    others.forEach((other) => { other.disabled = false; });
    $("record-label").textContent = "Record";
    $("level").hidden = true;
    $("drop-hint").hidden = false;
    const now = new Date();
    const time = [now.getHours(), now.getMinutes(), now.getSeconds()].map((n) => String(n).padStart(2, "0")).join("-");
    return take(await done.stop(), `recording ${time}`);
  }
  button.disabled = true;
  $("error").hidden = true;
  player.audio.pause();
  try {
    recorder = await Recorder.start((seconds, level) => {
      $("record-label").textContent = `Stop  ${clock(seconds)}`;
      $("level").firstElementChild.style.width = `${Math.min(100, 100 * Math.sqrt(level))}%`;
      if (seconds >= state.max_seconds - 0.2 && recorder) toggleRecording();
    });
    button.classList.add("on");
    others.forEach((other) => { other.disabled = true; });
    $("record-label").textContent = "Stop  0:00.0";
    $("level").hidden = false;
    $("drop-hint").hidden = true;
    say("Recording. Press again to stop.");
  } catch (error) {
    fail(error);
  }
  button.disabled = false;
}

const stem = (name) => name.replace(/\.[^.]*$/, "");

function takeFile(file) {
  if (file && state && !recorder) take(file, stem(file.name)); // not before the server is known, nor while recording
}

function wireFiles() {
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    takeFile($("file").files[0]);
    $("file").value = "";
  });
  let inside = 0; // dragenter and dragleave come for every element
  const showZone = (shown) => { $("dropzone").hidden = !shown; };
  addEventListener("dragenter", (event) => {
    if (event.dataTransfer.types.includes("Files")) showZone((inside += 1));
  });
  addEventListener("dragleave", () => showZone((inside = Math.max(0, inside - 1))));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    showZone((inside = 0));
    takeFile(event.dataTransfer.files[0]);
  });
}

function showState() {
  $("model").textContent = `${state.model}, on ${state.device}; up to ${state.max_seconds} s of audio`;
  if (!["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) {
    $("server-name").textContent = `the server on ${location.hostname}`;
  }
  document.querySelector("#modes .segments").append(...state.modes.map(({ name, title }, i) => {
    const input = make("input", { type: "radio", name: "mode", value: name, checked: !i });
    input.addEventListener("change", () => { if (current) run(); });
    return make("label", {}, input, make("span", {}, title, make("small", {}, name)));
  }));
  $("examples").hidden = !state.examples.length;
  document.querySelector("#examples .chips").append(...state.examples.map((name, i) => {
    const button = make("button", { type: "button" }, name.replaceAll("_", " "));
    button.addEventListener("click", () => getExample(i).then((blob) => take(blob, name), fail));
    return button;
  }));
  const reason = whyNoRecording();
  $("record").disabled = Boolean(reason);
  $("record-note").textContent = reason;
  $("record-note").hidden = !reason;
}

$("narrower").addEventListener("click", () => timeline.zoomBy(1 / 1.4));
$("wider").addEventListener("click", () => timeline.zoomBy(1.4));
$("record").addEventListener("click", toggleRecording);
wireFiles();
try {
  state = await getState();
  showState();
} catch (error) {
  document.querySelectorAll("#input button").forEach((button) => { button.disabled = true; });
  fail(error);
}
