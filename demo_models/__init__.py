"""What is trained: networks, quantizers, data and analytic functions with known answers.

`scenarios` declares them and loads without torch; `problem.build` makes one ready to train.
"""
