// Recording from the microphone.

import { encodeWav, resample } from "/wav.js";

/** Why this page cannot record, or "" if it can. */
export function whyNoRecording() {
  if (!window.isSecureContext) {
    const port = location.port || "80";
    return `Browsers give the microphone to this page only on the machine itself: open http://localhost:${port} there, ` +
      `or from here through ssh -L ${port}:localhost:${port} ${location.hostname}. Files can be sent all the same.`;
  }
  if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) return "This browser cannot record.";
  return "";
}

const REASONS = {
  NotAllowedError: "The microphone was not allowed; allow it in the address bar, then press Record again.",
  NotFoundError: "No microphone was found.",
  NotReadableError: "The microphone is in use by another program.",
};

export class Recorder {
  /** Asks for the microphone and starts; `heard(seconds, level from 0 to 1)` is called about 20 times a second. */
  static async start(heard) {
    const recorder = new Recorder();
    const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
    try {
      recorder.stream = await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The microphone cannot be used (${error.name}).`);
    }
    recorder.context = new AudioContext();
    try {
      await recorder.context.audioWorklet.addModule("/capture.js");
    } catch (error) {
      recorder.release();
      throw new Error(`The page's recorder cannot be loaded (${error.name}); is the server still running?`);
    }
    recorder.pieces = [];
    recorder.samples = 0;
    recorder.node = new AudioWorkletNode(recorder.context, "capture", { numberOfOutputs: 0 });
    recorder.node.port.onmessage = ({ data }) => {
      recorder.pieces.push(data);
      recorder.samples += data.length;
      heard(recorder.samples / recorder.context.sampleRate, data.reduce((most, x) => Math.max(most, Math.abs(x)), 0));
    };
    recorder.source = recorder.context.createMediaStreamSource(recorder.stream);
    recorder.source.connect(recorder.node);
    return recorder;
  }

  /** Lets go of the microphone. */
  release() {
    this.stream.getTracks().forEach((track) => track.stop());
    return this.context.close();
  }

  /** Ends the recording and returns it as a WAV file of 16 kHz. */
  async stop() {
    this.source.disconnect();
    this.node.port.onmessage = null;
    const rate = this.context.sampleRate;
    await this.release();
    const all = new Float32Array(this.samples);
    let at = 0;
    for (const piece of this.pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return encodeWav(await resample(all, rate));
  }
}
