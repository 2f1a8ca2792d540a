"""torchao's pt2e quantization of the network in torch, and torch's export to ONNX."""

from job import Job, Options, run

SETTINGS: dict[str, Options] = {"default": {}, "reduced": {"reduce_range": True}}
"""``default`` is its quantizer for x86 CPUs with that quantizer's own configuration."""


def quantize(job: Job, options: Options) -> None:
    """Prepare, show the samples, convert, export."""
    import torch
    import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer as x86
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    program = torch.export.load(job.model.with_suffix(".pt2"))
    config = x86.get_default_x86_inductor_quantization_config(reduce_range=options.get("reduce_range", False))
    quantizer = x86.X86InductorQuantizer().set_global(config)
    net = prepare_pt2e(program.module(), quantizer)
    (name,) = job.samples()
    with torch.inference_mode():
        for batch in job.batches():
            net(torch.from_numpy(batch[name]))
    net = convert_pt2e(net)
    example = torch.from_numpy(next(job.batches(2))[name])
    made = torch.onnx.export(
        net,
        (example,),
        dynamo=True,
        input_names=[name],
        output_names=outputs(job),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=20,
    )
    assert made is not None
    made.save(job.target)


def outputs(job: Job) -> list[str]:
    """The names of the outputs, in their order."""
    import onnx

    return [output.name for output in onnx.load(job.model).graph.output]


if __name__ == "__main__":
    run(SETTINGS, quantize)
