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

    /// Raw samples of each input, by its name -> their answers.
    public func predict(_ raw: [String: RawSamples]) throws -> [Answers] {
        let inputs = try manifest.preprocess(raw)
        let counts = Set(inputs.values.map { $0.shape[0] })
        guard counts.count == 1, let count = counts.first else {
            throw KitError("each input must have as many samples as the others, found \(counts.sorted())")
        }
        if count == 0 { return [] }
        let found = try run(inputs)
        return try (0..<count).map { row in
            var answers: [String: Answer] = [:]
            for task in manifest.tasks {
                guard let output = found[task.name] else { throw KitError("the model must have an output \(task.name)") }
                let size = output.values.count / count
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
            var raw: [String: RawSamples] = [:]
            for entry in golden.raw { raw[entry.name] = try entry.load(folder) }
            let inputs = try manifest.preprocess(raw)
            for entry in golden.inputs {
                let wanted = try entry.load(folder)
                guard let made = inputs[entry.name], made.texts == wanted.texts else {
                    throw KitError("\(place): input '\(entry.name)': must be that of the golden vector")
                }
                try compare("\(place): input '\(entry.name)'", floats(made), floats(wanted), 1e-5, made.texts.isEmpty ? entry.shape : [0])
            }
            let found = try run(inputs)
            for entry in golden.outputs where outputs.contains(entry.name) {
                let values = found[entry.name]?.values ?? []
                try compare("\(place): output '\(entry.name)'", values, floats(entry.load(folder)), entry.atol ?? 0, entry.shape)
            }
        }
        return goldens.cases.count
    }

    private func run(_ inputs: [String: RawSamples]) throws -> [String: (values: [Float], shape: [Int])] {
        let found = try session.run(withInputs: inputs.mapValues(tensor), outputNames: outputs, runOptions: nil)
        return try found.mapValues { value in
            let size = try value.tensorTypeAndShapeInfo().shape.map(\.intValue)
            let bytes = try value.tensorData() as Data
            return (try floats(RawSamples(dtype: "float32", shape: size, bytes: bytes)), size)
        }
    }
}

private func tensor(_ array: RawSamples) throws -> ORTValue {
    let shape = array.shape.map { NSNumber(value: $0) }
    let type: ORTTensorElementDataType
    switch array.dtype {
    case "string": return try ORTValue(tensorStringData: array.texts, shape: shape)
    case "float32": type = .float
    case "int64": type = .int64
    case "int32": type = .int32
    case "int8": type = .int8
    case "uint8": type = .uInt8
    default: throw KitError("the graph must read float32, int64, int32, int8, uint8 or texts, found \(array.dtype)")
    }
    return try ORTValue(tensorData: NSMutableData(data: array.bytes), elementType: type, shape: shape)
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
            let bytes = try Data(contentsOf: folder.appendingPathComponent(file))
            guard dtype == "string" else { return RawSamples(dtype: dtype, shape: shape, bytes: bytes) }
            let texts = String(decoding: bytes, as: UTF8.self).components(separatedBy: "\0").dropLast()  // a zero byte behind each
            return RawSamples(texts: [String](texts), shape: shape)
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
