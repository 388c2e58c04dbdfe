"""sop.sh: which commands it runs for which system. All commands but `systems` are stand-ins that only say how they were
called."""

import os
import shlex
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PYTHON = f"PYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -m espnet2_sop.bin.cli"
SYSTEMS = f"""#!/usr/bin/env bash
[[ $1 != systems ]] || {PYTHON} "$@"
"""
COMMAND = f"""{SYSTEMS}
printf '%s\\n' "${{SLURM_PROCID:+node$SLURM_PROCID }}$*${{CUDA_VISIBLE_DEVICES:+ gpu$CUDA_VISIBLE_DEVICES}}" >>"$CALLS"
while [[ $# -gt 0 ]]; do
    if [[ $1 == --output_dir ]]; then touch "$2"/valid.{{acc,ter,loss_align}}.ave.pth; fi
    shift
done
"""
SLURM = """#!/usr/bin/env bash
printf '%s\\n' "sbatch $*" >>"$CALLS"
for word in "$@"; do
    case $word in
        --output=*) output=${word#*=} ;;
        --wrap=*) wrap=${word#*=} ;;
    esac
done
SLURM_CPUS_PER_TASK=8 bash -c "$wrap" >>"$output" 2>&1
"""
SRUN = """#!/usr/bin/env bash
for SLURM_PROCID in 0 1; do
    export SLURM_PROCID
    "${@:2}"
done
"""
CTC = "best_model_criterion: [[valid, ter, min]]\n"
CONF = {
    "base": "best_model_criterion: [[valid, acc, max]]\n",
    "train_sot": "init_from: pretrained\ndecode_mode: sot\nmodel_conf: {objective: sot}\n",
    "train_sot_more": "init_from: sot\ndefaults: train_sot.yaml\n",
    "train_ctc": f"init_from: sot\ndecode_mode: ctc\nmodel_conf: {{objective: ctc}}\n{CTC}",
    "train_ctc_a": "defaults: train_ctc.yaml\n",
    "train_sop": "init_from: ctc\ndecode_mode: sop\nmodel_conf: {objective: sop}\n",
    "train_sop_a_b": "init_from: ctc_a\ndefaults: train_sop.yaml\n",
    "train_joint": "init_from: pretrained\ndecode_mode: sop\nmodel_conf: {objective: joint}\n",
    "train_espnet_sot": "init_from: scratch\ndecode_mode: espnet\nbest_model_criterion: [[valid, acc, max]]\n",
}


@pytest.fixture
def driver(checkout):
    """Runs sop.sh in the scratch recipe and returns what was called: driver(option, ...)."""
    checkout.add_python()
    checkout.script(checkout.bin / "espnet2-sop", COMMAND)
    recipe = checkout.root / "egs2/tiny/sop_asr1"
    (recipe / "conf").mkdir()
    for name, text in CONF.items():
        (recipe / f"conf/{name}.yaml").write_text(text)
    (recipe / "dump/train").mkdir(parents=True)
    (recipe / "dump/train/simulation.yaml").write_text("seed: 1\n")

    def run(*options, check=True, **env):
        done = checkout.run("./sop.sh", "--test_sets", "test_a", *options, cwd=recipe, **env)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done if not check else [call for call in checkout.calls() if call.startswith(("espnet2-sop", "train",
                                       "decode", "vocab", "pack", "unpack", "upload", "node", "sbatch"))]  # fmt: skip

    run.recipe = recipe
    run.checkout = checkout
    return run


def option(call: str, name: str) -> str:
    """Value of an option in a call."""
    words = call.split()
    return words[words.index(name) + 1]


def starts_of(calls: list[str]) -> dict[str, str]:
    """{output folder: checkpoint that it starts from, "" if none} of all trainings, in order."""
    trained = [call for call in calls if call.startswith("train")]
    return {option(c, "--output_dir"): option(c, "--init_param") if "--init_param" in c else "" for c in trained}


