// What the cases of several files use. It stands before each of them.

/** The properties of `it` that `names` lists. */
export const all = (it, names) => names.split(' ').map((name) => it[name]);
export const bytes = (...values) => new Uint8Array(values);
export const encode = (text) => new TextEncoder().encode(text);
export const later = (ms) => new Promise((done) => setTimeout(done, ms));
export const stream = (...chunks) =>
  new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
export const collect = async (readable) => {
  const seen = [];
  for await (const chunk of readable) seen.push(chunk);
  return seen;
};
export async function* generate(...chunks) {
  for (const chunk of chunks) {
    await later(1);
    yield chunk;
  }
}

// For requests and responses.
export const U = 'http://h.example/';
export const post = (body, more) =>
  new Request(U, { method: 'POST', body, ...more });
export const type = (it) => it.headers.get('content-type');

/** Reads a body by each of the methods `names`, and says whether it is used after that. */
export const twice = async (it, ...names) => {
  const seen = [];
  for (const name of names) {
    try {
      const value = await it[name]();
      seen.push(
        value instanceof ArrayBuffer ? [...new Uint8Array(value)] : value,
      );
    } catch (error) {
      seen.push(error.name);
    }
    seen.push(it.bodyUsed);
  }
  return seen;
};
