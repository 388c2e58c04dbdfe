#!/usr/bin/env bash
# data.sh [--name value ...]: data directories of a LibriSpeech-like folder with train, dev and test. Training mixtures
# are drawn on the fly, dev and test once by the same rule. Noises are synthetic, and so are rooms, if there are any.
set -euo pipefail

### options
datadir=data                   # where the data directories go
fotaq=                         # folder with train, dev and test: made by local/fotaq.py
train_subsets=train            # folders in it of which training mixtures are made, such as "train voices"
rule=conf/simulation.yaml      # how mixtures are drawn
rooms=0                        # simulated rooms of each set
turns="0 10"                   # seconds of the training turns, of utterances joined; none: single utterances
noises=96                      # synthetic noises of train; dev and test have a quarter of it each
### end of options

# shellcheck source=egs2/TEMPLATE/sop_asr1/options.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../../TEMPLATE/sop_asr1/options.sh" "$@"

[ -n "${fotaq}" ] || fail "give --local_data_opts '--fotaq DIR'; local/fotaq.py DIR makes the folder"
need_words train_subsets '[^-/][^/]*' "folders of --fotaq"
for subset in ${train_subsets} dev test; do need_folder "${fotaq}/${subset}" fotaq; done
[ -f "${rule}" ] || fail "--rule '${rule}': no such file"
need_match rooms '0|[1-9][0-9]{0,8}' "a whole number from 0"
need_match noises '[4-9]|[1-9][0-9]{1,8}' "a whole number from 4"
[ "${turns}" = none ] || need_words turns '[0-9]+(\.[0-9]+)?' "seconds of the shortest and the longest turn, or none"
read -ra subsets <<<"${train_subsets}"

prepare() { # prepare MODE OPTION...: of the utterances of the folders that --subset names
    espnet2-sop prepare "$1" --speech_root "${fotaq}" --text_style librispeech "${@:2}"
}

seed=0
for name in train dev test; do
    seed=$((seed + 1))
    number=$((noises / 4))
    [ "${name}" != train ] || number="${noises}"
    prepare noise --subset train --number "${number}" --seed "${seed}" --out "${datadir}/noise/${name}"
    [ "${rooms}" -eq 0 ] ||
        espnet2-sop prepare rooms --number "${rooms}" --seed "${seed}" --out "${datadir}/rooms/${name}"
done
pools() { # pools NAME: options that name the noises and rooms of a set
    options=(--config "${rule}" --noise_root "${datadir}/noise/$1")
    [ "${rooms}" -eq 0 ] || options+=(--room_root "${datadir}/rooms/$1")
}

pools train
joined=()
[ "${turns}" = none ] || joined=(--turns "${turns}")
prepare simulation --subset "${subsets[@]}" "${options[@]}" ${joined[@]+"${joined[@]}"} --out "${datadir}/train"
pools dev
prepare fixed --subset dev "${options[@]}" --talkers 1 2 3 --condition both --number 10 --out "${datadir}/dev"
pools test
for talkers in 1 2 3; do
    for condition in clean noisy; do
        prepare fixed --subset test "${options[@]}" --talkers "${talkers}" --condition "${condition}" --number 150 \
            --out "${datadir}/test_${talkers}mix_${condition}"
    done
done
