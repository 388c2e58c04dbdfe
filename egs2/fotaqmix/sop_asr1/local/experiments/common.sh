# shellcheck shell=bash disable=SC2034  # variables are those of the scripts that source this file
# To be sourced by the scripts of this folder with their arguments, DIR [SEED]: goes to the folder of the recipe and has
# what several of them need. All that they make is below exp/NAME, voices are in DIR. Finished trainings are kept.

experiment="$(basename "$0" .sh)"
fail() {
    printf '%s.sh: error: %s\n' "${experiment}" "$*" >&2
    exit 1
}
[ $# -ge 1 ] || fail "give the folder that local/fotaq.py makes: local/experiments/${experiment}.sh DIR [SEED]"
[ -d "$1/train" ] || fail "$1: no folder 'train' in it; local/fotaq.py DIR makes one"
speech="$(cd "$1" && pwd)"
seed="${2:-2509}"
[[ "${seed}" =~ ^[1-9][0-9]{0,8}$ ]] || fail "'${seed}' is no seed: give a whole number from 1"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." || exit 1
# shellcheck source=egs2/TEMPLATE/sop_asr1/path.sh
. ./path.sh

root="exp/${group:-${experiment}}" # group: experiments that go on from each other
clean="test_1mix_clean test_2mix_clean test_3mix_clean"
tools=(python3 local/experiments/tools.py)
mkdir -p "${root}"

recipe() { ./run.sh --datadir "${root}/data" --dumpdir "${root}/dump" --nj 2 "$@"; }

prepare_sets() { # prepare_sets FOLDER...: data of these folders of DIR for training, and the test sets
    [ ! -f "${root}/.prepared" ] || return 0
    recipe --local_data_opts "--fotaq '${speech}' --train_subsets '$*'" --expdir "${root}" --stop_stage 2
    touch "${root}/.prepared"
}
format_set() { # format_set SET: as stage 2 of the recipe does
    espnet2-sop format --min_duration 0.3 --max_duration 20 "${root}/data/$1" "${root}/dump/$1"
}
draw() { # draw SET SEED [TALKERS]: a training set with another seed and other shares of one, two and three talkers
    [ ! -f "${root}/dump/$1/simulation.yaml" ] || return 0
    cp -r "${root}/data/train" "${root}/data/$1"
    sed -i "s/^seed:.*/seed: $2/; ${3:+s/^talkers:.*/talkers: {$3\}/}" "${root}/data/$1/simulation.yaml"
    format_set "$1"
}
draw_test() { # draw_test SET SEED NUMBER: other mixtures of three test speakers
    [ ! -f "${root}/dump/$1/mixtures.jsonl" ] || return 0
    sed "s/^seed:.*/seed: $2/" conf/simulation.yaml >"${root}/rule_$1.yaml"
    espnet2-sop prepare fixed --speech_root "${speech}" --subset test --text_style librispeech --talkers 3 \
        --condition clean --number "$3" --config "${root}/rule_$1.yaml" --noise_root "${root}/data/noise/test" \
        --out "${root}/data/$1"
    format_set "$1"
}
put() { # put FILE LINE...: writes the lines, unless they stand there already (a newer file would be trained again)
    local lines
    lines="$(printf '%s\n' "${@:2}")"
    [ "$(cat "$1" 2>/dev/null)" = "${lines}" ] || printf '%s\n' "${lines}" >"$1"
}
inherit() { # inherit CONF SYSTEM FROM [LINE...]: ${root}/CONF/train_SYSTEM.yaml changes the recipe's file FROM
    mkdir -p "${root}/$1"
    put "${root}/$1/train_$2.yaml" "defaults: ${PWD}/$3" "${@:4}"
}
compare() { # compare RUNS FIRST SECOND SET...: paired differences of two systems
    local set
    for set in "${@:4}"; do
        espnet2-sop score --data "${root}/dump" "$1/decode/$2/${set}" "$1/decode/$3/${set}"
        espnet2-sop compare "$1/decode/$2/${set}" "$1/decode/$3/${set}"
    done
}

add_kokoro() { # add_kokoro SEED SPEAKERS NUMBER NAME OPTION...: Kokoro's voices as the folder DIR/NAME
    [ -f "${root}/kokoro/voices.npz" ] || local/kokoro.py "${root}/kokoro"
    espnet2-sop prepare voices --text_style librispeech --seed "$1" --speakers "$2" --number "$3" \
        --model "${root}/kokoro/model.onnx" --voices "${root}/kokoro/voices.npz" --out "${speech}/$4" "${@:5}"
}
write_prose() { # sentences for synthetic voices
    [ -d /usr/share/games/fortunes ] || fail "no /usr/share/games/fortunes: apt-get install fortunes fortunes-min"
    local/fortunes.py /usr/share/games/fortunes >"${root}/prose.txt"
}
add_piper() { # a voice of Piper as the folder DIR/joe5
    [ ! -f "${root}/.joe5" ] || return 0
    write_prose
    python3 -m piper.download_voices en_US-joe-medium --download-dir "${root}" || fail "pip install piper-tts"
    espnet2-sop prepare voices --texts "${root}/prose.txt" --text_style librispeech --seed 5 --number 1870 \
        --model "${root}/en_US-joe-medium.onnx" --out "${speech}/joe5"
    touch "${root}/.joe5"
}
add_sky() { [ -d "${speech}/sky" ] || local/sky.py /usr/share/scummvm/beneath-a-steel-sky "${speech}/sky"; }
add_uqm() { [ -d "${speech}/uqm" ] || local/uqm.py /usr/share/games/uqm/content "${speech}/uqm"; }
