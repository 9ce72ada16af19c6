"""TFLite forms that keep the arithmetic in fp32 and store the weights smaller."""

from __future__ import annotations

from pathlib import Path

from ai_edge_quantizer import qtyping, quantizer, recipe

from edgeface.bundle import Precision


def shrink_weights(plain: Path, precision: Precision, path: Path) -> None:
    """Rewrite an fp32 TFLite file with smaller weights; its runtime widens them again.

    Parameters
    ----------
    plain, path : file to read, file to write
    precision : ``int8w`` (per output channel) or ``fp16w``

    Raises
    ------
    ValueError : another precision
    """
    work = quantizer.Quantizer(str(plain))
    if precision == "int8w":
        work.load_quantization_recipe(recipe.weight_only_wi8_afp32())
    elif precision == "fp16w":
        work.update_quantization_recipe(
            regex=".*",
            operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
            op_config=qtyping.OpQuantizationConfig(
                weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            ),
            algorithm_key="float_casting",
        )
    else:
        raise ValueError(f"{precision} is not a form of smaller weights")
    work.quantize().export_model(str(path), overwrite=True)
