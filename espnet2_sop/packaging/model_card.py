"""The model card of a package: README.md with the metadata that the Hugging Face hub reads."""

import json
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCardData

from espnet2_sop import __version__
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_yaml
from espnet2_sop.io.json_shapes import read_json

TASK = "automatic-speech-recognition"
PAPER = "https://arxiv.org/abs/2509.04488"
# licences of LLMs that what is built on them has to keep, by what is in the names of those models alone
BINDING = {
    **{"llama-2-": "llama2", "llama-3-": "llama3", "llama-3.1": "llama3.1", "llama-3.2": "llama3.2"},
    **{"llama-3.3": "llama3.3", "gemma": "gemma"},
}
COLUMNS = {
    "cpwer": "cpWER %",
    "order_wer": "order WER %",
    "count_accuracy": "talkers counted %",
    "mixtures": "mixtures",
}
ROW = {"system": str, "test_set": str, **dict.fromkeys(COLUMNS, (float, None))}  # of results.json
SOP_PARTS = "speech encoder, downsampling, Separator with serialized CTC heads, projector"

CARD = """
# {name}

Transcribes a recording in which up to {talkers} talkers speak, also at the same time, by
[Serialized Output Prompting]({paper}): {how}.
Trained with [ESPnet](https://github.com/espnet/espnet) {espnet} and espnet2_sop {version}.

## Use

```sh
espnet2-sop transcribe --model {name} mixture.wav      # a folder, a zip or a Hugging Face id
```

```python
from espnet2_sop import Speech2Text

model = Speech2Text.from_pretrained("{name}")
```

{needs}
## What is in it

| file | what |
|---|---|
| `model.safetensors` | {parts} |
| `adapters/sot`, `adapters/sop` | LoRA adapters of the LLM in the form of peft; `sot` has the trained rows of `<sc>` |
| `tokenizer/`, `ctc_vocab/` | tokens of the LLM and of the CTC heads |
| `config.yaml` | model and training |

{parameters:,} parameters were trained or copied from the encoder; all are here. Encoder and LLM:

| part | model |
|---|---|
{pretrained}

The adapters alone, in another program (`sop` before `sot`, which brings the rows):

```python
llm = peft.PeftModel.from_pretrained(base_llm, "{name}/adapters/sop", adapter_name="sop")
llm.load_adapter("{name}/adapters/sot", "sot")
llm.base_model.set_adapter({adapters})
```

## Results
{results}
## Training

{data}
| | |
|---|---|
{training}

## Limits

- At most {talkers} talkers, 16 kHz, one channel. Talkers are told apart by the order in which they start to speak.
- Words without punctuation, in the language and in the style of the training texts.
- An LLM writes the words, so that wrong ones can read well; the numbers above are of the test sets that they name.
{licence}"""


@dataclass(frozen=True)
class CardOptions:
    """What a configuration does not say about a model.

    Attributes:
        name: Of the model.
        license: Identifier as the hub has them; None: that of the LLM where it binds, else `other`.
        language: ISO 639 codes.
        training_data: A sentence about the corpora.
        results: Rows of the model in the results.json of `espnet2-sop table` (`result_rows`).
    """

    name: str
    license: str | None = None
    language: tuple[str, ...] = ()
    training_data: str | None = None
    results: tuple[dict, ...] = ()


def model_card(config: dict, parts: list, parameters: int, options: CardOptions) -> str:
    """Writes the text of README.md.

    Args:
        config: Configuration of the run.
        parts: The pretrained parts (`pack.Pretrained`).
        parameters: Number of them in the package, without the pretrained parts that are carried.
        options: What the configuration does not say.

    Returns:
        Markdown with the metadata in front.
    """
    licence = options.license or binding_license(parts)
    objective = config["model_conf"]["objective"]
    adapters = {"sot": ["sot"]}.get(objective, ["sot", "sop"])
    how = {
        **dict.fromkeys(("align", "ctc"), "one CTC head for each talker, in the order of their starts"),
        "sot": "an LLM reads the speech and writes all talkers, in the order of their starts",
    }.get(
        objective, "CTC heads write each talker's words, and an LLM reads them before the speech and writes all talkers"
    )
    text = CARD.format(
        name=options.name,
        talkers=config["num_talkers"],
        paper=PAPER,
        how=how,
        espnet=config.get("version", ""),
        version=__version__,
        needs=needs(parts),
        parts=SOP_PARTS,
        parameters=parameters,
        pretrained="\n".join(
            [
                *(f"| {title(part)} | {place(part)} |" for part in parts),
                *(f"| {what} | class `{name}`; its module is **not in this package** |" for what, name in own(config)),
            ]
        ),
        adapters=json.dumps(adapters),
        results=result_table(options.results),
        data=training_data(config, options.training_data),
        training="\n".join(f"| {key} | {value} |" for key, value in training_facts(config).items()),
        licence=""
        if licence
        else "\nWhoever packed this model stated no licence. The pretrained parts have their own.\n",
    )
    return f"---\n{card_data(parts, licence, options)}\n---\n{text}"


