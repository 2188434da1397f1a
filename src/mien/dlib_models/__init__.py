"""dlib's published face models without dlib: read the ``.dat`` files, run them with ONNX, numpy and OpenCV.

Everything here is a pure function from bytes or arrays to bytes or arrays; who finds, checks, converts and caches
the files lives above (``mien.store``, ``mien.zoo``).
"""
