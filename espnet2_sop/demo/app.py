"""The page: recording or file in, time line, texts and files out."""

import errno
import re
import socket
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import gradio as gr
import numpy as np
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from espnet2_sop.decoding.talker import Talker
from espnet2_sop.decoding.transcribe.formats import Transcript, render
from espnet2_sop.demo.audio import peaks, read_audio
from espnet2_sop.demo.transcript import complaint, show
from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE

MODES = {"ctc": "CTC heads alone", "sot": "LLM without prompt", "sop": "LLM with prompt"}
MOST_WAITING = 8
KEPT_SECONDS = 3600  # for which uploads stay on the disk
LOCAL = ("127.0.0.1", "localhost")
FORMATS = {"text": "txt", "json": "json", "seglst": "seglst.json", "stm": "stm", "vtt": "vtt", "srt": "srt"}
"""The formats to download, as transcribe --format names them, and how their files end."""
NOTHING = [None] * len(FORMATS)
SEEK = """element.addEventListener("click", event => {
  const word = event.target.closest("[data-at]");
  if (word) trigger("click", {seconds: Number(word.dataset.at)});
});"""


def build_app(
    name: str,
    transcribe: Callable[[np.ndarray, str, Callable[[float], object]], Sequence[Talker]],
    modes: Sequence[str],
    max_seconds: float = 120,
    examples: Sequence[Path] = (),
) -> gr.Blocks:
    """Builds the page of a model.

    Args:
        name: Of the model, to be shown.
        transcribe: From a waveform (T,) float32, 16 kHz, a mode and a function that takes the seconds of audio of every
            segment that is done, to talkers. It is called for one recording at a time.
        modes: What the model was trained for; the first is chosen at the start.
        max_seconds: Longest recording.
        examples: Audio files to offer.

    Returns:
        The page, for `launch`.
    """

    def answer(path: str | None, mode: str, progress=gr.Progress()):  # noqa: B008
        """Yields the HTML of a result and its files, or that of one line of what is wrong."""
        with tempfile.TemporaryDirectory() as folder:  # gradio copies the files
            try:
                if path is None:
                    raise UserError("record or upload audio first")
                waveform = read_audio(path, max_seconds)
                seconds, done = len(waveform) / SAMPLE_RATE, 0.0

                def heard(part: float) -> None:
                    nonlocal done
                    done += part
                    progress(done / seconds, desc="transcribing")

                start = time.perf_counter()
                talkers = transcribe(waveform, mode, heard)
                page = show(talkers, mode, peaks(waveform), seconds, time.perf_counter() - start)
                transcript = Transcript(plain_name(path), Path(path).name, round(seconds, 3), talkers)
                made = [Path(folder, f"{transcript.id}.{ending}") for ending in FORMATS.values()]
                for file, kind in zip(made, FORMATS, strict=True):
                    file.write_text(render(kind, transcript))
            except UserError as error:
                yield [complaint(str(error)), *NOTHING]
            except Exception as error:
                traceback.print_exception(error)
                why = f"the model failed ({type(error).__name__}); the terminal of espnet2-sop demo says more"
                yield [complaint(why), *NOTHING]
            else:
                yield [page, *map(str, made)]

    with gr.Blocks(title="Who said what?", analytics_enabled=False, delete_cache=(KEPT_SECONDS, KEPT_SECONDS)) as app:
        gr.Markdown(
            "# Who said what?\nSeveral people talk at once. The model writes down each of them, in the order in which "
            f"they start.\n\n`{name}`, recordings of at most {max_seconds:g} s"
        )
        audio = gr.Audio(label="Recording", sources=["microphone", "upload"], type="filepath", buttons=[])
        if examples:
            names = [path.stem for path in examples]
            table = gr.Examples([str(path) for path in examples], audio, example_labels=names)
        mode = gr.Radio(
            [(MODES[mode], mode) for mode in modes], value=modes[0], label="Written by", visible=len(modes) > 1
        )
        button = gr.Button("Transcribe", variant="primary")
        result = gr.HTML(elem_id="result", apply_default_css=False, js_on_load=SEEK, min_height=90)
        with gr.Row(elem_id="downloads"):  # style.css hides it while there is no result
            downloads = [gr.DownloadButton(f"Download {kind}", size="sm", min_width=120) for kind in FORMATS]
        inputs, outputs = [audio, mode], [result, *downloads]
        button.click(answer, inputs, outputs, api_name="transcribe")
        for event in (audio.stop_recording, audio.upload, *([table.load_input_event.then] if examples else [])):
            event(answer, inputs, outputs, api_visibility="private")
        audio.clear(lambda: ["", *NOTHING], None, outputs, api_visibility="private", queue=False)
        result.click(seek, None, audio, api_visibility="private", queue=False)
    return app.queue(max_size=MOST_WAITING, default_concurrency_limit=1)


def launch(app: gr.Blocks, host: str, port: int | None, max_seconds: float = 120) -> str:
    """Starts the server of a page in threads.

    Args:
        app: Of `build_app`.
        host: Address to listen at. On this machine alone, the server answers under no other name, so that a page of
            another origin cannot reach it by a name of its own (DNS rebinding).
        port: None takes a free one from 7860 on.
        max_seconds: Longest recording; much larger files are not uploaded.

    Returns:
        The address of the page.

    Raises:
        UserError: The port is in use, or there is no such address on this machine.
    """
    trusted = Middleware(TrustedHostMiddleware, allowed_hosts=[*LOCAL] if host in LOCAL else ["*"])
    try:
        with socket.socket() as trial:  # gradio takes minutes to find that a host is wrong
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port or 0))
        _, address, _ = app.launch(
            server_name=host,
            server_port=port,
            app_kwargs={"middleware": [trusted]},
            max_file_size=int(max_seconds * 48000 * 8) + 65536,  # stereo of 32 bits at 48 kHz, and a header
            theme=gr.themes.Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            css=files("espnet2_sop.demo").joinpath("style.css").read_text(),
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise UserError(f"--host {host}: no such address on this machine; use 127.0.0.1") from None
        raise UserError(f"--port {port or '7860 to 7959'}: in use or not allowed; give another") from None
    return address


def seek(event: gr.EventData):
    """Moves the player to the word that was clicked."""
    return gr.Audio(playback_position=event.seconds)


def plain_name(path: str) -> str:
    """A file name without its extension and without anything that could matter to a file system or a format."""
    return re.sub(r"[^\w-]+", "_", Path(path).stem).strip("_")[:80] or "recording"
