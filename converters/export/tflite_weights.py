"""TFLite forms that keep the arithmetic in fp32 and store the weights smaller."""

from __future__ import annotations

from pathlib import Path

from ai_edge_quantizer import qtyping, quantizer, recipe

from edgeface.bundle import Precision

FP16 = qtyping.OpQuantizationConfig(
    weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
    compute_precision=qtyping.ComputePrecision.FLOAT,
    explicit_dequantize=True,
)


def shrink_weights(plain: Path, precision: Precision, path: Path, keep: str | None = None) -> None:
    """Rewrite an fp32 TFLite file with smaller weights; its runtime widens them again.

    Parameters
    ----------
    plain, path : file to read, file to write
    precision : ``int8w`` (per output channel) or ``fp16w``
    keep : pattern of the layers that become float16 also in ``int8w``

    Raises
    ------
    ValueError : another precision
    """
    if precision not in ("int8w", "fp16w"):
        raise ValueError(f"{precision} is not a form of smaller weights")
    work = quantizer.Quantizer(str(plain))
    pattern: str | None = ".*"
    if precision == "int8w":
        work.load_quantization_recipe(recipe.weight_only_wi8_afp32())
        pattern = keep
    if pattern:
        work.update_quantization_recipe(
            regex=pattern,
            operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
            op_config=FP16,
            algorithm_key="float_casting",
        )
    work.quantize().export_model(str(path), overwrite=True)