def test_configurations_decide_start_mode_and_folder(driver):
    """An ablation is a YAML file and a name: no line of the driver knows sop_a_b."""
    calls = driver("--systems", "sop_a_b joint sot_more espnet_sot", "--stage", "5", "--nj", "1")
    trained = {option(call, "--output_dir"): call for call in calls if call.startswith("train")}
    assert starts_of(calls) == {
        "exp/stage1_sot": "",
        "exp/stage2_ctc_a": "exp/stage1_sot/valid.acc.ave.pth",
        "exp/stage3_sop_a_b": "exp/stage2_ctc_a/valid.ter.ave.pth",
        "exp/stage1_joint": "",
        "exp/stage3_sot_more": "exp/stage1_sot/valid.acc.ave.pth",
        "exp/espnet_sot": "",
    }
    assert list(trained)[:2] == ["exp/stage1_sot", "exp/stage2_ctc_a"] and list(trained)[-1] == "exp/espnet_sot"
    call = trained["exp/stage3_sop_a_b"]
    assert (
        "=conf/base.yaml --config=conf/train_sop.yaml --config=conf/train_sop_a_b.yaml --vocab_dir exp/vocab " in call
    )
    call = trained["exp/espnet_sot"]
    assert "base.yaml" not in call and "--task asr --token_list exp/vocab/char/tokens.txt" in call
    decoded = {option(call, "--out"): call for call in calls if call.startswith("decode")}
    modes = {out.rpartition("/")[2]: option(call, "--mode") for out, call in decoded.items()}
    assert modes == {"sop_a_b": "sop", "joint": "sop", "sot_more": "sot", "espnet_sot": "espnet"}
    assert not any(call.startswith("pack") for call in calls), "sop is not among the systems"


def test_stage_0_comes_first_where_a_recipe_has_one(driver):
    def starts(expdir):
        options = ("--systems", "sop joint", "--stage", "5", "--stop_stage", "7", "--nj", "1", "--expdir", expdir)
        (driver.checkout.root.parent / "calls").unlink(missing_ok=True)
        found = starts_of(driver(*options)).items()
        return [(out.removeprefix(f"{expdir}/"), start.removeprefix(f"{expdir}/")) for out, start in found]

    later = [("stage2_ctc", "stage1_sot/valid.acc.ave.pth"), ("stage3_sop", "stage2_ctc/valid.ter.ave.pth")]
    align = "decode_mode: ctc\nmodel_conf: {objective: align}\nbest_model_criterion: [[valid, loss_align, min]]\n"
    conf = driver.recipe / "conf"
    (conf / "train_align.yaml").write_text(f"init_from: pretrained\n{align}")
    for name in ("sot", "joint"):
        (conf / f"train_{name}.yaml").write_text(CONF[f"train_{name}"].replace("pretrained", "align"))
    first, start = ("stage0_align", ""), "stage0_align/valid.loss_align.ave.pth"
    assert starts("one") == [first, ("stage1_sot", start), *later, ("stage1_joint", start)]
    (conf / "train_align_mixtures.yaml").write_text(f"defaults: train_align.yaml\ninit_from: align\n{CTC}")
    for name in ("sot", "joint"):
        (conf / f"train_{name}.yaml").write_text(CONF[f"train_{name}"].replace("pretrained", "align_mixtures"))
    second, start = ("stage0_align_mixtures", start), "stage0_align_mixtures/valid.ter.ave.pth"
    assert starts("two") == [first, second, ("stage1_sot", start), *later, ("stage1_joint", start)]


def test_heads_learn_from_single_talkers_first_where_a_recipe_says_so(driver):
    (driver.recipe / "conf/train_ctc_warmup.yaml").write_text(CONF["train_ctc"])
    (driver.recipe / "conf/train_ctc.yaml").write_text(CONF["train_ctc"].replace("sot", "ctc_warmup"))
    calls = driver("--systems", "ctc_a sop", "--stage", "5", "--stop_stage", "7", "--nj", "1")
    assert len([call for call in calls if call.startswith("train")]) == 5, "each is trained once"
    warm = "exp/stage2_ctc_warmup/valid.ter.ave.pth"
    assert list(starts_of(calls).items()) == [
        ("exp/stage1_sot", ""),
        ("exp/stage2_ctc_warmup", "exp/stage1_sot/valid.acc.ave.pth"),
        ("exp/stage2_ctc_a", warm),
        ("exp/stage2_ctc", warm),
        ("exp/stage3_sop", "exp/stage2_ctc/valid.ter.ave.pth"),
    ]


def test_two_options_choose_all_configurations(driver):
    (driver.recipe / "other").mkdir()
    (driver.recipe / "other/train_sot.yaml").write_text(CONF["train_sot"])
    (driver.recipe / "large.yaml").write_text("seed: 2\n")
    options = ["--stop_stage", "5", "--conf_dir", "other", "--base_config", "conf/base.yaml large.yaml"]
    options += ["--stage", "5"]
    (call,) = driver("--systems", "sot", *options)
    assert "--config=conf/base.yaml --config=large.yaml --config=other/train_sot.yaml" in call
    (driver.recipe / "other/train_sot.yaml").rename(driver.recipe / "other/train_sot_x.yaml")
    failed = driver("--systems", "sot", *options, "--expdir", "new", check=False)
    told = "--systems: no system 'sot': other/train_sot.yaml: no such configuration; there are sot_x"
    assert failed.returncode == 1 and failed.stderr == f"espnet2-sop systems: error: {told}\n"


