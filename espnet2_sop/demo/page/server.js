// Talking to the server.

import { toWav } from "/wav.js";

/** An answer of the server that says in one line what is wrong. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const GONE = "The server does not answer; is espnet2-sop demo still running in its terminal?";

export async function getState() {
  return (await ask("/state")).json();
}

export async function getExample(index) {
  return (await ask(`/examples/${index}`)).blob();
}

/**
 * Sends audio and passes each event of the answer to `heard`. A file that the server cannot decode is converted to WAV
 * here, if the browser can, and sent again.
 */
export async function transcribe(blob, mode, name, heard, signal) {
  try {
    await send(blob, mode, name, heard, signal);
  } catch (error) {
    if (error.status !== 415) throw error;
    let wav;
    try {
      wav = await toWav(blob);
    } catch {
      throw error; // the browser cannot read it, either: the server's reason is the better one
    }
    await send(wav, mode, name, heard, signal);
  }
}

async function send(blob, mode, name, heard, signal) {
  const response = await ask(`/transcribe?${new URLSearchParams({ mode, name })}`, { method: "POST", body: blob, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", last;
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Refused(GONE);
    });
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      last = JSON.parse(line);
      if (last.event === "error") throw new Refused(last.error);
      heard(last);
    }
  }
  if (last?.event !== "done") throw new Refused(GONE);
}

async function ask(address, options = {}) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(GONE);
  }
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw new Refused(error ?? `The server answered ${response.status}.`, response.status);
}
