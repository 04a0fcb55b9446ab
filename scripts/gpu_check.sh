#!/usr/bin/env bash
# Checks sftgen on one GPU of the H100 class, in about 7 minutes, and prints one JSON object a check.
#
#   scripts/gpu_check.sh [--wheels FOLDER] [OPTIONS AND NAMES OF scripts/gpu_check]
#
# On a machine without internet, where torch and transformers are but sftgen's other requirements are not, FOLDER holds
# the missing wheels, sftgen's own among them (its entry points make it known). They go into a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = --wheels ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$2"/*.whl
    export PYTHONPATH="$PWD:$site"
    shift 2
fi
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
python3 -m scripts.gpu_check "$@"
