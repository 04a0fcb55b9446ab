#!/bin/bash
# One sweep on all nodes of a Slurm job, by a Ray cluster that lives as long as the job:
#
#     sbatch --nodes=4 --gpus-per-node=8 examples/slurm/sweep.sh sweep.yaml
#
# sftgen[ray] has to be on the PATH of all nodes, and they have to see the sweep's folder under the same path.
#SBATCH --job-name=sftgen-sweep
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
set -euo pipefail

sweep=${1:?name the file of a sweep}
port=${RAY_PORT:-6379}
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
others=$((SLURM_JOB_NUM_NODES - 1))
address="$head:$port"

# Whoever reaches a Ray cluster can run programs in it: only who knows this job's token may.
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0

# A step is given one processor a task unless it asks for more. Slurm ends the steps with this script.
start() { srun --ntasks-per-node=1 --cpus-per-task="$SLURM_CPUS_ON_NODE" "$@" --block & }
start --nodes=1 --ntasks=1 --nodelist="$head" ray start --head --port="$port"
if [ "$others" -gt 0 ]; then
    start --nodes="$others" --ntasks="$others" --exclude="$head" ray start --address="$address"
fi

# The sweep takes the nodes that are there when it begins.
for _ in $(seq 60); do
    there=$(ray status --address="$address" 2>/dev/null | grep -c ' 1 node_' || true)
    [ "$there" -eq "$SLURM_JOB_NUM_NODES" ] && break
    sleep 5
done
if [ "$there" -ne "$SLURM_JOB_NUM_NODES" ]; then
    echo "$there of $SLURM_JOB_NUM_NODES nodes joined the Ray cluster at $address; see the output of the steps" >&2
    exit 1
fi
RAY_ADDRESS="$address" sftgen sweep "$sweep" --engine ray
