package mtledge.app

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import mtledge.Kit
import mtledge.ModelFileException
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith

@RunWith(AndroidJUnit4::class)
class GoldensTest {
    private val assets = InstrumentationRegistry.getInstrumentation().targetContext.assets
    private val content = assets.open("model.onnx").use { it.readBytes() }

    private fun golden(file: String): ByteArray = assets.open("goldens/$file").use { it.readBytes() }

    /** What this device answers is what the model answered where it was exported. */
    @Test
    fun goldenVectorsAgree() = Kit(content).use { kit -> assertTrue(kit.selfCheck(::golden) > 0) }

    /** A model of which one bit was flipped is refused. */
    @Test
    fun aChangedModelIsRefused() {
        val changed = content.copyOf().apply { this[size / 2] = (this[size / 2].toInt() xor 64).toByte() }
        assertThrows(ModelFileException::class.java) { Kit(changed) }
    }

    /** A golden vector of which one bit was flipped is found. */
    @Test
    fun aChangedGoldenVectorIsFound() {
        val changed = { file: String ->
            golden(file).apply { if (file.endsWith("0-output-0.bin")) this[3] = (this[3].toInt() xor 64).toByte() }
        }
        Kit(content).use { kit -> assertThrows(ModelFileException::class.java) { kit.selfCheck(changed) } }
    }
}
