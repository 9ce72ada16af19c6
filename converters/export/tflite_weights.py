"""TFLite variants that keep the arithmetic in fp32 and store the weights smaller."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ai_edge_quantizer import qtyping, quantizer, recipe

from converters.export.compact import compact
from converters.export.layers import tflite_scopes
from converters.export.older_tflite import quantizable
from edgeface.bundle import Precision

FP16 = qtyping.OpQuantizationConfig(
    weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
    compute_precision=qtyping.ComputePrecision.FLOAT,
    explicit_dequantize=True,
)


def shrink_weights(plain: Path, precision: Precision, path: Path, keep: Sequence[str] = ()) -> None:
    """Rewrite an fp32 TFLite file with smaller weights; its runtime widens them again.

    Parameters
    ----------
    plain, path : file to read, file to write
    precision : ``int8w`` (per output channel) or ``fp16w``
    keep : patterns of layers (`converters.export.layers`) that become float16 also in ``int8w``

    Raises
    ------
    ValueError : another precision
    """
    if precision not in ("int8w", "fp16w"):
        raise ValueError(f"{precision} is not a form of smaller weights")
    with quantizable(plain) as whole:
        work = quantizer.Quantizer(str(whole))
        scopes = [".*"]
        if precision == "int8w":
            work.load_quantization_recipe(recipe.weight_only_wi8_afp32())
            scopes = tflite_scopes(whole, keep)
        for scope in scopes:
            work.update_quantization_recipe(
                regex=scope,
                operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
                op_config=FP16,
                algorithm_key="float_casting",
            )
        work.quantize().export_model(str(path), overwrite=True)
    compact(path)
