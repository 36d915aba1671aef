// What a site finds of the standards as globals: their interfaces, and structuredClone.

export {
  ByteLengthQueuingStrategy,
  CountQueuingStrategy,
  ReadableByteStreamController,
  ReadableStream,
  ReadableStreamBYOBReader,
  ReadableStreamBYOBRequest,
  ReadableStreamDefaultController,
  ReadableStreamDefaultReader,
  TransformStream,
  TransformStreamDefaultController,
  WritableStream,
  WritableStreamDefaultController,
  WritableStreamDefaultWriter,
} from 'web-streams-polyfill';
export { TextDecoder, TextEncoder } from './encoding/encoding.js';
export { TextDecoderStream, TextEncoderStream } from './encoding/streams.js';
export { AbortController, AbortSignal } from './events/abort.js';
export { CustomEvent, Event, MessageEvent } from './events/event.js';
export { EventTarget } from './events/event_target.js';
export { MessageChannel, MessagePort } from './events/message_channel.js';
export { Headers } from './fetch/headers.js';
export { Request } from './fetch/request.js';
export { Response } from './fetch/response.js';
export { Blob, File } from './files/blob.js';
export { FormData } from './files/form_data.js';
export { structuredClone } from './structured_clone.js';
export { URLSearchParams } from './url/search_params.js';
export { URL } from './url/url.js';
