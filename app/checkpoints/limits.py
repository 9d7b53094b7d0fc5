"""How much of everything a file may hold; what is above is refused before memory is spent on it."""

from __future__ import annotations

MB = 2**20

#: Bytes of a file; the page's upload has the same limit, which its server does not enforce.
FILE_BYTES = 50 * MB
#: Bytes of all tensors after the cast to float32: a full file of float16 doubles, and some views.
TENSOR_BYTES = 128 * MB
#: Bytes of the pickle in an archive, and instructions in it (a tensor takes about 35).
PICKLE_BYTES = 16 * MB
PICKLE_OPS = 500_000
#: Bytes of a safetensors header.
HEADER_BYTES = MB
#: Tensors of a network, and of a whole file: Adam keeps three more for each parameter.
TENSORS = 2_000
FILE_TENSORS = 4 * TENSORS
#: Dimensions of a tensor.
DIMS = 8
#: Characters of a tensor's name.
NAME_LENGTH = 200
#: Containers around a value: four reach Adam's moments, and trainers nest their own records deeper.
NESTING = 8
#: Processor seconds that loading may take once torch is imported, and seconds on the clock with the
#: import. That takes 2, many times as long on a busy server, and the file has no part in it.
LOAD_SECONDS = 5
CHILD_SECONDS = 30
#: Bytes that loading may add to the address space of its process.
CHILD_BYTES = 1024 * MB
#: Processes that load at a time.
CHILDREN = 2
