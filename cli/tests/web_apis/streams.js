// ReadableStream, WritableStream and TransformStream, as the streams standard has them.

const sink = (seen) =>
  new WritableStream({
    write(chunk) {
      seen.push(chunk);
    },
    close() {
      seen.push('closed');
    },
    abort(reason) {
      seen.push(`aborted: ${reason}`);
    },
  });

export const cases = {
  'from an array': () => collect(ReadableStream.from([1, 2])),
  'from a generator': () =>
    collect(
      ReadableStream.from(
        (async function* () {
          yield 1;
          await later(1);
          yield 2;
        })(),
      ),
    ),
  'from nothing': () => ReadableStream.from(),
  'a loop that ends early cancels': async () => {
    let cancelled = false;
    const readable = new ReadableStream({
      pull: (controller) => controller.enqueue(1),
      cancel: () => {
        cancelled = true;
      },
    });
    for await (const _ of readable) break;
    return cancelled;
  },
  'values without cancelling': async () => {
    const readable = stream(1, 2);
    for await (const _ of readable.values({ preventCancel: true })) break;
    return collect(readable);
  },
  tee: async () => Promise.all(stream(1, 2).tee().map(collect)),
  pipeThrough: () =>
    collect(
      stream(1, 2).pipeThrough(
        new TransformStream({
          transform: (chunk, controller) => controller.enqueue(chunk * 2),
          flush: (controller) => controller.enqueue('end'),
        }),
      ),
    ),
  pipeTo: async () => {
    const seen = [];
    await stream(1, 2).pipeTo(sink(seen));
    return seen;
  },
  'pipeTo without closing': async () => {
    const seen = [];
    await stream(1).pipeTo(sink(seen), { preventClose: true });
    return seen;
  },
  'pipeTo with a signal': async () => {
    const seen = [];
    const controller = new AbortController();
    const piped = new ReadableStream({}).pipeTo(sink(seen), {
      signal: controller.signal,
    });
    controller.abort('why');
    return [await piped.catch((error) => error), seen];
  },
  'pipeTo with a signal that has aborted': async () => {
    const seen = [];
    const piped = stream(1).pipeTo(sink(seen), {
      signal: AbortSignal.abort('why'),
    });
    return [await piped.catch((error) => error), seen];
  },
  'pipeTo with what is no signal': () =>
    stream(1).pipeTo(sink([]), { signal: {} }),
  'a locked stream': () => {
    const readable = stream(1);
    readable.getReader();
    return readable.getReader();
  },
  'the queue': () => {
    let controller;
    new ReadableStream(
      {
        start: (given) => {
          controller = given;
        },
      },
      new CountQueuingStrategy({ highWaterMark: 3 }),
    );
    controller.enqueue(1);
    return controller.desiredSize;
  },
  'a writer': async () => {
    const seen = [];
    const writer = sink(seen).getWriter();
    await writer.write(1);
    await writer.close();
    return seen;
  },
  'a sink that is aborted': async () => {
    const seen = [];
    let signal;
    const writable = new WritableStream({
      start: (controller) => {
        signal = controller.signal;
      },
    });
    signal.addEventListener('abort', () => seen.push('signal'));
    await writable.abort('why');
    return [seen, signal.aborted, signal.reason, signal instanceof AbortSignal];
  },
  'bytes into a buffer': async () => {
    const readable = new ReadableStream({
      type: 'bytes',
      pull: (controller) => {
        controller.enqueue(new Uint8Array([1, 2, 3]));
      },
    });
    const reader = readable.getReader({ mode: 'byob' });
    const { value } = await reader.read(new Uint8Array(2));
    return [...value];
  },
  'streams are named': () =>
    [new ReadableStream(), new WritableStream(), new TransformStream()].map(
      (it) => Object.prototype.toString.call(it),
    ),
};

export const beyondNode = {};
