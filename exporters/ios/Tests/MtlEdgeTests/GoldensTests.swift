import XCTest

@testable import MtlEdge

final class GoldensTests: XCTestCase {
    /// The kit's folder, on the machine that builds; on a device, add `model.onnx` and `goldens` to the app's bundle.
    private let kit = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// What this device answers is what the model answered where it was exported.
    func testGoldenVectorsAgree() throws {
        let model = try Model(kit.appendingPathComponent("model.onnx"))
        XCTAssertGreaterThan(try model.selfCheck(kit.appendingPathComponent("goldens")), 0)
    }

    /// A model of which one bit was flipped is refused.
    func testAChangedModelIsRefused() throws {
        var content = try Data(contentsOf: kit.appendingPathComponent("model.onnx"))
        content[content.count / 2] ^= 64
        XCTAssertThrowsError(try Manifest.verified(content))
    }
}
