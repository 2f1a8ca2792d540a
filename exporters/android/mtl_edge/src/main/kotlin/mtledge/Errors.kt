package mtledge

/** The model's file cannot be used: it cannot be read, was not made by mtl-edge, or was changed since. */
class ModelFileException(message: String) : Exception(message)

/** The samples are not what the model reads; the message says the rule and what was found. */
class SampleException(message: String) : IllegalArgumentException(message)
