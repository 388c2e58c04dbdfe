// Runs in the audio thread: passes on what the microphone gives, in pieces of about 50 ms.

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(Math.ceil(sampleRate / 20));
    this.used = 0;
  }

  process(inputs) {
    const channel = inputs[0][0];
    if (!channel) return true;
    for (const value of channel) {
      this.piece[this.used] = value;
      this.used += 1;
      if (this.used === this.piece.length) {
        this.port.postMessage(this.piece.slice());
        this.used = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
