"""How a loss is evaluated at many points: one contract, and an evaluator that fits the module.

* `layered`: layer by layer into kept buffers; losses of stacks of known layers, on a CPU.
* `general`: `torch.func.vmap` over the points or, where that is refused or no faster, a plain loop.

All give the same numbers, to 1e-5 in float32 and 1e-12 in float64, relative. A rounded network has
jumps, and right beside one another order of summation can end on its other side.
"""
