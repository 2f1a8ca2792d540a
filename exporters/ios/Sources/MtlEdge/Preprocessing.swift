import Foundation

/// Raw samples `(N, ...)` as little-endian bytes in C order; `dtype` is numpy's name of their type.
public struct RawSamples {
    public let dtype: String
    public let shape: [Int]
    public let bytes: Data

    public init(dtype: String, shape: [Int], bytes: Data) {
        self.dtype = dtype
        self.shape = shape
        self.bytes = bytes
    }
}

extension Manifest {
    /// The dtype of raw samples, which the network reads where nothing is done to them.
    var rawDtype: String {
        switch inputs[0].preprocessing.kind {
        case "pixels": return inputs[0].preprocessing.raw_dtype ?? ""
        case "raw-pixels": return inputs[0].preprocessing.pixels?.raw_dtype ?? ""
        case "tokens": return "int64"
        default: return "float32"
        }
    }

    /// Raw samples -> the network's input, rounded at each step as in training.
    func preprocess(_ raw: RawSamples) throws -> Data {
        let input = inputs[0]
        let fits = raw.shape.count == input.shape.count && zip(raw.shape, input.shape).allSatisfy { $1.value == nil || $0 == $1.value }
        guard raw.dtype == rawDtype, fits else {
            let wanted = input.shape.map { $0.value.map(String.init) ?? "any" }.joined(separator: ", ")
            throw KitError("\(input.name): must be \(rawDtype) (\(wanted)), found \(raw.dtype) \(raw.shape)")
        }
        let steps = input.preprocessing
        guard steps.kind == "pixels", let scale = steps.scale, let mean = steps.mean, let std = steps.std else {
            return raw.bytes
        }
        let values = try floats(raw)
        let plane = raw.shape.dropFirst(2).reduce(1, *)
        let found: [Float] = values.indices.map { at in
            let channel = at / plane % std.count
            let product: Float = values[at] * (scale / std[channel])
            return product - mean[channel] / std[channel]
        }
        return found.withUnsafeBytes { Data($0) }
    }

    /// Texts -> ids `(N, length)`: words in lower case, 0 is padding and 1 any word that the model does not know.
    public func encode(texts: [String]) -> RawSamples {
        let steps = inputs[0].preprocessing
        let length = steps.length ?? 0
        let ids = Dictionary(uniqueKeysWithValues: (steps.vocabulary ?? []).enumerated().map { ($1, Int64($0 + 2)) })
        let letters = Set("abcdefghijklmnopqrstuvwxyz0123456789'")
        let rows = texts.flatMap { text -> [Int64] in
            let found = text.lowercased().split { !letters.contains($0) }.prefix(length).map { ids[String($0)] ?? 1 }
            return found + [Int64](repeating: 0, count: length - found.count)
        }
        return RawSamples(dtype: "int64", shape: [texts.count, length], bytes: rows.withUnsafeBytes { Data($0) })
    }

    /// Rows, column name -> value, as `(N, columns)`: numbers as they are, categories as 1, 2, ...; 0 and NaN are missing.
    func encode(rows: [[String: Any?]]) -> RawSamples {
        let columns = inputs[0].preprocessing.columns ?? []
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
