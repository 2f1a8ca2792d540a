import Foundation

/// What a model answers for one sample in one task.
public protocol Answer {}

/// The most probable class, and how probable the model holds each (softmax, 0 to 1).
public struct Multiclass: Answer {
    public let label: Int
    public let probabilities: [Double]
    public var probability: Double { probabilities[label] }
}

/// Whether it is more probable than not, and how probable (sigmoid, 0 to 1).
public struct Binary: Answer {
    public let yes: Bool
    public let probability: Double
}

/// The classes that are more probable than not, and the probability of each class.
public struct Multilabel: Answer {
    public let labels: [Int]
    public let probabilities: [Double]
}

/// The class in the order of classes, and for each class but the last the probability of one above it.
public struct Ordinal: Answer {
    public let rank: Int
    public let above: [Double]
}

/// The value, in the unit of the labels that the model was trained on.
public struct Regression: Answer {
    public let value: Float
}

/// The most probable of `classes` for each pixel, row by row.
public struct Segmentation: Answer {
    public let classes: Int
    public let height: Int
    public let width: Int
    public let labels: [Int]
}

/// The value of each pixel, row by row, in the unit of the labels that the model was trained on.
public struct DenseRegression: Answer {
    public let height: Int
    public let width: Int
    public let values: [Float]
}

/// One sample's output `(width, ...)` -> its answer.
func decode(_ kind: String, _ logits: [Float], _ shape: [Int]) throws -> Answer {
    switch kind {
    case "multiclass": return Multiclass(label: highest(logits, 0, 1, logits.count), probabilities: softmax(logits))
    case "binary": return Binary(yes: logits[0] > 0, probability: sigmoid(logits[0]))
    case "multilabel":
        return Multilabel(labels: logits.indices.filter { logits[$0] > 0 }, probabilities: logits.map(sigmoid))
    case "ordinal": return Ordinal(rank: logits.filter { $0 > 0 }.count, above: logits.map(sigmoid))
    case "regression": return Regression(value: logits[0])
    case "segmentation":
        let pixels = shape[1] * shape[2]
        let labels = (0..<pixels).map { highest(logits, $0, pixels, shape[0]) }
        return Segmentation(classes: shape[0], height: shape[1], width: shape[2], labels: labels)
    case "dense-regression": return DenseRegression(height: shape[1], width: shape[2], values: logits)
    default: throw KitError("a task's kind must be one that this client knows, found \(kind)")
    }
}

/// Which of some values, a step apart, is the largest; the first of equals.
private func highest(_ values: [Float], _ start: Int, _ step: Int, _ count: Int) -> Int {
    var best = 0
    for place in 1..<max(count, 1) where values[start + place * step] > values[start + best * step] { best = place }
    return best
}

private func softmax(_ logits: [Float]) -> [Double] {
    let top = Double(logits.max() ?? 0)
    let weights = logits.map { exp(Double($0) - top) }
    let total = weights.reduce(0, +)
    return weights.map { $0 / total }
}

private func sigmoid(_ logit: Float) -> Double {
    let value = Double(logit)
    return value < 0 ? exp(value) / (1 + exp(value)) : 1 / (1 + exp(-value))
}
