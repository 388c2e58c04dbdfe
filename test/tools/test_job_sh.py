"""job.sh: one command with its log, its progress on the console, and failures that say why."""

import os
import re
import signal
import time

import pytest

JOB = "./job.sh"


@pytest.fixture
def recipe(checkout):
    """The scratch recipe's folder, from which jobs are run."""
    return checkout.root / "egs2/tiny/sop_asr1"


def bash(text: str) -> tuple[str, str, str]:
    return "bash", "-c", text


def wait_for(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


def test_success_keeps_every_log(checkout, recipe):
    for word in ("first", "it's second"):
        done = checkout.run(JOB, "exp/a b/x.log", "printf", "%s\\n", word, cwd=recipe)
        assert (done.returncode, done.stdout, done.stderr) == (0, "  x: log exp/a b/x.log\n", "")
    log = (recipe / "exp/a b/x.log").read_text().splitlines()
    assert len(log) == 6
    assert log[0].startswith("# 2") and log[0].endswith(": printf '%s\\n' first")
    assert log[3].endswith("'it'\\''s second'")
    assert (log[1], log[4]) == ("first", "it's second")
    assert all(re.fullmatch(r"# ended after \d+ s with status 0", log[i]) for i in (2, 5))


def test_console_shows_progress_and_trouble_only(checkout, recipe):
    lines = [
        "[host] 2026-01-02 03:04:05,678 (abs_task:1300) INFO: Model structure:",
        "[host] 2026-01-02 03:04:05,678 (trainer:334) INFO: 1/20epoch started",
        "[host] 2026-01-02 03:04:05,678 (trainer:810) INFO: 1epoch:train:1-50batch: loss=2.5",
        "[host] 2026-01-02 03:04:05,678 (trainer:514) INFO: The model files were removed: exp/1epoch.pth",
        f"[host] 2026-01-02 03:04:05,678 (ctc:9) WARNING: 3 targets are longer than the input {'.' * 200}",
        "espnet2-sop decode: test_2mix: 20 of 40 mixtures",
        "anything else",
    ]
    (recipe / "lines").write_text("\n".join(lines) + "\n")
    done = checkout.run(JOB, "--name", "sot", "train.log", "cat", "lines", cwd=recipe)
    shown = done.stdout.splitlines()
    assert shown[:4] == [
        "  sot: log train.log",
        "  sot: 1/20epoch started",
        "  sot: 1epoch:train:1-50batch: loss=2.5",
        f"  sot: WARNING: 3 targets are longer than the input {'.' * 200}"[:160],
    ]
    assert shown[4:] == ["  sot: espnet2-sop decode: test_2mix: 20 of 40 mixtures"]
    assert (recipe / "train.log").read_text().splitlines()[1:-1] == lines


def test_progress_bars_are_thinned_out(checkout, recipe):
    bars = "".join(f"\\r{i}%|##  | {i}/100 [00:01<00:02, 9.9it/s]" for i in range(101))
    done = checkout.run(JOB, "x.log", *bash(f"printf %b '{bars}\\n'"), cwd=recipe)
    assert done.stdout.splitlines()[-1] == "  x: 100%|##  | 100/100 [00:01<00:02, 9.9it/s]"
    assert len(done.stdout.splitlines()) <= 3


def test_progress_comes_while_the_command_runs(checkout, recipe):
    process = checkout.popen(JOB, "x.log", *bash("echo 'WARNING: early'; sleep 3"), cwd=recipe)
    start = time.monotonic()
    assert [process.stdout.readline() for _ in range(2)] == ["  x: log x.log\n", "  x: WARNING: early\n"]
    assert time.monotonic() - start < 2
    process.terminate()
    process.communicate()


def test_failure_shows_the_one_line_error(checkout, recipe):
    (recipe / "x.log").write_text("espnet2-sop train: error: of an earlier try\n")
    text = "echo noise; echo 'espnet2-sop train: error: conf/x.yaml, line 3: no key lr' >&2; echo more; exit 3"
    failed = checkout.run(JOB, "x.log", *bash(text), cwd=recipe)
    assert failed.returncode == 3
    assert failed.stdout == "  x: log x.log\n"
    assert failed.stderr == (
        "espnet2-sop train: error: conf/x.yaml, line 3: no key lr\n"
        "job.sh: error: x failed (exit status 3); log: x.log\n"
    )


def test_failure_without_one_shows_the_last_lines_of_this_try(checkout, recipe):
    (recipe / "x.log").write_text("espnet2-sop train: error: of an earlier try\n")
    failed = checkout.run(JOB, "x.log", *bash("for i in {1..40}; do echo line $i; done; kill -9 $$"), cwd=recipe)
    assert failed.returncode == 137
    shown = failed.stderr.splitlines()
    assert shown[:-1] == [f"line {i}" for i in range(26, 41)]
    assert "exit status 137, killed from outside: often too little memory); log: x.log" in shown[-1]


def test_a_command_that_is_not_there_is_a_failure(checkout, recipe):
    failed = checkout.run(JOB, "x.log", "no_such_command", cwd=recipe)
    assert failed.returncode == 127 and "no_such_command: command not found" in failed.stderr


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("background", [False, True])
def test_an_interruption_ends_the_command_and_its_children(checkout, recipe, end, background):
    child = 'bash -c "echo \\$\\$ >pid; exec sleep 60"'
    job = f"{JOB} x.log bash -c 'trap \"echo tidy; exit\" INT; {child}'"
    command = bash(f"{job} & echo $! >job; wait" if background else f"echo $$ >job; exec {job}")
    process = checkout.popen(*command, cwd=recipe)
    wait_for(lambda: (recipe / "pid").exists() and (recipe / "pid").read_text().endswith("\n"))
    os.kill(int((recipe / "job").read_text()), end)
    _, err = process.communicate(timeout=15)
    assert "job.sh: x: interrupted; log: x.log\n" in err
    if not background:
        assert process.returncode == -end
    assert (recipe / "x.log").read_text().splitlines()[1:] == ["tidy", f"# ended by signal {end.name[3:]}"]
    wait_for(lambda: not is_running((recipe / "pid").read_text()))


def test_a_child_that_ignores_an_interrupt_is_ended_all_the_same(checkout, recipe):
    process = checkout.popen(JOB, "x.log", *bash("trap '' INT; echo $$ >pid; sleep 60; sleep 60"), cwd=recipe)
    wait_for(lambda: (recipe / "pid").exists() and (recipe / "pid").read_text().endswith("\n"))
    process.terminate()
    process.communicate(timeout=15)
    wait_for(lambda: not is_running((recipe / "pid").read_text()))


SBATCH = """#!/usr/bin/env bash
printf '%s\\n' "$@" >sbatch.args
echo "Submitted batch job 42"
for word in "$@"; do
    case $word in
        --output=*) output=${word#*=} ;;
        --wrap=*) wrap=${word#*=} ;;
    esac
done
bash -c "$wrap" >>"$output" 2>&1
"""


class TestSlurm:
    @pytest.fixture(autouse=True)
    def backend(self, checkout):
        checkout.script(checkout.bin / "sbatch", SBATCH)
        checkout.script(checkout.bin / "scancel", '#!/usr/bin/env bash\necho "scancel $*" >>"$CALLS"\n')
        checkout.env["SOP_BACKEND"] = "slurm"

    def test_options_and_output(self, checkout, recipe):
        text = "echo \"it's $0\"; echo 'WARNING: seen'"
        done = checkout.run(JOB, "--gpu", "2", "--name", "sot", "x.log", *bash(text), "a b", cwd=recipe)
        assert (done.returncode, done.stdout) == (0, "  sot: log x.log\n  sot: WARNING: seen\n")
        assert (recipe / "x.log").read_text().splitlines()[1:-1] == [
            "Submitted batch job 42",
            "it's a b",
            "WARNING: seen",
        ]
        options = (recipe / "sbatch.args").read_text().splitlines()
        assert {"--wait", "--job-name=sot", "--open-mode=append", "--gres=gpu:2"} <= set(options)

    def test_without_gpu_none_is_asked_for(self, checkout, recipe):
        assert checkout.run(JOB, "x.log", "true", cwd=recipe, SBATCH_TIMELIMIT="5:00").returncode == 0
        options = (recipe / "sbatch.args").read_text()
        assert "--gres" not in options and "--time=5:00\n" in options

    def test_failure(self, checkout, recipe):
        failed = checkout.run(JOB, "x.log", *bash("echo 'espnet2-sop decode: error: no data'; exit 4"), cwd=recipe)
        assert failed.returncode == 4
        assert failed.stderr == (
            "espnet2-sop decode: error: no data\njob.sh: error: x failed (exit status 4); log: x.log\n"
        )

    def test_interruption_cancels_the_job(self, checkout, recipe):
        process = checkout.popen(JOB, "x.log", *bash("touch started; sleep 60"), cwd=recipe)
        wait_for((recipe / "started").exists)
        process.terminate()
        process.communicate(timeout=15)
        assert checkout.calls() == ["scancel 42"]

    def test_no_sbatch_is_one_line(self, checkout, recipe):
        (checkout.bin / "sbatch").unlink()
        failed = checkout.run(JOB, "x.log", "true", cwd=recipe)
        assert failed.returncode == 2
        assert failed.stderr == "job.sh: error: SOP_BACKEND is slurm, but there is no sbatch on PATH\n"


@pytest.mark.parametrize(
    ("arguments", "backend", "message"),
    [
        (["--gpus", "1", "x.log", "true"], "local", "unknown option '--gpus'"),
        (["--gpu", "one", "x.log", "true"], "local", "--gpu must be a number, not 'one'"),
        (["--nodes", "0", "x.log", "true"], "slurm", "--nodes must be a number from 1, not '0'"),
        (["--nodes", "2", "x.log", "true"], "local", "--nodes 2: several nodes need SOP_BACKEND=slurm"),
        (["x.log"], "local", "a log file and a command are needed"),
        (["x.log", "true"], "pbs", "unknown back-end 'pbs' (SOP_BACKEND, cmd.sh); one of: local slurm"),
    ],
)
def test_wrong_use_is_one_line(checkout, recipe, arguments, backend, message):
    failed = checkout.run(JOB, *arguments, cwd=recipe, SOP_BACKEND=backend)
    assert failed.returncode == 2
    assert failed.stderr.startswith(f"job.sh: error: {message}") and failed.stderr.count("\n") == 1
    assert not (recipe / "x.log").exists()


def test_what_a_log_quotes_cannot_steer_the_terminal(checkout, recipe):
    """Escapes in names and contents of files are shown as question marks; the log keeps them."""
    text = r"printf 'WARNING: \033[31mred\n\033]0;title\a\nespnet2-sop x: error: a\033[2Jb\n'; exit 1"
    failed = checkout.run(JOB, "--name", "n\x1b[0m", "x.log", *bash(text), cwd=recipe)
    assert failed.stdout == "  n?[0m: log x.log\n  n?[0m: WARNING: ?[31mred\n"
    assert failed.stderr.splitlines()[0] == "espnet2-sop x: error: a?[2Jb"
    assert "\x1b" not in failed.stderr and "\x1b[2J" in (recipe / "x.log").read_text()