def test_trained_again_when_command_configuration_or_start_changed(driver):
    """A stage that follows from an older one must not pass for up to date."""

    def trained(*options):
        (driver.checkout.root.parent / "calls").unlink(missing_ok=True)
        calls = driver("--systems", "ctc", "--stage", "5", "--stop_stage", "6", *options)
        return [option(call, "--output_dir").rpartition("_")[2] for call in calls if call.startswith("train")]

    def touch(name, seconds):
        later = time.time() + seconds
        os.utime(driver.recipe / name, (later, later))

    assert trained() == ["sot", "ctc"]
    for mark in ("exp/stage1_sot/.done", "exp/stage2_ctc/.done"):
        touch(mark, 10)
    assert trained() == []
    touch("conf/train_ctc.yaml", 20)
    assert trained() == ["ctc"]
    touch("exp/stage2_ctc/.done", 30)
    assert trained() == []
    touch("exp/stage1_sot/valid.acc.ave.pth", 40)
    assert trained() == ["ctc"]
    assert trained("--train_args", "--max_epoch 1") == ["sot", "ctc"]


def test_an_ablation_is_trained_again_when_what_it_inherits_changed(driver):
    options = ("--systems", "sop_a_b", "--stage", "7", "--stop_stage", "7")
    for checkpoint in ("exp/stage2_ctc_a/valid.ter.ave.pth",):
        (driver.recipe / checkpoint).parent.mkdir(parents=True)
        (driver.recipe / checkpoint).touch()
    assert len(driver(*options)) == 1
    done = (driver.recipe / "exp/stage3_sop_a_b/.done").stat().st_mtime
    assert len(driver(*options)) == 1, "trained already"
    os.utime(driver.recipe / "conf/train_sop.yaml", (done + 10, done + 10))
    assert len(driver(*options)) == 2


def test_nothing_is_cached_for_what_is_not_trained(driver):
    (driver.recipe / "conf/train_sop_a_b.yaml").write_text("train: false\ndefaults: train_sop.yaml\n")
    calls = driver("--systems", "sop_a_b", "--cache", "true", "--stage", "5", "--stop_stage", "8", "--nj", "1")
    cached = {option(call, "--output_dir"): "--cache exp/cache" in call for call in calls if call.startswith("train")}
    assert cached == {"exp/stage1_sot": True, "exp/stage2_ctc": True, "exp/stage3_sop_a_b": False}


def test_only_vocabularies_that_are_needed_are_made(driver):
    def kinds(systems):
        calls = driver("--systems", systems, "--stage", "3", "--stop_stage", "3")
        (driver.checkout.root.parent / "calls").unlink()
        return [option(call, "--out").rpartition("/")[2] for call in calls]

    assert kinds("sop") == ["llm"]
    assert kinds("espnet_sot") == ["char"]
    (driver.recipe / "conf/train_ctc_a.yaml").write_text("defaults: train_ctc.yaml\nctc_vocab: sentencepiece\n")
    assert kinds("sop ctc") == ["llm"]
    assert kinds("sop_a_b espnet_sot") == ["llm", "sentencepiece", "char"]


def test_a_packed_model_is_what_training_starts_from(driver):
    """With the vocabulary of its heads, where the recipe wants one of that kind; ESPnet's baseline takes nothing."""
    heads = driver.recipe / "exp/pretrained/vocab/sentencepiece"
    heads.mkdir(parents=True)
    (heads / "vocabulary.json").write_text("{}")
    (driver.recipe / "exp/pretrained/model.pth").touch()
    with open(driver.recipe / "conf/train_ctc.yaml", "a") as f:
        f.write("ctc_vocab: sentencepiece\n")
    options = ["--systems", "ctc joint espnet_sot", "--stage", "3", "--stop_stage", "8", "--nj", "1"]
    calls = driver(*options, "--pretrained_model", "a model.zip")
    assert calls[0] == "unpack a model.zip --out exp/pretrained"
    assert [option(call, "--out") for call in calls if call.startswith("vocab")] == ["exp/vocab/llm", "exp/vocab/char"]
    assert (driver.recipe / "exp/vocab/sentencepiece/vocabulary.json").read_text() == "{}"
    assert starts_of(calls) == {
        "exp/stage1_sot": "exp/pretrained/model.pth",
        "exp/stage2_ctc": "exp/stage1_sot/valid.acc.ave.pth",
        "exp/stage1_joint": "exp/pretrained/model.pth",
        "exp/espnet_sot": "",
    }
    (driver.recipe / "exp/pretrained/model.pth").unlink()
    failed = driver("--systems", "sot", "--stage", "5", "--pretrained_model", "a model.zip", check=False)
    assert "exp/pretrained/model.pth is missing: stage 3 unpacks --pretrained_model" in failed.stderr


