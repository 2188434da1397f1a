"""What needs TensorFlow: networks trained by Keras, TensorFlow 1 checkpoints.

Nothing else of mien imports it: it joins by `mien.plugins`, like a package from outside.
"""
