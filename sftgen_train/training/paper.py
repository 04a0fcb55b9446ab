"""Steps as the trainer of arXiv 2604.06628 made them, over any `transformers.Trainer`.

Source: its code, `verl/trainer/fsdp_sft_trainer_ours.py`. What still differs is listed in `presets.py`.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from math import isfinite
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.fsdp import MixedPrecision, MixedPrecisionPolicy
from torch.nn.parallel import DistributedDataParallel
from transformers import Trainer, TrainingArguments
from transformers.training_args import OptimizerNames

from sftgen_train.training.config import TrainingConfigError

logger = logging.getLogger(__name__)


class PaperGradients(Trainer):
    """Gradients as the paper's trainer made them: micro-batches' token means, summed and not averaged."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # The Trainer then leaves out its division by the accumulation steps.
        self.loss_is_scaled_for_ga = True

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean over this micro-batch's tokens, without regard to the rest of the batch."""
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch=None)


class PaperSteps(PaperGradients):
    """Whole steps as the paper's trainer made them.

    Beside the gradients: weight decay on every parameter; bfloat16 weights under autocast; gradients reduced in
    float32 after every micro-batch; no update where the norm of the gradients is not finite; the logged loss is the
    mean over micro-batches and processes.
    """

    def __init__(self, *arguments: Any, args: TrainingArguments, **options: Any) -> None:
        """Set what the trainer's arguments decide, then make it.

        Args:
            arguments: As for the trainer beneath.
            args: The trainer's arguments; some are set here.
            options: As for the trainer beneath.

        Raises:
            TrainingConfigError: float16 or DeepSpeed, which make the optimizer's steps themselves.
        """
        require_own_steps(args)
        # Fused AdamW rounds bfloat16 weights once a step, this one after every operation, as there.
        if args.optim == OptimizerNames.ADAMW_TORCH_FUSED:
            args.optim = OptimizerNames.ADAMW_TORCH
        args.logging_nan_inf_filter = False
        accelerator: Any = args.accelerator_config
        accelerator.gradient_accumulation_kwargs = {
            **(accelerator.gradient_accumulation_kwargs or {}),
            "sync_each_batch": True,
        }
        super().__init__(*arguments, args=args, **options)
        self._hooked = False
        plugin = getattr(self.accelerator.state, "fsdp_plugin", None)
        if plugin is not None:
            plugin.mixed_precision_policy = _reducing_in_float32(plugin.mixed_precision_policy, plugin.fsdp_version)

    def get_decay_parameter_names(self, model: Any) -> list[str]:
        """Every parameter, norms and biases too."""
        return [name for name, _ in model.named_parameters()]

    def compute_loss_context_manager(self) -> ExitStack:
        """Autocast to bfloat16, where the weights are bfloat16."""
        stack = super().compute_loss_context_manager()
        weights: torch.Tensor = next(self.model.parameters())  # type: ignore[union-attr]  # there is a model
        if weights.dtype == torch.bfloat16:
            stack.enter_context(torch.autocast(weights.device.type, torch.bfloat16))
        return stack

    def training_step(self, model: Any, *inputs: Any, **options: Any) -> torch.Tensor:
        """One micro-batch forward and backward.

        Returns:
            Its part of the logged loss: its token mean over the number of micro-batches.
        """
        if isinstance(model, DistributedDataParallel) and not self._hooked:
            model.register_comm_hook(None, _mean_in_float32)
            self._hooked = True
        loss: torch.Tensor = super().training_step(model, *inputs, **options)
        return loss / self.current_gradient_accumulation_steps

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The norm; where it is not finite, gradients are dropped, and the optimizer then changes nothing."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[no-untyped-call]
        if not isfinite(float(norm)):
            if self.is_world_process_zero():
                logger.warning(
                    "step %d: the norm of the gradients is %s; the step is skipped", self.state.global_step + 1,
                    float(norm),
                )  # fmt: skip
            model.zero_grad(set_to_none=True)
        return norm

    def log(self, logs: dict[str, float], *arguments: Any, **options: Any) -> None:
        """Log; a loss that was not finite stays in the log of its own step only."""
        if "loss" in logs and not torch.isfinite(self._tr_loss):
            self._tr_loss.zero_()
        super().log(logs, *arguments, **options)


def require_own_steps(args: TrainingArguments) -> None:
    """Check that the trainer makes the optimizer's steps.

    Raises:
        TrainingConfigError: float16 or DeepSpeed make them.
    """
    if args.fp16:
        raise TrainingConfigError("paper_training with fp16: the paper trained in bfloat16; set dtype: bfloat16")
    if args.deepspeed_plugin:
        raise TrainingConfigError(
            "paper_training with DeepSpeed, which makes the optimizer's steps itself: start it with FSDP2 "
            "(sftgen accelerate-config gpu-8-fsdp2), or set paper_gradients: true instead"
        )


def _mean_in_float32(_: object, bucket: Any) -> Any:
    """DDP's hook that averages gradients over the processes in float32, whatever their own type."""
    done = dist.all_reduce(bucket.buffer().float(), async_op=True).get_future()
    return done.then(lambda summed: bucket.buffer().copy_(summed.value()[0] / dist.get_world_size()))


# DDP compares annotations with its own types, which a type checker does not know.
_mean_in_float32.__annotations__.clear()


def _reducing_in_float32(policy: Any, version: int) -> Any:
    """FSDP's precision with gradients reduced in float32."""
    weights = getattr(policy, "param_dtype", None)
    if version == 2:
        return MixedPrecisionPolicy(param_dtype=weights, reduce_dtype=torch.float32)
    return MixedPrecision(
        param_dtype=weights, reduce_dtype=torch.float32, buffer_dtype=getattr(policy, "buffer_dtype", None)
    )
