#!/usr/bin/env bash
# Data directories of a LibriSpeech-like folder with train, dev and test: training mixtures are drawn on the fly, dev and
# test once by the same rule. Noises are synthetic, and so are rooms, if there shall be any.
set -euo pipefail

datadir=data
fotaq=
rule=conf/simulation.yaml
rooms=0    # simulated rooms of each set
noises=96  # synthetic noises of train; dev and test have a quarter of it each
while [ $# -gt 0 ]; do
    case "$1" in
        --datadir) datadir="$2" ;;
        --fotaq) fotaq="$2" ;;
        --rule) rule="$2" ;;
        --rooms) rooms="$2" ;;
        --noises) noises="$2" ;;
        *) echo "local/data.sh: error: no option $1 (--datadir, --fotaq, --rule, --rooms, --noises)" >&2; exit 1 ;;
    esac
    shift 2
done
if [ ! -d "${fotaq}/train" ]; then
    echo "local/data.sh: error: '${fotaq}' has no folder train; give --local_data_opts '--fotaq DIR' (README.md)" >&2
    exit 1
fi

prepare() { # prepare MODE SUBSET OPTION...: of the utterances of one subset
    espnet2-sop prepare "$1" --speech_root "${fotaq}" --subset "$2" --text_style librispeech "${@:3}"
}

seed=0
for name in train dev test; do
    seed=$((seed + 1))
    number=$((noises / 4))
    [ "${name}" != train ] || number="${noises}"
    prepare noise train --number "${number}" --seed "${seed}" --out "${datadir}/noise/${name}"
    [ "${rooms}" -eq 0 ] ||
        espnet2-sop prepare rooms --number "${rooms}" --seed "${seed}" --out "${datadir}/rooms/${name}"
done
pools() { # pools NAME: options that name the noises and rooms of a set
    options=(--config "${rule}" --noise_root "${datadir}/noise/$1")
    [ "${rooms}" -eq 0 ] || options+=(--room_root "${datadir}/rooms/$1")
}

pools train
prepare simulation train "${options[@]}" --out "${datadir}/train"
pools dev
prepare fixed dev "${options[@]}" --talkers 1 2 3 --condition both --number 60 --out "${datadir}/dev"
pools test
for talkers in 1 2 3; do
    for condition in clean noisy; do
        prepare fixed test "${options[@]}" --talkers "${talkers}" --condition "${condition}" --number 300 \
            --out "${datadir}/test_${talkers}mix_${condition}"
    done
done
