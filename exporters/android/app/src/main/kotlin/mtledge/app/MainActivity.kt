package mtledge.app

import android.graphics.BitmapFactory
import android.net.Uri
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import java.util.concurrent.Executors
import mtledge.Kit
import mtledge.Tensor
import mtledge.imageBytes
import mtledge.imageSample

/** Checks the model on this device, then answers a golden vector, and pictures if it reads them. */
class MainActivity : ComponentActivity() {
    private val worker = Executors.newSingleThreadExecutor()
    private var kit: Kit? = null
    private lateinit var state: TextView
    private lateinit var answers: TextView
    private lateinit var choose: Button
    private val picture = registerForActivityResult(ActivityResultContracts.GetContent()) { uri -> uri?.let(::answerPicture) }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        state = TextView(this).apply { text = "checking this device…" }
        answers = TextView(this).apply { textSize = 20f }
        choose = Button(this).apply {
            text = "Choose a picture"
            visibility = View.GONE
            setOnClickListener { picture.launch("image/*") }
        }
        val column = LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            fitsSystemWindows = true
            setPadding(48, 48, 48, 48)
            listOf(state, choose, answers).forEach(::addView)
        }
        setContentView(ScrollView(this).apply { addView(column) })
        worker.execute(::open)
    }

    override fun onDestroy() {
        worker.execute { kit?.close() }
        worker.shutdown()
        super.onDestroy()
    }

    private fun open() = reporting {
        val opened = Kit(assets.open("model.onnx").use { it.readBytes() })
        val count = opened.selfCheck(::golden)
        kit = opened
        val manifest = opened.model.manifest
        runOnUiThread {
            state.text = "${manifest.name} ${manifest.variant}: $count golden vectors agree on this device"
            choose.visibility = if (pictureShape(opened) == null) View.GONE else View.VISIBLE
        }
        answer(opened, opened.model.goldenSample(::golden, 0))
    }

    private fun answerPicture(uri: Uri) = worker.execute {
        reporting {
            val opened = kit ?: return@reporting
            val bitmap = contentResolver.openInputStream(uri).use { BitmapFactory.decodeStream(it) } ?: error("that is no picture")
            val pixels = IntArray(bitmap.width * bitmap.height)
            bitmap.getPixels(pixels, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
            val shape = checkNotNull(pictureShape(opened))
            val sample = when (shape.size) {
                1 -> imageBytes(pixels, bitmap.width, bitmap.height, shape.single())
                else -> imageSample(pixels, bitmap.width, bitmap.height, shape)
            }
            answer(opened, mapOf(opened.model.manifest.inputs.single().name to sample))
        }
    }

    private fun answer(opened: Kit, sample: Map<String, Tensor>) {
        val start = System.nanoTime()
        val found = opened.model.predict(sample).first()
        val tookMs = (System.nanoTime() - start) / 1e6
        val lines = found.map { (task, answer) -> "$task: $answer" }
        runOnUiThread { answers.text = (lines + "%.1f ms".format(tookMs)).joinToString("\n") }
    }

    private fun golden(file: String): ByteArray = assets.open("goldens/$file").use { it.readBytes() }

    /** Channels, height and width, if the model reads pictures; channels alone, if its graph resizes them. */
    private fun pictureShape(opened: Kit): List<Int>? {
        val input = opened.model.manifest.inputs.singleOrNull() ?: return null
        val sizes = input.shape.drop(1)
        val known = sizes.filterNotNull()
        val reads = input.preprocessing.rawDtype == "uint8" && sizes.size == 3 && known.size in listOf(1, 3)
        return known.takeIf { reads && known[0] in listOf(1, 3) }
    }

    private fun reporting(step: () -> Unit) = try {
        step()
    } catch (error: Exception) {
        runOnUiThread { state.text = error.message }
    }
}