def test_upload_only_where_a_repository_is_named(driver):
    """A recipe that is merely run must never publish a model."""
    options = ["--systems", "sop", "--stage", "12", "--pack_args", "--include_pretrained --language en"]
    (packed,) = driver(*options)
    assert "--out exp/packed/sop --include_pretrained --language en" in packed and "--results" not in packed
    (driver.checkout.root.parent / "calls").unlink()
    assert driver(*options, "--hf_repo", "me/model --private")[1:] == ["upload exp/packed/sop me/model --private"]
    (driver.checkout.root.parent / "calls").unlink()
    assert driver(*options, "--hf_repo", "me/model", "--stop_stage", "12") == [packed]


def test_results_go_into_the_card_where_there_are_any(driver):
    (driver.recipe / "exp").mkdir()
    (driver.recipe / "exp/results.json").write_text("[]")
    (packed,) = driver("--systems", "sop", "--stage", "12")
    assert option(packed, "--results") == "exp/results.json"


def test_prompts_from_elsewhere_only_where_prompts_are_read(driver):
    for system in ("sop_a_b", "sop_reference"):
        folder = driver.recipe / f"exp/decode/{system}/test_a"
        folder.mkdir(parents=True)
        (folder / "prompt").write_text("mix words\n")
    (driver.recipe / "conf/train_sop_reference.yaml").write_text("defaults: train_sop.yaml\n")
    options = ("--systems", "ctc_a sop_a_b sop_reference joint", "--stage", "9", "--stop_stage", "10", "--nj", "1")
    assert not any("prompt_use" in call for call in driver(*options))
    calls = [call for call in driver(*options, "--prompt_use", "5") if "prompt_use" in call]
    assert {option(call, "--sop_source"): option(call, "--out") for call in calls if call.startswith("decode")} == {
        source: f"exp/decode/sop_a_b/prompt_use/{source}" for source in ("reference", "other", "none")
    }
    assert all(option(call, "--mixtures") == "5" for call in calls if call.startswith("decode"))
    asked = [call for call in driver.checkout.calls() if call.startswith("analyse --prompt_use")]
    assert asked == ["analyse --prompt_use --data dump exp/decode/sop_a_b/test_a"]


def test_gpus_of_one_machine(driver):
    """One training has all GPUs, decoding jobs have one each."""
    calls = driver("--systems", "sot ctc sop", "--ngpu", "2", "--stage", "5", "--stop_stage", "9")
    for call in calls:
        if call.startswith("train"):
            assert option(call, "--ngpu") == "2" and option(call, "--multiprocessing_distributed") == "true"
    gpus = {option(call, "--mode"): call.split()[-1] for call in calls if call.startswith("decode")}
    assert gpus == {"sot": "gpu0", "ctc": "gpu1", "sop": "gpu0"}


