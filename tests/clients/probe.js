// What a kit answers here, as plain values, for a test to compare.

const NUMBERS = (array) => Array.from(array, (value) => (typeof value === "bigint" ? Number(value) : spelled(value)));
const spelled = (value) => (Number.isFinite(value) ? value : String(value)); // JSON has no NaN

/**
 * The outputs and answers of every golden vector, and of samples that the request lists.
 * @param {Record<string, any>} kit the module `kit.js`
 * @param {{ samples?: unknown[], images?: unknown[], wrong?: unknown[] }} request
 */
export async function probe({ openKit, imageBytes, imageSample }, request) {
  try {
    const model = await openKit();
    const check = await model.selfCheck().catch((error) => `${error.name}: ${error.message}`);
    const goldens = [];
    for (let number = 0; number < 4; number++) {
      const samples = await model.goldenSample(number);
      goldens.push({ outputs: plain(await model.run(samples)), answers: (await model.predict(samples)).map(readable) });
    }
    const given = request.samples === undefined ? [] : (await model.predict(withArrays(request.samples))).map(readable);
    const wrong = [];
    for (const samples of request.wrong ?? []) {
      wrong.push(await model.predict(withArrays(samples)).then(() => "accepted", (error) => `${error.name}: ${error.message}`));
    }
    const images = (request.images ?? []).map(({ data, width, height, shape }) =>
      NUMBERS(imageSample({ data: Uint8Array.from(data), width, height }, shape)));
    const bytes = (request.images ?? []).map(({ data, width, height, shape }) =>
      NUMBERS(imageBytes({ data: Uint8Array.from(data), width, height }, shape[0]).data));
    const none = model.inputs.length > 1 ? Object.fromEntries(model.inputs.map(({ name }) => [name, []])) : [];
    return { check, goldens, given, wrong, images, bytes, empty: await model.predict(none) };
  } catch (error) {
    return { fault: `${error.name}: ${error.message}` };
  }
}

// Of several inputs, JSON has lists where the client wants arrays.
const withArrays = (samples) => (Array.isArray(samples?.image)
  ? { ...samples, image: samples.image.map((values) => Uint8Array.from(values)) } : samples);

const plain = (outputs) => Object.fromEntries(
  [...outputs].map(([name, { data, shape }]) => [name, { shape: [...shape], data: NUMBERS(data) }]));

const readable = (answers) => Object.fromEntries(Object.entries(answers).map(([task, answer]) => [
  task, Object.fromEntries(Object.entries(answer).map(([key, value]) => [
    key, ArrayBuffer.isView(value) || Array.isArray(value) ? NUMBERS(value) : typeof value === "number" ? spelled(value) : value])),
]));
