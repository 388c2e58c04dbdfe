#!/usr/bin/env bash
# Data directories: training mixtures drawn on the fly from LibriSpeech, a small set for validation drawn once by the
# same rule from dev-clean, and the lists of LibriSpeechMix. No mixture is stored.
set -euo pipefail

datadir=data
librispeech=
lists=
train="train-clean-100 train-clean-360 train-other-500"
while [ $# -gt 0 ]; do
    case "$1" in
        --datadir) datadir="$2" ;;
        --librispeech) librispeech="$2" ;;
        --lists) lists="$2" ;;
        --train) train="${2//,/ }" ;;
        *) echo "local/data.sh: error: no option $1 (--datadir, --librispeech, --lists, --train)" >&2; exit 1 ;;
    esac
    shift 2
done
if [ ! -d "${librispeech}" ] || [ ! -d "${lists}" ]; then
    echo "local/data.sh: error: give --local_data_opts '--librispeech DIR --lists DIR' (README.md)" >&2
    exit 1
fi

# shellcheck disable=SC2086  # train is a list of folders
espnet2-sop prepare simulation --speech_root "${librispeech}" --subset ${train} --config conf/simulation.yaml \
    --out "${datadir}/train"
espnet2-sop prepare fixed --speech_root "${librispeech}" --subset dev-clean --config conf/simulation.yaml \
    --talkers 1 2 3 --condition clean --number 200 --out "${datadir}/dev"
for subset in dev test; do
    for talkers in 1 2 3; do
        espnet2-sop prepare librispeechmix --speech_root "${librispeech}" --list "${lists}/${subset}-clean-${talkers}mix.jsonl" \
            --out "${datadir}/${subset}_clean_${talkers}mix"
    done
done
