import Foundation

/// Raw samples `(N, ...)` in C order: little-endian bytes, of which `dtype` is numpy's name of their type, or texts.
public struct RawSamples {
    public let dtype: String
    public let shape: [Int]
    public let bytes: Data
    public let texts: [String]

    public init(dtype: String, shape: [Int], bytes: Data) {
        self.dtype = dtype
        self.shape = shape
        self.bytes = bytes
        texts = []
    }

    public init(texts: [String], shape: [Int]) {
        dtype = "string"
        self.shape = shape
        bytes = Data()
        self.texts = texts
    }
}

extension Manifest {
    /// Raw samples of each input, by its name -> the network's inputs, rounded at each step as in training.
    func preprocess(_ raw: [String: RawSamples]) throws -> [String: RawSamples] {
        var made: [String: RawSamples] = [:]
        for input in inputs {
            guard let given = raw[input.name] else { throw KitError("\(input.name): must be given, found none") }
            made[input.name] = try preprocess(given, input)
        }
        return made
    }

    private func preprocess(_ raw: RawSamples, _ input: Input) throws -> RawSamples {
        let fits = raw.shape.count == input.shape.count && zip(raw.shape, input.shape).allSatisfy { $1.value == nil || $0 == $1.value }
        guard raw.dtype == input.rawDtype, fits else {
            let wanted = input.shape.map { $0.value.map(String.init) ?? "any" }.joined(separator: ", ")
            throw KitError("\(input.name): must be \(input.rawDtype) (\(wanted)), found \(raw.dtype) \(raw.shape)")
        }
        let steps = input.preprocessing
        guard steps.kind == "pixels", let scale = steps.scale, let mean = steps.mean, let std = steps.std else {
            return raw
        }
        let values = try floats(raw)
        let plane = raw.shape.dropFirst(2).reduce(1, *)
        let found: [Float] = values.indices.map { at in
            let channel = at / plane % std.count
            let product: Float = values[at] * (scale / std[channel])
            return product - mean[channel] / std[channel]
        }
        return RawSamples(dtype: "float32", shape: raw.shape, bytes: found.withUnsafeBytes { Data($0) })
    }

    private func steps(of input: String) -> Preprocessing? { inputs.first { $0.name == input }?.preprocessing }

    /// Texts -> ids `(N, length)`: words in lower case, 0 is padding and 1 any word that the model does not know.
    func encode(texts: [String], for input: String) -> RawSamples {
        let known = steps(of: input)
        let length = known?.length ?? 0
        let ids = Dictionary(uniqueKeysWithValues: (known?.vocabulary ?? []).enumerated().map { ($1, Int64($0 + 2)) })
        let letters = Set("abcdefghijklmnopqrstuvwxyz0123456789'")
        let rows = texts.flatMap { text -> [Int64] in
            let found = text.lowercased().split { !letters.contains($0) }.prefix(length).map { ids[String($0)] ?? 1 }
            return found + [Int64](repeating: 0, count: length - found.count)
        }
        return RawSamples(dtype: "int64", shape: [texts.count, length], bytes: rows.withUnsafeBytes { Data($0) })
    }

    /// Rows, column name -> value, as `(N, columns)`: numbers as they are, categories as 1, 2, ...; 0 and NaN are missing.
    /// Where the graph looks categories up by itself, they stay texts; an empty one is missing.
    func encode(rows: [[String: Any?]], for input: String) -> RawSamples {
        let columns = steps(of: input)?.columns ?? []
        if steps(of: input)?.kind == "raw-categories" {
            let texts = rows.flatMap { row in columns.map { ((row[$0.name] ?? nil) as? String) ?? "" } }
            return RawSamples(texts: texts, shape: [rows.count, columns.count])
        }
        let cells = rows.flatMap { row in
            columns.map { column -> Float in
                let value = row[column.name] ?? nil
                guard let categories = column.categories else { return (value as? Double).map { Float($0) } ?? .nan }
                return (value as? String).flatMap { categories.firstIndex(of: $0) }.map { Float($0 + 1) } ?? 0
            }
        }
        return RawSamples(dtype: "float32", shape: [rows.count, columns.count], bytes: cells.withUnsafeBytes { Data($0) })
    }
}

/// The values as floats.
func floats(_ raw: RawSamples) throws -> [Float] {
    func read<T>(_ type: T.Type, _ convert: (T) -> Float) -> [Float] {
        raw.bytes.withUnsafeBytes { buffer in
            (0..<buffer.count / MemoryLayout<T>.stride).map {
                convert(buffer.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.stride, as: type))
            }
        }
    }
    switch raw.dtype {
    case "string": return []
    case "bool", "uint8": return read(UInt8.self) { Float($0) }
    case "int8": return read(Int8.self) { Float($0) }
    case "uint16": return read(UInt16.self) { Float($0) }
    case "int16": return read(Int16.self) { Float($0) }
    case "int32": return read(Int32.self) { Float($0) }
    case "int64": return read(Int64.self) { Float($0) }
    case "float32": return read(Float.self) { $0 }
    case "float64": return read(Double.self) { Float($0) }
    default: throw KitError("raw samples must be of a dtype that this client knows, found \(raw.dtype)")
    }
}
