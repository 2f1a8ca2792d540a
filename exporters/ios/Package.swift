// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "MtlEdge",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "MtlEdge", targets: ["MtlEdge"])],
    dependencies: [
        .package(url: "https://github.com/microsoft/onnxruntime-swift-package-manager", from: "1.20.0"),
    ],
    targets: [
        .target(
            name: "MtlEdge",
            dependencies: [.product(name: "onnxruntime", package: "onnxruntime-swift-package-manager")]
        ),
        .testTarget(name: "MtlEdgeTests", dependencies: ["MtlEdge"]),
    ]
)
