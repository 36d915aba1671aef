// Streams of bytes, as the bodies of requests and responses are.

import { ReadableStream } from 'web-streams-polyfill';
import { native } from '../native.js';
import { copyBytes } from '../webidl.js';

/** A chunk of a body as bytes. Strings are accepted too, as Node's servers do. */
export function toBytes(chunk) {
  if (chunk instanceof Uint8Array) return chunk;
  if (typeof chunk === 'string') return native.encode(chunk);
  const bytes = copyBytes(chunk);
  if (bytes !== null) return bytes;
  throw new TypeError('each chunk of a body must be a string or bytes');
}

/** Whether a stream has been read or cancelled. */
export function isDisturbed(stream) {
  // Specifications ask this of a stream, but it has no member that says it.
  return stream._disturbed;
}

/** A stream of the chunks of an async iterable. */
export function streamOf(iterable) {
  let iterator;
  return new ReadableStream({
    type: 'bytes',
    start() {
      iterator = iterable[Symbol.asyncIterator]();
    },
    async pull(controller) {
      for (;;) {
        const { done, value } = await iterator.next();
        if (done) {
          controller.close();
          controller.byobRequest?.respond(0);
          return;
        }
        // A copy: the stream takes a chunk's buffer away from its owner.
        const bytes = toBytes(value).slice();
        // An empty chunk would leave the reader waiting.
        if (bytes.length > 0) return controller.enqueue(bytes);
      }
    },
    async cancel(reason) {
      await iterator.return?.(reason);
    },
  });
}

/** A stream with the given bytes. */
export function streamOfBytes(bytes) {
  return new ReadableStream({
    type: 'bytes',
    pull(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
      controller.byobRequest?.respond(0);
    },
  });
}

/** The bytes of all chunks. */
export function joinBytes(chunks) {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** All bytes of a stream. */
export async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) {
    if (!(chunk instanceof Uint8Array))
      throw new TypeError('a chunk of the body is not a Uint8Array');
    chunks.push(chunk);
  }
  return joinBytes(chunks);
}
