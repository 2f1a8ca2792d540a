import Foundation
import OnnxRuntimeBindings

/// A kit's model, verified and loaded. The calls of one must not overlap in time.
public final class Model {
    public let manifest: Manifest
    private let environment: ORTEnv
    private let session: ORTSession
    private let outputs: Set<String>

    /// Verify a model's file, then load it.
    public init(_ file: URL, threads: Int32 = 1) throws {
        manifest = try Manifest.verified(Data(contentsOf: file))
        environment = try ORTEnv(loggingLevel: .error)
        let options = try ORTSessionOptions()
        try options.setIntraOpNumThreads(threads)
        session = try ORTSession(env: environment, modelPath: file.path, sessionOptions: options)
        outputs = Set(manifest.tasks.map(\.name))
    }

    /// Raw samples -> their answers.
    public func predict(_ raw: RawSamples) throws -> [Answers] {
        let found = try run(manifest.preprocess(raw), raw.shape)
        return try (0..<raw.shape[0]).map { row in
            var answers: [String: Answer] = [:]
            for task in manifest.tasks {
                guard let output = found[task.name] else { throw KitError("the model must have an output \(task.name)") }
                let size = output.values.count / raw.shape[0]
                let values = Array(output.values[row * size..<(row + 1) * size])
                answers[task.name] = try decode(task.kind, values, Array(output.shape.dropFirst()))
            }
            return Answers(byTask: answers)
        }
    }

    /// Compare what this device answers with the golden vectors of a folder; do so once before you trust it.
    /// - Returns: how many there are
    @discardableResult
    public func selfCheck(_ folder: URL) throws -> Int {
        let goldens = try JSONDecoder().decode(Goldens.self, from: Data(contentsOf: folder.appendingPathComponent("goldens.json")))
        guard goldens.model_sha256 == manifest.sha256, !goldens.cases.isEmpty else {
            throw KitError("goldens: must be of the model \(manifest.sha256), found \(goldens.model_sha256)")
        }
        for (number, golden) in goldens.cases.enumerated() {
            let place = "goldens: case \(number)"
            let input = try manifest.preprocess(golden.raw[0].load(folder))
            let wanted = golden.inputs[0]
            let made = RawSamples(dtype: wanted.dtype, shape: wanted.shape, bytes: input)
            try compare("\(place): input", floats(made), floats(wanted.load(folder)), 1e-5, wanted.shape)
            let found = try run(input, golden.raw[0].shape)
            for entry in golden.outputs where outputs.contains(entry.name) {
                let values = found[entry.name]?.values ?? []
                try compare("\(place): output '\(entry.name)'", values, floats(entry.load(folder)), entry.atol ?? 0, entry.shape)
            }
        }
        return goldens.cases.count
    }

    private func run(_ input: Data, _ shape: [Int]) throws -> [String: (values: [Float], shape: [Int])] {
        let type: ORTTensorElementDataType
        switch (manifest.inputs[0].preprocessing.kind, manifest.rawDtype) {
        case ("tokens", _): type = .int64
        case ("raw-pixels", "uint8"): type = .uInt8
        default: type = .float
        }
        let tensor = try ORTValue(
            tensorData: NSMutableData(data: input), elementType: type, shape: shape.map { NSNumber(value: $0) })
        let found = try session.run(
            withInputs: [manifest.inputs[0].name: tensor], outputNames: outputs, runOptions: nil)
        return try found.mapValues { value in
            let size = try value.tensorTypeAndShapeInfo().shape.map(\.intValue)
            let bytes = try value.tensorData() as Data
            return (try floats(RawSamples(dtype: "float32", shape: size, bytes: bytes)), size)
        }
    }
}

private struct Goldens: Decodable {
    struct Array: Decodable {
        let name: String
        let dtype: String
        let shape: [Int]
        let file: String
        let atol: Double?

        func load(_ folder: URL) throws -> RawSamples {
            guard !file.contains("/") else { throw KitError("goldens: must name files, found \(file)") }
            return RawSamples(dtype: dtype, shape: shape, bytes: try Data(contentsOf: folder.appendingPathComponent(file)))
        }
    }

    struct Case: Decodable {
        let raw: [Array]
        let inputs: [Array]
        let outputs: [Array]
    }

    let model_sha256: String
    let cases: [Case]
}

/// Both are equal but for the tolerance; NaN, where both have it, is equal.
private func compare(_ place: String, _ found: [Float], _ expected: [Float], _ tolerance: Double, _ shape: [Int]) throws {
    guard found.count == expected.count, expected.count == shape.reduce(1, *) else {
        throw KitError("\(place): must have the shape \(shape), found \(found.count) values")
    }
    for at in expected.indices where !(found[at].isNaN && expected[at].isNaN) && found[at] != expected[at] {
        let apart = abs(Double(found[at]) - Double(expected[at]))
        if !(apart <= tolerance) {
            throw KitError("\(place): must be within \(tolerance) of \(expected[at]) at value \(at), found \(found[at])")
        }
    }
}
