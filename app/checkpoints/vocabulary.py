"""The words that a plain state dict needs in a pickle, and the refusal of all others."""

from __future__ import annotations

from app.checkpoints.errors import SAVE_AGAIN, CheckpointError, shown

#: torch's name of a number type -> bytes of one number.
ITEM_BYTES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
#: How a pickle names a storage -> the number type in it.
STORAGES = {
    "torch DoubleStorage": "float64",
    "torch FloatStorage": "float32",
    "torch HalfStorage": "float16",
    "torch BFloat16Storage": "bfloat16",
    "torch LongStorage": "int64",
    "torch IntStorage": "int32",
    "torch ShortStorage": "int16",
    "torch CharStorage": "int8",
    "torch ByteStorage": "uint8",
    "torch BoolStorage": "bool",
}
ORDERED = "collections OrderedDict"
TENSOR = "torch._utils _rebuild_tensor_v2"
PARAMETER = "torch._utils _rebuild_parameter"
#: All that a plain state dict asks for.
GLOBALS = {*STORAGES, ORDERED, TENSOR, PARAMETER}


def foreign(name: str) -> CheckpointError:
    """The refusal of a file that asks for an object which no plain state dict needs."""
    path = name.replace(" ", ".")
    found = f"the file asks for the Python object {shown(path)}"
    if path.startswith("numpy"):
        advice = "turn numpy values into tensors or plain numbers (value.item()) and save it again"
    elif path.startswith(("torch._utils", "torch.storage", "torch.sparse", "torch._tensor")) or (
        path.startswith("torch.") and path.endswith("Storage")
    ):
        advice = (
            "make its tensors dense and real, of float32, float64, float16 or bfloat16 "
            "(tensor.to_dense(), .dequantize(), .float()), and " + SAVE_AGAIN
        )
    else:
        advice = (
            "a whole pickled model runs its author's code when it loads: where it was made, and "
            "only if you trust it, load it and " + SAVE_AGAIN
        )
    return CheckpointError(found, "dense tensors, numbers, text, lists and dictionaries", advice)
