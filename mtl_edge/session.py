"""Sessions of ONNX Runtime on CPU. Imports the runtime and little else, because processes that measure start often."""

from pathlib import Path

import onnxruntime

from mtl_edge.errors import ModelError, last_words


def open_session(
    model: Path | bytes,
    threads: int = 0,
    *,
    save_optimized: Path | None = None,
    profile_into: Path | None = None,
    arena: bool = True,
    exact: bool = False,
) -> onnxruntime.InferenceSession:
    """Load a model with ONNX Runtime's default optimizations.

    Args:
        model: a file, or a serialized model.
        threads: intra-op threads; 0 lets the runtime take one per core.
        save_optimized: where to write the graph that the runtime really runs.
        profile_into: the runtime's own profiler writes a file whose name begins so.
        arena: whether the runtime keeps what it once allocated for the next run.
        exact: compute each node as it is written, without optimizations: int8 kernels of x86 without VNNI cut off sums.

    Raises:
        ModelError: the file cannot be read, is not an ONNX model, or is one that the runtime does not support.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = arena
    if exact:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if save_optimized is not None:
        options.optimized_model_filepath = str(save_optimized)
    if profile_into is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_into)
    place = str(model) if isinstance(model, Path) else "model"
    if isinstance(model, Path):
        try:
            with model.open("rb"):
                pass
        except OSError as error:
            raise ModelError(f"{place}: cannot be read: {error.strerror}") from error
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exception types are not public
        said = last_words(error)
        if "nchwc" in str(error) and "not a registered function/op" in str(error):
            said = "it is an .ort for x86 only, whose convolutions exist nowhere else: use the .ort for arm here"
        raise ModelError(f"{place}: ONNX Runtime cannot load it: {said}") from error
