import CryptoKit
import Foundation

/// The model or its samples cannot be used; the message says the rule and what was found.
public struct KitError: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

/// What the client reads of a model's manifest.
public struct Manifest: Decodable {
    public struct Task: Decodable {
        public let name: String
        public let kind: String
    }

    struct Input: Decodable {
        let name: String
        let shape: [Size]
        let preprocessing: Preprocessing

        /// The dtype of raw samples, which the network reads where nothing is done to them.
        var rawDtype: String {
            switch preprocessing.kind {
            case "pixels": return preprocessing.raw_dtype ?? ""
            case "raw-pixels": return preprocessing.pixels?.raw_dtype ?? ""
            case "raw-categories": return "string"
            case "tokens": return "int64"
            default: return "float32"
            }
        }
    }

    /// A size that is open has a name in the manifest, and is nil here.
    struct Size: Decodable {
        let value: Int?

        init(from decoder: Decoder) throws { value = try? decoder.singleValueContainer().decode(Int.self) }
    }

    struct Preprocessing: Decodable {
        /// A column of a table; one of numbers may be its name alone.
        struct Column: Decodable {
            let name: String
            let categories: [String]?

            private enum Key: String, CodingKey { case name, categories }

            init(from decoder: Decoder) throws {
                if let alone = try? decoder.singleValueContainer().decode(String.self) {
                    name = alone
                    categories = nil
                } else {
                    let fields = try decoder.container(keyedBy: Key.self)
                    name = try fields.decode(String.self, forKey: .name)
                    categories = try fields.decodeIfPresent([String].self, forKey: .categories)
                }
            }
        }

        /// What the graph itself does, where it reads raw pixels.
        struct InGraph: Decodable {
            let raw_dtype: String
        }

        let kind: String
        let pixels: InGraph?
        let raw_dtype: String?
        let scale: Float?
        let mean: [Float]?
        let std: [Float]?
        let columns: [Column]?
        let vocabulary: [String]?
        let length: Int?
    }

    let format: Int
    public let name: String
    public let variant: String
    public let sha256: String
    public let tasks: [Task]
    let inputs: [Input]

    private static let digits = 64
    private static let metadataProps: UInt64 = 14  // the field of ONNX's ModelProto

    /// The manifest of a model whose file has the SHA-256 that its manifest states; no runtime has seen the file yet.
    public static func verified(_ content: Data) throws -> Manifest {
        guard let last = fields(content)?.last, last.number == metadataProps,
            let entry = fields(last.content), entry.count == 2,
            String(data: entry[0].content, encoding: .utf8) == "mtl_edge.manifest"
        else { throw KitError("model: must end with mtl-edge's manifest, found none: was it made by mtl-edge?") }
        let manifest: Manifest
        do {
            manifest = try JSONDecoder().decode(Manifest.self, from: entry[1].content)
        } catch {
            throw KitError("model: the manifest cannot be understood: \(error)")
        }
        guard manifest.format == 1 else {
            throw KitError("model: the manifest's format must be 1, found \(manifest.format): update this client")
        }
        var hash = SHA256()
        hash.update(data: content.dropLast(digits + 2))
        hash.update(data: content.suffix(2))
        let found = hash.finalize().map { String(format: "%02x", $0) }.joined()
        guard found == manifest.sha256 else {
            throw KitError("model: the file was changed after export: SHA-256 must be \(manifest.sha256), found \(found)")
        }
        return manifest
    }

    /// The fields of a protobuf message; nil for what is none.
    private static func fields(_ message: Data) -> [(number: UInt64, content: Data)]? {
        var found: [(UInt64, Data)] = []
        var at = message.startIndex
        func varint() -> UInt64? {
            var value: UInt64 = 0
            for shift in stride(from: UInt64(0), to: 64, by: 7) {
                guard at < message.endIndex else { return nil }
                let byte = message[at]
                at += 1
                value |= UInt64(byte & 0x7f) << shift
                if byte < 0x80 { return value }
            }
            return nil
        }
        while at < message.endIndex {
            guard let tag = varint() else { return nil }
            var length: UInt64 = 0
            switch tag & 7 {
            case 0: if varint() == nil { return nil }
            case 1: length = 8
            case 2:
                guard let size = varint() else { return nil }
                length = size
            case 5: length = 4
            default: return nil
            }
            guard length <= UInt64(message.endIndex - at) else { return nil }
            found.append((tag >> 3, message[at..<at + Int(length)]))
            at += Int(length)
        }
        return found
    }
}
