"""Networks of other frameworks as model files of ours: Caffe, TensorFlow 1 checkpoints, frozen graphs."""
