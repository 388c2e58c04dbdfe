#!/usr/bin/env bash
# data.sh [--name value ...]: training mixtures drawn on the fly from LibriSpeech, a small set for validation drawn once
# by the same rule from dev-clean, and the lists of LibriSpeechMix. No mixture is stored.
set -euo pipefail

### options
datadir=data                   # where the data directories go
librispeech=                   # LibriSpeech folder
lists=                         # folder with dev-clean-1mix.jsonl, ..., test-clean-3mix.jsonl
train="train-clean-100 train-clean-360 train-other-500"     # parts of LibriSpeech in the training set
### end of options

# shellcheck source=egs2/TEMPLATE/sop_asr1/options.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../../TEMPLATE/sop_asr1/options.sh" "$@"

if [ -z "${librispeech}" ] || [ -z "${lists}" ]; then
    fail "give --local_data_opts '--librispeech DIR --lists DIR' (README.md)"
fi
need_folder "${librispeech}" librispeech
need_folder "${lists}" lists
need_words train '[A-Za-z0-9][A-Za-z0-9._-]*' "names of folders in --librispeech"
for subset in ${train} dev-clean; do need_folder "${librispeech}/${subset}" librispeech; done
for subset in dev test; do
    for talkers in 1 2 3; do
        list="${lists}/${subset}-clean-${talkers}mix.jsonl"
        [ -f "${list}" ] || fail "--lists '${lists}': no file ${list}"
    done
done

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