def test_nodes_of_slurm(driver):
    """ESPnet is started once on each node, with a rendezvous file that all see and that is new for every start."""
    driver.checkout.script(driver.checkout.bin / "sbatch", SLURM)
    driver.checkout.script(driver.checkout.bin / "srun", SRUN)
    options = ["--systems", "sot", "--ngpu", "4", "--num_nodes", "2", "--stage", "5", "--stop_stage", "9"]
    calls = driver(*options, SOP_BACKEND="slurm")
    submitted, *started, submitted_decode, decode = calls
    assert {"--nodes=2", "--ntasks-per-node=1", "--gres=gpu:4"} <= set(submitted.split())
    assert [call.split()[:2] for call in started] == [["node0", "train"], ["node1", "train"]]
    for call in started:
        assert option(call, "--dist_launcher") == "slurm" and option(call, "--multiprocessing_distributed") == "true"
        assert option(call, "--dist_backend") == "gloo" if "--ngpu 0" in call else "--dist_backend" not in call
    assert f"--dist_init_method file://{driver.recipe}/exp/stage1_sot/.dist_init_" in started[0]
    assert "--gres=gpu:1" in submitted_decode and "--nodes" not in submitted_decode and decode.startswith("decode")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--systems", "sot sap"],
            "--systems: no system 'sap': conf/train_sap.yaml: no such configuration; there are ",
        ),
        (["--systems", "sot_"], "--systems: no system 'sot_'"),
        (["--systems", "../sot"], "--systems: no system '../sot'"),
        (["--num_nodes", "2"], "--num_nodes 2 needs SOP_BACKEND=slurm (cmd.sh)"),
        (["--num_nodes", "two"], "--num_nodes two: must be a whole number"),
        (["--stage", "6", "--systems", "ctc"], "exp/stage1_sot/valid.acc.ave.pth is missing: train system 'sot' first"),
    ],
)
def test_mistakes_are_one_line(driver, options, message):
    failed = driver(*options, check=False)
    assert failed.returncode == 1
    error = [line for line in failed.stderr.splitlines() if not line.startswith(("setup_env.sh: ", "  Success"))]
    assert len(error) == 1 and message in error[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--test_sets", "test_a ../b"], "--test_sets: '../b' cannot be the name of a set"),
        (["--test_sets", "*"], "--test_sets: '*' cannot be"),
        (["--train_set", "-x"], "--train_set: '-x' cannot be"),
        (["--valid_set", "$(touch stray)"], "--valid_set: '$(touch' cannot be"),
        (["--systems", "*"], "--systems: no system '*'"),
        (["--systems", "sot\x1b[31m"], "--systems: no system 'sot?[31m'"),
        (["--stage stop_stage", "1"], "no option --stage stop_stage"),
        (["--nj", "0"], "--nj 0: must be 1 or more"),
        (["--nj", "08"], "--nj 08: must be a whole number"),
        (["--max_duration", "1e3; id"], "--max_duration 1e3; id: must be seconds"),
        (["--cache", "yes"], "--cache yes: must be true or false"),
        (["--expdir", "-x"], "--expdir '-x': must be a folder"),
        (["--dumpdir", "a,b"], "--dumpdir 'a,b': must be a folder, without comma"),
        (["--train_args", "--name 'a b"], "--train_args --name 'a b: a quote is not closed"),
    ],
)
def test_hostile_values_are_one_line(driver, options, message):
    """Nothing is run, and nothing in a value is interpreted."""
    failed = driver(*options, check=False)
    assert failed.returncode == 1 and not driver.checkout.calls(), "not even the environment is made"
    (error,) = failed.stderr.splitlines()
    assert error.startswith("sop.sh: error: ") and message in error
    assert not list(driver.checkout.root.rglob("stray"))


WORDS = f"""{SYSTEMS}
printf '<%s>' "$@" >>"$CALLS.words"
echo >>"$CALLS.words"
exec espnet2-sop-said "$@"
"""


def test_values_reach_the_commands_as_they_are(driver):
    """Folders and lists of options with blanks, quotes, patterns and what a shell would run."""
    checkout, odd = driver.checkout, "a $(touch stray) `touch stray` * 'b' \"c\" ; \\ é"
    checkout.script(checkout.bin / "espnet2-sop-said", COMMAND)
    checkout.script(checkout.bin / "espnet2-sop", WORDS)
    checkout.script(driver.recipe / "local/data.sh", WORDS)
    (driver.recipe / odd / "train").mkdir(parents=True)
    (driver.recipe / odd / "train/simulation.yaml").write_text("seed: 1\n")
    options = ["--systems", "sot", "--expdir", f"exp {odd}", "--dumpdir", odd, "--datadir", f"data {odd}"]
    options += ["--train_args", "--log_level \"a b\" --seed * '$(touch stray)'", "--decode_args", "--beam '4 $HOME'"]
    driver(*options, "--local_data_opts", "--corpus '/my corpus, with *' --x `touch`", "--stop_stage", "10")
    calls = (checkout.root.parent / "calls.words").read_text().splitlines()
    assert calls[0] == f"<--datadir><data {odd}><--corpus></my corpus, with *><--x><`touch`>"
    assert f"<format><--min_duration><0.3><--max_duration><20><data {odd}/dev><{odd}/dev>" in calls
    (train,) = (call for call in calls if call.startswith("<train>"))
    assert train.endswith("<--log_level><a b><--seed><*><$(touch stray)>")
    assert (
        f"<--output_dir><exp {odd}/stage1_sot>" in train and f"<{odd}/train/simulation.yaml,text,mixture_text>" in train
    )
    (decode,) = (call for call in calls if call.startswith("<decode>"))
    assert decode.endswith(f"<--beam><4 $HOME><{odd}/test_a>")
    assert calls[-1] == f"<score><--data><{odd}><exp {odd}/decode/sot/test_a>"
    assert not list(checkout.root.rglob("stray"))