def card_data(parts: list, licence: str | None, options: CardOptions) -> ModelCardData:
    """The metadata on top of the card.

    Args:
        parts: The pretrained parts (`pack.Pretrained`).
        licence: Identifier as the hub has them; None if none is known.
        options: What the configuration does not say.

    Returns:
        The metadata; `str` of it is YAML.
    """
    results = [
        EvalResult(
            task_type=TASK,
            task_name="Multi-talker speech recognition",
            dataset_type=row["test_set"],
            dataset_name=row["test_set"],
            metric_type="wer",
            metric_name=COLUMNS[key],
            metric_value=row[key],
        )
        for row in options.results
        if row["cpwer"] is not None
        for key in ("cpwer", "order_wer")
        if row[key] is not None
    ]
    return ModelCardData(
        license=licence or "other",
        license_name=None if licence else "not-stated",
        language=list(options.language) or None,
        base_model=list(dict.fromkeys(part.name for part in parts if part.revision)) or None,  # Whisper can be both
        library_name="espnet2_sop",
        pipeline_tag=TASK,
        tags=["multi-talker", "overlapped-speech", "serialized-output-prompting", "speech", "lora"],
        model_name=options.name if results else None,
        eval_results=results or None,
    )


def binding_license(parts: list) -> str | None:
    """The licence of the LLM if it has to be kept."""
    names = " ".join(part.name.lower() for part in parts)
    return next((licence for family, licence in BINDING.items() if family in names), None)


def own(config: dict) -> list[tuple[str, str]]:
    """Parts of a class that is not of `espnet2_sop`, and the class: (encoder, my_module:MyEncoder)."""
    found = [(key, str(config.get(key, ""))) for key in ("encoder", "separator", "llm")]
    return [(key, name) for key, name in found if ":" in name]


def title(part) -> str:
    """What a pretrained part is called."""
    return {"encoder_conf": "speech encoder", "llm_conf": "LLM"}[part.option]


def place(part) -> str:
    """Where the receiver finds a pretrained part."""
    if part.missing:
        return f"a folder of whoever packed this; **not in this package**: put it into `{part.folder}`"
    name = (
        f"[{part.name}](https://huggingface.co/{part.name}), revision `{part.revision}`"
        if part.revision
        else "of whoever packed this"
    )
    return f"{name}, here in `{part.folder}`" if part.carried else f"{name}, fetched when the model is loaded"


def needs(parts: list) -> str:
    """A sentence about parts that are not in the package; empty if there are none."""
    missing = [f"`{part.folder}` ({title(part)})" for part in parts if part.missing]
    if not missing:
        return ""
    return f"**To be loaded it needs** folders that are not in it: {', '.join(missing)}. Ask whoever packed it.\n"


def result_rows(results: str, system: str) -> list[dict]:
    """Reads the rows of one system.

    Args:
        results: File results.json of `espnet2-sop table`.
        system: Name of the system.

    Returns:
        One row for each test set.

    Raises:
        UserError: The file is missing or is not a results.json, or has no row of the system.
    """
    advice = "give a results.json of espnet2-sop table to --results"
    rows = [row for row in read_json(results, [ROW], advice) if row["system"] == system]
    if not rows:
        raise UserError(
            f"--results {results}: has no row of {system}; give the system's name to --out, or leave --results out"
        )
    return rows


def result_table(rows: tuple[dict, ...]) -> str:
    """Markdown table of the scores."""
    if not rows:
        return "\nNone were given when it was packed.\n"
    lines = [[row["test_set"], *("" if row[key] is None else f"{row[key]:g}" for key in COLUMNS)] for row in rows]
    head = ["test set", *COLUMNS.values()]
    return "\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in [head, ["---"] * len(head), *lines])


def training_data(config: dict, said: str | None) -> str:
    """The paragraph about the training data.

    Args:
        config: Configuration of the run.
        said: A sentence of the user about the corpora.

    Returns:
        Markdown: the sentence, the name of the training set, and the rule of a simulation.
    """
    text = f"{said}\n\n" if said else ""
    for path, *_ in config.get("train_data_path_and_name_and_type", [])[:1]:
        text += f"Training set: `{Path(path).parent.name}`"
        if Path(path).name != "simulation.yaml" or not Path(path).is_file():
            return (
                f"{text}, mixtures that are the same in every epoch.\n"
                if Path(path).suffix == ".jsonl"
                else f"{text}.\n"
            )
        rule = yaml.safe_dump(read_yaml(path), sort_keys=False, default_flow_style=None)
        text += f", mixtures drawn anew in every epoch by this rule:\n\n```yaml\n{rule}```\n"
    return text


def training_facts(config: dict) -> dict[str, object]:
    """How the model was trained: {setting: value} for a table."""
    model, llm = config["model_conf"], config["llm_conf"]
    facts = {
        "objective": model["objective"],
        "trained in the last stage": ", ".join(model["trainable"]),
        "Separator reads": f"block {model.get('tap', 2)} of the downsampling (0: the encoder)",
        "adapters": inline(llm["adapters"]) if llm.get("adapters") else "as in the paper",
        "LLM dtype": llm.get("dtype", "float32"),
        "epochs": config.get("max_epoch"),
        "seed": config.get("seed"),
    }
    for key, name in (("optim", "optimizer"), ("scheduler", "schedule")):
        facts[name] = f"{config[key]} {inline(config[key + '_conf'])}" if config.get(key) else None
    facts = {key: value for key, value in facts.items() if value is not None}
    return {key: str(value).replace("|", "\\|") for key, value in facts.items()}


def inline(conf: dict) -> str:
    """Keys and values on one line."""
    return yaml.safe_dump(conf, default_flow_style=True, width=10**6).strip()
