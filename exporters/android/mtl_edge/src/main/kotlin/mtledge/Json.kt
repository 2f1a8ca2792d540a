package mtledge

/** JSON as maps, lists, strings, doubles, booleans and null; throws [ModelFileException] for anything else. */
fun parseJson(text: String): Any? = JsonReader(text).document()

private const val DEEPEST = 100

private class JsonReader(private val text: String) {
    private var at = 0

    fun document(): Any? {
        val value = value(0)
        skipSpace()
        return if (at == text.length) value else fail("an end")
    }

    private fun value(depth: Int): Any? {
        if (depth > DEEPEST) fail("fewer levels")
        skipSpace()
        return when (peek()) {
            '{' -> members(depth)
            '[' -> items(depth)
            '"' -> string()
            't' -> word("true", true)
            'f' -> word("false", false)
            'n' -> word("null", null)
            else -> number()
        }
    }

    private fun members(depth: Int): Map<String, Any?> {
        val found = LinkedHashMap<String, Any?>()
        separated('{', '}') {
            skipSpace()
            val name = string()
            skipSpace()
            take(':')
            found[name] = value(depth + 1)
        }
        return found
    }

    private fun items(depth: Int): List<Any?> {
        val found = ArrayList<Any?>()
        separated('[', ']') { found.add(value(depth + 1)) }
        return found
    }

    private fun separated(open: Char, close: Char, item: () -> Unit) {
        take(open)
        skipSpace()
        if (peek() == close) {
            at++
            return
        }
        while (true) {
            item()
            skipSpace()
            if (peek() == close) break
            take(',')
        }
        at++
    }

    private fun string(): String {
        take('"')
        val found = StringBuilder()
        while (peek() != '"') {
            val next = text[at++]
            found.append(if (next == '\\') escaped() else next)
        }
        at++
        return found.toString()
    }

    private fun escaped(): Char = when (val mark = peek().also { at++ }) {
        'b' -> '\b'
        'f' -> '\u000c'
        'n' -> '\n'
        'r' -> '\r'
        't' -> '\t'
        'u' -> {
            at += 4
            if (at > text.length) fail("four digits")
            (text.substring(at - 4, at).toIntOrNull(16) ?: fail("four digits")).toChar()
        }
        '"', '\\', '/' -> mark
        else -> fail("an escape")
    }

    private fun number(): Double {
        val start = at
        while (at < text.length && text[at] in "+-.eE0123456789") at++
        return text.substring(start, at).toDoubleOrNull() ?: fail("a value")
    }

    private fun <T> word(spelled: String, meaning: T): T {
        if (!text.startsWith(spelled, at)) fail(spelled)
        at += spelled.length
        return meaning
    }

    private fun skipSpace() {
        while (at < text.length && text[at] in " \t\r\n") at++
    }

    private fun peek(): Char = if (at < text.length) text[at] else fail("more")

    private fun take(wanted: Char) {
        if (peek() != wanted) fail("'$wanted'")
        at++
    }

    private fun fail(wanted: String): Nothing = throw ModelFileException("JSON: must have $wanted at character $at")
}
